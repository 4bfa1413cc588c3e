/** Series over time, drawn by uPlot: what was received above the line, what was sent below it. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useApp } from "../core/app.ts";
import { moment } from "../core/format.ts";
import { useStore } from "../core/store.ts";

export interface Series {
  readonly label: string;
  /** A colour of the style sheet: `--in`. */
  readonly color: string;
  readonly values: readonly number[];
}

export interface ChartProps {
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  readonly height?: number;
  readonly label: string;
  /** Seconds that are shown at least, up to the newest. */
  readonly span?: number;
}

/** Below this the axis would show steps that no traffic has. */
const LEAST_TOP = 1000;

const two = (n: number): string => String(n).padStart(2, "0");

/** Times of day, with seconds where the steps are that small; days where they are long. */
function timeText(ticks: readonly number[]): (seconds: number) => string {
  const step = (ticks[1] ?? 0) - (ticks[0] ?? 0);
  return (seconds) => {
    const date = new Date(seconds * 1000);
    if (step >= 43_200) return `${date.getMonth() + 1}-${two(date.getDate())}`;
    const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
    return step >= 60 ? time : `${time}:${two(date.getSeconds())}`;
  };
}

const colorOf = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Chart({ times, series, format, height = 220, label, span }: ChartProps) {
  const { settings } = useApp();
  const theme = useStore(settings.theme);
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const data = [times, ...series.map(({ values }) => values)] as unknown as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;
  const names = series.map((one) => one.label + one.color).join();
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const draw = (): void => {
      chart.current?.destroy();
      const axis = {
        stroke: colorOf("--quiet"),
        grid: { stroke: colorOf("--line-soft"), width: 1 },
        ticks: { show: false },
        font: "11.5px system-ui, sans-serif",
      };
      chart.current = new uPlot(
        {
          width: Math.max(200, element.clientWidth - 16),
          height,
          padding: [10, 6, 0, 0],
          cursor: { y: false, points: { size: 6 } },
          legend: { live: true },
          scales: {
            x: {
              range: (_, min, max) => [span === undefined ? min : Math.min(min, max - span), max],
            },
            y: { range: (_, _min, max) => [0, Math.max(max * 1.1, LEAST_TOP)] },
          },
          axes: [
            { ...axis, space: 78, size: 30, values: (_, ticks) => ticks.map(timeText(ticks)) },
            { ...axis, size: 74, values: (_, all) => all.map((value) => format(value)) },
          ],
          series: [
            { value: (_, time) => time === null ? "–" : moment(time * 1000) },
            ...series.map((one) => ({
              label: one.label,
              stroke: colorOf(one.color),
              width: 1.75,
              fill: `${colorOf(one.color)}1f`,
              points: { show: false },
              value: (_: uPlot, value: number | null) => value === null ? "–" : format(value),
            })),
          ],
        },
        latest.current,
        element,
      );
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const resized = new ResizeObserver(() => {
      chart.current?.setSize({ width: Math.max(200, element.clientWidth - 16), height });
    });
    resized.observe(element);
    return () => {
      dark.removeEventListener("change", draw);
      resized.disconnect();
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, [theme, names, height, span]);
  useEffect(() => chart.current?.setData(data), [times, names, series[0]?.values]);
  return <div class="chart" ref={place} role="img" aria-label={label} />;
}

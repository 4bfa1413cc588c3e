/** The whole way of a traced packet at one look; what has not been stepped to yet is faint. */
import { useMemo } from "preact/hooks";
import { useNarrow, useTexts } from "../core/app.ts";
import { placeGraph } from "../core/graph.ts";
import { type Station, traceGraph } from "../core/trace-graph.ts";
import type { Pass } from "../core/trace-text.ts";

const cut = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;
const MOST_LETTERS = 28;
const GAP = 42;
/** What would be wider is drawn from top to bottom. */
const WIDEST = 1080;

export function TraceMap(
  { passes, at, show }: {
    readonly passes: readonly Pass[];
    /** Steps shown so far. */
    readonly at: number;
    readonly show: (step: number) => void;
  },
) {
  const t = useTexts();
  const narrow = useNarrow();
  const graph = useMemo(() => traceGraph(passes), [passes]);
  const placed = useMemo(() => {
    const across = placeGraph(graph, false, GAP);
    return narrow || across.width > WIDEST ? placeGraph(graph, true, GAP) : across;
  }, [graph, narrow]);
  const known = new Map(graph.nodes.map((node) => [node.id, node]));
  return (
    <div class="picture trace-map">
      <svg
        viewBox={`0 0 ${placed.width} ${placed.height}`}
        width={placed.width}
        height={placed.height}
        role="group"
        aria-label={t("Its way")}
      >
        {graph.edges.map(({ from, to }, i) => (
          <g
            key={`${from} ${to}`}
            class={`link ${(known.get(to)?.step ?? 0) < at ? "l1" : "later"}`}
          >
            <path d={placed.paths[i] ?? ""} stroke-width={1.8} />
          </g>
        ))}
        {[...placed.nodes].map(([id, { x, y }]) => {
          const node = known.get(id);
          return node && (
            <Drawn
              key={id}
              node={node}
              x={x}
              y={y}
              at={at}
              show={() => show(node.step)}
            />
          );
        })}
      </svg>
    </div>
  );
}

function Drawn(
  { node, x, y, at, show }: {
    readonly node: Station;
    readonly x: number;
    readonly y: number;
    readonly at: number;
    readonly show: () => void;
  },
) {
  const t = useTexts();
  const { kind, width, height, sub, dropped, step } = node;
  const label = titleOf(node, t);
  const state = step >= at ? "later" : step === at - 1 ? "now" : "";
  return (
    <g
      class={`node ${kind} ${state} ${dropped ? "down" : ""}`}
      transform={`translate(${x - width / 2} ${y - height / 2})`}
      role="button"
      tabIndex={0}
      onClick={show}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        show();
      }}
    >
      <title>{[label, sub].filter(Boolean).join(" · ")}</title>
      <rect width={width} height={height} rx={kind === "action" ? height / 2 : 9} />
      <text x={width / 2} y={sub === "" ? height / 2 + 4.5 : height / 2 - 3}>
        {cut(label, MOST_LETTERS)}
      </text>
      {sub !== "" && <text class="sub" x={width / 2} y={height / 2 + 12}>{cut(sub, 34)}</text>}
    </g>
  );
}

function titleOf(
  { kind, label, dropped }: Station,
  t: ReturnType<typeof useTexts>,
): string {
  switch (kind) {
    case "packet":
      return label === "" ? t("Packet") : label;
    case "table":
      return t("table {n}", { n: label });
    case "outcome":
      return dropped ? t("It is dropped") : label;
    case "bridge":
    case "action":
    case "again":
      return label;
    default: {
      const never: never = kind;
      return never;
    }
  }
}

/** The bench's result as a table and as JSON. */
import { type ForwarderName, FORWARDERS, TITLES } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import { machineText } from "./machine.ts";
import { quantile, type Row } from "./rows.ts";

/** Row name → forwarder → a value for each round; NaN where the measurement failed. */
export type Samples = Map<string, Map<ForwarderName, number[]>>;

const OURS = ["solovs-ebpf", "solovs"] as const;
const OTHERS = ["ovs", "bridge"] as const;
export type Ratio = `${typeof OURS[number]}/${typeof OTHERS[number]}`;
const RATIOS: readonly (readonly [Ratio, string])[] = [
  ["solovs-ebpf/bridge", "kernel ÷ bridge"],
  ["solovs-ebpf/ovs", "kernel ÷ Open vSwitch"],
  ["solovs/bridge", "userspace ÷ bridge"],
  ["solovs/ovs", "userspace ÷ Open vSwitch"],
];

export interface RowResult {
  readonly row: string;
  readonly title: string;
  readonly unit: string;
  /** Median over the rounds. */
  readonly median: Partial<Record<ForwarderName, number>>;
  readonly rounds: Partial<Record<ForwarderName, readonly number[]>>;
  /**
   * One of ours divided by one of the others, of the same round; the median of those. Of a time,
   * less is better.
   */
  readonly ratio: Partial<Record<Ratio, number>>;
}

export function summarise(rows: readonly Row[], samples: Samples): RowResult[] {
  const results: RowResult[] = [];
  for (const row of rows) {
    const byForwarder = samples.get(row.name);
    if (byForwarder === undefined) continue;
    const median: Partial<Record<ForwarderName, number>> = {};
    for (const [name, values] of byForwarder) {
      median[name] = quantile(values, 0.5);
    }
    const ratio: Partial<Record<Ratio, number>> = {};
    // A ratio already.
    if (row.unit === "×") {
      results.push(
        { ...heading(row), median, rounds: Object.fromEntries(byForwarder), ratio },
      );
      continue;
    }
    for (const our of OURS) {
      for (const other of OTHERS) {
        const [ours, theirs] = [byForwarder.get(our), byForwarder.get(other)];
        if (ours === undefined || theirs === undefined) continue;
        // Neighbours in time share the machine's mood; medians of all rounds need not.
        const each = ours.map((value, round) => value / theirs[round]!);
        ratio[`${our}/${other}`] = quantile(each, 0.5);
      }
    }
    results.push({ ...heading(row), median, rounds: Object.fromEntries(byForwarder), ratio });
  }
  return results;
}

function heading({ name, title, unit }: Row): Pick<RowResult, "row" | "title" | "unit"> {
  return { row: name, title, unit };
}

function figure(value: number | undefined, unit: string): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value.toFixed(value >= 100 ? 0 : unit === "ms" ? 3 : 2);
}

function times(ratio: number | undefined): string {
  return ratio === undefined || Number.isNaN(ratio) ? "–" : `${ratio.toFixed(2)}×`;
}

/** `idle`: how idle the machine was before the measurements, 0 to 1. */
export function markdown(
  results: readonly RowResult[],
  machine: Machine,
  rounds: number,
  idle: number,
): string {
  const names = FORWARDERS.filter((name) => results.some((r) => r.median[name] !== undefined));
  const ratios = RATIOS.filter(([name]) => results.some((r) => r.ratio[name] !== undefined));
  const titles = [...names.map((name) => TITLES[name]), ...ratios.map(([, title]) => title)];
  const head = ["", "unit", ...titles];
  const body = results.map((r) => [
    r.title,
    r.unit,
    ...names.map((name) => figure(r.median[name], r.unit)),
    ...ratios.map(([name]) => times(r.ratio[name])),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    machineText(machine),
    `- median of ${rounds} round${rounds === 1 ? "" : "s"}, the forwarders measured in turn; ` +
    "ratios are those of values in the same round, their median (of a time, less is better)",
    `- before a measurement the CPUs were ${(idle * 100).toFixed(0)} % idle (median)${
      idle < 0.9 ? ": other work disturbed this run" : ""
    }`,
    "- TCP: offloads as they come, except that Open vSwitch's hosts have transmit checksum " +
    "offload switched off for that row (it fails otherwise)",
    "",
    line(head),
    line(head.map((_, i) => i < 2 ? "---" : "--:")),
    ...body.map(line),
    "",
  ].join("\n");
}

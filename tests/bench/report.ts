/** The bench's result as a table and as JSON. */
import { type ForwarderName, FORWARDERS, TITLES } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import { machineText } from "./machine.ts";
import { quantile, type Row } from "./rows.ts";

/** Row name → forwarder → a value for each round; NaN where the measurement failed. */
export type Samples = Map<string, Map<ForwarderName, number[]>>;

export interface RowResult {
  readonly row: string;
  readonly title: string;
  readonly unit: string;
  /** Median over the rounds. */
  readonly median: Partial<Record<ForwarderName, number>>;
  readonly rounds: Partial<Record<ForwarderName, readonly number[]>>;
  /**
   * solovs divided by the other, of the same round; the median of those. Of a time, less is better.
   */
  readonly ratio: Partial<Record<Exclude<ForwarderName, "solovs">, number>>;
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
    const ratio: Partial<Record<Exclude<ForwarderName, "solovs">, number>> = {};
    for (const other of ["ovs", "bridge"] as const) {
      const [ours, theirs] = [byForwarder.get("solovs"), byForwarder.get(other)];
      if (ours === undefined || theirs === undefined) continue;
      // Neighbours in time share the machine's mood; medians of all rounds need not.
      ratio[other] = quantile(ours.map((value, round) => value / theirs[round]!), 0.5);
    }
    const rounds = Object.fromEntries(byForwarder);
    results.push({ row: row.name, title: row.title, unit: row.unit, median, rounds, ratio });
  }
  return results;
}

function figure(value: number | undefined, unit: string): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return unit === "kpps" ? value.toFixed(0) : value.toFixed(unit === "ms" ? 3 : 2);
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
  const head = ["", "unit", ...names.map((name) => TITLES[name]), "÷ Open vSwitch", "÷ bridge"];
  const body = results.map((r) => [
    r.title,
    r.unit,
    ...names.map((name) => figure(r.median[name], r.unit)),
    times(r.ratio.ovs),
    times(r.ratio.bridge),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    machineText(machine),
    `- median of ${rounds} round${rounds === 1 ? "" : "s"}, the forwarders measured in turn; ` +
    "ratios are solovs divided by the other in the same round, their median (of a time, less is better)",
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

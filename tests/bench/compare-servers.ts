/** The result of a bench of two servers, solovs and the one of Open vSwitch, as a table. */
import { type Machine, machineText } from "./machine.ts";
import { quantile } from "./rows.ts";

export const SERVERS = ["solovs", "ovs"] as const;
export type ServerName = typeof SERVERS[number];

/** A unit that ends in "/s" is a rate: more is better. */
export interface ReportedRow {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
}

/** Row name → server → a value for each round; NaN where the measurement failed. */
export type Samples = Map<string, Map<ServerName, number[]>>;

export interface ServerResult {
  readonly row: string;
  readonly title: string;
  readonly unit: string;
  /** Median over the rounds. */
  readonly median: Partial<Record<ServerName, number>>;
  readonly rounds: Partial<Record<ServerName, readonly number[]>>;
  /**
   * How many times better solovs is: of a rate, ours divided by theirs; of a time or a size, theirs
   * divided by ours. Taken in each round; the median of those.
   */
  readonly better: number | undefined;
}

export function summarise(rows: readonly ReportedRow[], samples: Samples): ServerResult[] {
  return rows.flatMap(({ name, title, unit }): ServerResult[] => {
    const byServer = samples.get(name);
    if (byServer === undefined) return [];
    const median: Partial<Record<ServerName, number>> = {};
    for (const [server, values] of byServer) median[server] = quantile(values, 0.5);
    const [ours, theirs] = [byServer.get("solovs"), byServer.get("ovs")];
    const better = ours === undefined || theirs === undefined ? undefined : quantile(
      ours.map((value, i) => unit.endsWith("/s") ? value / theirs[i]! : theirs[i]! / value),
      0.5,
    );
    const rounds = Object.fromEntries(byServer);
    return [{ row: name, title, unit, median, rounds, better }];
  });
}

interface Circumstances {
  readonly machine: Machine;
  readonly rounds: number;
  /** How idle the machine was before the measurements, 0 to 1. */
  readonly idle: number;
  readonly titles: Readonly<Record<ServerName, string>>;
  /** More that the figures are worth nothing without. */
  readonly remarks: readonly string[];
}

export function markdown(results: readonly ServerResult[], circumstances: Circumstances): string {
  const { machine, rounds, idle, titles, remarks } = circumstances;
  const names = SERVERS.filter((name) => results.some(({ median }) => median[name] !== undefined));
  const figure = (value: number | undefined): string =>
    value === undefined || Number.isNaN(value) ? "–" : value.toFixed(value < 100 ? 1 : 0);
  const head = ["", "unit", ...names.map((name) => titles[name]), "solovs better by"];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    machineText(machine),
    `- median of ${rounds} round${
      rounds === 1 ? "" : "s"
    }, the servers measured in turn; the last ` +
    "column compares within each round, and below 1 solovs is the worse one",
    `- before a measurement the CPUs were ${(idle * 100).toFixed(0)} % idle (median)${
      idle < 0.9 ? ": other work disturbed this run" : ""
    }`,
    ...remarks.map((remark) => `- ${remark}`),
    "",
    line(head),
    line(head.map((_, i) => i < 2 ? "---" : "--:")),
    ...results.map(({ title, unit, median, better }) =>
      line([
        title,
        unit,
        ...names.map((name) => figure(median[name])),
        better === undefined || Number.isNaN(better) ? "–" : `${better.toFixed(2)}×`,
      ])
    ),
    "",
  ].join("\n");
}

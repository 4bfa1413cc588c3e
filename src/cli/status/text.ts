/** What `status` and `top` write, from what the API answers. */
import type { Bridge } from "../../http/routes/bridges.ts";
import type { ReadingJson } from "../../http/routes/statistics.ts";
import type { Status } from "../../http/routes/status.ts";

const scaled = (value: number, units: readonly string[]): string => {
  let [unit, rest] = [0, value];
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${rest.toFixed(unit === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2)} ${units[unit]}`;
};
export const bitRate = (bps: number): string =>
  scaled(bps, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
export const perSecond = (value: number): string => `${scaled(value, ["", "k", "M"]).trim()}/s`;

export function duration(seconds: number): string {
  const units = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]] as const;
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  return units.slice(first, first + 2).map(([size, unit]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count} ${unit}`;
  }).join(" ");
}

/** Columns as wide as their widest cell; numbers to the right. */
export function columns(
  rows: readonly (readonly string[])[],
  right: ReadonlySet<number>,
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  }
  return rows.map((row) =>
    row.map((cell, i) => right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))
      .join("  ").trimEnd()
  );
}

type Ports = ReadingJson["ports"];

function portRows(bridge: Bridge, ports: Ports): string[] {
  const rows = bridge.ports.flatMap((port) =>
    port.interfaces.map((one) => {
      const now = ports.find((each) => each.bridge === bridge.name && each.name === one.name);
      const state = one.error !== null ? "failed" : now?.linkUp === true ? "up" : "down";
      const vlan = port.tag !== null ? `VLAN ${port.tag}` : port.trunks.length > 0 ? "trunk" : "";
      return [
        `  ${one.name}`,
        one.ofport === null || one.ofport < 0 ? "-" : String(one.ofport),
        one.type || "device",
        state,
        vlan,
        `in ${bitRate(now?.rxBps ?? 0)}`,
        `out ${bitRate(now?.txBps ?? 0)}`,
      ];
    })
  );
  return columns(rows, new Set([1, 5, 6]));
}

export function statusText(
  status: Status,
  bridges: readonly Bridge[],
  reading: ReadingJson,
): string {
  const { configuration, ovsVersion } = status;
  const lines = [
    `solovs ${status.version} (Open vSwitch ${ovsVersion ?? "-"}), up ` +
    `${duration(status.uptimeSeconds)}, datapath ${status.datapathType || "none yet"}`,
    configuration.inForce
      ? "configuration in force"
      : `configuration being applied (${configuration.curCfg} of ${configuration.nextCfg})`,
    `in ${bitRate(reading.total[0])}, out ${bitRate(reading.total[1])}, ` +
    `${reading.flows} flows, ${reading.datapathFlows} in the datapath, ` +
    `${perSecond(reading.misses)} misses, ${perSecond(reading.drops)} drops`,
  ];
  if (bridges.length === 0) lines.push("", "no bridge; make one: solovs vsctl add-br br0");
  for (const bridge of bridges) {
    lines.push(
      "",
      `${bridge.name}  ${bridge.datapathId ?? "not set up"}  ${bridge.failMode}, ` +
        `${bridge.flows ?? 0} flow${bridge.flows === 1 ? "" : "s"}`,
      ...portRows(bridge, reading.ports),
      ...bridge.controllers.map(({ target, connected }) =>
        `  controller ${target}: ${connected ? "connected" : "not connected"}`
      ),
    );
  }
  const problems = problemsOf(bridges);
  if (problems.length > 0) lines.push("", ...problems.map((problem) => `! ${problem}`));
  return `${lines.join("\n")}\n`;
}

/** What somebody ought to look at. */
export const problemsOf = (bridges: readonly Bridge[]): string[] =>
  bridges.flatMap(({ name, ports, controllers }) => [
    ...ports.flatMap(({ interfaces }) =>
      interfaces.flatMap((one) => one.error === null ? [] : [`${name} ${one.name}: ${one.error}`])
    ),
    ...controllers.flatMap(({ target, connected }) =>
      connected ? [] : [`${name}: controller ${target} is not connected`]
    ),
  ]);

/** One screen of `top`, the busiest ports first, in so many lines and columns. */
export function topText(reading: ReadingJson, height: number, width: number): string {
  const { total, hits, misses, drops, flows, datapathFlows } = reading;
  const looked = hits + misses;
  const head = [
    `${new Date(reading.time).toLocaleTimeString()}  in ${bitRate(total[0])} ` +
    `${perSecond(total[2])}  out ${bitRate(total[1])} ${perSecond(total[3])}`,
    `flows ${flows}, datapath ${datapathFlows}  cache ` +
    `${looked === 0 ? "-" : `${(100 * hits / looked).toFixed(1)} %`}  ` +
    `misses ${perSecond(misses)}  drops ${perSecond(drops)}`,
    "",
  ];
  const busiest = [...reading.ports].sort((a, b) => b.rxBps + b.txBps - a.rxBps - a.txBps);
  const rows = [
    ["bridge", "port", "link", "in", "packets", "out", "packets", "drops"],
    ...busiest.map((port) => [
      port.bridge,
      port.name,
      port.linkUp ? "up" : "down",
      bitRate(port.rxBps),
      perSecond(port.rxPps),
      bitRate(port.txBps),
      perSecond(port.txPps),
      String(port.drops),
    ]),
  ];
  const table = columns(rows, new Set([3, 4, 5, 6, 7]));
  return [...head, ...table].slice(0, height).map((line) => line.slice(0, width)).join("\n");
}

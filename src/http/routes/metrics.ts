/**
 * `/metrics`: what Prometheus reads (text exposition format 0.0.4), made from counters that are kept
 * anyway. It needs a token like everything else (`authorization:` in Prometheus' scrape_config).
 */
import { readdirSync, statSync } from "node:fs";
import type { HttpSource } from "../source.ts";
import { operation } from "./route.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [Labels, number];
type Kind = "counter" | "gauge" | "untyped";

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export const showMetrics = operation({
  tag: "Health",
  summary: "Metrics for Prometheus",
  alsoAnswers: ["text/plain"],
  handle: ({ source }) => ({
    text: metricsText(source),
    headers: { "content-type": METRICS_TYPE },
  }),
});

const escaped = (value: string): string =>
  /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`)) : value;

function labelText(labels: Labels): string {
  let text = "";
  for (const name in labels) {
    text += `${text === "" ? "{" : ","}${name}="${escaped(labels[name]!)}"`;
  }
  return text === "" ? "" : `${text}}`;
}

class Exposition {
  private whole = "";

  add(name: string, kind: Kind, help: string, samples: Iterable<Sample>): void {
    this.whole += `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;
    for (const [labels, value] of samples) this.whole += `${name}${labelText(labels)} ${value}\n`;
  }

  one(name: string, kind: Kind, help: string, value: number): void {
    this.add(name, kind, help, [[{}, value]]);
  }

  text(): string {
    return this.whole;
  }
}

export function metricsText(source: HttpSource): string {
  const out = new Exposition();
  out.add("solovs_info", "gauge", "Version of solovs.", [[{ version: source.version }, 1]]);
  switchMetrics(out, source);
  interfaceMetrics(out, source);
  databaseMetrics(out, source);
  const requests = [...source.counted.requests].map(([key, count]): Sample => {
    const [method = "", status = ""] = key.split(" ");
    return [{ method, status }, count];
  });
  out.add("solovs_http_requests_total", "counter", "HTTP requests answered.", requests);
  out.one("solovs_http_streams", "gauge", "Event streams that are open.", source.streams.size);
  processMetrics(out, source);
  return out.text();
}

function switchMetrics(out: Exposition, { vswitch }: HttpSource): void {
  const bridges = vswitch.bridges();
  const { ports, counters } = vswitch.status();
  out.one("solovs_bridges", "gauge", "Bridges that run.", bridges.length);
  out.one("solovs_ports", "gauge", "Ports that are attached.", ports);
  out.add(
    "solovs_openflow_flows",
    "gauge",
    "OpenFlow flows of a bridge.",
    bridges.map(({ name, flows }): Sample => [{ bridge: name }, flows]),
  );
  out.add(
    "solovs_controller_connected",
    "gauge",
    "1 if the controller is connected.",
    bridges.flatMap(({ name, controllers }) =>
      controllers.map(({ target, connected }): Sample => [
        { bridge: name, target },
        connected ? 1 : 0,
      ])
    ),
  );
  out.add(
    "solovs_counter",
    "untyped",
    "Counters by name: cache hits and misses, upcalls, drop reasons, messages.",
    Object.entries(counters).map(([name, value]): Sample => [{ name }, value]),
  );
}

/** Column → metric. */
const TRAFFIC = [
  ["rx_packets", "receive_packets"],
  ["tx_packets", "transmit_packets"],
  ["rx_bytes", "receive_bytes"],
  ["tx_bytes", "transmit_bytes"],
  ["rx_dropped", "receive_drop"],
  ["tx_dropped", "transmit_drop"],
  ["rx_errors", "receive_errors"],
  ["tx_errors", "transmit_errors"],
] as const;

function interfaceMetrics(out: Exposition, { replica }: HttpSource): void {
  const interfaces = [...replica.rows("Interface").values()];
  for (const [column, metric] of TRAFFIC) {
    out.add(
      `solovs_interface_${metric}_total`,
      "counter",
      `Interface statistics: ${column}.`,
      interfaces.flatMap(({ name, statistics }): Sample[] => {
        const value = statistics.get(column);
        return value === undefined ? [] : [[{ interface: name }, value]];
      }),
    );
  }
  out.add(
    "solovs_interface_up",
    "gauge",
    "1 if the interface's link is up.",
    interfaces.map(({ name, link_state }): Sample => [
      { interface: name },
      link_state === "up" ? 1 : 0,
    ]),
  );
  out.add(
    "solovs_interface_error",
    "gauge",
    "1 if the interface could not be set up.",
    interfaces.map(({ name, error }): Sample => [{ interface: name }, error === undefined ? 0 : 1]),
  );
}

function databaseMetrics(out: Exposition, source: HttpSource): void {
  const { nextCfg, curCfg } = source.configuration();
  out.one("solovs_next_cfg", "gauge", "The configuration asked for.", nextCfg);
  out.one("solovs_cur_cfg", "gauge", "The configuration in force.", curCfg);
  const { commits, changedRows } = source.counted;
  out.one("solovs_ovsdb_commits_total", "counter", "Transactions that changed something.", commits);
  out.one("solovs_ovsdb_changed_rows_total", "counter", "Rows that they changed.", changedRows);
  out.add(
    "solovs_ovsdb_rows",
    "gauge",
    "Rows of a table.",
    [...source.database.tables.values()].map(({ schema, rows }): Sample => [
      { table: schema.name },
      rows.size,
    ]),
  );
}

function processMetrics(out: Exposition, source: HttpSource): void {
  const { user, system } = process.cpuUsage();
  out.one("process_cpu_seconds_total", "counter", "CPU time.", (user + system) / 1e6);
  out.one("process_resident_memory_bytes", "gauge", "Memory.", process.memoryUsage.rss());
  out.one("process_open_fds", "gauge", "Open files.", openFiles());
  out.one("solovs_uptime_seconds", "gauge", "Since the start.", source.uptimeMs() / 1000);
}

/** Since Linux 6.2 the directory's size says how many there are; before it was 0. */
const openFiles = (): number =>
  statSync("/proc/self/fd").size || readdirSync("/proc/self/fd").length;

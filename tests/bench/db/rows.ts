/** What is measured, one function a row of the table. */
import type { DatabaseServer } from "./servers.ts";
import { DURABLE, request, type Wire } from "./wire.ts";

export interface DbRow {
  readonly name: string;
  readonly title: string;
  readonly unit: "tx/s" | "ms" | "MiB";
  /** Rows of one phase are measured on one server, started on an empty database, in order. */
  readonly phase: "small" | "large";
  /**
   * True if it is a fixed piece of work: then the processor time that the server took for it is told
   * too, which other work on the machine changes less than the time that passed.
   */
  readonly cpu?: true;
  measure(server: DatabaseServer, effort: DbEffort): Promise<number>;
}

export interface DbEffort {
  readonly seconds: number;
  readonly ports: number;
  readonly monitors: number;
  readonly updates: number;
}

const bridge = (name: string) => [
  { op: "insert", table: "Bridge", row: { name }, "uuid-name": "b" },
  {
    op: "mutate",
    table: "Open_vSwitch",
    where: [],
    mutations: [["bridges", "insert", ["named-uuid", "b"]]],
  },
];

/** A row for a client to write to. Databases without a root row (stock's, new) get one. */
async function addBridge(wire: Wire, name: string): Promise<unknown> {
  const [found] = await wire.transact({ op: "select", table: "Open_vSwitch", where: [] });
  const roots = (found?.["rows"] as readonly unknown[]).length;
  const root = roots > 0 ? [] : [{ op: "insert", table: "Open_vSwitch", row: {} }];
  const results = await wire.transact(...root, ...bridge(name), DURABLE);
  return results[root.length]?.["uuid"];
}

/** Transactions a second, each of `clients` with one under way: one changed column of one row. */
async function transactions(server: DatabaseServer, clients: number, seconds: number) {
  // One after the other: a server's queue of new connections is short.
  const writers: { wire: Wire; where: unknown }[] = [];
  for (let i = 0; i < clients; i++) {
    const wire = await server.connect();
    const uuid = await addBridge(wire, `b${clients}-${i}-${Math.random()}`);
    writers.push({ wire, where: [["_uuid", "==", uuid]] });
  }
  let done = 0;
  let stopped = false;
  const work = async ({ wire, where }: typeof writers[number]): Promise<void> => {
    for (let i = 0; !stopped; i++) {
      const row = { external_ids: ["map", [["n", String(i)]]] };
      const update = { op: "update", table: "Bridge", where, row };
      const count = wire.messages + 1;
      wire.send(request("transact", ["Open_vSwitch", update, DURABLE], i));
      await wire.until(count);
      done++;
    }
  };
  const working = Promise.all(writers.map(work));
  await Bun.sleep(300); // warm-up
  const [from, before] = [performance.now(), done];
  await Bun.sleep(seconds * 1000);
  const rate = (done - before) / (performance.now() - from) * 1000;
  stopped = true;
  await working;
  for (const { wire } of writers) wire.close();
  return rate;
}

/**
 * Clients that monitor one column, and a writer that changes it, one transaction after the other:
 * milliseconds until every client has seen the last change. Each must have got every update.
 */
async function fanOut(server: DatabaseServer, { monitors, updates }: DbEffort): Promise<number> {
  const writer = await server.connect();
  const uuid = await addBridge(writer, `m${Math.random()}`);
  const where = [["_uuid", "==", uuid]];
  const watchers: Wire[] = [];
  for (let i = 0; i < monitors; i++) {
    const wire = await server.connect();
    await wire.call("monitor_cond_since", [
      "Open_vSwitch",
      "m",
      { Bridge: [{ columns: ["external_ids"] }] },
      "00000000-0000-0000-0000-000000000000",
    ]);
    wire.messages = 0;
    watchers.push(wire);
  }
  const started = performance.now();
  const seen = Promise.all(watchers.map((wire) => wire.until(updates)));
  for (let i = 1; i <= updates; i++) {
    const row = { external_ids: ["map", [["n", String(i)]]] };
    const count = writer.messages + 1;
    writer.send(
      request(
        "transact",
        ["Open_vSwitch", { op: "update", table: "Bridge", where, row }, DURABLE],
        i,
      ),
    );
    await writer.until(count);
  }
  const late = Bun.sleep(20_000).then(() => {
    throw new Error(`updates seen: ${watchers.map(({ messages }) => messages).join(" ")}`);
  });
  await Promise.race([seen, late]);
  const elapsed = performance.now() - started;
  for (const wire of [writer, ...watchers]) wire.close();
  late.catch(() => {});
  return elapsed;
}

/** One transaction that adds ports to a bridge, each with its interface. */
async function addPorts(server: DatabaseServer, { ports }: DbEffort): Promise<number> {
  const wire = await server.connect();
  const uuid = await addBridge(wire, "br0");
  const names = Array.from({ length: ports }, (_, i) => `port${i}`);
  const operations = names.flatMap((name) => [
    {
      op: "insert",
      table: "Interface",
      "uuid-name": `i_${name}`,
      row: { name, type: "internal", external_ids: ["map", [["iface-id", name]]] },
    },
    {
      op: "insert",
      table: "Port",
      "uuid-name": `p_${name}`,
      row: { name, tag: 7, interfaces: ["named-uuid", `i_${name}`] },
    },
  ]);
  const added = ["set", names.map((name) => ["named-uuid", `p_${name}`])];
  const text = request("transact", [
    "Open_vSwitch",
    ...operations,
    {
      op: "mutate",
      table: "Bridge",
      where: [["_uuid", "==", uuid]],
      mutations: [["ports", "insert", added]],
    },
    DURABLE,
  ], 1);
  const count = wire.messages + 1;
  const started = performance.now();
  wire.send(text);
  await wire.until(count);
  const elapsed = performance.now() - started;
  const [{ rows = [] } = {}] = await wire.transact({
    op: "select",
    table: "Port",
    where: [],
    columns: ["name"],
  }) as [{ rows?: readonly unknown[] }];
  if (rows.length !== ports) throw new Error(`${rows.length} ports instead of ${ports}`);
  wire.close();
  return elapsed;
}

async function memory(server: DatabaseServer): Promise<number> {
  await Bun.sleep(1500);
  return server.residentMib();
}

export const ROWS: readonly DbRow[] = [
  {
    name: "tx-1",
    title: "small transactions, 1 client",
    unit: "tx/s",
    phase: "small",
    measure: (server, { seconds }) => transactions(server, 1, seconds),
  },
  {
    name: "tx-32",
    title: "small transactions, 32 clients",
    unit: "tx/s",
    phase: "small",
    measure: (server, { seconds }) => transactions(server, 32, seconds),
  },
  {
    name: "fan-out",
    title: "100 monitoring clients each see 1,000 updates",
    unit: "ms",
    phase: "small",
    cpu: true,
    measure: fanOut,
  },
  {
    name: "add-ports",
    title: "one transaction that adds 10,000 ports",
    unit: "ms",
    phase: "large",
    cpu: true,
    measure: addPorts,
  },
  {
    name: "memory-after-adding",
    title: "memory after that transaction",
    unit: "MiB",
    phase: "large",
    measure: memory,
  },
  {
    name: "start",
    title: "start with 10,000 ports",
    unit: "ms",
    phase: "large",
    cpu: true,
    async measure(server) {
      await server.stop();
      return await server.start();
    },
  },
  {
    name: "memory",
    title: "memory with 10,000 ports, after a start",
    unit: "MiB",
    phase: "large",
    measure: memory,
  },
];

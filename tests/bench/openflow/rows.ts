/** What is measured, one function a row of the table. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { ping } from "../../support/hosts.ts";
import { quantile } from "../rows.ts";
import { flowMod, flowMods, lookupMessages, rules } from "./flows.ts";
import type { SwitchUnderTest } from "./servers.ts";
import { deleteAll, message, PACKET_IN, type Wire } from "./wire.ts";

const GENERATOR = resolve(import.meta.dir, "../generator.ts");
const PACKET_OUT = 13;
const LOOKUPS_A_MESSAGE = 40;
/** Long enough for compilers at run time to have seen what is done over and over. */
const WARM_UP_MS = 4000;

export interface Effort {
  readonly seconds: number;
  /** Flows of the rows of the large table. */
  readonly flows: number;
  readonly pings: number;
}

export interface Measured {
  readonly value: number;
  /** Operations the value speaks of, for the processor time of each. */
  readonly operations: number;
  readonly clientCpuMs?: number;
  readonly serverCpuMs: number;
}

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  /** What an operation is, in the rows of processor time. */
  readonly operation: string;
  /** Rows of one phase are measured on one switch, started afresh, in order. */
  readonly phase: "small" | "large";
  measure(server: SwitchUnderTest, effort: Effort): Promise<Measured>;
}

/** Runs it over and over for so long, after a warm-up; `run` returns how many operations it did. */
async function rate(
  server: SwitchUnderTest,
  seconds: number,
  run: () => Promise<number>,
): Promise<Measured> {
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end;) await run();
  const [started, cpu] = [performance.now(), server.cpuMs()];
  let operations = 0;
  let elapsed = 0;
  do {
    operations += await run();
    elapsed = performance.now() - started;
  } while (elapsed < seconds * 1000);
  const serverCpuMs = server.cpuMs() - cpu;
  return { value: operations / elapsed * 1000, operations, serverCpuMs };
}

async function withWire<T>(server: SwitchUnderTest, body: (wire: Wire) => Promise<T>): Promise<T> {
  const wire = await server.connect();
  try {
    return await body(wire);
  } finally {
    wire.close();
  }
}

/** Flow-mods that add 2,000 rules, then such as delete them, each 2,000 followed by a barrier. */
function flowModRate(server: SwitchUnderTest, { seconds }: Effort): Promise<Measured> {
  return withWire(server, async (wire) => {
    await wire.settle(deleteAll());
    const { adds, deletes } = flowMods(rules(2000));
    const result = await rate(server, seconds, async () => {
      await wire.settle(adds);
      await wire.settle(deletes);
      return 4000;
    });
    await wire.settle(deleteAll());
    return result;
  });
}

/** Packets that arrive as fast as a port takes them and all go to the controller, cut to 128 bytes. */
function packetIns(server: SwitchUnderTest, { seconds }: Effort): Promise<Measured> {
  return withWire(server, async (wire) => {
    await wire.settle(Buffer.concat([
      deleteAll(),
      flowMod("in_port=1,udp,actions=controller(max_len=128)"),
    ]));
    await wire.wantPackets();
    const [from, to] = server.hosts;
    const sender = from.ns.spawn([
      process.execPath,
      GENERATOR,
      JSON.stringify({
        device: from.device,
        mac: to.mac,
        mode: "flood",
        flows: 100,
        seconds: seconds + 2 + WARM_UP_MS / 1000,
      }),
    ]);
    try {
      await wire.until(PACKET_IN, 10);
      return await rate(server, seconds, async () => {
        const before = wire.received[PACKET_IN]!;
        await Bun.sleep(50);
        return wire.received[PACKET_IN]! - before;
      });
    } finally {
      await sender.stop();
      await wire.settle(deleteAll());
    }
  });
}

/**
 * A controller that answers each packet-in by a flow-mod and a packet-out to the other port, between
 * a host that pings and the one that answers. The flows it makes lie below the rule that sends to the
 * controller, so that each packet comes: there and back makes two of packet-in, flow-mod, packet-out.
 */
function controllerLatency(server: SwitchUnderTest, { pings }: Effort): Promise<Measured> {
  return withWire(server, async (wire) => {
    await wire.settle(Buffer.concat([
      deleteAll(),
      flowMod("priority=200,icmp,actions=controller"),
    ]));
    await wire.wantPackets();
    const mods = [1, 2].flatMap((port) =>
      Array.from(
        { length: 1000 },
        (_, i) =>
          flowMod(
            `priority=10,in_port=${port},icmp,nw_src=10.9.${i >> 8}.${i & 255},actions=output:${
              3 - port
            }`,
          ),
      )
    );
    let seen = 0;
    wire.onMessage = (bytes) => {
      if (bytes[1] !== PACKET_IN) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      // OpenFlow 1.3 (7.4.1): the match begins at 24, with the port as its first field (OXM).
      const port = view.getUint32(24 + 4 + 4);
      const frame = bytes.subarray(24 + Math.ceil(view.getUint16(26) / 8) * 8 + 2);
      const body = new Uint8Array(32 + frame.length);
      const out = new DataView(body.buffer);
      out.setUint32(0, 0xffffffff);
      out.setUint32(4, port);
      out.setUint16(8, 16);
      out.setUint16(16 + 2, 16);
      out.setUint32(16 + 4, 3 - port);
      body.set(frame, 32);
      const mod = mods[(port - 1) * 1000 + seen++ % 1000]!;
      wire.send(Buffer.concat([mod, message(PACKET_OUT, body)]));
    };
    const [from, to] = server.hosts;
    await ping(from.ns, to.ip, { count: 30, intervalSec: 0.003 });
    const cpu = server.cpuMs();
    const result = await ping(from.ns, to.ip, { count: pings, intervalSec: 0.003 });
    const serverCpuMs = server.cpuMs() - cpu;
    if (result.received < pings * 0.98) throw new Error(`${result.received} of ${pings} answered`);
    await wire.settle(deleteAll());
    return { value: quantile(result.rttsMs, 0.5), operations: 2 * pings, serverCpuMs };
  });
}

/** The same packets to each: packet-outs, each of which looks 40 packets up by `resubmit`. */
function lookups(server: SwitchUnderTest, effort: Effort, count: number): Promise<Measured> {
  return withWire(server, async (wire) => {
    const of = rules(count);
    if (count < effort.flows) await wire.settle(Buffer.concat([deleteAll(), flowMods(of).adds]));
    const messages = Buffer.concat(lookupMessages(of, 50, LOOKUPS_A_MESSAGE));
    return await rate(server, effort.seconds, async () => {
      await wire.settle(messages);
      return 50 * LOOKUPS_A_MESSAGE;
    });
  });
}

const bridgeOf = (server: SwitchUnderTest): string => `unix:${server.socket}`;

async function withClient(
  server: SwitchUnderTest,
  words: readonly string[],
  operations: number,
  output?: string,
): Promise<Measured> {
  const cpu = server.cpuMs();
  const { ms, cpuMs } = await server.ofctl(words, output);
  return { value: ms, operations, clientCpuMs: cpuMs, serverCpuMs: server.cpuMs() - cpu };
}

function flowFile(server: SwitchUnderTest, count: number): string {
  const path = server.file("flows.txt");
  writeFileSync(path, rules(count).map(({ text }) => `${text}\n`).join(""));
  return path;
}

/** Resident memory before the flows came, by server: `memory` tells what they added. */
const before = new WeakMap<SwitchUnderTest, number>();

export const ROWS: readonly Row[] = [
  {
    name: "flow-mods",
    title: "flow-mods (add, delete) on one connection",
    unit: "flow-mods/s",
    operation: "flow-mod",
    phase: "small",
    measure: flowModRate,
  },
  {
    name: "packet-ins",
    title: "packets to the controller",
    unit: "packet-ins/s",
    operation: "packet-in",
    phase: "small",
    measure: packetIns,
  },
  {
    name: "latency",
    title: "ping through a controller: 2 × (packet-in, flow-mod, packet-out), median",
    unit: "ms",
    operation: "packet",
    phase: "small",
    measure: controllerLatency,
  },
  {
    name: "lookups-1k",
    title: "lookups in 1,000 rules of 50 masks",
    unit: "lookups/s",
    operation: "lookup",
    phase: "small",
    measure: (server, effort) => lookups(server, effort, 1000),
  },
  {
    name: "add-flows",
    title: "`add-flows` of 100,000 flows",
    unit: "ms",
    operation: "flow",
    phase: "large",
    async measure(server, { flows }) {
      const file = flowFile(server, flows);
      await withWire(server, (wire) => wire.settle(deleteAll()));
      await Bun.sleep(1500);
      before.set(server, server.residentBytes());
      return await withClient(server, ["add-flows", bridgeOf(server), file], flows);
    },
  },
  {
    name: "memory",
    title: "memory a flow, with 100,000",
    unit: "bytes",
    operation: "",
    phase: "large",
    async measure(server, { flows }) {
      await Bun.sleep(3000);
      const value = (server.residentBytes() - (before.get(server) ?? 0)) / flows;
      return { value, operations: 0, serverCpuMs: 0 };
    },
  },
  {
    name: "dump-flows",
    title: "`dump-flows` of 100,000 flows",
    unit: "ms",
    operation: "flow",
    phase: "large",
    async measure(server, { flows }) {
      const output = server.file("dump.txt");
      const result = await withClient(server, ["dump-flows", bridgeOf(server)], flows, output);
      const lines = readFileSync(output, "utf8").split("actions=").length - 1;
      if (lines !== flows) throw new Error(`${lines} flows`);
      return result;
    },
  },
  {
    name: "lookups-100k",
    title: "lookups in 100,000 rules of 50 masks",
    unit: "lookups/s",
    operation: "lookup",
    phase: "large",
    measure: (server, effort) => lookups(server, effort, effort.flows),
  },
  {
    name: "replace-flows",
    title: "`add-flows --bundle` of the same 100,000 flows again",
    unit: "ms",
    operation: "flow",
    phase: "large",
    measure: (server, { flows }) =>
      withClient(
        server,
        ["--bundle", "add-flows", bridgeOf(server), flowFile(server, flows)],
        flows,
      ),
  },
];

/** What is measured as a function of how many there are. */
import { readFileSync } from "node:fs";
import { must } from "../../support/exec.ts";
import type { Clients } from "../../support/clients.ts";
import type { Sandbox } from "../../support/netns.ts";
import type { Forwarder } from "../forwarders.ts";
import { quantile } from "../rows.ts";
import { everyFlowIsNew, manyMasks, underRules } from "../rules.ts";
import {
  generate,
  type Offered,
  processorMs,
  rate,
  receiverOf,
  spawnGenerator,
} from "../traffic.ts";

export interface Point {
  readonly size: number;
  /** What → value; the unit is in the name. */
  readonly values: Readonly<Record<string, number>>;
}

export interface CurveEffort {
  readonly sandbox: Sandbox;
  readonly forwarder: Forwarder;
  readonly seconds: number;
  readonly sizes: readonly number[];
}

export interface Curve {
  readonly name: string;
  readonly title: string;
  /** What sizes count. */
  readonly unit: string;
  readonly sizes: readonly number[];
  /** The switch is killed in the end. */
  readonly leavesMany?: boolean;
  measure(effort: CurveEffort): AsyncGenerator<Point>;
}

const MIB = 2 ** 20;
/** A batch of ports in one ovs-vsctl. */
const PORTS_A_CALL = 100;
/** Offered while flows are brought in: little enough that few are lost. */
const FILL_RATE = 20_000;
const FILL_MS = 120_000;
const FILL_LOOK_MS = 250;
/** A switch that has not got more flows for so long has its reasons. */
const STALL_MS = 6000;
const IDLE_MS = 5000;
const MASK_FLOWS = 8192;
/** New flows, one every 3 ms, while the others are looked at again. */
const NEW_MEANWHILE = 600;

function switchOf({ clients, process, name }: Forwarder) {
  if (!clients || process === undefined) throw new Error(`${name} is no switch`);
  return { clients, process };
}

/** Memory of the process that is in RAM (proc(5), `VmRSS`), bytes. */
function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

async function* ports(
  { sandbox, forwarder, sizes }: CurveEffort,
): AsyncGenerator<Point> {
  const { clients, process } = switchOf(forwarder);
  const ns = forwarder.switchNs;
  const far = await sandbox.netns("far");
  const before = residentBytes(process);
  let there = 0;
  for (const size of sizes) {
    const lines: string[] = [];
    for (let i = there; i < size; i++) {
      lines.push(`link add c${i} up type veth peer name c${i} netns ${far.name}`);
    }
    await must(["ip", "-n", ns.name, "-batch", "-"], {
      stdin: lines.join("\n"),
      timeoutMs: 120_000,
    });
    await must(["ip", "-n", far.name, "-batch", "-"], {
      stdin: lines.map((_, i) => `link set c${there + i} up`).join("\n"),
      timeoutMs: 120_000,
    });
    const started = performance.now();
    const spent = processorMs(process);
    for (let i = there; i < size; i += PORTS_A_CALL) {
      const batch = Array.from(
        { length: Math.min(PORTS_A_CALL, size - i) },
        (_, k) => `add-port br0 c${i + k}`,
      );
      await must(
        ["ovs-vsctl", "--timeout=120", ...batch.join(" -- ").split(" ")],
        { env: { OVS_RUNDIR: clients.runDir }, timeoutMs: 130_000 },
      );
    }
    const added = Math.max(1, size - there);
    there = size;
    const tookMs = performance.now() - started;
    const cpuMs = processorMs(process) - spent;
    await Bun.sleep(1500);
    const idle = await idlePercent(process);
    yield {
      size,
      values: {
        "KiB a port": (residentBytes(process) - before) / 1024 / size,
        "ms to add one": tookMs / added,
        "processor ms to add one": cpuMs / added,
        "idle, % of a CPU": idle,
      },
    };
  }
}

/** Processor time of a process that has nothing to do. */
async function idlePercent(pid: number): Promise<number> {
  const [before, started] = [processorMs(pid), performance.now()];
  await Bun.sleep(IDLE_MS);
  return (processorMs(pid) - before) / (performance.now() - started) * 100;
}

/** Packets a millisecond that come through, and the switch's processor time a packet in µs. */
async function lookupRate(
  forwarder: Forwarder,
  job: Offered["job"],
  seconds: number,
): Promise<{ kpps: number; micros: number }> {
  const { process } = switchOf(forwarder);
  const { from, to } = forwarder;
  const { perMs, packets, around } = await rate(forwarder, [{ job, from, to, cpu: 0 }], {
    seconds,
    confined: true,
    begin: () => processorMs(process),
    end: (begun) => processorMs(process) - begun,
  });
  return { kpps: perMs, micros: around * 1000 / packets };
}

/**
 * Sends the flows round and round until so many are installed, or the switch takes no more of them; how
 * many there are.
 */
async function fill(forwarder: Forwarder, flows: number): Promise<number> {
  const { clients } = switchOf(forwarder);
  const job = { mode: "flood", flows, rate: FILL_RATE, seconds: FILL_MS / 1000 } as const;
  const generator = spawnGenerator(forwarder, job);
  try {
    let most = 0;
    for (let stalled = 0; most < 0.99 * flows && stalled < STALL_MS;) {
      await Bun.sleep(FILL_LOOK_MS);
      const there = await count(clients);
      stalled = there > most ? 0 : stalled + FILL_LOOK_MS;
      most = Math.max(most, there);
    }
  } finally {
    await generator.stop();
  }
  return await count(clients);
}

/** Megaflows that are installed. */
async function count(clients: Clients): Promise<number> {
  return Number(/flows: (\d+)/.exec(await clients.appctl("dpctl/show"))?.[1] ?? 0);
}

async function* flows(
  { forwarder, sizes, seconds }: CurveEffort,
): AsyncGenerator<Point> {
  const { clients, process } = switchOf(forwarder);
  await clients.vsctl("set Open_vSwitch . other_config:max-idle=3600000");
  const before = residentBytes(process);
  for (const size of sizes) {
    const found: Point[] = [];
    await underRules(forwarder, everyFlowIsNew(), async () => {
      const there = await fill(forwarder, size);
      const bytes = residentBytes(process) - before;
      const { kpps, micros } = await lookupRate(forwarder, { mode: "flood", flows: size }, seconds);
      await Bun.sleep(1000);
      found.push({
        size,
        values: {
          "MiB": bytes / MIB,
          "bytes a flow": bytes / there,
          kpps,
          "µs a packet": micros,
          "idle, % of a CPU": await idlePercent(process),
        },
      });
    });
    yield* found;
  }
}

async function* masks(
  { forwarder, sizes, seconds }: CurveEffort,
): AsyncGenerator<Point> {
  for (const size of sizes) {
    const found: Point[] = [];
    await underRules(forwarder, manyMasks(size), async () => {
      const job = { mode: "flood", flows: MASK_FLOWS } as const;
      const { kpps, micros } = await lookupRate(forwarder, job, 2 * seconds);
      found.push({ size, values: { kpps, "µs a packet": micros } });
    });
    yield* found;
  }
}

/**
 * All flows idle, then all looked at again after a change of the rule that made them, and meanwhile packets
 * of flows that nobody has seen, every 3 ms.
 */
async function* keeping({ forwarder, sizes }: CurveEffort): AsyncGenerator<Point> {
  const { clients, process } = switchOf(forwarder);
  await clients.vsctl(
    "set Open_vSwitch . other_config:max-idle=3600000 other_config:flow-limit=400000 " +
      "other_config:min-revalidate-pps=0",
  );
  for (const size of sizes) {
    const found: Point[] = [];
    await underRules(forwarder, everyFlowIsNew(), async () => {
      const there = await fill(forwarder, size);
      const idle = await idlePercent(process);
      const job = { mode: "one", seconds: 0, count: NEW_MEANWHILE, pauseMs: 3 } as const;
      const meanwhile = generate(forwarder, {
        ...job,
        first: 2 * size,
        receiver: receiverOf(forwarder),
      });
      await Bun.sleep(200);
      const [spent, started] = [processorMs(process), performance.now()];
      const rule = everyFlowIsNew().split("\n").at(-1)!.replace(/,NORMAL$/, ",note:01,NORMAL");
      await clients.ofctl("--strict", "mod-flows", "br0", rule);
      await clients.flowsInForce();
      const tookMs = performance.now() - started;
      const cpuMs = processorMs(process) - spent;
      const ways = (await meanwhile).tookMs ?? [];
      found.push({
        size,
        values: {
          "installed": there,
          "idle, % of a CPU": idle,
          "s until all were looked at": tookMs / 1000,
          "processor µs a flow": cpuMs * 1000 / there,
          "kept, % of the flows": await count(clients) * 100 / there,
          "first packets meanwhile, median, ms": quantile(ways, 0.5),
          "p99, ms": quantile(ways, 0.99),
        },
      });
    });
    yield* found;
  }
}

export const CURVES: readonly Curve[] = [
  {
    name: "ports",
    title: "Ports",
    unit: "ports",
    sizes: [10, 100, 1000],
    leavesMany: true,
    measure: ports,
  },
  {
    name: "flows",
    title: "Datapath flows, all of one mask",
    unit: "flows",
    sizes: [1000, 10_000, 100_000],
    measure: flows,
  },
  {
    name: "keeping",
    title: "Keeping megaflows true",
    unit: "flows",
    sizes: [20_000, 200_000],
    measure: keeping,
  },
  {
    name: "masks",
    title: `Masks, ${MASK_FLOWS.toLocaleString("en")} flows over them`,
    unit: "masks",
    sizes: [1, 8, 32, 50, 128],
    measure: masks,
  },
];

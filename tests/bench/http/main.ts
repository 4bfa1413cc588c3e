/**
 * `npm run bench -- http`: what the admin API costs forwarding, and how it answers meanwhile.
 *
 *   npm run bench -- http [--rounds N] [--seconds S] [--rate N] [--streams N] [--wait S] [--out DIR]
 *                         [--datapaths ebpf,userspace]
 *
 * One solovs with a bridge between two hosts forwards 64-byte frames at full rate, in turn without
 * clients of the API and with requests of all kinds at a steady rate and open event streams. The
 * sender is alone on CPU 0; the API's server and its clients have the others, as does a datapath in
 * user space. Ratios are those of neighbours in the same round. Processor time is of one CPU, and of
 * all threads of the switch's process: a datapath in user space is one of them. Fails when a request
 * fails.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { eventually } from "../../support/eventually.ts";
import { HttpApi } from "../../support/http-api.ts";
import { Sandbox } from "../../support/netns.ts";
import { missing } from "../../support/privileged.ts";
import { ROOT, SWITCH_TOOLS } from "../../support/switch.ts";
import { confine, type Forwarder, startForwarder } from "../forwarders.ts";
import { describeMachine, machineText } from "../machine.ts";
import { quietMoment } from "../quiet.ts";
import { quantile } from "../rows.ts";
import { allCpus, floodRate, processorMs } from "../traffic.ts";
import type { LoadJob, LoadReport } from "./load.ts";

const LOAD = resolve(import.meta.dir, "load.ts");
const args = process.argv.slice(2);
const { values } = parseArgs({
  args,
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    rate: { type: "string", default: "200" },
    streams: { type: "string", default: "100" },
    wait: { type: "string", default: "3" },
    datapaths: { type: "string", default: "ebpf,userspace" },
    out: { type: "string", default: resolve(ROOT, "bench-results") },
  },
});

const absent = missing(SWITCH_TOOLS);
if (absent !== undefined) {
  console.error(`bench: ${absent}`);
  process.exit(1);
}
const [rounds, seconds, perSecond, streams, wait] = [
  values.rounds,
  values.seconds,
  values.rate,
  values.streams,
  values.wait,
].map(Number) as [number, number, number, number, number];

const machine = await describeMachine(["http", ...args]);
const sandbox = await Sandbox.create();
process.once("SIGINT", () => void sandbox.dispose().finally(() => process.exit(130)));

interface Result {
  readonly datapath: string;
  /** Rate with clients ÷ rate without, a round each. */
  readonly ratios: readonly number[];
  readonly kpps: readonly (readonly [alone: number, loaded: number])[];
  /** Milliseconds a second, a round each: the switch's process without and with clients; theirs. */
  readonly processorMs: readonly (readonly [alone: number, loaded: number, clients: number])[];
  readonly answered: number;
  readonly events: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly latencyMs: { readonly median: number; readonly p99: number };
}

async function start(datapath: "ebpf" | "userspace"): Promise<[Forwarder, HttpApi]> {
  const forwarder = await startForwarder(sandbox, datapath === "ebpf" ? "solovs-ebpf" : "solovs");
  const api = await HttpApi.setUp(forwarder.switchNs, () => forwarder.log());
  // Where the kernel forwards, too, the process keeps off the sender's CPU.
  return [{ ...forwarder, pid: forwarder.process }, api];
}

interface Flooded {
  readonly kpps: number;
  /** Of the switch's process, milliseconds a second. */
  readonly processorMs: number;
}

async function flood(forwarder: Forwarder): Promise<Flooded> {
  const { process: pid } = forwarder;
  const used = (): number => pid === undefined ? 0 : processorMs(pid);
  const [start, before] = [performance.now(), used()];
  const kpps = await floodRate({
    forwarder,
    job: { mode: "flood", flows: 100, size: 64 },
    seconds,
  });
  return { kpps, processorMs: (used() - before) / (performance.now() - start) * 1000 };
}

async function underLoad(api: HttpApi, forwarder: Forwarder): Promise<[Flooded, LoadReport]> {
  const job: LoadJob = {
    url: api.url,
    token: api.token,
    perSecond,
    streams,
    // As long as the sender sends, warming up and starting included.
    seconds: seconds * 4 / 3 + 2,
  };
  const client = api.ns.spawn([process.execPath, LOAD, JSON.stringify(job)]);
  confine(client.pid, allCpus().filter((cpu) => cpu !== 0));
  await eventually("the event streams are open", () => {
    if (client.exitCode !== undefined) throw new Error(client.log);
    return client.log.includes("ready");
  }, { timeoutMs: 20_000 });
  const flooded = await flood(forwarder);
  if ((await client.ended(60_000)) !== 0) throw new Error(`the clients failed: ${client.log}`);
  return [flooded, JSON.parse(client.log.trim().split("\n").at(-1)!) as LoadReport];
}

async function measure(datapath: "ebpf" | "userspace"): Promise<Result> {
  const [forwarder, api] = await start(datapath);
  const kpps: [number, number][] = [];
  const used: [number, number, number][] = [];
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  let [answered, events] = [0, 0];
  for (let round = 1; round <= rounds; round++) {
    await quietMoment(wait * 1000);
    const before = await flood(forwarder);
    const [loaded, report] = await underLoad(api, forwarder);
    await quietMoment(wait * 1000);
    const after = await flood(forwarder);
    kpps.push([(before.kpps + after.kpps) / 2, loaded.kpps]);
    used.push([
      (before.processorMs + after.processorMs) / 2,
      loaded.processorMs,
      report.processorMs,
    ]);
    answered += report.answered;
    events += report.events;
    latencies.push(...report.latencyMs);
    for (const [what, count] of Object.entries(report.failures)) {
      failures[what] = (failures[what] ?? 0) + count;
    }
    console.log(
      `${datapath}, round ${round}/${rounds}: ${before.kpps.toFixed(0)} kpps, ${
        loaded.kpps.toFixed(0)
      } with clients, ` +
        `${after.kpps.toFixed(0)}; ${report.answered} answers, ${report.events} events`,
    );
  }
  await forwarder.stop();
  return {
    datapath,
    ratios: kpps.map(([alone, loaded]) => loaded / alone),
    kpps,
    processorMs: used,
    answered,
    events,
    failures,
    latencyMs: { median: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
  };
}

const results: Result[] = [];
try {
  for (const name of values.datapaths.split(",")) {
    if (name !== "ebpf" && name !== "userspace") throw new Error(`no datapath is called ${name}`);
    results.push(await measure(name));
  }
} finally {
  await sandbox.dispose();
}

const table = [
  machineText(machine),
  `- ${perSecond} requests/s of all kinds and ${streams} event streams; median of ${rounds} rounds`,
  "",
  "| forwarding | alone | with clients | ratio | processor time alone | with clients | the clients' own | answered | failed | events | answer, median | p99 |",
  "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
  ...results.map(
    ({ datapath, kpps, ratios, processorMs, answered, failures, events, latencyMs }) => {
      const of = (which: 0 | 1) => quantile(kpps.map((each) => each[which]), 0.5).toFixed(0);
      const share = (which: 0 | 1 | 2) =>
        `${(quantile(processorMs.map((each) => each[which]), 0.5) / 10).toFixed(0)} %`;
      const failed = Object.values(failures).reduce((sum, each) => sum + each, 0);
      return `| ${
        [
          datapath === "ebpf" ? "in the kernel" : "userspace",
          `${of(0)} kpps`,
          `${of(1)} kpps`,
          quantile(ratios, 0.5).toFixed(2),
          share(0),
          share(1),
          share(2),
          answered,
          failed,
          events,
          `${latencyMs.median.toFixed(1)} ms`,
          `${latencyMs.p99.toFixed(1)} ms`,
        ].join(" | ")
      } |`;
    },
  ),
].join("\n");
mkdirSync(values.out, { recursive: true });
const base = join(values.out, `http-${machine.date.slice(0, 19).replaceAll(":", "")}`);
writeFileSync(`${base}.json`, `${JSON.stringify({ machine, results }, null, 2)}\n`);
writeFileSync(`${base}.md`, `${table}\n`);
console.log(`\n${table}`);
const problems = results.flatMap(({ datapath, failures }) =>
  Object.entries(failures).map(([what, count]) => `${datapath}: ${count} × ${what}`)
);
for (const each of problems) console.log(`problem: ${each}`);
console.log(`written: ${base}.json, ${base}.md`);
process.exitCode = problems.length > 0 ? 1 : 0;

/**
 * The bench: solovs with either datapath, Open vSwitch's userspace datapath and the Linux bridge
 * side by side. All are set up at once and measured in turn, row by row and round by round, so that
 * a noisy neighbour hits all alike; the median of the rounds counts. Ratios are the result; absolute
 * figures belong to the machine.
 *
 *   npm run bench -- [--quick] [--rounds N] [--rows REGEXP] [--seconds S]
 *                    [--forwarders solovs-ebpf,solovs,ovs,bridge] [--wait S] [--out DIR]
 *
 * `--wait`: before each measurement, wait up to so long for a quiet moment of the machine.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Sandbox } from "../support/netns.ts";
import { missing } from "../support/privileged.ts";
import { STOCK_TOOLS } from "../support/stock.ts";
import { ROOT, SWITCH_TOOLS } from "../support/switch.ts";
import { type Forwarder, type ForwarderName, FORWARDERS, startForwarder } from "./forwarders.ts";
import { describeMachine } from "./machine.ts";
import { markdown, type Samples, summarise } from "./report.ts";
import { quietMoment } from "./quiet.ts";
import {
  type Effort,
  FlowNumbers,
  type Measurement,
  MEASUREMENTS,
  quantile,
  TURNS,
} from "./rows.ts";

const args = process.argv.slice(2);
const { values } = parseArgs({
  args,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    rows: { type: "string", default: "." },
    forwarders: { type: "string", default: FORWARDERS.join(",") },
    seconds: { type: "string" },
    wait: { type: "string" },
    out: { type: "string", default: resolve(ROOT, "bench-results") },
  },
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(1);
}

const tools = [...SWITCH_TOOLS, ...STOCK_TOOLS, "iperf3", "ping", "ethtool", "taskset"];
const absent = missing(tools);
if (absent !== undefined) fail(absent);

const names = values.forwarders.split(",").map((name): ForwarderName =>
  FORWARDERS.find((each) => each === name) ?? fail(`no forwarder is called ${name}`)
);
const wanted = new RegExp(values.rows);
const rows = MEASUREMENTS.flatMap((each) => each.rows).filter((row) => wanted.test(row.name));
if (rows.length === 0) fail(`no row is called ${values.rows}`);
const measured = MEASUREMENTS.filter((each) => each.rows.some((row) => rows.includes(row)));
const rounds = Number(values.rounds ?? (values.quick ? 1 : 7));
const packetSeconds = Number(values.seconds ?? (values.quick ? 0.8 : 1.5));
const sandbox = await Sandbox.create();
const effort: Effort = {
  sandbox,
  packetSeconds,
  tcpSeconds: Math.max(1, Math.round(packetSeconds * 1.5)),
  pings: values.quick ? 200 : 500,
  numbers: new FlowNumbers(),
};

const waitMs = 1000 * Number(values.wait ?? (values.quick ? 0 : 3));

const machine = await describeMachine(args);
const samples: Samples = new Map();
const forwarders: Forwarder[] = [];
const problems: string[] = [];
const idleBefore: number[] = [];

/** Waits for a quiet moment, and says what went wrong instead of failing. */
async function attempt<T>(
  name: string,
  row: string,
  run: () => Promise<T>,
): Promise<T | undefined> {
  idleBefore.push(await quietMoment(waitMs));
  try {
    return await run();
  } catch (error) {
    const text = `${name}, ${row}: ${error instanceof Error ? error.message : error}`;
    problems.push(text);
    console.error(text);
    return undefined;
  }
}

/** One round of a measurement: what each forwarder has in each row. */
async function measureAll(
  measurement: Measurement,
): Promise<ReadonlyMap<ForwarderName, Readonly<Record<string, number>>>> {
  const taken = new Map<ForwarderName, Readonly<Record<string, number>>>();
  const [head] = measurement.rows;
  if ("measure" in measurement) {
    for (const forwarder of forwarders) {
      const measure = () => measurement.measure(forwarder, effort);
      taken.set(forwarder.name, await attempt(forwarder.name, head!.title, measure) ?? {});
    }
    return taken;
  }
  const all = new Map<ForwarderName, number[]>();
  for (let turn = 0; turn < TURNS; turn++) {
    for (const forwarder of forwarders) {
      const sample = () => measurement.sample(forwarder, effort, TURNS);
      const some = await attempt(forwarder.name, head!.title, sample) ?? [];
      all.set(forwarder.name, [...all.get(forwarder.name) ?? [], ...some]);
    }
  }
  for (const [name, values] of all) {
    const rows = measurement.rows.map((row) => [row.name, quantile(values, row.quantile)] as const);
    taken.set(name, Object.fromEntries(rows));
  }
  return taken;
}

/** Ctrl-C: tidy up, as after a failure. */
process.once("SIGINT", () => {
  void sandbox.dispose().finally(() => process.exit(130));
});

try {
  for (const name of names) {
    console.log(`setting up ${name}`);
    try {
      forwarders.push(await startForwarder(sandbox, name));
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : error}`);
      console.error(problems.at(-1));
    }
  }
  const total = rounds * measured.length;
  let step = 0;
  for (let round = 1; round <= rounds; round++) {
    for (const measurement of measured) {
      const [head] = measurement.rows;
      const taken = await measureAll(measurement);
      const shown: string[] = [];
      for (const forwarder of forwarders) {
        const values: string[] = [];
        for (const { name, unit } of measurement.rows) {
          const byForwarder = samples.get(name) ?? new Map<ForwarderName, number[]>();
          samples.set(name, byForwarder);
          const value = taken.get(forwarder.name)?.[name] ?? Number.NaN;
          byForwarder.set(forwarder.name, [...byForwarder.get(forwarder.name) ?? [], value]);
          if (Number.isFinite(value)) values.push(`${value.toFixed(value < 100 ? 3 : 0)} ${unit}`);
        }
        if (values.length > 0) shown.push(`${forwarder.name} ${values.join(" / ")}`);
      }
      console.log(`[${++step}/${total}] round ${round}, ${head!.title}: ${shown.join(", ")}`);
    }
  }
  for (const forwarder of forwarders) {
    try {
      await forwarder.stop();
    } catch (error) {
      problems.push(`${forwarder.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
} finally {
  await sandbox.dispose();
}

const results = summarise(rows, samples);
const idle = quantile(idleBefore, 0.5);
const table = markdown(results, machine, rounds, idle);
mkdirSync(values.out, { recursive: true });
const base = join(values.out, machine.date.slice(0, 19).replaceAll(":", ""));
const { numbers: _n, sandbox: _s, ...plainEffort } = effort;
const json = { machine, rounds, effort: plainEffort, idleBefore: idle, results, problems };
writeFileSync(`${base}.json`, `${JSON.stringify(json, null, 2)}\n`);
writeFileSync(`${base}.md`, table);
console.log(`\n${table}`);
for (const problem of problems) console.log(`problem: ${problem}`);
console.log(`written: ${base}.json, ${base}.md`);
process.exitCode = problems.length > 0 ? 1 : 0;

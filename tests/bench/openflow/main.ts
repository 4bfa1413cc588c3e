/**
 * `npm run bench -- openflow`: what controllers and ovs-ofctl wait for, beside Open vSwitch, in one
 * run.
 *
 *   npm run bench -- openflow [--quick] [--rounds N] [--rows REGEXP] [--servers solovs,ovs]
 *                             [--seconds S] [--wait S] [--out DIR]
 *
 * Both switches forward in user space, each in namespaces of its own with a bridge between two
 * hosts; they are started afresh for each half of the rows in each round and measured in turn, row by
 * row; who is first changes from round to round. The median of the rounds counts. `add-flows` and
 * `dump-flows` are those of each one's own client (`solovs ofctl`, `ovs-ofctl`); for the other rows
 * the client is this process (`wire.ts`). The processor time of the switch for each operation is told
 * too, which other work on the machine changes less than the time that passed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Sandbox } from "../../support/netns.ts";
import { missing } from "../../support/privileged.ts";
import { STOCK_TOOLS } from "../../support/stock.ts";
import { ROOT, SWITCH_TOOLS } from "../../support/switch.ts";
import { markdown, type Samples, type ServerName, SERVERS, summarise } from "../compare-servers.ts";
import { describeMachine } from "../machine.ts";
import { quietMoment } from "../quiet.ts";
import { quantile } from "../rows.ts";
import { type Effort, type Measured, type Row, ROWS } from "./rows.ts";
import { SwitchUnderTest, TITLES } from "./servers.ts";

const args = process.argv.slice(2);
const { values } = parseArgs({
  args,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    rows: { type: "string", default: "." },
    servers: { type: "string", default: SERVERS.join(",") },
    seconds: { type: "string" },
    wait: { type: "string" },
    out: { type: "string", default: resolve(ROOT, "bench-results") },
  },
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(1);
}

const absent = missing([...STOCK_TOOLS, ...SWITCH_TOOLS]);
if (absent !== undefined) fail(absent);
const names = values.servers.split(",").map((name): ServerName =>
  SERVERS.find((each) => each === name) ?? fail(`no switch is called ${name}`)
);
const wanted = new RegExp(values.rows);
const rows = ROWS.filter(({ name }) => wanted.test(name));
if (rows.length === 0) fail(`no row is called ${values.rows}`);
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const waitMs = 1000 * Number(values.wait ?? (values.quick ? 0 : 3));
const effort: Effort = {
  seconds: Number(values.seconds ?? (values.quick ? 1 : 2)),
  flows: 100_000,
  pings: values.quick ? 200 : 500,
};

const machine = await describeMachine(["openflow", ...args]);
const sandbox = await Sandbox.create();
const samples: Samples = new Map();
const problems: string[] = [];
const idleBefore: number[] = [];

process.once("SIGINT", () => void sandbox.dispose().finally(() => process.exit(130)));

function note(row: string, server: ServerName, value: number): void {
  const byServer = samples.get(row) ?? new Map<ServerName, number[]>();
  samples.set(row, byServer);
  byServer.set(server, [...byServer.get(server) ?? [], value]);
}

const cpuRow = (row: Row) => ({
  name: `cpu-${row.name}`,
  title: `the switch's processor time a ${row.operation}: ${row.title}`,
  unit: "µs",
});
const clientRow = (row: Row) => ({
  name: `client-${row.name}`,
  title: `the client's processor time: ${row.title}`,
  unit: "ms",
});

async function measure(row: Row, server: SwitchUnderTest): Promise<number> {
  idleBefore.push(await quietMoment(waitMs));
  let measured: Measured = { value: Number.NaN, operations: 0, serverCpuMs: 0 };
  try {
    measured = await row.measure(server, effort);
  } catch (error) {
    const text = `${server.name}, ${row.title}: ${error instanceof Error ? error.message : error}`;
    problems.push(text);
    console.error(text);
  }
  const { value, operations, serverCpuMs, clientCpuMs } = measured;
  note(row.name, server.name, value);
  if (operations > 0) note(cpuRow(row).name, server.name, serverCpuMs * 1000 / operations);
  if (clientCpuMs !== undefined) note(clientRow(row).name, server.name, clientCpuMs);
  return value;
}

try {
  for (let round = 1; round <= rounds; round++) {
    for (const phase of ["small", "large"] as const) {
      const some = rows.filter((row) => row.phase === phase);
      // Each of the large phase needs what those before it did.
      const last = some.at(-1);
      const measured = phase === "large" && last
        ? ROWS.slice(ROWS.findIndex((row) => row.phase === phase), ROWS.indexOf(last) + 1)
        : some;
      if (measured.length === 0) continue;
      const servers: SwitchUnderTest[] = [];
      for (const name of round % 2 === 1 ? names : names.toReversed()) {
        servers.push(await SwitchUnderTest.start(sandbox, name));
      }
      for (const row of measured) {
        const shown: string[] = [];
        for (const server of servers) {
          shown.push(`${server.name} ${(await measure(row, server)).toFixed(2)}`);
        }
        console.log(`round ${round}/${rounds}, ${row.title}: ${shown.join(", ")} ${row.unit}`);
      }
      for (const server of servers) await server.stop();
    }
  }
} finally {
  await sandbox.dispose();
}

const reported = rows.flatMap((row) => [row, clientRow(row), cpuRow(row)]);
const results = summarise(reported, samples);
const idle = quantile(idleBefore, 0.5);
const table = markdown(results, { machine, rounds, idle, titles: TITLES, remarks: [] });
mkdirSync(values.out, { recursive: true });
const base = join(values.out, `openflow-${machine.date.slice(0, 19).replaceAll(":", "")}`);
const json = { machine, rounds, effort, idleBefore: idle, results, problems };
writeFileSync(`${base}.json`, `${JSON.stringify(json, null, 2)}\n`);
writeFileSync(`${base}.md`, table);
console.log(`\n${table}`);
for (const problem of problems) console.log(`problem: ${problem}`);
console.log(`written: ${base}.json, ${base}.md`);
process.exitCode = problems.length > 0 ? 1 : 0;

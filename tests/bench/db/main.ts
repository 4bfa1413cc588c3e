/**
 * `npm run bench -- db`: the database server beside stock `ovsdb-server`, in one run.
 *
 *   npm run bench -- db [--quick] [--rounds N] [--rows REGEXP] [--servers solovs,ovs] [--seconds S]
 *                       [--wait S] [--dir DIR] [--out DIR]
 *
 * Both servers are started afresh in each round, on empty databases in `--dir` (its file system is
 * what is synced to: a tmpfs would make that free), and measured in turn, row by row; who is first
 * changes from round to round. The median of the rounds counts. Both are durable: each transaction
 * has a `commit` operation with `durable` true, without which stock ovsdb-server replies before it
 * syncs; solovs always syncs before it replies. The history of solovs is on, as it is unless told
 * otherwise. The client is this process, apart from the servers (`wire.ts`).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { must } from "../../support/exec.ts";
import { missing } from "../../support/privileged.ts";
import { ROOT } from "../../support/switch.ts";
import { describeMachine } from "../machine.ts";
import { quietMoment } from "../quiet.ts";
import { quantile } from "../rows.ts";
import { markdown, type Samples, type ServerName, SERVERS, summarise } from "../compare-servers.ts";
import { type DbEffort, type DbRow, ROWS } from "./rows.ts";
import { DatabaseServer, solovsServer, TITLES } from "./servers.ts";

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
    dir: { type: "string", default: tmpdir() },
    out: { type: "string", default: resolve(ROOT, "bench-results") },
  },
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(1);
}

const absent = missing(["ovsdb-server", "ovsdb-tool"]);
if (absent !== undefined) fail(absent);
const names = values.servers.split(",").map((name): ServerName =>
  SERVERS.find((each) => each === name) ?? fail(`no server is called ${name}`)
);
const wanted = new RegExp(values.rows);
const rows = ROWS.filter(({ name }) => wanted.test(name));
if (rows.length === 0) fail(`no row is called ${values.rows}`);
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const waitMs = 1000 * Number(values.wait ?? (values.quick ? 0 : 3));
const effort: DbEffort = {
  seconds: Number(values.seconds ?? (values.quick ? 1 : 2)),
  ports: 10_000,
  monitors: 100,
  updates: 1000,
};

const machine = await describeMachine(["db", ...args]);
const directory = mkdtempSync(join(values.dir, "solovs-bench-db-"));
const fileSystem = (await must(["stat", "-f", "-c", "%T", directory])).trim();
const samples: Samples = new Map();
const cpuSamples: Samples = new Map();
const problems: string[] = [];
const idleBefore: number[] = [];
const running = new Set<DatabaseServer>();

async function tidyUp(): Promise<void> {
  await Promise.all([...running].map((server) => server.dispose()));
  rmSync(directory, { recursive: true, force: true });
}

function note(into: Samples, row: DbRow, server: ServerName, value: number): void {
  const byServer = into.get(row.name) ?? new Map<ServerName, number[]>();
  into.set(row.name, byServer);
  byServer.set(server, [...byServer.get(server) ?? [], value]);
}

process.once("SIGINT", () => void tidyUp().finally(() => process.exit(130)));

async function measure(row: DbRow, server: DatabaseServer): Promise<number> {
  idleBefore.push(await quietMoment(waitMs));
  try {
    const before = { pid: server.pid, ms: server.cpuMs() };
    const value = await row.measure(server, effort);
    if (row.cpu) {
      const cpu = server.cpuMs() - (server.pid === before.pid ? before.ms : 0);
      note(cpuSamples, row, server.name, cpu);
    }
    return value;
  } catch (error) {
    const text = `${server.name}, ${row.title}: ${error instanceof Error ? error.message : error}`;
    problems.push(text);
    console.error(text);
    return Number.NaN;
  }
}

try {
  const command = await solovsServer(directory);
  for (let round = 1; round <= rounds; round++) {
    for (const phase of ["small", "large"] as const) {
      const measured = phase === "large" && rows.some((row) => row.phase === "large")
        // Each of these needs what the one before it did.
        ? ROWS.filter((row) => row.phase === "large")
        : rows.filter((row) => row.phase === phase);
      if (measured.length === 0) continue;
      const order = round % 2 === 1 ? names : names.toReversed();
      const servers = order.map((name) =>
        new DatabaseServer(name, join(directory, `${name}-${phase}-${round}`), command)
      );
      for (const server of servers) running.add(server);
      for (const server of servers) await server.start();
      for (const row of measured) {
        const shown: string[] = [];
        for (const server of servers) {
          const value = await measure(row, server);
          note(samples, row, server.name, value);
          shown.push(`${server.name} ${value.toFixed(1)}`);
        }
        console.log(`round ${round}/${rounds}, ${row.title}: ${shown.join(", ")} ${row.unit}`);
      }
      for (const server of servers) {
        await server.dispose();
        running.delete(server);
      }
    }
  }
} finally {
  await tidyUp();
}

const results = [
  ...summarise(rows, samples),
  ...summarise(
    rows.map((row) => ({ ...row, title: `processor time: ${row.title}`, unit: "ms" })),
    cpuSamples,
  ),
];
const idle = quantile(idleBefore, 0.5);
const table = markdown(results, {
  machine,
  rounds,
  idle,
  titles: TITLES,
  remarks: [
    `both durable, on ${fileSystem}: each transaction carries \`commit\` with \`durable\` true, ` +
    "without which ovsdb-server replies before it syncs",
  ],
});
mkdirSync(values.out, { recursive: true });
const base = join(values.out, `db-${machine.date.slice(0, 19).replaceAll(":", "")}`);
const json = { machine, fileSystem, rounds, effort, idleBefore: idle, results, problems };
writeFileSync(`${base}.json`, `${JSON.stringify(json, null, 2)}\n`);
writeFileSync(`${base}.md`, table);
console.log(`\n${table}`);
for (const problem of problems) console.log(`problem: ${problem}`);
console.log(`written: ${base}.json, ${base}.md`);
process.exit(problems.length > 0 ? 1 : 0);

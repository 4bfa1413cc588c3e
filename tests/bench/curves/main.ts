/**
 * `npm run bench -- curves`: what many ports, flows and masks cost, beside Open vSwitch's userspace
 * datapath.
 *
 *   npm run bench -- curves [--quick] [--rows ports|flows|keeping|masks] [--forwarders solovs-ebpf,solovs,ovs]
 *                           [--seconds S] [--out DIR]
 *
 * Each forwarder is started afresh for each curve, one after the other. `--rows` takes a regular
 * expression.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { must } from "../../support/exec.ts";
import { Sandbox } from "../../support/netns.ts";
import { missing } from "../../support/privileged.ts";
import { STOCK_TOOLS } from "../../support/stock.ts";
import { ROOT, SWITCH_TOOLS } from "../../support/switch.ts";
import { type ForwarderName, startForwarder, TITLES } from "../forwarders.ts";
import { describeMachine, machineText } from "../machine.ts";
import { CURVES, type Point } from "./curves.ts";

const args = process.argv.slice(2);
const { values } = parseArgs({
  args,
  options: {
    quick: { type: "boolean", default: false },
    rows: { type: "string", default: "." },
    forwarders: { type: "string", default: "solovs-ebpf,solovs,ovs" },
    seconds: { type: "string", default: "1" },
    out: { type: "string", default: resolve(ROOT, "bench-results") },
  },
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(1);
}

const absent = missing([...SWITCH_TOOLS, ...STOCK_TOOLS, "taskset"]);
if (absent !== undefined) fail(absent);
const SWITCHES = ["solovs-ebpf", "solovs", "ovs"] as const;
const names = values.forwarders.split(",").map((name): ForwarderName =>
  SWITCHES.find((each) => each === name) ?? fail(`no switch is called ${name}`)
);
const wanted = new RegExp(values.rows);
const curves = CURVES.filter(({ name }) => wanted.test(name));
if (curves.length === 0) fail(`no curve is called ${values.rows}`);

const machine = await describeMachine(["curves", ...args]);
const problems: string[] = [];
const results: { curve: string; forwarder: ForwarderName; points: Point[] }[] = [];
for (const curve of curves) {
  for (const name of names) {
    const sandbox = await Sandbox.create();
    const points: Point[] = [];
    try {
      const forwarder = await startForwarder(sandbox, name);
      const sizes = values.quick ? curve.sizes.slice(0, -1) : curve.sizes;
      const effort = { sandbox, forwarder, seconds: Number(values.seconds), sizes };
      for await (const point of curve.measure(effort)) {
        points.push(point);
        const shown = Object.entries(point.values).map(([what, value]) =>
          `${what} ${figure(value)}`
        );
        console.log(`${curve.title}, ${TITLES[name]}, ${point.size}: ${shown.join(", ")}`);
      }
      // Taking many ports off one after the other is not what is measured.
      if (!curve.leavesMany) await forwarder.stop();
    } catch (error) {
      problems.push(`${curve.name}, ${name}: ${error instanceof Error ? error.message : error}`);
      console.error(problems.at(-1));
    } finally {
      await sandbox.dispose();
      if (curve.leavesMany) await settled();
    }
    results.push({ curve: curve.name, forwarder: name, points });
  }
}

/** The kernel takes namespaces with many devices apart behind one's back, and makes none meanwhile. */
async function settled(): Promise<void> {
  const name = `svt${process.pid}-settled`;
  await must(["ip", "netns", "add", name], { timeoutMs: 180_000 });
  await must(["ip", "netns", "del", name], { timeoutMs: 180_000 });
}

function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value.toFixed(value >= 100 ? 0 : value >= 1 ? 1 : 2);
}

function table(curve: (typeof CURVES)[number]): string {
  const own = results.filter((each) => each.curve === curve.name && each.points.length > 0);
  const whats = [
    ...new Set(own.flatMap(({ points }) => points.flatMap((p) => Object.keys(p.values)))),
  ];
  const columns = whats.flatMap((what) => own.map((each) => ({ what, ...each })));
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    `### ${curve.title}`,
    "",
    line([curve.unit, ...columns.map(({ what, forwarder }) => `${what}: ${TITLES[forwarder]}`)]),
    line(["--:", ...columns.map(() => "--:")]),
    ...curve.sizes.map((size) =>
      line([
        size.toLocaleString("en"),
        ...columns.map(({ what, points }) =>
          figure(points.find((point) => point.size === size)?.values[what])
        ),
      ])
    ),
    "",
  ].join("\n");
}

const text = [machineText(machine), "", ...curves.map(table)].join("\n");
mkdirSync(values.out, { recursive: true });
const base = join(values.out, `${machine.date.slice(0, 19).replaceAll(":", "")}-curves`);
writeFileSync(`${base}.json`, `${JSON.stringify({ machine, results, problems }, null, 2)}\n`);
writeFileSync(`${base}.md`, text);
console.log(`\n${text}`);
for (const problem of problems) console.log(`problem: ${problem}`);
console.log(`written: ${base}.json, ${base}.md`);
process.exitCode = problems.length > 0 ? 1 : 0;

/**
 * Runs the parts of `npm test` in order, shows what fails, and ends with the line
 * `N passed, N failed, N skipped`. Exit code 1 if anything failed, 2 for an unknown part.
 *
 * A part with real daemons and packets that fails is run once more, and is named as unsteady when it
 * passes then: on a machine that others use too, a stall of seconds must not hide what is broken.
 */
import { add, type Counts, noCounts } from "./junit.ts";
import { parts } from "./parts.ts";

function text(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}

async function main(wanted: readonly string[]): Promise<number> {
  const all = parts(process.execPath);
  const names = new Set(all.map((part) => part.name));
  const unknown = wanted.filter((name) => !names.has(name));
  if (unknown.length > 0) {
    console.error(`no part is called ${unknown.join(", ")}; there are: ${[...names].join(", ")}`);
    return 2;
  }
  const chosen = wanted.length === 0 ? all : all.filter((part) => wanted.includes(part.name));
  const total = noCounts();
  const failed: string[] = [];
  const unsteady: string[] = [];
  for (const [index, part] of chosen.entries()) {
    console.log(`[${index + 1}/${chosen.length}] ${part.title}`);
    const started = performance.now();
    let counts = await part.run();
    if (counts.failed > 0 && part.twice === true) {
      console.log(`[${index + 1}/${chosen.length}] ${part.title}: ${text(counts)}; once more`);
      counts = await part.run();
      if (counts.failed === 0) unsteady.push(part.title);
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`[${index + 1}/${chosen.length}] ${part.title}: ${text(counts)} (${seconds} s)`);
    add(total, counts);
    if (counts.failed > 0) failed.push(part.title);
  }
  for (const [reason, count] of total.reasons) console.log(`skipped ${count}: ${reason}`);
  if (unsteady.length > 0) console.log(`failed once, then passed: ${unsteady.join("; ")}`);
  if (failed.length > 0) console.log(`failed: ${failed.join("; ")}`);
  console.log(text(total));
  return total.failed > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));

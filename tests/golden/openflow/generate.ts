/**
 * Makes flows.nxm.txt and flows.of13.txt from flows.txt with the stock `ovs-ofctl`: what it prints
 * for each flow after parsing it and encoding it for NXM, and for OpenFlow 1.3. A flow that it
 * refuses for a protocol gets a line with the reason after `!`. Run after changing flows.txt:
 *
 *     bun tests/golden/openflow/generate.ts
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const HERE = import.meta.dirname;

/** The flows of flows.txt, comments left out. */
export function goldenFlows(): string[] {
  return readFileSync(join(HERE, "flows.txt"), "utf8").split("\n").filter((line) =>
    line !== "" && !line.startsWith("#")
  );
}

/** What stock ovs-ofctl prints for one flow: the text behind the xid, or `!` and its error. */
function printed(flow: string, options: readonly string[], directory: string): string {
  const file = join(directory, "flow");
  writeFileSync(file, `${flow}\n`);
  const run = Bun.spawnSync(["ovs-ofctl", ...options, "parse-flows", file]);
  const line = run.stdout.toString().split("\n").find((text) => text.includes("FLOW_MOD"));
  if (line) return line.slice(line.indexOf("): ") + 2);
  const error = run.stderr.toString().split("\n").find((text) => text.startsWith("ovs-ofctl:"));
  return `!${(error ?? "").replace(/^ovs-ofctl: (\S+flow:1: )?/, "").replaceAll(file, "FILE")}`;
}

if (import.meta.main) {
  const directory = mkdtempSync(join(tmpdir(), "solovs-golden-"));
  try {
    for (
      const [name, options] of [
        ["flows.nxm.txt", ["-F", "NXM+table_id"]],
        ["flows.of13.txt", ["-O", "OpenFlow13"]],
      ] as const
    ) {
      const lines = goldenFlows().map((flow) => printed(flow, options, directory));
      writeFileSync(join(HERE, name), `${lines.join("\n")}\n`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * Flow text against stock Open vSwitch: flows.txt parsed, encoded, decoded and printed here must
 * read as the golden files say that stock ovs-ofctl prints them.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode } from "../../../src/openflow/codec.ts";
import type { FlowMod } from "../../../src/openflow/messages/types.ts";
import { formatFlowMod, parseFlow } from "../../../src/openflow/text/flow.ts";
import { goldenFlows } from "../../golden/openflow/generate.ts";

const GOLDEN = join(import.meta.dirname, "../../golden/openflow");
const flows = goldenFlows();

/** The flow's text once it has been over the wire. */
function overWire(text: string, version: 1 | 4): string {
  const parsed = parseFlow(text, { command: "add" });
  const message: FlowMod = version === 1 ? { ...parsed, form: "nicira" } : parsed;
  const options = { flowModTableId: true };
  const { message: back } = decode(encode(version, 1, message, false, options), options);
  if (back.type !== "flow_mod") throw new Error(`decoded to ${back.type}`);
  // Versions before 1.2 have no such flag; adding implies it.
  const flags = version === 1 ? back.flags & ~8 : back.flags;
  return formatFlowMod({ ...back, flags });
}

for (const [name, version] of [["flows.nxm.txt", 1], ["flows.of13.txt", 4]] as const) {
  describe(`flow text, ${name}`, () => {
    const expected = readFileSync(join(GOLDEN, name), "utf8").split("\n");
    flows.forEach((flow, i) => {
      const line = expected[i]!;
      if (line.startsWith("!")) return;
      test(flow, () => expect(overWire(flow, version)).toBe(line));
    });
  });
}

test("the golden files are as long as the list of flows", () => {
  for (const name of ["flows.nxm.txt", "flows.of13.txt"]) {
    const lines = readFileSync(join(GOLDEN, name), "utf8").trimEnd().split("\n");
    expect(lines.length).toBe(flows.length);
    expect(lines.filter((line) => line.startsWith("!")).length).toBeLessThan(flows.length / 5);
  }
});

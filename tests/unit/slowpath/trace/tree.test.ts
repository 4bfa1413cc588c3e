import { expect, test } from "bun:test";
import type { BridgeModel } from "../../../../src/slowpath/pipeline/model.ts";
import { TraceTree } from "../../../../src/slowpath/trace/tree.ts";

const [first, second] = [{}, {}] as [BridgeModel, BridgeModel];

test("the last node of a list stands where its list does, others deeper", () => {
  const tree = new TraceTree(first, () => undefined);
  tree.enter("bridge", 'bridge("br0")');
  tree.enterTable(first, 0, "packet-in");
  tree.action(first, { type: "pop_vlan" });
  tree.report("detail", "told");
  tree.enterTable(first, 1, "no match");
  tree.report("error", "refused");
  tree.leave();
  tree.report("warn", "minded");
  tree.enterTable(first, 2, "fragment");
  tree.leave();
  tree.leave();
  tree.enter("bridge", 'bridge("br1")');
  tree.enterTable(second, 0, "no match");
  expect(tree.format().split("\n")).toEqual([
    "",
    'bridge("br0")',
    "-------------",
    '     0. No match, and a "packet-in" is called for.',
    "            pop_vlan",
    "             -> told",
    "             1. No match.",
    "                     >>>> refused <<<<",
    "             >> minded",
    '         2. Packets are IP fragments and the fragment handling mode is "drop".',
    "",
    'bridge("br1")',
    "-------------",
    " 0. reg0=0x2, priority 0",
    "",
  ]);
});

import { expect, test } from "bun:test";
import { FlowModLog } from "../../../../src/slowpath/control/flow-mod-log.ts";
import { VirtualClock } from "../../../../src/slowpath/clock.ts";
import type { Logger } from "../../../../src/log/log.ts";

function rig(): { clock: VirtualClock; lines: string[]; log: FlowModLog } {
  const clock = new VirtualClock();
  clock.stop();
  const lines: string[] = [];
  const logger = { info: (text: string) => lines.push(text) } as unknown as Logger;
  return { clock, lines, log: new FlowModLog(clock, logger, () => "br0<->unix#1") };
}

test("what a connection changed is said when it ends", () => {
  const { lines, log } = rig();
  log.count("add");
  log.count("delete_strict");
  log.count("delete");
  log.close();
  expect(lines).toEqual(["br0<->unix#1: 3 flow_mods in the last 0 s (1 adds, 2 deletes)"]);
  log.close();
  expect(lines.length).toBe(1);
});

test("of one that stays, ten seconds after its first change, then at most every seventy", () => {
  const { clock, lines, log } = rig();
  log.count("modify");
  clock.warp(9_000);
  expect(lines).toEqual([]);
  clock.warp(1_000);
  expect(lines).toEqual(["br0<->unix#1: 1 flow_mods 10 s ago (1 modifications)"]);
  log.count("add");
  clock.warp(30_000);
  expect(lines.length).toBe(1);
  clock.warp(30_000);
  expect(lines[1]).toBe("br0<->unix#1: 1 flow_mods 60 s ago (1 adds)");
});

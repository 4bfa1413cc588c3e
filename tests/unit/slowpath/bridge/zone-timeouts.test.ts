/** Timeout policies of conntrack zones: from the database to the datapath and into `ct(commit)`. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { CtTimeouts } from "../../../../src/fastpath/conntrack/types.ts";
import { ZoneTimeouts } from "../../../../src/slowpath/bridge/zone-timeouts.ts";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import { formatDpActions } from "../../../../src/fastpath/text/actions-format.ts";
import { Lab } from "../pipeline/lab.ts";
import { SwitchFixture } from "./fixture.ts";

let s: SwitchFixture;
beforeEach(async () => {
  s = await SwitchFixture.start();
});
afterEach(async () => await s.stop());

test("zones of equal timeouts share a policy, which goes with the last of them", async () => {
  const policies = new Map<number, CtTimeouts>();
  let changes = 0;
  const zones = new ZoneTimeouts({
    setTimeoutPolicy: (id, timeouts) =>
      void (timeouts ? policies.set(id, timeouts) : policies.delete(id)),
  }, () => changes++);
  const configure = () => zones.configure(s.replica, s.root);
  await s.change((txn) => {
    const policy = (seconds: number) =>
      txn.insert("CT_Timeout_Policy", { timeouts: new Map([["udp_first", seconds]]) });
    const zone = (seconds: number) => txn.insert("CT_Zone", { timeout_policy: policy(seconds) });
    const ctZones = new Map([[1, zone(7)], [2, zone(7)], [3, zone(9)], [
      4,
      txn.insert("CT_Zone", {}),
    ]]);
    const datapath = txn.insert("Datapath", { ct_zones: ctZones });
    txn.update("Open_vSwitch", s.root._uuid, { datapaths: new Map([["netdev", datapath]]) });
  });
  configure();
  configure();
  expect(changes).toBe(1);
  const [first, , third] = [1, 2, 3].map((zone) => zones.policyOf("netdev", zone));
  expect(zones.policyOf("netdev", 2)).toBe(first!);
  expect(policies.get(first!)).toEqual({ udp_first: 7 });
  expect(policies.get(third!)).toEqual({ udp_first: 9 });
  expect(zones.policyOf("netdev", 4)).toBeUndefined();
  expect(zones.policyOf("system", 1)).toBeUndefined();
  await s.change((txn) => txn.update("Open_vSwitch", s.root._uuid, { datapaths: new Map() }));
  configure();
  expect([changes, policies.size]).toEqual([2, 0]);
});

test("only what commits has its zone's policy", async () => {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {} });
  Object.assign(br, { zoneTimeouts: (zone: number) => zone === 5 ? 3 : undefined });
  br.add({
    match: { eth_type: 0x800 },
    actions: parseActions("ct(commit,zone=5),ct(commit,zone=6),ct(zone=5)"),
  });
  const frame = new Uint8Array(60);
  frame.set([0x50, 0x54, 0, 0, 0, 2, 0x50, 0x54, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 40]);
  await lab.send(br, 1, frame);
  const [flow] = [...lab.cache.flows];
  expect(formatDpActions(flow!.actions, {})).toBe(
    "ct(commit,zone=5,timeout=3),ct(commit,zone=6),ct(zone=5)",
  );
});

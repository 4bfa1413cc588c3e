import { describe, expect, test } from "bun:test";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import { PORTS } from "../../../../src/openflow/version.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { arpRequest, macBytes, parse, type Tag, udp } from "../../../support/frames.ts";
import { ALL, type FlowOptions, Lab, out, resubmit, set } from "./lab.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const packet = (tags: readonly Tag[] = [], ttl = 64) =>
  udp({
    srcMac: A,
    dstMac: B,
    srcIp: "10.0.0.1",
    dstIp: "10.0.0.2",
    srcPort: 5,
    dstPort: 6,
    tags,
    ttl,
  });

/** Ports 1..4; the packet comes in by 1. What left, twice: by the slow path, by the megaflow. */
async function run(flows: FlowOptions[], data = packet()) {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {}, 4: { config: { noFlood: true } } });
  for (const flow of flows) br.add(flow);
  await lab.cache.settle();
  const first = await lab.send(br, 1, data);
  const second = await lab.send(br, 1, data);
  expect([...second]).toEqual([...first]);
  lab.cache.readStats();
  const ports = [...first.keys()].map((name) => Number(name.split(":")[1]));
  const frames = [...first.values()].flat().map(parse);
  for (const { checksumsHold } of frames) expect(checksumsHold ?? true).toBe(true);
  return { lab, br, ports, frames, rules: [...br.tables.select(ALL)] };
}
const one = (...actions: Action[]): FlowOptions[] => [{ actions }];

describe("outputs", () => {
  test("no rule, empty actions: drop", async () => {
    expect((await run([])).ports).toEqual([]);
    const { ports, rules } = await run(one());
    expect(ports).toEqual([]);
    expect(rules[0]!.packets).toBe(2);
  });
  test("FLOOD leaves out the input and no-flood ports, ALL only the input", async () => {
    expect((await run(one(out(PORTS.FLOOD)))).ports).toEqual([2, 3]);
    expect((await run(one(out(PORTS.ALL)))).ports).toEqual([2, 3, 4]);
  });
  test("the input port only by IN_PORT", async () => {
    expect((await run(one(out(1), out(2)))).ports).toEqual([2]);
    expect((await run(one(out(PORTS.IN_PORT)))).ports).toEqual([1]);
  });
  test("from a register", async () => {
    const source = { field: FIELDS.reg0, start: 4, bits: 16 };
    const flow = one(set("reg0", 0x20), { type: "output_reg", source, maxLength: 0 });
    expect((await run(flow)).ports).toEqual([2]);
  });
  test("truncated", async () => {
    const { lab, br } = await run([]);
    br.add({ actions: [{ type: "output_trunc", port: 2, maxLength: 20 }, out(3)] });
    await lab.cache.settle();
    const sent = await lab.send(br, 1, packet());
    expect(sent.get("br0:2")![0]!.length).toBe(20);
    expect(sent.get("br0:3")![0]!.length).toBe(packet().length);
  });
  test("a port that says no-fwd gets nothing, one that says no-recv gives nothing", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", {
      1: {},
      2: { config: { noFwd: true } },
      3: { config: { noRecv: true } },
    });
    br.add({ actions: [out(PORTS.ALL)] });
    expect([...(await lab.send(br, 1, packet())).keys()]).toEqual(["br0:3"]);
    expect([...(await lab.send(br, 3, packet())).keys()]).toEqual([]);
  });
});

describe("headers", () => {
  test("each output sees the packet as it is then", async () => {
    const { frames } = await run(
      one(out(2), set("ip_dst", 0x0a000063), set("udp_dst", 99), out(3), set("nw_ttl", 9), out(4)),
    );
    expect(frames.map((f) => [f.dstIp, f.dstPort, f.ttl])).toEqual([
      ["10.0.0.2", 6, 64],
      ["10.0.0.99", 99, 64],
      ["10.0.0.99", 99, 9],
    ]);
  });
  test("set and set back costs nothing", async () => {
    const { lab } = await run(one(set("ip_dst", 0x01010101), set("ip_dst", 0x0a000002), out(2)));
    expect([...lab.datapath.flows()][0]!.actions).toEqual([{ type: "output", port: 1 }]);
  });
  test("what a packet lacks is not set", async () => {
    const { ports } = await run(one(set("tcp_dst", 1), set("arp_op", 2), out(2)));
    expect(ports).toEqual([2]);
  });
  test("move, load and masked set", async () => {
    const sub = (field: typeof FIELDS.reg0, start: number, bits: number) => ({
      field,
      start,
      bits,
    });
    const { frames } = await run(one(
      { type: "move", source: sub(FIELDS.ip_src, 0, 32), destination: sub(FIELDS.reg3, 0, 32) },
      { type: "move", source: sub(FIELDS.reg3, 0, 8), destination: sub(FIELDS.ip_dst, 8, 8) },
      set("eth_dst", 0xffn << 40n, 0xfen << 40n),
      out(2),
    ));
    expect(frames[0]!.dstIp).toBe("10.0.1.2");
    expect(frames[0]!.dstMac).toBe("fe:00:00:00:00:0b");
  });
  test("stack", async () => {
    const subfield = (field: typeof FIELDS.reg0) => ({ field, start: 0, bits: 48 });
    const { frames } = await run(one(
      { type: "stack_push", subfield: subfield(FIELDS.eth_src) },
      { type: "stack_push", subfield: subfield(FIELDS.eth_dst) },
      { type: "stack_pop", subfield: subfield(FIELDS.eth_src) },
      { type: "stack_pop", subfield: subfield(FIELDS.eth_dst) },
      out(2),
    ));
    expect([frames[0]!.srcMac, frames[0]!.dstMac]).toEqual([B, A]);
  });
  test("OpenFlow 1.0's setters", async () => {
    const { frames } = await run(one(
      { type: "set_eth_src", address: macBytes(B) },
      { type: "set_eth_dst", address: macBytes(A) },
      { type: "set_ipv4_src", address: 0x01020304 },
      { type: "set_ipv4_dst", address: 0x05060708 },
      { type: "set_ip_dscp", tos: 0x28 },
      { type: "set_tp_src", port: 77 },
      { type: "set_tp_dst", port: 78 },
      { type: "set_vlan_vid", vid: 5, pushIfNone: true },
      { type: "set_vlan_pcp", pcp: 3, pushIfNone: true },
      out(2),
    ));
    expect(frames[0]).toMatchObject({
      srcMac: B,
      dstMac: A,
      srcIp: "1.2.3.4",
      dstIp: "5.6.7.8",
      tos: 0x28,
      srcPort: 77,
      dstPort: 78,
      tags: [{ tpid: 0x8100, vid: 5, pcp: 3 }],
    });
  });
  test("ARP fields", async () => {
    const { frames, ports } = await run(
      one(set("arp_op", 2), set("arp_tpa", 0x01020304), out(2)),
      arpRequest(A, "10.0.0.1", "10.0.0.2"),
    );
    expect(ports).toEqual([2]);
    expect(frames.length).toBe(1);
  });
  test("dec_ttl lowers, and an expired packet goes to the controller", async () => {
    const dec: Action = { type: "dec_ttl", controllerIds: [0] };
    expect((await run(one(dec, out(2)))).frames[0]!.ttl).toBe(63);
    const { br, ports } = await run(one(dec, out(2)), packet([], 1));
    expect(ports).toEqual([]);
    expect(br.packetIns.map(({ reason, bufferable }) => [reason, bufferable])).toEqual([
      ["invalid_ttl", false],
      ["invalid_ttl", false],
    ]);
  });
});

describe("VLAN tags", () => {
  const push: Action = { type: "push_vlan", ethType: 0x8100 };
  const pop: Action = { type: "pop_vlan" };
  const cases: [string, Tag[], Action[], string][] = [
    ["push", [], [push, set("vlan_vid", 0x1005)], "5"],
    ["push on a tag", [{ vid: 7 }], [push, set("vlan_vid", 0x1005)], "5,7"],
    ["push 802.1ad", [{ vid: 7 }], [{ type: "push_vlan", ethType: 0x88a8 }], "88a8:0,7"],
    ["pop", [{ vid: 7 }], [pop], ""],
    ["pop one of two", [{ vid: 7 }, { vid: 8 }], [pop], "8"],
    ["pop both", [{ vid: 7 }, { vid: 8 }], [pop, pop], ""],
    ["pop nothing", [], [pop], ""],
    ["push and pop", [{ vid: 7 }], [push, pop], "7"],
    ["set", [{ vid: 7, pcp: 2 }], [set("vlan_vid", 0x1005)], "5p2"],
    ["set_vlan_vid without a tag", [], [{ type: "set_vlan_vid", vid: 5, pushIfNone: false }], ""],
    ["load vlan_tci makes a tag", [], [set("vlan_tci", 0x3005)], "5p1"],
    ["load vlan_tci 0 takes it away", [{ vid: 7 }], [set("vlan_tci", 0)], ""],
  ];
  for (const [name, tags, actions, expected] of cases) {
    test(name, async () => {
      const { frames } = await run(one(...actions, out(2)), packet(tags));
      const text = frames[0]!.tags.map(({ tpid, vid, pcp }) =>
        (tpid === 0x8100 ? "" : `${tpid.toString(16)}:`) + vid + (pcp ? `p${pcp}` : "")
      );
      expect(text.join(",")).toBe(expected);
    });
  }
});

describe("standard-push", () => {
  const pushTag: Action = { type: "push_vlan", ethType: 0x88a8 };
  const pushLabel: Action = { type: "push_mpls", ethType: 0x8847 };

  /** What leaves by port 2 of a bridge that pushes as OpenFlow says, or as Open vSwitch does. */
  async function pushed(standard: boolean, action: Action, data: Uint8Array): Promise<string> {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} });
    br.standardPush = standard;
    br.add({ actions: [action, out(2)] });
    const seen = await lab.send(br, 1, data);
    return seen.get("br0:2")![0]!.toHex();
  }

  test("a tag begins as a copy of the one below", async () => {
    const tagged = packet([{ vid: 7, pcp: 3 }]);
    expect((await pushed(true, pushTag, tagged)).slice(24, 40)).toBe("88a8600781006007");
    expect((await pushed(false, pushTag, tagged)).slice(24, 40)).toBe("88a8000081006007");
    expect((await pushed(true, pushTag, packet())).slice(24, 32)).toBe("88a80000");
  });

  test("a first label is 0, its TTL what IP has", async () => {
    expect((await pushed(true, pushLabel, packet([], 9))).slice(24, 36)).toBe("884700000109");
    const arp = arpRequest(A, "10.0.0.1", "10.0.0.2");
    expect((await pushed(true, pushLabel, arp)).slice(24, 36)).toBe("884700000100");
    expect((await pushed(false, pushLabel, arp)).slice(24, 36)).toBe("884700000140");
  });
});

describe("drops", () => {
  test("say why where the datapath can", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} });
    const drops = async () => {
      await lab.cache.settle();
      await lab.send(br, 1, packet());
      await lab.send(br, 1, packet());
      const counters = lab.datapath.counters();
      return {
        plain: counters.drop_action_of_pipeline,
        deep: counters.drop_action_recursion_too_deep,
      };
    };
    br.add({ actions: [] });
    expect(await drops()).toEqual({ plain: 2, deep: 0 });
    br.add({ actions: [resubmit(0xff), out(2)] });
    expect(await drops()).toEqual({ plain: 2, deep: 2 });
  });
});

describe("tables", () => {
  test("resubmit comes back with what it changed; goto ends with the action set", async () => {
    const { frames, ports, rules } = await run([
      { actions: [resubmit(1), out(2), { type: "goto_table", table: 2 }] },
      { table: 1, actions: [set("nw_ttl", 7)] },
      { table: 2, actions: [{ type: "write_actions", actions: [out(3), set("nw_ttl", 8)] }] },
    ]);
    expect(ports).toEqual([2, 3]);
    expect(frames.map(({ ttl }) => ttl)).toEqual([7, 8]);
    expect(rules.map(({ packets }) => packets)).toEqual([2, 2, 2]);
  });
  test("resubmit with a port looks up as if from there, and sends as from the real one", async () => {
    const { ports } = await run([
      { match: { in_port: 1 }, actions: [resubmit(0xff, 3)] },
      { match: { in_port: 3 }, actions: [out(1), out(3), out(PORTS.IN_PORT)] },
    ]);
    expect(ports.toSorted()).toEqual([1, 3]);
  });
  test("metadata and registers pass from table to table", async () => {
    const { ports } = await run([
      {
        actions: [
          set("reg5", 9),
          { type: "write_metadata", metadata: 0xff00n, mask: 0xff00n },
          { type: "goto_table", table: 5 },
        ],
      },
      { table: 5, match: { reg5: 9, metadata: 0xff00n }, actions: [out(2)] },
    ]);
    expect(ports).toEqual([2]);
  });
  test("clear_actions, exit and clone", async () => {
    const write: Action = { type: "write_actions", actions: [out(3)] };
    expect((await run(one(write, { type: "clear_actions" }))).ports).toEqual([]);
    expect((await run(one(out(2), { type: "exit" }, out(3)))).ports).toEqual([2]);
    const clone: Action = { type: "clone", actions: [set("nw_ttl", 3), out(3), { type: "exit" }] };
    const { ports, frames } = await run(one(clone, out(2)));
    // `exit` ends the whole pipeline, a clone's too.
    expect(ports).toEqual([3]);
    expect(frames.map(({ ttl }) => ttl)).toEqual([3]);
    const copy: Action = { type: "clone", actions: [set("nw_ttl", 3), out(3)] };
    const both = await run(one(copy, out(2)));
    expect(both.frames.map(({ ttl }) => ttl)).toEqual([64, 3]);
  });
  test("a loop ends, and drops", async () => {
    const { lab, ports } = await run([{ actions: [out(2), resubmit(0)] }]);
    expect(ports).toEqual([]);
    expect(lab.cache.counters().upcall_failed).toBe(1);
    // Two resubmits each: the number of searches is bounded too.
    expect(
      (await run([{ actions: [resubmit(1), resubmit(1)] }, {
        table: 1,
        actions: [resubmit(1), resubmit(1)],
      }])).ports,
    ).toEqual([]);
  });
  test("a miss follows the table's setting", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} });
    br.tables.modify({ type: "table_mod", table: 0, miss: "continue" });
    br.add({ table: 1, actions: [out(2)] });
    expect([...(await lab.send(br, 1, packet())).keys()]).toEqual(["br0:2"]);
    br.tables.modify({ type: "table_mod", table: 0, miss: "controller" });
    await lab.cache.settle();
    expect([...(await lab.send(br, 1, packet())).keys()]).toEqual([]);
    expect(br.packetIns.map(({ reason, tableId }) => [reason, tableId])).toEqual([["no_match", 0]]);
  });
});

describe("controllers", () => {
  test("an old controller is asked on a miss, each time, with a buffer", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} });
    br.oldController = true;
    for (let i = 0; i < 3; i++) await lab.send(br, 1, packet());
    expect(lab.cache.counters()).toMatchObject({ upcall_misses: 1, upcall_actions: 2 });
    expect(br.packetIns.map(({ reason, bufferable }) => [reason, bufferable])).toEqual(
      Array(3).fill(["implicit_miss", true]),
    );
    expect(br.packetIns[2]!.packet.data).toEqual(packet());
    expect(br.packetIns[2]!.key.get(FIELDS.in_port)).toBe(1);
  });
  test("a table-miss rule is a miss, any other action is not", async () => {
    const ask = out(PORTS.CONTROLLER, 0xffff);
    const miss = await run([{ priority: 0, cookie: 7n, actions: [ask] }]);
    expect(miss.br.packetIns[0]).toMatchObject({
      reason: "explicit_miss",
      bufferable: true,
      cookie: 7n,
    });
    const acl = await run([{ priority: 1, actions: [ask] }]);
    expect(acl.br.packetIns.map(({ reason, bufferable }) => [reason, bufferable])).toEqual([
      ["action", false],
      ["action", false],
    ]);
    expect(acl.rules[0]!.packets).toBe(2);
  });
  test("gets the packet as it was at the action, with metadata and registers", async () => {
    const { br } = await run(
      one(set("reg1", 0xabc), set("nw_ttl", 3), out(PORTS.CONTROLLER, 128), out(2)),
    );
    expect(br.packetIns.length).toBe(2);
    for (const { packet: { data }, key, maxLen } of br.packetIns) {
      expect(parse(data).ttl).toBe(3);
      expect(key.get(FIELDS.reg1)).toBe(0xabc);
      expect(key.get(FIELDS.in_port)).toBe(1);
      expect(maxLen).toBe(128);
    }
  });
  test("packet-out runs its actions, TABLE included, and tells its packet-ins apart", async () => {
    const { lab, br } = await run([{ match: { in_port: 3 }, actions: [out(4)] }]);
    lab.cache.packetOut(br, { data: packet() }, 3, [out(PORTS.TABLE), set("nw_ttl", 2), out(2)])
      .send();
    expect([...lab.collect().keys()]).toEqual(["br0:2", "br0:4"]);
    lab.cache.packetOut(br, { data: packet() }, PORTS.CONTROLLER, [out(PORTS.CONTROLLER)]).send();
    expect(br.packetIns.at(-1)).toMatchObject({ reason: "packet_out", bufferable: false });
  });
  test("packet-out of any bytes is harmless", async () => {
    const { lab, br } = await run([]);
    for (const length of [0, 1, 13, 14, 15, 20]) {
      lab.cache.packetOut(br, { data: new Uint8Array(length) }, 1, [out(PORTS.NORMAL), out(2)])
        .send();
    }
    await lab.idle();
  });
});

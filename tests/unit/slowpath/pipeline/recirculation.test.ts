import { describe, expect, test } from "bun:test";
import { formatDpActions } from "../../../../src/fastpath/text/actions-format.ts";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { parse, udp } from "../../../support/frames.ts";
import { type Fields, Lab, type LabBridge } from "./lab.ts";

const packet = (srcPort = 5, dstPort = 6, back = false, payload = 8) =>
  udp({
    srcMac: "02:00:00:00:00:0a",
    dstMac: "02:00:00:00:00:0b",
    srcIp: back ? "10.0.0.2" : "10.0.0.1",
    dstIp: back ? "10.0.0.1" : "10.0.0.2",
    srcPort: back ? dstPort : srcPort,
    dstPort: back ? srcPort : dstPort,
    payload: new Uint8Array(payload),
  });

async function scene(ports = 4) {
  const lab = new Lab();
  const numbers = Object.fromEntries(Array.from({ length: ports }, (_, i) => [i + 1, {}]));
  const br = await lab.bridge("br0", numbers);
  const add = (match: Fields, actions: string, table = 0) =>
    br.add({ match, table, actions: parseActions(actions) });
  const names = async (
    from: number,
    data: Uint8Array,
  ) => [...(await lab.send(br, from, data)).keys()];
  return { lab, br, add, names };
}

const installed = (lab: Lab) => [...lab.cache.flows].map(({ actions }) => formatDpActions(actions));
const sizes = async (lab: Lab, br: LabBridge, data: Uint8Array) =>
  [...(await lab.send(br, 1, data))].map(([name, frames]) => [name, frames[0]!.length]);
const lookups = (br: LabBridge, table: number) => br.tables.stats()[table]!.lookups;

describe("connections", () => {
  test("are tracked, committed and matched when the packet comes back", async () => {
    const { add, names, lab } = await scene();
    const ip = { eth_type: 0x800 };
    const tracked = (state: bigint): readonly [bigint, bigint] => [state, state];
    add(ip, "ct(table=1,zone=7)");
    add(
      { ...ip, in_port: 1, ct_state: tracked(0x21n) },
      "ct(commit,zone=7,exec(set_field:9->ct_mark)),2",
      1,
    );
    add({ ...ip, in_port: 2, ct_state: tracked(0x22n), ct_mark: 9, ct_zone: 7 }, "1", 1);
    expect(await names(2, packet(5, 6, true))).toEqual([]);
    expect(await names(1, packet())).toEqual(["br0:2"]);
    expect(await names(2, packet(5, 6, true))).toEqual(["br0:1"]);
    expect(await names(2, packet(8, 6, true))).toEqual([]);
    expect(installed(lab)).toContain("ct(commit,zone=7,mark=0x9/0xffffffff),1");
  });

  test("a zone may be in a register; what the datapath said is forgotten by ct_clear", async () => {
    const { add, names } = await scene();
    const ip = { eth_type: 0x800 };
    add(ip, "set_field:3->reg0,ct(table=1,zone=NXM_NX_REG0[0..15])");
    add({ ...ip, ct_zone: 3 }, "2,ct_clear,resubmit(,2)", 1);
    add({ ...ip, ct_zone: 0, ct_state: [0n, 0x20n] as const }, "3", 2);
    expect(await names(1, packet())).toEqual(["br0:2", "br0:3"]);
  });

  test("NAT rewrites the packet there and back", async () => {
    const { lab, br, add } = await scene();
    const ip = { eth_type: 0x800 };
    add({ ...ip, in_port: 1 }, "ct(commit,nat(src=10.1.1.1:4000),table=1)");
    add({ ...ip, in_port: 2 }, "ct(nat,table=1)");
    add({ ...ip, in_port: 1 }, "2", 1);
    add({ ...ip, in_port: 2 }, "1", 1);
    const there = parse((await lab.send(br, 1, packet())).get("br0:2")![0]!);
    expect(there).toMatchObject({ srcIp: "10.1.1.1", srcPort: 4000, dstIp: "10.0.0.2" });
    const answer = udp({
      srcMac: "02:00:00:00:00:0b",
      dstMac: "02:00:00:00:00:0a",
      srcIp: "10.0.0.2",
      dstIp: "10.1.1.1",
      srcPort: 6,
      dstPort: 4000,
    });
    const back = parse((await lab.send(br, 2, answer)).get("br0:1")![0]!);
    expect(back).toMatchObject({ srcIp: "10.0.0.2", dstIp: "10.0.0.1", dstPort: 5 });
  });

  test("registers and metadata of the first round are those of the second", async () => {
    const { add, names } = await scene();
    add({ eth_type: 0x800 }, "set_field:0x11->reg3,set_field:0x22->metadata,ct(table=1)");
    add({ reg3: 0x11, metadata: 0x22 }, "move:NXM_NX_REG3[0..1]->NXM_NX_REG0[0..1],2,3", 1);
    expect(await names(1, packet())).toEqual(["br0:2", "br0:3"]);
  });
});

describe("recirculation ids", () => {
  test("are shared by equal states and live as long as a flow that has them", async () => {
    const { lab, add, names, br } = await scene();
    add({ eth_type: 0x800, nw_proto: 17, udp_dst: 6 }, "ct(table=1)");
    add({ eth_type: 0x800, nw_proto: 17, udp_dst: 7 }, "ct(table=1)");
    add({}, "2", 1);
    await names(1, packet(5, 6));
    await names(1, packet(5, 7));
    expect(installed(lab).filter((text) => text === "ct,recirc(0x1)")).toHaveLength(2);
    expect(lab.cache.frozen(1)).toMatchObject({ table: 1, bridge: br });
    lab.cache.purge();
    await lab.idle();
    expect(await names(1, packet(5, 6))).toEqual(["br0:2"]);
    expect(installed(lab)).toContain("ct,recirc(0x2)");
  });
});

describe("MPLS", () => {
  test("is pushed, looked at again behind pop_mpls, and the same bytes come out", async () => {
    const { lab, br, add, names } = await scene();
    add({ in_port: 1 }, "push_mpls:0x8847,set_field:77->mpls_label,set_field:9->mpls_ttl,2");
    const pushed = (await lab.send(br, 1, packet())).get("br0:2")![0]!;
    expect(Buffer.from(pushed.subarray(12, 18)).toString("hex")).toBe("88470004d109");
    add({ in_port: 2, eth_type: 0x8847, mpls_label: 77 }, "pop_mpls:0x0800,resubmit(,1)");
    add({ eth_type: 0x800, nw_proto: 17, udp_dst: 6 }, "3", 1);
    add({ eth_type: 0x800, nw_proto: 17, udp_dst: 8 }, "4", 1);
    expect([...(await lab.send(br, 2, pushed)).values()]).toEqual([[packet()]]);
    expect(await names(2, (await lab.send(br, 1, packet(5, 8))).get("br0:2")![0]!)).toEqual([
      "br0:4",
    ]);
    expect(lookups(br, 1)).toBe(2);
  });
});

describe("controller(pause)", () => {
  test("hands out a packet that goes on where it was", async () => {
    const { lab, br, add, names } = await scene();
    add({}, "set_field:5->reg1,push:NXM_NX_REG1[],resubmit(,1),4");
    add({}, "2,controller(pause),pop:NXM_NX_REG2[],resubmit(,2)", 1);
    add({ reg1: 5, reg2: 5 }, "3", 2);
    expect(await names(1, packet())).toEqual(["br0:2"]);
    const [{ continuation, packet: paused }] = br.packetIns as [typeof br.packetIns[number]];
    const metadata = anyMatch();
    metadata.key.set(FIELDS.in_port, 1);
    metadata.key.set(FIELDS.reg1, 5);
    lab.cache.resume(continuation!, paused, metadata).send();
    await lab.idle();
    expect([...lab.collect().keys()]).toEqual(["br0:3", "br0:4"]);
  });
});

describe("check_pkt_larger", () => {
  test("sends packets both ways with one megaflow", async () => {
    const { lab, br, add } = await scene();
    add({}, "check_pkt_larger(100)->NXM_NX_REG0[0],resubmit(,1)");
    add({ reg0: [1n, 1n] as const }, "2", 1);
    add({ reg0: [0n, 1n] as const }, "3", 1);
    const long = packet(5, 6, false, 200);
    expect(await sizes(lab, br, packet())).toEqual([["br0:3", packet().length]]);
    expect(await sizes(lab, br, long)).toEqual([["br0:2", long.length]]);
    expect(installed(lab)).toEqual(["check_pkt_len(size=100,gt(1),le(2))"]);
  });
});

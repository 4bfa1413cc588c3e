import { describe, expect, test } from "bun:test";
import { PORTS } from "../../../../src/openflow/version.ts";
import type { VlanConfig } from "../../../../src/slowpath/pipeline/model.ts";
import { arpRequest, parse, type Tag, udp } from "../../../support/frames.ts";
import { Lab, out } from "./lab.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const packet = (srcMac: string, dstMac: string, tags: readonly Tag[] = []) =>
  udp({ srcMac, dstMac, srcIp: "10.0.0.1", dstIp: "10.0.0.2", tags });

const show = (frame: Uint8Array) =>
  parse(frame).tags.map(({ vid, pcp }) => pcp ? `${vid}p${pcp}` : `${vid}`).join(",") || "untagged";

/** Ports by number, and what each gets: "untagged", "10", "20,10" … */
function seen(result: Map<string, Uint8Array[]>): Record<string, string> {
  return Object.fromEntries(
    [...result].map(([port, frames]) => [port.split(":")[1]!, frames.map(show).join(" ")]),
  );
}

const access10: Partial<VlanConfig> = { mode: "access", tag: 10 };
const access20: Partial<VlanConfig> = { mode: "access", tag: 20 };
const trunk: Partial<VlanConfig> = { mode: "trunk" };
const trunk10: Partial<VlanConfig> = { mode: "trunk", trunks: new Set([10]) };
const nativeTagged: Partial<VlanConfig> = { mode: "native-tagged", tag: 10 };
const nativeUntagged: Partial<VlanConfig> = { mode: "native-untagged", tag: 10 };
const nativeUntagged20: Partial<VlanConfig> = {
  mode: "native-untagged",
  tag: 20,
  trunks: new Set([10]),
};
const PORT_KINDS = {
  1: access10,
  2: access20,
  3: trunk,
  4: trunk10,
  5: nativeTagged,
  6: nativeUntagged,
  7: nativeUntagged20,
};
const ports = Object.fromEntries(Object.entries(PORT_KINDS).map(([n, vlan]) => [n, { vlan }]));

describe("NORMAL and VLANs: what a flood brings to each port", () => {
  const cases: [from: number, tags: Tag[], expected: Record<string, string>][] = [
    [1, [], { 3: "10", 4: "10", 5: "10", 6: "untagged", 7: "10" }],
    [1, [{ vid: 10 }], {}],
    [1, [{ vid: 0, pcp: 5 }], { 3: "10p5", 4: "10p5", 5: "10p5", 6: "untagged", 7: "10p5" }],
    [2, [], { 3: "20", 5: "20", 6: "20", 7: "untagged" }],
    [3, [], { 5: "untagged", 6: "untagged" }],
    [3, [{ vid: 10 }], { 1: "untagged", 4: "10", 5: "10", 6: "untagged", 7: "10" }],
    [3, [{ vid: 20 }], { 2: "untagged", 5: "20", 6: "20", 7: "untagged" }],
    [3, [{ vid: 30 }], { 5: "30", 6: "30" }],
    [4, [{ vid: 20 }], {}],
    [4, [{ vid: 10 }], { 1: "untagged", 3: "10", 5: "10", 6: "untagged", 7: "10" }],
    [5, [], { 1: "untagged", 3: "10", 4: "10", 6: "untagged", 7: "10" }],
    [5, [{ vid: 10 }], { 1: "untagged", 3: "10", 4: "10", 6: "untagged", 7: "10" }],
    [6, [], { 1: "untagged", 3: "10", 4: "10", 5: "10", 7: "10" }],
    [6, [{ vid: 20 }], { 2: "untagged", 3: "20", 5: "20", 7: "untagged" }],
    [7, [], { 2: "untagged", 3: "20", 5: "20", 6: "20" }],
    [7, [{ vid: 20 }], { 2: "untagged", 3: "20", 5: "20", 6: "20" }],
    [7, [{ vid: 30 }], {}],
    [3, [{ vid: 10 }, { vid: 99 }], { 1: "99", 4: "10,99", 5: "10,99", 6: "99", 7: "10,99" }],
  ];
  for (const [from, tags, expected] of cases) {
    const name = tags.map(({ vid, pcp }) => pcp ? `${vid}p${pcp}` : vid).join(",") || "untagged";
    test(`from port ${from} (${JSON.stringify(PORT_KINDS[from as 1].mode)}), ${name}`, async () => {
      const lab = new Lab();
      // As by default: what is inside a VLAN's own tag is the hosts' business.
      lab.datapath.setVlanLimit(1);
      const br = await lab.bridge("br0", ports, true);
      const bcast = packet(A, "ff:ff:ff:ff:ff:ff", tags);
      expect(seen(await lab.send(br, from, bcast))).toEqual(expected);
      // The megaflow does what the slow path did.
      expect(seen(await lab.send(br, from, bcast))).toEqual(expected);
      expect(lab.datapath.counters().masked_hit).toBe(1);
    });
  }
});

describe("NORMAL", () => {
  test("learns, then sends to one port only, in the address's VLAN only", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, true);
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged", 3: "untagged" });
    expect(seen(await lab.send(br, 2, packet(B, A)))).toEqual({ 1: "untagged" });
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged" });
    expect(seen(await lab.send(br, 1, packet(A, B, [{ vid: 7 }])))).toEqual({ 2: "7", 3: "7" });
    expect(br.macs.size).toBe(3);
  });

  test("follows an address that moves", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, true);
    await lab.send(br, 2, packet(B, A));
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged" });
    await lab.send(br, 3, arpRequest(B, "10.0.0.2", "10.0.0.2"));
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 3: "untagged" });
  });

  test("never sends back through the port that it came from", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} }, true);
    await lab.send(br, 1, packet(B, "ff:ff:ff:ff:ff:ff"));
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({});
  });

  test("keeps reserved multicast to itself unless forward-bpdu is set", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} }, true);
    expect(seen(await lab.send(br, 1, packet(A, "01:80:c2:00:00:0e")))).toEqual({});
    expect(seen(await lab.send(br, 1, packet(A, "01:80:c2:00:00:10")))).toEqual({ 2: "untagged" });
    br.forwardBpdu = true;
    lab.cache.changed();
    await lab.cache.settle();
    expect(seen(await lab.send(br, 1, packet(A, "01:80:c2:00:00:0e")))).toEqual({ 2: "untagged" });
  });

  test("forgets addresses that age out, and megaflows with them", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} }, true);
    await lab.send(br, 2, packet(B, A));
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged" });
    lab.clock.advance(301_000);
    lab.cache.expire();
    await lab.cache.settle();
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged", 3: "untagged" });
  });

  test("does not flood to ports that say so, but sends to them what they are known for", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: { config: { noFlood: true } }, 3: {} }, true);
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 3: "untagged" });
    await lab.send(br, 2, packet(B, A));
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 2: "untagged" });
  });

  test("keeps protected ports apart", async () => {
    const lab = new Lab();
    const br = await lab.bridge(
      "br0",
      { 1: { protected: true }, 2: { protected: true }, 3: {} },
      true,
    );
    expect(seen(await lab.send(br, 1, packet(A, B)))).toEqual({ 3: "untagged" });
    expect(seen(await lab.send(br, 3, packet(B, A)))).toEqual({ 1: "untagged" });
  });

  test("priority tags: if-nonzero keeps a priority, always keeps a tag", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", {
      1: {},
      2: { vlan: { mode: "access", tag: 0, priorityTags: "if-nonzero" } },
      3: { vlan: { mode: "access", tag: 0, priorityTags: "always" } },
    }, true);
    const bcast = "ff:ff:ff:ff:ff:ff";
    expect(seen(await lab.send(br, 1, packet(A, bcast)))).toEqual({ 2: "untagged", 3: "0" });
    expect(seen(await lab.send(br, 1, packet(A, bcast, [{ vid: 0, pcp: 3 }])))).toEqual({
      2: "0p3",
      3: "0p3",
    });
  });

  test("a priority decides whether a tag without VLAN stays: one megaflow each", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} }, true);
    const bcast = "ff:ff:ff:ff:ff:ff";
    expect(seen(await lab.send(br, 1, packet(A, bcast, [{ vid: 0, pcp: 5 }])))).toEqual({
      2: "0p5",
    });
    expect(seen(await lab.send(br, 1, packet(A, bcast, [{ vid: 0 }])))).toEqual({ 2: "untagged" });
  });

  test("dot1q-tunnel puts customers' tags inside its own", async () => {
    const lab = new Lab();
    const tunnel = { mode: "dot1q-tunnel", tag: 100 } as const;
    const br = await lab.bridge("br0", {
      1: { vlan: tunnel },
      2: { vlan: tunnel },
      3: {},
      4: { vlan: { ...tunnel, cvlans: new Set([5]) } },
    }, true);
    const bcast = "ff:ff:ff:ff:ff:ff";
    expect(seen(await lab.send(br, 1, packet(A, bcast, [{ vid: 7 }])))).toEqual({
      2: "7",
      3: "100,7",
    });
    expect(seen(await lab.send(br, 1, packet(A, bcast, [{ vid: 5 }])))).toEqual({
      2: "5",
      3: "100,5",
      4: "5",
    });
    expect(seen(await lab.send(br, 4, packet(A, bcast, [{ vid: 7 }])))).toEqual({});
  });

  test("switches across a patch, each bridge learning for itself", async () => {
    const lab = new Lab();
    const left = await lab.bridge("left", { 1: {}, 2: {} }, true);
    const right = await lab.bridge("right", { 1: {}, 2: {} }, true);
    lab.patch(left, 9, right, 9);
    expect([...(await lab.send(left, 1, packet(A, B))).keys()]).toEqual([
      "left:2",
      "right:1",
      "right:2",
    ]);
    expect([...(await lab.send(right, 1, packet(B, A))).keys()]).toEqual(["left:1"]);
    expect([...(await lab.send(left, 1, packet(A, B))).keys()]).toEqual(["right:1"]);
    lab.cache.readStats();
    expect(left.ports.get(9)!.patchStats!.txPackets).toBe(2);
    expect(left.ports.get(9)!.patchStats!.rxPackets).toBe(1);
    expect(right.ports.get(9)!.patchStats!.rxPackets).toBe(2);
  });

  test("a bridge patched to itself ends", async () => {
    const lab = new Lab();
    const one = await lab.bridge("one", { 1: {}, 2: {} }, true);
    lab.patch(one, 8, one, 9);
    await lab.send(one, 1, packet(A, "ff:ff:ff:ff:ff:ff"));
    const counters = lab.cache.counters();
    expect(counters.upcall_translated).toBe(1);
    const [flow] = [...lab.datapath.flows()];
    expect(flow!.actions.length).toBeLessThanOrEqual(32768);
  });

  test("a packet-out from no port is flooded everywhere", async () => {
    const lab = new Lab();
    const br = await lab.bridge("br0", { 1: {}, 2: {} }, true);
    lab.cache.packetOut(br, { data: packet(A, B) }, PORTS.NONE, [out(PORTS.NORMAL)]).send();
    expect(seen(lab.collect())).toEqual({ 1: "untagged", 2: "untagged" });
    expect(br.macs.size).toBe(0);
  });
});

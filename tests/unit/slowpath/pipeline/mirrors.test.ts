import { describe, expect, test } from "bun:test";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import type { BundleModel, MirrorModel } from "../../../../src/slowpath/pipeline/model.ts";
import { parse, udp } from "../../../support/frames.ts";
import { Lab, type LabBridge } from "./lab.ts";

const packet = (vid?: number, payload = 8, dstMac = "02:00:00:00:00:0b") =>
  udp({
    srcMac: "02:00:00:00:00:0a",
    dstMac,
    srcIp: "10.0.0.1",
    dstIp: "10.0.0.2",
    srcPort: 5,
    dstPort: 6,
    payload: new Uint8Array(payload),
    ...(vid !== undefined && { tags: [{ vid }] }),
  });

function mirrored(br: LabBridge, options: Partial<MirrorModel>): MirrorModel {
  const mirror: MirrorModel = {
    name: "m",
    sources: new Set(),
    destinations: new Set(),
    vlans: undefined,
    output: bundle(br, 3),
    outputVlan: 0,
    snapLength: 0,
    stats: { packets: 0, bytes: 0 },
    ...options,
  };
  Object.assign(br, { mirrors: [mirror] });
  return mirror;
}
const bundle = (br: LabBridge, ofport: number): BundleModel => br.ports.get(ofport)!.bundle;

async function scene() {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} });
  br.add({ match: { in_port: 1 }, actions: parseActions("2") });
  br.add({
    match: { in_port: 2 },
    actions: parseActions("set_field:02:00:00:00:00:0c->eth_dst,1"),
  });
  return { lab, br };
}

describe("mirrors", () => {
  test("copy what comes in by a port, as it came, once, and count it", async () => {
    const { lab, br } = await scene();
    const mirror = mirrored(br, {
      sources: new Set([bundle(br, 2)]),
      destinations: new Set([bundle(br, 1)]),
    });
    const seen = await lab.send(br, 2, packet());
    expect([...seen.keys()]).toEqual(["br0:1", "br0:3"]);
    expect(seen.get("br0:3")).toEqual([packet()]);
    expect((await lab.send(br, 1, packet())).has("br0:3")).toBe(false);
    await lab.send(br, 2, packet());
    lab.cache.flows.readAll();
    expect(mirror.stats).toEqual({ packets: 2, bytes: 2 * packet().length });
  });

  test("copy what leaves by a port as it leaves", async () => {
    const { lab, br } = await scene();
    mirrored(br, { destinations: new Set([bundle(br, 1)]) });
    const seen = await lab.send(br, 2, packet());
    expect(seen.get("br0:3")).toEqual(seen.get("br0:1"));
  });

  test("in a VLAN leave out what is for bridges, and nothing else because of that", async () => {
    const { lab, br } = await scene();
    const sources = new Set([bundle(br, 1)]);
    mirrored(br, { sources, output: undefined, outputVlan: 5 });
    const reserved = await lab.send(br, 1, packet(undefined, 8, "01:80:c2:00:00:0e"));
    expect([...reserved.keys()]).toEqual(["br0:2"]);
    const seen = await lab.send(br, 1, packet());
    expect(seen.get("br0:3")?.map((frame) => parse(frame).tags.map(({ vid }) => vid))).toEqual([[
      5,
    ]]);
  });

  test("select by VLAN", async () => {
    const { lab, br } = await scene();
    mirrored(br, { sources: new Set([bundle(br, 1)]), vlans: new Set([12]) });
    expect([...(await lab.send(br, 1, packet(12))).keys()]).toEqual(["br0:2", "br0:3"]);
    expect([...(await lab.send(br, 1, packet(11))).keys()]).toEqual(["br0:2"]);
    expect([...(await lab.send(br, 1, packet())).keys()]).toEqual(["br0:2"]);
  });

  test("cut copies short, and only them", async () => {
    const { lab, br } = await scene();
    mirrored(br, { sources: new Set([bundle(br, 1)]), snapLength: 64 });
    const seen = await lab.send(br, 1, packet(undefined, 100));
    expect(seen.get("br0:2")![0]!.length).toBe(142);
    expect(seen.get("br0:3")![0]!.length).toBe(64);
  });
});

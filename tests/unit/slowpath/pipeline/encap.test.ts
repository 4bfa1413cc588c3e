import { expect, test } from "bun:test";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import { udp } from "../../../support/frames.ts";
import { Lab } from "./lab.ts";

const packet = udp({
  srcMac: "02:00:00:00:00:0a",
  dstMac: "02:00:00:00:00:0b",
  srcIp: "10.0.0.1",
  dstIp: "10.0.0.2",
});
const hex = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.subarray(from, to)).toString("hex");

async function scene() {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} });
  const add = (in_port: number, actions: string) =>
    br.add({ match: { in_port }, actions: parseActions(actions) });
  return { lab, br, add };
}

test("a network service header goes on, its TTL counts down, and it comes off again", async () => {
  const { lab, br, add } = await scene();
  add(
    1,
    "encap(nsh(md_type=1)),set_field:0x123->nsh_spi,set_field:7->nsh_si,set_field:5->nsh_ttl," +
      "dec_nsh_ttl,encap(ethernet),set_field:02:00:00:00:00:0f->eth_dst,2",
  );
  const outer = (await lab.send(br, 1, packet)).get("br0:2")![0]!;
  // Ethernet of NSH; version 0, TTL 4, 6 words, MD type 1, an Ethernet frame in it; path and index.
  expect(hex(outer, 0, 6)).toBe("02000000000f");
  expect(hex(outer, 12, 22)).toBe("894f" + "01060103" + "00012307");
  expect(outer.subarray(14 + 24)).toEqual(packet);
  add(2, "decap(),decap(),3");
  expect((await lab.send(br, 2, outer)).get("br0:3")).toEqual([packet]);
});

test("an Ethernet header that is taken off leaves a packet that no device takes", async () => {
  const { lab, br, add } = await scene();
  add(1, "decap(),2");
  expect((await lab.send(br, 1, packet)).size).toBe(0);
  add(1, "decap(),encap(ethernet),set_field:02:00:00:00:00:01->eth_src,2");
  await lab.cache.settle();
  const again = (await lab.send(br, 1, packet)).get("br0:2")![0]!;
  expect(hex(again, 0, 14)).toBe("0000000000000200000000010800");
  expect(again.subarray(14)).toEqual(packet.subarray(14));
});

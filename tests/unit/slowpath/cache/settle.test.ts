import { expect, test } from "bun:test";
import { udp } from "../../../support/frames.ts";
import { Lab, out } from "../pipeline/lab.ts";

const packet = udp({
  srcMac: "02:00:00:00:00:0a",
  dstMac: "02:00:00:00:00:0b",
  srcIp: "10.0.0.1",
  dstIp: "10.0.0.2",
  srcPort: 5,
  dstPort: 6,
});

test("settling waits for the datapath only when it was told something that matters", async () => {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} });
  let barriers = 0;
  const { datapath } = lab;
  const barrier = datapath.barrier.bind(datapath);
  datapath.barrier = () => {
    barriers++;
    return barrier();
  };
  const settle = async () => {
    barriers = 0;
    await lab.cache.settle();
    return barriers;
  };
  await settle();
  br.add({ match: { in_port: 3 }, actions: [out(2)] });
  expect(await settle()).toBe(0);
  br.add({ match: { in_port: 1 }, actions: [out(2)] });
  await lab.send(br, 1, packet);
  await settle();
  // A change that the one megaflow is none the worse for.
  br.add({ match: { in_port: 3 }, priority: 40_000, actions: [out(1)] });
  expect(await settle()).toBe(0);
  br.add({ match: { in_port: 1 }, priority: 40_000, actions: [out(3)] });
  expect(await settle()).toBeGreaterThan(0);
  expect([...(await lab.send(br, 1, packet)).keys()]).toEqual(["br0:3"]);
  await settle();
  lab.cache.packetOut(br, { data: packet }, 1, [out(2)]).send();
  expect(await settle()).toBeGreaterThan(0);
  expect(await settle()).toBe(0);
});

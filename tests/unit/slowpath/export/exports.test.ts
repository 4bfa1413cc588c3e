/** From rows of the database to datagrams of a collector: a whole switch, with the datapath in memory. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { buildFrame } from "../../../../src/packet/headers.ts";
import { eventually } from "../../../support/eventually.ts";
import { SwitchFixture } from "../bridge/fixture.ts";

let it: SwitchFixture;
let collector: Socket;
let target: string;
let got: Buffer[];

beforeEach(async () => {
  got = [];
  collector = createSocket("udp4");
  collector.on("message", (message) => got.push(message));
  await new Promise<void>((resolve) => collector.bind(0, "127.0.0.1", resolve));
  target = `127.0.0.1:${collector.address().port}`;
  it = await SwitchFixture.start();
  await it.addBridge("br0");
  for (const name of ["p1", "p2"]) {
    it.devices.put(name);
    await it.addPort("br0", name);
  }
});
afterEach(async () => {
  await it.stop();
  collector.close();
});

const frame = buildFrame({
  dst: "50:54:00:00:00:02",
  src: "50:54:00:00:00:01",
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  udp: { src: 1000, dst: 53 },
  payload: new Uint8Array(20),
});

function inject(): void {
  const p1 = [...it.datapath.ports().values()].find(({ name }) => name === "p1")!;
  it.datapath.inject(p1.portNo, { data: frame });
}

/** Packets that have left by p2, and samples that the datapath has handed up. */
const forwarded = (): number => {
  const p2 = [...it.datapath.ports().values()].find(({ name }) => name === "p2")!;
  return it.datapath.portStats(p2.portNo)!.txPackets;
};
const handedUp = (): number => it.vswitch.status().counters["upcall_actions"]!;
const arrives = (): Promise<unknown> =>
  eventually("a datagram", () => got.length > 0, { timeoutMs: 20_000 });

test("sFlow: each packet of a rate of 1 is told of, with its header", async () => {
  await it.change((txn) => {
    const sflow = txn.insert("sFlow", { targets: [target], sampling: 1, polling: 0 });
    txn.update("Bridge", it.bridge("br0")._uuid, { sflow });
  });
  inject();
  await arrives();
  const message = got[0]!;
  expect([message.readUInt32BE(0), message.readUInt32BE(24)]).toEqual([5, 1]);
  expect(message.includes(frame)).toBe(true);
}, 30_000);

test("NetFlow: a flow is told of when the datapath's is gone", async () => {
  await it.change((txn) => {
    const netflow = txn.insert("NetFlow", { targets: [target], engine_id: 9 });
    txn.update("Bridge", it.bridge("br0")._uuid, { netflow });
    txn.update("Open_vSwitch", it.root._uuid, { other_config: new Map([["max-idle", "100"]]) });
  });
  inject();
  await arrives();
  const message = got[0]!;
  expect([message.readUInt16BE(0), message.readUInt16BE(2), message[21]]).toEqual([5, 1, 9]);
  expect([message.readUInt32BE(24), message.readUInt32BE(28)]).toEqual([0x0a000001, 0x0a000002]);
  expect([message.readUInt32BE(40), message.readUInt32BE(44)]).toEqual([1, frame.length]);
}, 30_000);

test("IPFIX: flows sample while there is an exporter, and not before or after", async () => {
  const pass = async (): Promise<void> => {
    const before = forwarded();
    inject();
    await eventually("the packet has left", () => forwarded() > before, { timeoutMs: 20_000 });
  };
  await pass();
  expect(handedUp()).toBe(0);
  await it.change((txn) => {
    const ipfix = txn.insert("IPFIX", { targets: [target], sampling: 1 });
    txn.update("Bridge", it.bridge("br0")._uuid, { ipfix });
  });
  await pass();
  await arrives();
  expect(got.every((message) => message.readUInt16BE(0) === 10)).toBe(true);
  await it.change((txn) => txn.update("Bridge", it.bridge("br0")._uuid, { ipfix: undefined }));
  const before = handedUp();
  await pass();
  expect(handedUp()).toBe(before);
}, 30_000);

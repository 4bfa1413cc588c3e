/** Mirror and QoS rows, as translation sees them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { SwitchFixture } from "./fixture.ts";

let it: SwitchFixture;
beforeEach(async () => {
  it = await SwitchFixture.start();
  await it.addBridge("br0");
  for (const name of ["p1", "p2", "p3"]) {
    it.devices.put(name);
    await it.addPort("br0", name);
  }
});
afterEach(() => it.stop());

const port = (name: string) =>
  [...it.replica.rows("Port").values()].find((row) => row.name === name)!._uuid;

test("a mirror copies what it selects, counts it, and says what is wrong with it", async () => {
  await it.change((txn) => {
    const good = txn.insert("Mirror", {
      name: "good",
      select_src_port: [port("p1")],
      output_port: port("p3"),
      snaplen: 100,
    });
    const bad = txn.insert("Mirror", { name: "bad", select_all: true });
    txn.update("Bridge", it.bridge("br0")._uuid, { mirrors: [good, bad] });
  });
  expect(it.log.join("\n")).toContain("|WARN|bridge br0: mirror bad does not specify output");
  const numbers = new Map([...it.datapath.ports().values()].map((p) => [p.name, p.portNo]));
  const frame = new Uint8Array(200).fill(1);
  frame.set([0x50, 0x54, 0, 0, 0, 2, 0x50, 0x54, 0, 0, 0, 1, 0x12, 0x34]);
  it.datapath.inject(numbers.get("p1")!, { data: frame });
  const sent = (name: string) => it.datapath.portStats(numbers.get(name)!)!.txPackets;
  await it.until(() => sent("p2") === 1 && sent("p3") === 1);
  expect(it.datapath.transmitted(numbers.get("p3")!).map((p) => p.data.length)).toEqual([100]);
  // The destination of a mirror takes nothing but copies.
  it.datapath.inject(numbers.get("p2")!, { data: frame });
  await it.until(() => sent("p1") === 1);
  expect(sent("p3")).toBe(1);
  const [row] = [...it.replica.rows("Mirror").values()].filter(({ name }) => name === "good");
  // A round writes statistics.
  await it.change((txn) => txn.update("Mirror", row!._uuid, { snaplen: 64 }));
  expect(it.replica.rows("Mirror").get(row!._uuid)!.statistics.get("tx_packets")).toBe(1);
  await it.change((txn) => txn.update("Bridge", it.bridge("br0")._uuid, { mirrors: [] }));
  it.datapath.inject(numbers.get("p1")!, { data: frame });
  await it.until(() => sent("p3") === 2);
  expect(it.datapath.transmitted(numbers.get("p3")!).map((p) => p.data.length)).toEqual([200]);
});

test("an address that was learned behind a port is forgotten by every bridge when the port goes", async () => {
  await it.addBridge("br1");
  const bridges = it.vswitch.operate;
  it.devices.put("q1");
  await it.addPort("br1", "q1");
  const numbers = new Map([...it.datapath.ports().values()].map((p) => [p.name, p.portNo]));
  const frame = new Uint8Array(60);
  frame.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x50, 0x54, 0, 0, 0, 7, 0x12, 0x34]);
  it.datapath.inject(numbers.get("p1")!, { data: frame });
  it.datapath.inject(numbers.get("q1")!, { data: frame });
  await it.until(() => bridges.macs("br0").length + bridges.macs("br1").length === 2);
  await it.deletePort("br0", "p1");
  expect([bridges.macs("br0"), bridges.macs("br1")]).toEqual([[], []]);
});

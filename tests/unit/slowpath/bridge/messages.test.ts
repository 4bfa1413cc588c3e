/** Which packets the switch takes for itself is asked anew when the database says otherwise. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { parse, udp } from "../../../support/frames.ts";
import { SwitchFixture } from "./fixture.ts";

const FIRST = "00:23:20:00:00:01";
const SECOND = "00:23:20:00:00:02";
const BFD_PORT = 3784;

let it: SwitchFixture;
beforeEach(async () => {
  it = await SwitchFixture.start();
  await it.addBridge("br0");
  for (const name of ["p1", "p2"]) {
    it.devices.put(name);
    await it.addPort("br0", name);
  }
});
afterEach(() => it.stop());

/** Destination ports of those that leave by p2, of packets to `dstMac` that come in by p1. */
async function passing(dstMac: string, ...dstPorts: readonly number[]): Promise<number[]> {
  const numbers = new Map([...it.datapath.ports().values()].map((p) => [p.name, p.portNo]));
  const host = { srcMac: "02:00:00:00:00:01", srcIp: "10.0.0.1", dstIp: "10.0.0.2", srcPort: 5 };
  for (const dstPort of dstPorts) {
    it.datapath.inject(numbers.get("p1")!, { data: udp({ ...host, dstMac, dstPort }) });
  }
  const seen: number[] = [];
  await it.until(() => {
    for (const { data } of it.datapath.transmitted(numbers.get("p2")!)) {
      const packet = parse(data);
      if (packet.dstPort !== undefined) seen.push(packet.dstPort);
    }
    return seen.at(-1) === dstPorts.at(-1);
  });
  return seen;
}

const bfd = (mac: string) =>
  it.setIface("p1", { bfd: new Map([["enable", "true"], ["bfd_remote_dst_mac", mac]]) });

test("messages of BFD, as it is set up", async () => {
  await bfd(FIRST);
  expect(await passing(FIRST, BFD_PORT, 1)).toEqual([1]);
  expect(await passing(SECOND, BFD_PORT, 1)).toEqual([BFD_PORT, 1]);
  await bfd(SECOND);
  expect(await passing(SECOND, BFD_PORT, 2)).toEqual([2]);
  expect(await passing(FIRST, BFD_PORT, 2)).toEqual([BFD_PORT, 2]);
  await it.setIface("p1", { bfd: new Map() });
  expect(await passing(SECOND, BFD_PORT, 3)).toEqual([BFD_PORT, 3]);
});

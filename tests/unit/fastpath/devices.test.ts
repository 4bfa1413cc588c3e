import { expect, test } from "bun:test";
import { type Device, DummyDevices } from "../../../src/fastpath/devices.ts";

test("dummy devices appear, change and go, and listeners hear of each", async () => {
  const devices = new DummyDevices();
  const heard: [string, Device | undefined][] = [];
  const stop = devices.onChange((name, device) => heard.push([name, device]));
  const first = devices.put("p0", { mtu: 9000 });
  expect(devices.get("p0")).toBe(first);
  await devices.setMtu("p0", 1400);
  await devices.setUp("p0", false);
  await devices.setMac("p0", new Uint8Array([2, 0, 0, 0, 0, 1]));
  expect(devices.get("p0")).toMatchObject({ ifindex: first.ifindex, mtu: 1400, adminUp: false });
  expect(first.mtu).toBe(9000);
  devices.remove("p0");
  devices.remove("p0");
  expect(heard.map(([, device]) => device?.mtu)).toEqual([9000, 1400, 1400, 1400, undefined]);
  expect(devices.setMtu("p0", 1500)).rejects.toMatchObject({ code: "no-device" });
  stop();
  devices.put("p1");
  expect(heard.length).toBe(5);
  expect([...devices.list()].map((device) => device.name)).toEqual(["p1"]);
});

/** The live view of the host's network interfaces, against a real kernel. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Device, Devices } from "../../src/fastpath/devices.ts";
import { openDevices } from "../../src/fastpath/host-devices.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";

describePrivileged("host devices", [], () => {
  let sandbox: Sandbox;
  let ns: Namespace;
  let devices: Devices;
  let heard: [string, Device | undefined][];

  beforeEach(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("dev");
    devices = await ns.inside(() => openDevices(new LogSink(() => {}).logger("devices")));
    heard = [];
    devices.onChange((name, device) => heard.push([name, device]));
  });

  afterEach(async () => {
    devices.close();
    await sandbox.dispose();
  });

  test("what is there at the start, what appears, and what goes", async () => {
    expect(devices.get("lo")).toMatchObject({ ifindex: 1, loopback: true, adminUp: true });
    await sandbox.veth({ ns, name: "v0", address: "02:00:00:00:00:01" }, { ns, name: "v1" });
    await eventually("v0 has carrier", () => devices.get("v0")?.linkUp);
    expect(devices.get("v0")).toMatchObject({
      mac: new Uint8Array([2, 0, 0, 0, 0, 1]),
      mtu: 1500,
      adminUp: true,
      kind: "veth",
      driver: "veth",
      linkSpeedBps: 10e9,
      fullDuplex: true,
    });
    await ns.ip("link set v1 down");
    await eventually("v0 lost its carrier", () => devices.get("v0")?.linkUp === false);
    await ns.ip("link del v0");
    await eventually("v0 is gone", () => devices.get("v0") === undefined);
    expect(heard.some(([name, device]) => name === "v0" && device === undefined)).toBe(true);
    await eventually("v1 is gone", () => devices.get("v1") === undefined);
  });

  test("a renamed device is gone under one name and there under the other", async () => {
    await sandbox.veth({ ns, name: "v0" }, { ns, name: "v1" });
    await ns.ip("link set v0 down");
    await ns.ip("link set v0 name w0");
    const renamed = await eventually("w0", () => devices.get("w0"));
    expect(devices.get("v0")).toBeUndefined();
    expect(renamed.kind).toBe("veth");
  });

  test("changes are in force, and seen, when their promise resolves", async () => {
    await sandbox.veth({ ns, name: "v0" }, { ns, name: "v1" });
    await eventually("v0", () => devices.get("v0"));
    await devices.setMtu("v0", 1400);
    expect(devices.get("v0")?.mtu).toBe(1400);
    expect((await ns.link("v0"))?.mtu).toBe(1400);
    await devices.setUp("v0", false);
    expect(devices.get("v0")).toMatchObject({ adminUp: false, linkUp: false });
    await devices.setMac("v0", new Uint8Array([2, 0, 0, 0, 0, 9]));
    expect((await ns.link("v0"))?.address).toBe("02:00:00:00:00:09");
  });

  test("errors carry the kernel's own words", async () => {
    await sandbox.veth({ ns, name: "v0" }, { ns, name: "v1" });
    const tooBig = await devices.setMtu("v0", 10_000_000).catch((error: unknown) => error);
    expect(tooBig).toMatchObject({ name: "DeviceError", code: "invalid" });
    expect(String(tooBig)).toContain("mtu greater than device maximum");
    const absent = await devices.setUp("nope", true).catch((error: unknown) => error);
    expect(absent).toMatchObject({ code: "no-device" });
  });

  test("after many events at once the view is what the kernel has", async () => {
    const lines: string[] = [];
    for (let i = 0; i < 150; i++) lines.push(`link add a${i} type veth peer name b${i}`);
    for (let i = 0; i < 150; i += 2) lines.push(`link del a${i}`);
    await ns.must(["ip", "-batch", "-"], { stdin: lines.join("\n") });
    const expected = (await ns.links()).map((link) => link.ifname).sort();
    await eventually("all of them", () => {
      const seen = [...devices.list()].map((device) => device.name).sort();
      return JSON.stringify(seen) === JSON.stringify(expected);
    });
  });
});

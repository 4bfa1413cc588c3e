import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatapathError } from "../../../../src/fastpath/datapath.ts";
import { openMemoryDatapath } from "../../../../src/fastpath/memory/datapath.ts";
import { SwitchFixture } from "./fixture.ts";

describe("the reconciler", () => {
  let s: SwitchFixture;
  beforeEach(async () => {
    s = await SwitchFixture.start();
  });
  afterEach(() => s.stop());

  const dpNames = (): string[] => [...s.datapath.ports().values()].map(({ name }) => name).sort();

  test("says what it is in the database", () => {
    expect(s.root.ovs_version).toBe("3.1.0");
    expect(s.root.db_version).toBe("8.3.1");
    expect(s.root.iface_types).toEqual(
      expect.arrayContaining(["geneve", "internal", "patch", "system", "vxlan"]),
    );
    expect(s.root.dpdk_initialized).toBe(false);
    expect(s.root.system_type).toBeString();
  });

  test("makes a bridge with its LOCAL port and its sockets, and takes them away", async () => {
    await s.addBridge("br0");
    expect(s.ofports("br0")).toEqual({ br0: 65534 });
    expect(dpNames()).toEqual(["br0"]);
    expect(s.bridge("br0").datapath_id).toMatch(/^[0-9a-f]{16}$/);
    expect(s.iface("br0").ofport).toBe(65534);
    expect(existsSync(join(s.dir, "br0.mgmt"))).toBe(true);
    expect(existsSync(join(s.dir, "br0.snoop"))).toBe(true);
    await s.change((txn) => {
      txn.mutate("Open_vSwitch", s.root._uuid, "bridges", "delete", [s.bridge("br0")._uuid]);
    });
    expect(s.vswitch.bridges()).toEqual([]);
    expect(dpNames()).toEqual([]);
    expect(existsSync(join(s.dir, "br0.mgmt"))).toBe(false);
  });

  test("fills an interface's status and writes cur_cfg with it", async () => {
    s.devices.put("eth0", {
      mac: Uint8Array.of(0, 1, 2, 3, 4, 5),
      linkSpeedBps: 10e9,
      fullDuplex: true,
      driver: "veth",
    });
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    const row = s.iface("eth0");
    expect(row.ofport).toBe(1);
    expect(row.error).toBeUndefined();
    expect([row.admin_state, row.link_state, row.mac_in_use]).toEqual([
      "up",
      "up",
      "00:01:02:03:04:05",
    ]);
    expect([row.mtu, row.link_speed, row.duplex]).toEqual([1500, 10e9, "full"]);
    expect(row.status.get("driver_name")).toBe("veth");
    expect(row.statistics.get("rx_packets")).toBe(0);
    // A globally unique address among the ports becomes the bridge's own.
    expect(s.bridge("br0").datapath_id).toBe("0000000102030405");
    expect(s.root.cur_cfg).toBe(s.root.next_cfg);
  });

  test("a missing device gets ofport -1 and an error, and stops nobody else", async () => {
    s.devices.put("eth1");
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    await s.addPort("br0", "eth1");
    expect(s.iface("eth0").ofport).toBe(-1);
    expect(s.iface("eth0").error).toBe("could not open network device eth0 (No such device)");
    expect(s.iface("eth1").ofport).toBe(1);
  });

  test("attaches a device that appears, without the database, and takes it off when it goes", async () => {
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    await s.addPort("br0", "later");
    const nextCfg = s.root.next_cfg;
    s.devices.put("eth0");
    await s.until(() => s.iface("eth0").ofport === 1);
    expect(s.iface("eth0").error).toBeUndefined();
    s.devices.put("later");
    await s.until(() => s.iface("later").ofport === 2);
    s.devices.remove("eth0");
    await s.until(() => s.iface("eth0").ofport === -1);
    expect(s.iface("eth0").error).toContain("No such device");
    expect(s.iface("eth0").mac_in_use).toBeUndefined();
    expect(dpNames()).toEqual(["br0", "later"]);
    s.devices.put("eth0");
    await s.until(() => s.iface("eth0").ofport === 1);
    expect(s.root.next_cfg).toBe(nextCfg);
  });

  test("a device replaced by another of its name is attached anew", async () => {
    s.devices.put("eth0", { ifindex: 5 });
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    const before = [...s.datapath.ports().values()].find(({ name }) => name === "eth0");
    s.devices.put("eth0", { ifindex: 6 });
    await s.until(() => s.iface("eth0").ifindex === 6);
    const after = [...s.datapath.ports().values()].find(({ name }) => name === "eth0");
    expect(after).not.toBe(before);
    expect(s.iface("eth0").ofport).toBe(1);
  });

  test("follows a device's link without a round", async () => {
    s.devices.put("eth0");
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    const rounds = s.vswitch.status().counters["reconciler_rounds"];
    s.devices.put("eth0", { linkUp: false });
    await s.until(() => s.iface("eth0").link_state === "down");
    expect(s.iface("eth0").link_resets).toBe(1);
    expect(s.vswitch.status().counters["reconciler_rounds"]).toBe(rounds!);
  });

  test("its own writing starts no round", async () => {
    s.devices.put("eth0");
    await s.addBridge("br0");
    await s.addPort("br0", "eth0");
    await s.vswitch.settled();
    const rounds = s.vswitch.status().counters["reconciler_rounds"];
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(s.vswitch.status().counters["reconciler_rounds"]).toBe(rounds!);
    expect(rounds).toBe(3);
  });

  describe("port numbers", () => {
    beforeEach(async () => {
      await s.addBridge("br0");
      for (const name of ["eth0", "eth1", "eth2"]) {
        s.devices.put(name);
        await s.addPort("br0", name);
      }
    });

    test("ofport_request moves a port, and the datapath does not notice", async () => {
      const before = [...s.datapath.ports().keys()];
      await s.setIface("eth0", { ofport_request: 100 });
      expect(s.ofports("br0")["eth0"]).toBe(100);
      expect([...s.datapath.ports().keys()]).toEqual(before);
    });

    test("whoever holds a number without asking makes room for who asks", async () => {
      await s.setIface("eth0", { ofport_request: 2 });
      const ofports = s.ofports("br0");
      expect(ofports["eth0"]).toBe(2);
      expect(ofports["eth1"]).not.toBe(2);
      expect(s.iface("eth1").ofport).toBe(ofports["eth1"]!);
    });

    test("who comes while its number is taken gets it at the next change", async () => {
      s.devices.put("eth9");
      await s.addPort("br0", "eth9", { ofport_request: 2 });
      expect(s.ofports("br0")).toMatchObject({ eth1: 2, eth9: 4 });
      s.devices.put("eth1", { mtu: 1400 });
      await s.vswitch.settled();
      expect(s.ofports("br0")).toMatchObject({ eth1: 2, eth9: 4 });
      await s.setIface("eth0", { external_ids: new Map([["a", "b"]]) });
      expect(s.ofports("br0")["eth9"]).toBe(2);
    });

    test("two that ask can change places at once", async () => {
      await s.change((txn) => {
        txn.update("Interface", s.iface("eth0")._uuid, { ofport_request: 2 });
        txn.update("Interface", s.iface("eth1")._uuid, { ofport_request: 1 });
      });
      expect(s.ofports("br0")).toMatchObject({ eth0: 2, eth1: 1 });
    });

    test("who asked first keeps it against a second", async () => {
      await s.setIface("eth0", { ofport_request: 7 });
      await s.setIface("eth1", { ofport_request: 7 });
      expect(s.ofports("br0")["eth0"]).toBe(7);
      expect(s.ofports("br0")["eth1"]).toBe(2);
    });

    test("a port taken off gives its number up for now", async () => {
      await s.deletePort("br0", "eth1");
      s.devices.put("eth9");
      await s.addPort("br0", "eth9");
      expect(s.ofports("br0")["eth9"]).toBe(4);
    });

    test("are the same after the daemon was restarted", async () => {
      await s.setIface("eth2", { ofport_request: 9 });
      await s.setIface("eth2", { ofport_request: undefined });
      const before = s.ofports("br0");
      await s.stopSwitch();
      expect(dpNames()).toEqual([]);
      await s.startSwitch(openMemoryDatapath());
      expect(s.ofports("br0")).toEqual(before);
    });
  });

  describe("what cannot be set up", () => {
    beforeEach(() => s.addBridge("br0"));

    test.each([
      ["stt", { type: "stt" }, 'type "stt" is not supported yet'],
      ["a tunnel to nowhere", { type: "gre" }, "gre type requires valid 'remote_ip' argument"],
      ["an unknown type", { type: "flux" }, 'type "flux" is unknown'],
      ["a patch without peer", { type: "patch" }, "patch type requires valid 'peer' argument"],
      [
        "a patch to itself",
        { type: "patch", options: new Map([["peer", "x0"]]) },
        "patch peer must not be self",
      ],
    ])("%s says why", async (_, columns, error) => {
      await s.addPort("br0", "x0", columns);
      expect(s.iface("x0").ofport).toBe(-1);
      expect(s.iface("x0").error).toContain(error);
    });

    test("a bond works with those of its interfaces that can be set up", async () => {
      s.devices.put("ba");
      await s.change((txn) => {
        const interfaces = ["ba", "bb"].map((name) => txn.insert("Interface", { name }));
        const port = txn.insert("Port", { name: "bond0", interfaces });
        txn.mutate("Bridge", s.bridge("br0")._uuid, "ports", "insert", [port]);
      });
      expect([s.iface("ba").ofport, s.iface("bb").ofport]).toEqual([1, -1]);
      expect(s.iface("bb").error).toContain("No such device");
      s.devices.put("bb");
      await s.until(() => s.iface("bb").ofport === 2);
      await s.until(() =>
        [...s.replica.rows("Port").values()].some(({ name, bond_active_slave }) =>
          name === "bond0" && bond_active_slave !== undefined
        )
      );
    });

    test("an unknown datapath type says which there are", async () => {
      await s.addBridge("br1", { datapath_type: "warp" });
      expect(s.iface("br1").ofport).toBe(-1);
      expect(s.iface("br1").error).toContain('no datapath type "warp"');
      expect(s.bridge("br1").datapath_id).toBeUndefined();
    });

    test("an option without effect is named, and the port works", async () => {
      s.devices.put("eth0");
      await s.addPort("br0", "eth0", { ingress_policing_rate: 1000 });
      expect(s.iface("eth0").ofport).toBe(1);
      expect(s.iface("eth0").error).toContain("ingress_policing_rate");
    });

    test("what the datapath refuses is tried again later, and takes no number meanwhile", async () => {
      const { portNo } = await s.datapath.addPort({ name: "eth0", type: "device" });
      s.devices.put("eth0");
      await s.addPort("br0", "eth0");
      expect(s.iface("eth0").ofport).toBe(-1);
      expect(s.iface("eth0").error).toContain("could not add network device eth0 to ofproto");
      await s.datapath.removePort(portNo);
      const rounds = s.vswitch.status().counters["reconciler_rounds"]!;
      for (let mtu = 1000; mtu < 1010; mtu++) s.devices.put("eth0", { mtu });
      await s.until(() => s.iface("eth0").ofport === 1);
      expect(s.vswitch.status().counters["reconciler_rounds"]! - rounds).toBeLessThanOrEqual(2);
    });

    test("a device that only the datapath knows to be gone is waited for like any other", async () => {
      s.devices.put("eth0");
      s.datapath.addPort = () =>
        Promise.reject(new DatapathError("no-device", "there is no device eth0"));
      await s.addPort("br0", "eth0");
      expect(s.iface("eth0").error).toBe("could not open network device eth0 (No such device)");
      Reflect.deleteProperty(s.datapath, "addPort");
      // At once: what the datapath refused for other reasons waits for a second.
      s.devices.put("eth0", { mtu: 1400 });
      await s.vswitch.settled();
      expect(s.iface("eth0").ofport).toBe(1);
    });

    test("a port that the datapath loses is reported and put back", async () => {
      s.devices.put("eth0");
      await s.addPort("br0", "eth0");
      const [portNo] = [...s.datapath.ports()].find(([, { name }]) => name === "eth0")!;
      s.devices.remove("eth0");
      s.datapath.loseDevice(portNo, "gone");
      await s.until(() => s.iface("eth0").ofport === -1);
      s.devices.put("eth0");
      await s.until(() => s.iface("eth0").ofport === 1);
    });
  });

  test("identity follows hwaddr and datapath-id", async () => {
    await s.addBridge("br0", {
      other_config: new Map([["hwaddr", "02:00:00:00:00:09"], ["datapath-id", "00000000000000ab"]]),
    });
    expect(s.bridge("br0").datapath_id).toBe("00000000000000ab");
    await s.change((txn) => {
      txn.update("Bridge", s.bridge("br0")._uuid, {
        other_config: new Map([["hwaddr", "02:00:00:00:00:09"]]),
      });
    });
    expect(s.bridge("br0").datapath_id).toBe("0000020000000009");
  });

  test("mtu_request is set on the device", async () => {
    s.devices.put("eth0");
    await s.addBridge("br0");
    await s.addPort("br0", "eth0", { mtu_request: 9000 });
    expect(s.devices.get("eth0")!.mtu).toBe(9000);
    expect(s.iface("eth0").mtu).toBe(9000);
  });

  test("two patches that name each other are joined over two bridges", async () => {
    await s.addBridge("br0");
    await s.addBridge("br1");
    await s.addPort("br0", "pa", { type: "patch", options: new Map([["peer", "pb"]]) });
    await s.addPort("br1", "pb", { type: "patch", options: new Map([["peer", "pa"]]) });
    s.devices.put("a");
    s.devices.put("b");
    await s.addPort("br0", "a");
    await s.addPort("br1", "b");
    const number = (wanted: string): number =>
      [...s.datapath.ports()].find(([, { name }]) => name === wanted)![0];
    const frame = new Uint8Array(60);
    frame.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45]);
    s.datapath.inject(number("a"), { data: frame });
    const out: number[] = [];
    await s.until(() => {
      out.push(...s.datapath.transmitted(number("b")).map(({ data }) => data.length));
      return out.length > 0;
    });
    expect(out).toEqual([60]);
    expect(s.iface("pa").link_state).toBe("up");
  });

  test("a bridge without a port of its own name gets one anyway", async () => {
    await s.change((txn) => {
      const bridge = txn.insert("Bridge", { name: "br0" });
      txn.mutate("Open_vSwitch", s.root._uuid, "bridges", "insert", [bridge]);
    });
    expect(s.ofports("br0")).toEqual({ br0: 65534 });
  });
});

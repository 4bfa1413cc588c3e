import { describe, expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { Bond, type BondPort, hashAddress } from "../../../../src/slowpath/bonds/bond.ts";
import { learningPacket } from "../../../../src/slowpath/bonds/learning-packet.ts";
import { rebalance } from "../../../../src/slowpath/bonds/rebalance.ts";
import type { BondSettings } from "../../../../src/slowpath/bonds/settings.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";

const quiet = new LogSink(() => {}, "off").logger("bond");
const SETTINGS: BondSettings = {
  name: "bond0",
  mode: "active-backup",
  updelayMs: 0,
  downdelayMs: 0,
  basis: 0,
  rebalanceMs: 10_000,
  allMembersActive: false,
  primary: undefined,
  lacpFallback: false,
};

type TestPort = BondPort & { linkUp: boolean };

function rig(settings: Partial<BondSettings> = {}, names = ["p1", "p2"]) {
  const clock = new ManualClock();
  const bond = new Bond<TestPort>(clock, quiet, { ...SETTINGS, ...settings }, 7, () => {});
  const ports = names.map((name, i) => {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, i + 1);
    return { name, ofport: i + 1, dpPort: i + 1, linkUp: true, mac } as unknown as TestPort;
  });
  for (const port of ports) {
    bond.register(port);
    bond.setMayEnable(port, true);
  }
  bond.run("off");
  return { clock, bond, ports };
}

function keyFrom(mac: number, port = 0): FlowKey {
  const key = new FlowKey();
  key.setBig(FIELDS.eth_src, BigInt(mac));
  key.set(FIELDS.eth_type, 0x0800);
  key.set(FIELDS.nw_proto, 6);
  key.set(FIELDS.tcp_dst, port);
  return key;
}

const sends = (bond: Bond<TestPort>, key: FlowKey): string | undefined =>
  bond.choose(key, undefined, 0)?.port.name;

describe("an active-backup bond", () => {
  test("sends and receives by one member, and by another when that goes", () => {
    const { bond, ports: [p1, p2] } = rig();
    expect(sends(bond, keyFrom(1))).toBe("p1");
    expect([bond.admits(p1!, false), bond.admits(p2!, false)]).toEqual(["accept", "drop"]);
    p1!.linkUp = false;
    expect(bond.run("off")).toBe(true);
    expect(sends(bond, keyFrom(1))).toBe("p2");
    expect([bond.shouldAnnounce(), bond.shouldAnnounce()]).toEqual([true, false]);
    // It stays with what works, unless another is preferred.
    p1!.linkUp = true;
    bond.run("off");
    expect(sends(bond, keyFrom(1))).toBe("p2");
    expect(bond.configure({ ...SETTINGS, primary: "p1" })).toBe(true);
    bond.register(p1!);
    bond.run("off");
    expect(sends(bond, keyFrom(1))).toBe("p1");
  });

  test("waits for updelay and downdelay, and not when nobody else is there", () => {
    const { bond, clock, ports: [p1, p2] } = rig({ updelayMs: 500, downdelayMs: 300 });
    p1!.linkUp = false;
    bond.run("off");
    expect([sends(bond, keyFrom(1)), bond.nextMs - clock.now()]).toEqual(["p1", 300]);
    clock.advance(300);
    bond.run("off");
    expect(sends(bond, keyFrom(1))).toBe("p2");
    p1!.linkUp = true;
    bond.run("off");
    expect(bond.members.get(p1!)!.enabled).toBe(false);
    p2!.linkUp = false;
    bond.run("off");
    clock.advance(300);
    bond.run("off");
    expect(sends(bond, keyFrom(1))).toBe("p1");
  });

  test("drops everything without members", () => {
    const { bond, ports } = rig();
    for (const port of ports) bond.unregister(port);
    bond.run("off");
    expect(bond.choose(keyFrom(1), undefined, 0)).toBeUndefined();
    expect(bond.activeMac).toBeUndefined();
  });
});

describe("a balance-slb bond", () => {
  test("sends each source by one member, all members having some", () => {
    const { bond } = rig({ mode: "balance-slb" }, ["p1", "p2", "p3"]);
    const counts = new Map<string, number>();
    for (let mac = 0; mac < 300; mac++) {
      const first = sends(bond, keyFrom(mac))!;
      expect(sends(bond, keyFrom(mac, 80))).toBe(first);
      counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    expect([...counts.values()].every((count) => count > 50)).toBe(true);
    const mask = new FlowKey();
    bond.choose(keyFrom(1), mask, 0);
    expect(mask.getBig(FIELDS.eth_src)).toBe(0xffffffffffffn);
  });

  test("takes multicast by one member, everything else unless it moved", () => {
    const { bond, ports: [p1, p2] } = rig({ mode: "balance-slb" });
    expect([bond.admits(p1!, true), bond.admits(p2!, true)]).toEqual(["drop if moved", "drop"]);
    expect(bond.admits(p2!, false)).toBe("drop if moved");
    bond.configure({ ...SETTINGS, mode: "balance-slb", allMembersActive: true });
    expect(bond.admits(p2!, true)).toBe("drop if moved");
  });

  test("moves load from the member that sends most", () => {
    const { bond, clock, ports: [p1] } = rig({ mode: "balance-slb" });
    for (const bucket of bond.buckets!) bucket.member = bond.members.get(p1!);
    for (let i = 0; i < 16; i++) bond.account(i, 1_000_000);
    bond.rebalance();
    expect(bond.buckets!.every(({ member }) => member?.port === p1)).toBe(true);
    clock.advance(10_000);
    bond.rebalance();
    const moved = bond.buckets!.slice(0, 16).filter(({ member }) => member?.port !== p1);
    expect(moved.length).toBe(8);
    expect(bond.run("off")).toBe(true);
    expect(bond.buckets![0]!.bytes).toBe(500_000);
  });

  test("hashes addresses as Open vSwitch's bond/hash does", () => {
    // ovs-appctl bond/hash 12:34:56:78:9a:bc [vlan [basis]] of the portable build.
    const mac = Uint8Array.of(0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc);
    const hashes = [
      hashAddress(mac, 0, 0, 0),
      hashAddress(mac, 0, 5, 0),
      hashAddress(mac, 0, 5, 9),
    ];
    expect(hashes.map((hash) => hash % 256)).toEqual(HASHES);
  });
});

const HASHES = [177, 139, 109];

describe("a balance-tcp bond", () => {
  test("needs a partner, and has the datapath hash", () => {
    const { bond, ports: [p1] } = rig({ mode: "balance-tcp" });
    expect([sends(bond, keyFrom(1)), bond.admits(p1!, false)]).toEqual([undefined, "drop"]);
    bond.run("negotiated");
    expect(bond.recirculation).toEqual({ id: 7, basis: 0 });
    const used = new Set(Array.from({ length: 64 }, (_, i) => sends(bond, keyFrom(1, i))));
    expect([...used].sort()).toEqual(["p1", "p2"]);
    expect(bond.buckets!.every(({ member }) => member !== undefined)).toBe(true);
  });

  test("is active-backup when LACP fails and it may fall back", () => {
    const { bond, ports: [p1, p2] } = rig({ mode: "balance-tcp", lacpFallback: true });
    bond.run("negotiated");
    expect(bond.recirculation).toBeDefined();
    bond.run("configured");
    expect([bond.recirculation, bond.buckets]).toEqual([undefined, undefined]);
    expect([bond.admits(p1!, false), bond.admits(p2!, false)]).toEqual(["accept", "drop"]);
    bond.run("negotiated");
    expect(bond.buckets).toHaveLength(256);
  });
});

describe("rebalancing", () => {
  const member = (name: string) => ({ port: { name }, enabled: true });

  test("leaves small differences and single loads alone", () => {
    const a = member("a");
    const b = member("b");
    const single = [{ member: a, bytes: 9_000_000 }, { member: a, bytes: 0 }];
    expect(rebalance("x", single, [a, b], quiet)).toBe(false);
    const small = [{ member: a, bytes: 40_000 }, { member: a, bytes: 50_000 }];
    expect(rebalance("x", small, [a, b], quiet)).toBe(false);
  });

  test("never gives a disabled member anything", () => {
    const a = member("a");
    const off = { ...member("b"), enabled: false };
    const buckets = [{ member: a, bytes: 9_000_000 }, { member: a, bytes: 9_000_000 }];
    expect(rebalance<typeof a>("x", buckets, [a, off], quiet)).toBe(false);
  });
});

test("a learning packet is a reverse ARP request of the station", () => {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  expect(Buffer.from(learningPacket(mac, 0)).toString("hex")).toBe(
    "ffffffffffff0200000000098035000108000604000302000000000900000000" + "02000000000900000000",
  );
  expect(Buffer.from(learningPacket(mac, 5).subarray(12, 18)).toString("hex")).toBe("810000058035");
});

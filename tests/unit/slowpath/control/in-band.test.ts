/** Hidden rules that keep the way to controllers open. */
import { describe, expect, test } from "bun:test";
import { formatMatch } from "../../../../src/openflow/text/match.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { InBand, remoteOf } from "../../../../src/slowpath/control/in-band.ts";
import { FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const REMOTE = { address: 0x0a000001, port: 6653 };
const EVERYTHING = {
  table: 0xff,
  match: anyMatch(),
  outPort: 0xffff,
  outGroup: 0xffffffff,
  cookie: 0n,
  cookieMask: 0n,
};

function rig() {
  const clock = new ManualClock();
  const tables = new FlowTables(clock);
  const hops = new Map<number, Uint8Array>();
  const inBand = new InBand(tables, clock, (address) => hops.get(address));
  const rules = () =>
    [...tables.select(EVERYTHING, true)]
      .map((rule) => `${rule.priority} ${formatMatch(rule.match())}`).sort();
  return { tables, inBand, rules, clock, hops };
}

describe("in-band control", () => {
  test("lets DHCP, ARP and the controllers' TCP through, seen by nobody", () => {
    const { tables, inBand, rules } = rig();
    inBand.configure({ remotes: [REMOTE], queue: undefined }, MAC);
    expect(rules()).toEqual([
      "180000 udp,in_port=LOCAL,dl_src=02:00:00:00:00:01,tp_src=68,tp_dst=67",
      "180001 arp,dl_dst=02:00:00:00:00:01,arp_op=2",
      "180002 arp,dl_src=02:00:00:00:00:01,arp_op=1",
      "180005 arp,arp_tpa=10.0.0.1,arp_op=2",
      "180006 arp,arp_spa=10.0.0.1,arp_op=1",
      "180007 tcp,nw_dst=10.0.0.1,tp_dst=6653",
      "180008 tcp,nw_src=10.0.0.1,tp_src=6653",
    ]);
    expect([...tables.select(EVERYTHING)]).toEqual([]);
    inBand.configure({ remotes: [], queue: undefined }, MAC);
    expect(rules()).toEqual([]);
  });

  test("lets the ARP of the next hop through, as soon as its address is known", () => {
    const { inBand, rules, clock, hops } = rig();
    inBand.configure({ remotes: [REMOTE], queue: undefined }, MAC);
    expect(inBand.isOn).toBe(true);
    const before = rules();
    hops.set(REMOTE.address, Uint8Array.of(2, 0, 0, 0, 0, 9));
    clock.advance(1000);
    const added = rules().filter((rule) => !before.includes(rule));
    expect(added).toEqual([
      "180003 arp,dl_dst=02:00:00:00:00:09,arp_op=2",
      "180004 arp,dl_src=02:00:00:00:00:09,arp_op=1",
    ]);
    hops.clear();
    clock.advance(9999);
    expect(rules().length).toBe(9);
    clock.advance(1);
    expect(rules()).toEqual(before);
    inBand.configure({ remotes: [], queue: undefined }, MAC);
    expect(inBand.isOn).toBe(false);
    clock.advance(60_000);
    expect(rules()).toEqual([]);
  });

  test("two controllers on one host have its ARP in common", () => {
    const { inBand, rules } = rig();
    inBand.configure({ remotes: [REMOTE, { ...REMOTE, port: 6654 }], queue: undefined }, MAC);
    expect(rules().length).toBe(9);
    expect(new Set(rules()).size).toBe(9);
  });

  test("comes back when the tables are emptied, and ends with the bridge", async () => {
    const { tables, inBand, rules } = rig();
    inBand.configure({ remotes: [REMOTE], queue: 3 }, MAC);
    const before = rules();
    expect([...tables.select(EVERYTHING, true)][0]!.actions[0]).toEqual({
      type: "set_queue",
      queue: 3,
    });
    tables.flush();
    await Promise.resolve();
    expect(rules()).toEqual(before);
    inBand.close();
    tables.flush();
    await Promise.resolve();
    expect(rules()).toEqual([]);
  });

  test("is for IPv4 addresses that this side connects to", () => {
    expect(remoteOf({ kind: "ssl", host: "10.0.0.1", port: 6653 })).toEqual(REMOTE);
    expect(remoteOf({ kind: "tcp", host: "::1", port: 6653 })).toBeUndefined();
    expect(remoteOf({ kind: "tcp", host: "10.0.0.256", port: 1 })).toBeUndefined();
    expect(remoteOf({ kind: "ptcp", host: "10.0.0.1", port: 6653 })).toBeUndefined();
    expect(remoteOf({ kind: "unix", path: "x" })).toBeUndefined();
  });
});

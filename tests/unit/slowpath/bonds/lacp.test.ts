import { describe, expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { Lacp } from "../../../../src/slowpath/bonds/lacp.ts";
import {
  LACP_STATE,
  lacpFrame,
  type LacpInfo,
  parseLacpFrame,
} from "../../../../src/slowpath/bonds/lacp-pdu.ts";
import { showLacp } from "../../../../src/slowpath/bonds/lacp-text.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";

const quiet = new LogSink(() => {}, "off").logger("lacp");

interface Port {
  readonly name: string;
}

/** Two systems with links between them, each of which can be cut. */
class Pair {
  readonly clock = new ManualClock();
  readonly ends = [this.end("a", 1), this.end("b", 2)] as const;
  readonly cut = new Set<string>();
  sent = 0;

  constructor(readonly links: readonly string[], active: readonly [boolean, boolean]) {
    for (const [i, { lacp, ports }] of this.ends.entries()) {
      lacp.configure({
        name: `bond${i}`,
        active: active[i]!,
        systemId: Uint8Array.of(2, 0, 0, 0, 0, i + 1),
        systemPriority: 65534,
        fast: true,
        fallback: false,
      });
      for (const [n, name] of links.entries()) {
        const port = { name };
        ports.set(name, port);
        lacp.register(port, { name, portId: n + 1, portPriority: 65535, key: 0 });
        lacp.carrierSeen(port);
      }
    }
  }

  private end(_name: string, _id: number) {
    return { lacp: new Lacp<Port>(this.clock, quiet), ports: new Map<string, Port>() };
  }

  /** Lets both run until nothing happens any more. */
  settle(): void {
    for (let turn = 0; turn < 20; turn++) {
      const before = this.sent;
      for (const [i, { lacp }] of this.ends.entries()) {
        const other = this.ends[1 - i]!;
        lacp.run((port, actor, partner) => {
          this.sent++;
          if (this.cut.has(port.name)) return;
          const frame = lacpFrame(Uint8Array.of(2, 0, 0, 0, 9, i), actor, partner);
          other.lacp.receive(other.ports.get(port.name)!, parseLacpFrame(frame));
        });
      }
      if (this.sent === before) return;
    }
    throw new Error("the two never agree");
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(100);
      this.settle();
    }
  }

  may(end: 0 | 1, link: string): boolean {
    const { lacp, ports } = this.ends[end];
    return lacp.mayEnable(ports.get(link)!);
  }
}

describe("LACP", () => {
  test("two active ends agree at once", () => {
    const pair = new Pair(["x", "y"], [true, true]);
    pair.settle();
    for (const { lacp } of pair.ends) expect(lacp.status).toBe("negotiated");
    expect([pair.may(0, "x"), pair.may(1, "x"), pair.may(0, "y")]).toEqual([true, true, true]);
  });

  test("a passive end answers, two passive ends never talk", () => {
    const one = new Pair(["x"], [true, false]);
    one.settle();
    expect(one.may(1, "x")).toBe(true);
    const none = new Pair(["x"], [false, false]);
    none.pass(5000);
    expect(none.sent).toBe(0);
    expect(none.ends[0].lacp.status).toBe("configured");
  });

  test("a silent link is expired after three periods, defaulted three seconds later, and comes back", () => {
    const pair = new Pair(["x", "y"], [true, true]);
    pair.settle();
    pair.cut.add("x");
    const { lacp, ports } = pair.ends[0];
    const member = lacp.members.get(ports.get("x")!)!;
    pair.pass(2900);
    expect(member.status).toBe("current");
    pair.pass(1100);
    expect([member.status, pair.may(0, "x"), pair.may(0, "y")]).toEqual(["expired", false, true]);
    pair.pass(3100);
    expect([member.status, lacp.isCurrent(ports.get("x")!)]).toEqual(["defaulted", false]);
    expect([member.counters.expired, member.counters.defaulted]).toEqual([1, 1]);
    pair.cut.delete("x");
    pair.pass(30_100);
    expect([member.status, pair.may(0, "x")]).toEqual(["current", true]);
  });

  test("sends every second to who asked for it, and says when it wants to", () => {
    const pair = new Pair(["x"], [true, true]);
    pair.settle();
    const before = pair.sent;
    pair.pass(10_000);
    expect(pair.sent - before).toBeGreaterThanOrEqual(18);
    expect(pair.sent - before).toBeLessThanOrEqual(22);
    expect(pair.ends[0].lacp.nextMs).toBeLessThanOrEqual(pair.clock.now() + 1000);
  });

  test("a link whose other end is another system stays out", () => {
    const pair = new Pair(["x", "y"], [true, true]);
    pair.settle();
    const { lacp, ports } = pair.ends[0];
    const stranger: LacpInfo = {
      systemPriority: 65535,
      systemId: Uint8Array.of(2, 0, 0, 0, 0, 9),
      key: 5,
      portPriority: 1,
      portId: 1,
      state: LACP_STATE.ACTIVITY | LACP_STATE.SYNCHRONIZED,
    };
    lacp.receive(ports.get("y")!, { type: "lacp", actor: stranger, partner: stranger });
    lacp.run(() => {});
    expect([pair.may(0, "x"), pair.may(0, "y")]).toEqual([true, false]);
  });

  test("a link to itself is refused", () => {
    const pair = new Pair(["x"], [true, true]);
    const { lacp, ports } = pair.ends[0];
    const actor = lacp.actorOf(lacp.members.get(ports.get("x")!)!);
    lacp.receive(ports.get("x")!, { type: "lacp", actor, partner: actor });
    lacp.run(() => {});
    expect(lacp.mayEnable(ports.get("x")!)).toBe(false);
  });

  test("without a partner, fallback lets all be used", () => {
    const pair = new Pair(["x"], [false, false]);
    const { lacp, ports } = pair.ends[0];
    const { name, active, systemId, systemPriority, fast } = lacp;
    lacp.configure({ name, active, systemId, systemPriority, fast, fallback: true });
    lacp.run(() => {});
    expect([lacp.status, lacp.mayEnable(ports.get("x")!)]).toEqual(["configured", true]);
  });

  test("prints what Open vSwitch prints", () => {
    const pair = new Pair(["x"], [true, true]);
    pair.settle();
    expect(showLacp(pair.ends[0].lacp)).toBe(`---- bond0 ----
  status: active negotiated
  sys_id: 02:00:00:00:00:01
  sys_priority: 65534
  aggregation key: 1
  lacp_time: fast

member: x: current attached
  port_id: 1
  port_priority: 65535
  may_enable: true

  actor sys_id: 02:00:00:00:00:01
  actor sys_priority: 65534
  actor port_id: 1
  actor port_priority: 65535
  actor key: 1
  actor state: activity timeout synchronized collecting distributing

  partner sys_id: 02:00:00:00:00:02
  partner sys_priority: 65534
  partner port_id: 1
  partner port_priority: 65535
  partner key: 1
  partner state: activity timeout synchronized collecting distributing
`);
  });
});

describe("LACP messages", () => {
  const info: LacpInfo = {
    systemPriority: 1,
    systemId: Uint8Array.of(2, 3, 4, 5, 6, 7),
    key: 0x0809,
    portPriority: 0x0a0b,
    portId: 0x0c0d,
    state: 0x3f,
  };
  const frame = lacpFrame(new Uint8Array(6), info, { ...info, key: 7 });

  test("are read as they were written, tagged too", () => {
    const message = { type: "lacp", actor: info, partner: { ...info, key: 7 } } as const;
    expect(frame.length).toBe(124);
    expect(parseLacpFrame(frame)).toEqual(message);
    const tag = Uint8Array.of(0x81, 0, 0, 5);
    const tagged = Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]);
    expect(parseLacpFrame(tagged)).toEqual(message);
  });

  test("cut short or damaged are bad", () => {
    for (let length = 0; length < frame.length; length++) {
      expect(parseLacpFrame(frame.subarray(0, length)).type).toBe("bad");
    }
    for (const at of [14, 16, 17, 36, 37]) {
      const damaged = Uint8Array.from(frame);
      damaged[at] = 99;
      expect(parseLacpFrame(damaged).type).toBe("bad");
    }
    const marker = Uint8Array.from(frame);
    marker[14] = 2;
    expect(parseLacpFrame(marker).type).toBe("marker");
  });
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Row } from "../../../../src/db/replica.ts";
import { LogSink } from "../../../../src/log/log.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Cfm, describeCfm, faultText } from "../../../../src/slowpath/liveness/cfm.ts";
import { cfmSettings } from "../../../../src/slowpath/liveness/cfm-settings.ts";
import { ccmFrame, ownMaid, parseCcmFrame } from "../../../../src/slowpath/liveness/ccm.ts";

const quiet = new LogSink(() => {}, "off").logger("cfm");
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const STEP_MS = 50;

function settings(mpid: number, config: Record<string, string> = {}, said: string[] = []) {
  const row = {
    name: "p1",
    cfm_mpid: mpid,
    other_config: new Map(Object.entries(config)),
    options: new Map(),
  };
  return cfmSettings(row as unknown as Row<"Interface">, (text) => said.push(text));
}

/** Ends of one wire, each of which hears all others. */
class Wire {
  readonly clock = new ManualClock();
  readonly rxPackets: number[];
  readonly cut = new Set<number>();
  readonly ends: Cfm[];

  constructor(...configs: readonly [number, Record<string, string>?][]) {
    this.rxPackets = configs.map(() => 0);
    this.ends = configs.map(([mpid, config], n) =>
      new Cfm(`p${n}`, settings(mpid, config)!, {
        clock: this.clock,
        log: quiet,
        rxPackets: () => this.rxPackets[n]!,
        changed: () => {},
        random: () => 0.5,
      })
    );
  }

  run(ms: number, each: () => void = () => {}): void {
    for (let gone = 0; gone < ms; gone += STEP_MS) {
      this.clock.advance(STEP_MS);
      each();
      for (const [n, end] of this.ends.entries()) {
        const frame = end.due(MAC);
        if (frame && !this.cut.has(n)) {
          for (const [other, to] of this.ends.entries()) if (other !== n) to.receive(frame);
        }
        end.run();
      }
    }
  }

  get faults(): string[] {
    return this.ends.map(({ faults }) => faultText(faults));
  }
}

describe("CFM", () => {
  test("two ends hear each other; one that is not heard is a fault at the other, which says so", () => {
    const wire = new Wire([1], [2]);
    wire.run(25_000);
    expect(wire.faults).toEqual(["", ""]);
    expect(wire.ends.map(({ heard }) => heard)).toEqual([[2n], [1n]]);
    expect(wire.ends[0]!.health).toBe(100);
    wire.cut.add(0);
    wire.run(12_000);
    expect(wire.faults).toEqual(["rdi", "recv"]);
    expect(wire.ends[0]!.flaps).toBe(1);
    wire.cut.clear();
    wire.run(12_000);
    expect(wire.faults).toEqual(["", ""]);
    expect(wire.ends[0]!.flaps).toBe(2);
  });

  test("an end with our own number is a loop", () => {
    const wire = new Wire([1], [1]);
    wire.run(8000);
    expect(wire.faults).toEqual(["loopback", "loopback"]);
  });

  test("extended mode: any interval, long numbers, and ends out of operation", () => {
    const extended = { cfm_extended: "true", cfm_interval: "250" };
    const wire = new Wire([1, extended], [99_999, { ...extended, cfm_opstate: "down" }]);
    wire.run(3000);
    expect(wire.faults).toEqual(["", ""]);
    expect(wire.ends[0]!.heard).toEqual([99_999n]);
    expect(wire.ends.map(({ remoteState }) => remoteState)).toEqual(["down", "up"]);
    expect(wire.ends.map(({ isUp }) => isUp)).toEqual([false, true]);
    expect(describeCfm(wire.ends[0]!, wire.clock.now())).toContain(
      "MPID 1: extended\n  average health: ",
    );
  });

  test("demand mode: packets that come in do for messages", () => {
    const demand = { cfm_extended: "true", cfm_interval: "300", cfm_demand: "true" };
    const wire = new Wire([1, demand], [2, demand]);
    wire.run(6000);
    wire.cut.add(1);
    wire.run(6000, () => wire.rxPackets[0]!++);
    expect(wire.faults[0]).toBe("");
    wire.run(6000);
    expect(wire.faults[0]).toBe("recv");
  });

  test("health is the share of messages that came", () => {
    const wire = new Wire([1], [2]);
    let n = 0;
    wire.run(60_000, () => {
      if (++n % 40 === 0) wire.cut.add(1);
      else if (n % 20 === 0) wire.cut.delete(1);
    });
    expect(wire.ends[0]!.health).toBeGreaterThan(20);
    expect(wire.ends[0]!.health).toBeLessThan(80);
  });

  test("by hand", () => {
    const wire = new Wire([1], [2]);
    wire.ends[0]!.setFault(true);
    expect(wire.faults[0]).toBe("override");
    expect(wire.ends[0]!.isUp).toBe(false);
    wire.ends[0]!.setFault(undefined);
    expect(wire.faults[0]).toBe("");
  });
});

describe("CCM", () => {
  const ccm = {
    opcode: 1,
    interval: 4,
    rdi: true,
    sequence: 5,
    mpid: 7,
    maid: ownMaid(),
    intervalMs: 0,
    longMpid: 0n,
    isDown: false,
  };
  const addresses = { src: MAC, dst: Uint8Array.of(1, 0x80, 0xc2, 0, 0, 0x30) };

  test("on the wire", () => {
    const frame = ccmFrame({ ...addresses, tci: 0 }, ccm);
    expect(frame.toHex()).toBe(
      "0180c2000030" + "020000000001" + "8902" + "00018446" + "00000005" + "0007" +
        ("04036f7673" + "02036f7673").padEnd(96, "0") + "00".repeat(17),
    );
    expect(parseCcmFrame(frame)).toEqual(ccm);
    expect(parseCcmFrame(ccmFrame({ ...addresses, tci: 0x6005 }, ccm))).toEqual(ccm);
    expect(parseCcmFrame(frame.subarray(0, 87))).toBeUndefined();
  });

  test("another association, other messages and any bytes harm nobody", () => {
    const wire = new Wire([1], [2]);
    const [end] = wire.ends;
    end!.receive(ccmFrame({ ...addresses, tci: 0 }, { ...ccm, maid: new Uint8Array(48) }));
    wire.run(4000);
    expect(wire.faults[0]).toBe("maid");
    const frame = ccmFrame({ ...addresses, tci: 0 }, ccm);
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat({ max: frame.length - 1 }), fc.nat({ max: 255 }))),
      fc.nat({ max: frame.length }),
      (changes, length) => {
        const hostile = Uint8Array.from(frame);
        for (const [at, value] of changes) hostile[at] = value;
        end!.receive(hostile.subarray(0, length));
      },
    ));
  });

  test("of too many ends those that come later are not kept", () => {
    const wire = new Wire([1], [2]);
    const [end] = wire.ends;
    for (let mpid = 10; mpid < 400; mpid++) {
      end!.receive(ccmFrame({ ...addresses, tci: 0 }, { ...ccm, rdi: false, mpid }));
    }
    expect(end!.remotes.size).toBe(256);
    wire.run(4000);
    expect(wire.faults[0]).toBe("overflow");
  });
});

test("settings are taken as Open vSwitch takes them", () => {
  expect(settings(1)).toMatchObject({ interval: 4, intervalMs: 1000, up: true, vlan: 0 });
  expect(settings(1, { cfm_interval: "250" })).toMatchObject({ interval: 3, intervalMs: 100 });
  expect(settings(1, { cfm_interval: "250", cfm_extended: "true" })).toMatchObject({
    interval: 0,
    intervalMs: 250,
  });
  expect(settings(1, { cfm_ccm_vlan: "random", cfm_ccm_pcp: "9" })).toMatchObject({
    vlan: "random",
    priority: 1,
  });
  const said: string[] = [];
  expect(settings(9000, {}, said)).toBeUndefined();
  expect(said).toHaveLength(1);
  expect(settings(1, { cfm_interval: "1 s" }, said)?.intervalMs).toBe(1000);
  expect(said[1]).toBe('p1: other_config:cfm_interval="1 s" is no number and is ignored');
});

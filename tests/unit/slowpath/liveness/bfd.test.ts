import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LogSink } from "../../../../src/log/log.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Bfd, bfdStatus } from "../../../../src/slowpath/liveness/bfd.ts";
import {
  BFD_FLAG,
  bfdFrame,
  parseBfdFrame,
} from "../../../../src/slowpath/liveness/bfd-message.ts";
import { bfdSettings } from "../../../../src/slowpath/liveness/bfd-settings.ts";
import { describeBfd } from "../../../../src/slowpath/liveness/bfd-text.ts";

const quiet = new LogSink(() => {}, "off").logger("bfd");
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const STEP_MS = 10;

function settings(config: Record<string, string> = {}) {
  const map = new Map(Object.entries({ enable: "true", ...config }));
  return bfdSettings("p1", map, () => {})!;
}

/** Two ends of a wire that can be cut, one way or both. */
class Wire {
  readonly clock = new ManualClock();
  readonly rxPackets = [0, 0];
  readonly cut = new Set<number>();
  readonly ends: [Bfd, Bfd];

  constructor(a: Record<string, string> = {}, b: Record<string, string> = {}) {
    this.ends = [this.end(0, a), this.end(1, b)];
  }

  private end(n: number, config: Record<string, string>): Bfd {
    return new Bfd(`p${n}`, 100 + n, 49152 + n, settings(config), {
      clock: this.clock,
      log: quiet,
      rxPackets: () => this.rxPackets[n]!,
      changed: () => {},
      random: () => 0.5,
    });
  }

  run(ms: number, each: () => void = () => {}): void {
    for (let gone = 0; gone < ms; gone += STEP_MS) {
      this.clock.advance(STEP_MS);
      each();
      for (const [n, end] of this.ends.entries()) {
        const frame = end.due(MAC);
        end.run();
        if (!frame || this.cut.has(n)) continue;
        this.rxPackets[1 - n]!++;
        this.ends[1 - n]!.receive(frame);
      }
    }
  }

  get states(): string[] {
    return this.ends.map(({ state }) => state);
  }
}

describe("BFD", () => {
  test("two ends find each other, and miss each other when the wire is cut", () => {
    const wire = new Wire();
    expect(wire.ends.map(({ forwarding }) => forwarding)).toEqual([false, false]);
    wire.run(4000);
    expect(wire.states).toEqual(["up", "up"]);
    expect(bfdStatus(wire.ends[0])).toEqual(
      new Map([
        ["forwarding", "true"],
        ["state", "up"],
        ["diagnostic", "No Diagnostic"],
        ["flap_count", "1"],
        ["remote_state", "up"],
        ["remote_diagnostic", "No Diagnostic"],
      ]),
    );
    wire.cut.add(0).add(1);
    // Three of the neighbour's intervals, which is a second as nobody asked for less.
    wire.run(2000);
    expect(wire.states).toEqual(["up", "up"]);
    wire.run(1500);
    expect(wire.states).toEqual(["down", "down"]);
    expect(bfdStatus(wire.ends[1]).get("diagnostic")).toBe("Control Detection Time Expired");
    wire.cut.clear();
    wire.run(4000);
    expect(wire.states).toEqual(["up", "up"]);
    expect(bfdStatus(wire.ends[0]).get("flap_count")).toBe("3");
  });

  test("a wire that is cut one way is down at both ends", () => {
    const wire = new Wire();
    wire.run(4000);
    wire.cut.add(0);
    wire.run(8000);
    expect(wire.states).toEqual(["init", "down"]);
    expect(bfdStatus(wire.ends[0]).get("diagnostic")).toBe("Neighbor Signaled Session Down");
    expect(wire.ends.map(({ forwarding }) => forwarding)).toEqual([false, false]);
  });

  test("intervals are agreed upon, also anew, without the session going down", () => {
    const wire = new Wire({ min_rx: "100" }, { min_tx: "300", min_rx: "200" });
    wire.run(4000);
    const [a, b] = wire.ends;
    expect([a.txIntervalMs, a.rxIntervalMs]).toEqual([200, 300]);
    expect([b.txIntervalMs, b.rxIntervalMs]).toEqual([300, 200]);
    b.configure(settings({ min_tx: "50", min_rx: "70" }));
    wire.run(2000);
    expect([a.txIntervalMs, a.rxIntervalMs]).toEqual([100, 100]);
    expect(a.polls || b.polls).toBe(false);
    expect(bfdStatus(a).get("flap_count")).toBe("1");
  });

  test("an end that says that all behind it is broken gets nothing", () => {
    const wire = new Wire({ cpath_down: "true" });
    wire.run(4000);
    expect(wire.states).toEqual(["up", "up"]);
    expect(wire.ends.map(({ forwarding }) => forwarding)).toEqual([true, false]);
    expect(bfdStatus(wire.ends[1]).get("remote_diagnostic")).toBe("Concatenated Path Down");
  });

  test("an idle session asks for fewer messages, until something comes in", () => {
    const wire = new Wire({ min_rx: "300", decay_min_rx: "2000" }, { min_tx: "100" });
    wire.run(10_000);
    expect(wire.ends[0].rxIntervalMs).toBe(2000);
    wire.run(10_000, () => wire.rxPackets[0]! += 5);
    expect(wire.ends[0].rxIntervalMs).toBe(300);
    expect(bfdStatus(wire.ends[0]).get("flap_count")).toBe("1");
  });

  test("packets that come in keep it forwarding, as long as messages come now and then", () => {
    const wire = new Wire({ min_rx: "100", forwarding_if_rx: "true" }, { min_tx: "100" });
    wire.run(4000);
    wire.cut.add(1);
    wire.run(4000, () => wire.ends[0].received());
    expect([wire.ends[0].state, wire.ends[0].forwarding]).toEqual(["down", true]);
    // A hundred intervals without a message.
    wire.run(10_000, () => wire.ends[0].received());
    expect(wire.ends[0].forwarding).toBe(false);
  });

  test("by hand it forwards or does not, whatever comes in", () => {
    const wire = new Wire();
    wire.ends[0].setForwarding(true);
    expect(wire.ends[0].forwarding).toBe(true);
    wire.run(4000);
    wire.ends[0].setForwarding(false);
    expect([wire.ends[0].forwarding, wire.ends[0].state]).toEqual([false, "up"]);
    wire.ends[0].setForwarding(undefined);
    expect(wire.ends[0].forwarding).toBe(true);
    expect(describeBfd(wire.ends[0], wire.clock.now())).toContain("  Local Session State: up\n");
  });
});

describe("BFD messages", () => {
  const message = {
    version: 1,
    diagnostic: 3,
    state: "init",
    flags: BFD_FLAG.POLL,
    multiplier: 3,
    lengthBytes: 24,
    myDiscriminator: 0xfedcba98,
    yourDiscriminator: 7,
    minTxUs: 100_000,
    minRxUs: 1_000_000,
    minEchoRxUs: 0,
  } as const;
  const frame = bfdFrame({
    ethSrc: MAC,
    ethDst: Uint8Array.of(0, 0x23, 0x20, 0, 0, 1),
    ipSrc: Uint8Array.of(169, 254, 1, 1),
    ipDst: Uint8Array.of(169, 254, 1, 0),
    udpSrc: 49152,
  }, message);

  test("on the wire", () => {
    expect(frame.toHex()).toBe(
      "002320000001" + "020000000001" + "0800" +
        "45c00034000000" + "00ff11" + "64fb" + "a9fe0101a9fe0100" +
        "c0000ec8" + "00200000" +
        "23a00318" + "fedcba98" + "00000007" + "000186a0" + "000f4240" + "00000000",
    );
    expect(parseBfdFrame(frame)).toEqual({ ttl: 255, payloadBytes: 24, message });
    const tagged = Uint8Array.of(...frame.subarray(0, 12), 0x81, 0, 0, 5, ...frame.subarray(12));
    expect(parseBfdFrame(tagged)?.message).toEqual(message);
  });

  test("short ones and any bytes harm nobody", () => {
    for (let length = 0; length < frame.length; length++) {
      expect(parseBfdFrame(frame.subarray(0, length))?.message).toBeUndefined();
    }
    const wire = new Wire();
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat({ max: frame.length - 1 }), fc.nat({ max: 255 }))),
      (changes) => {
        const hostile = Uint8Array.from(frame);
        for (const [at, value] of changes) hostile[at] = value;
        wire.ends[0].receive(hostile);
        wire.run(20);
      },
    ));
  });

  const REFUSED: readonly [string, Partial<Record<keyof typeof message, unknown>>][] = [
    ["another version", { version: 2 }],
    ["authentication", { flags: BFD_FLAG.AUTHENTICATION }],
    ["no multiplier", { multiplier: 0 }],
    ["a length that is none", { lengthBytes: 20 }],
    ["a length that is more than there is", { lengthBytes: 25 }],
    ["several points", { flags: BFD_FLAG.MULTIPOINT }],
    ["no discriminator of its own", { myDiscriminator: 0 }],
    ["somebody else's discriminator", { yourDiscriminator: 8 }],
    ["none of ours, though it is up", { yourDiscriminator: 0, state: "up" }],
  ];
  for (const [what, change] of REFUSED) {
    test(`${what} is refused`, () => {
      const [end] = new Wire().ends;
      const addresses = { ethSrc: MAC, ethDst: MAC, udpSrc: 1 };
      const ip = Uint8Array.of(1, 2, 3, 4);
      const good = { ...message, yourDiscriminator: 100, state: "init" as const };
      const made = { ...good, ...change } as typeof good;
      end.receive(bfdFrame({ ...addresses, ipSrc: ip, ipDst: ip }, made));
      expect(end.state).toBe("down");
      expect(end.remoteDiscriminator).toBe(0);
      const farther = bfdFrame({ ...addresses, ipSrc: ip, ipDst: ip }, good);
      farther[14 + 8] = 254;
      end.receive(farther);
      expect(end.state).toBe("down");
      end.receive(bfdFrame({ ...addresses, ipSrc: ip, ipDst: ip }, good));
      expect(end.state).toBe("up");
    });
  }
});

describe("BFD settings", () => {
  test("defaults and bounds are Open vSwitch's", () => {
    expect(settings()).toMatchObject({ multiplier: 3, minTxMs: 100, minRxMs: 1000 });
    expect(settings({ mult: "256", min_tx: "0", min_rx: "x" })).toMatchObject({
      multiplier: 3,
      minTxMs: 1,
      minRxMs: 1000,
    });
    expect(bfdSettings("p1", new Map([["min_tx", "5"]]), () => {})).toBeUndefined();
  });

  test("what cannot be is told of", () => {
    const said: string[] = [];
    const config = { enable: "true", bfd_src_ip: "1.2.3", min_rx: "500", decay_min_rx: "100" };
    const got = bfdSettings("p1", new Map(Object.entries(config)), (text) => said.push(text));
    expect(got).toMatchObject({ decayMinRxMs: 0, srcIp: undefined });
    expect(said).toEqual([
      "p1: decay_min_rx cannot be less than 500 ms",
      '"1.2.3" is not a valid IP address',
    ]);
    const more = { enable: "true", min_tx: "fast", bfd_local_src_mac: "02:00", mult: "5" };
    const used = bfdSettings("p1", new Map(Object.entries(more)), (text) => said.push(text));
    expect(used).toMatchObject({ minTxMs: 100, localSrcMac: undefined, multiplier: 5 });
    expect(said.slice(2)).toEqual([
      'p1: bfd:min_tx="fast" is no number, 100 is used',
      'p1: bfd:bfd_local_src_mac="02:00" is not a valid Ethernet address',
    ]);
  });
});

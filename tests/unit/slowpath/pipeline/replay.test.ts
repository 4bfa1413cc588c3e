/**
 * What is decided again without a translation is what a translation says: random tables, packets and
 * learned addresses.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Action, Subfield } from "../../../../src/openflow/actions/types.ts";
import { PORTS } from "../../../../src/openflow/version.ts";
import type { FieldName } from "../../../../src/packet/fields.ts";
import { FIELDS, slot } from "../../../../src/packet/layout.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Punts } from "../../../../src/slowpath/cache/punts.ts";
import { RecirculationIds } from "../../../../src/slowpath/cache/recirculation.ts";
import { References } from "../../../../src/slowpath/cache/references.ts";
import { Replays } from "../../../../src/slowpath/pipeline/replay.ts";
import { translate } from "../../../../src/slowpath/pipeline/translate.ts";
import { Scratch } from "../../../../src/slowpath/pipeline/xlate.ts";
import { type Fields, type FlowOptions, out, resubmit, set } from "./lab.ts";
import { build, describeEffect, packetKey, scene } from "./scenes.ts";

/** Parts that one packet may have from another and still be one. */
const PARTS = (["nw_src", "nw_dst", "nw_tos", "nw_ttl", "pkt_mark", "in_port"] as const).map(slot);
const TRANSPORT = (["tp_src", "tp_dst"] as const).map(slot);

/** `key` with some parts of `other`, by the bits of `which`. */
function mixed(key: FlowKey, other: FlowKey, which: number): FlowKey {
  const mix = key.clone();
  const alike = (["eth_type", "nw_proto", "ip_frag"] as const).every((name) =>
    key.get(FIELDS[name]) === other.get(FIELDS[name])
  );
  const parts = alike ? [...PARTS, ...TRANSPORT] : [];
  parts.forEach(({ offset, bytes }, i) => {
    if (which & (1 << i)) mix.bytes.set(other.bytes.subarray(offset, offset + bytes), offset);
  });
  return mix;
}

const IP = { eth_type: 0x800 };
const TCP = { ...IP, nw_proto: 6 };
const matches = fc.constantFrom<Fields>(
  {},
  IP,
  { ...IP, ip_src: 0x0a000001n },
  { ...IP, ip_dst: [0x0a000000n, 0xffff0000n] },
  { ...IP, ip_dst: 0x0a000002n },
  { ...IP, nw_ttl: 64 },
  { ...TCP, tcp_dst: 80 },
  { ...TCP, tcp_src: [1000n, 0xfffen] },
  { reg0: 0x0a000001n },
  { reg1: 80 },
  { reg1: [0n, 1n] },
  { pkt_mark: 1 },
);
const whole = (name: FieldName) => ({ field: FIELDS[name], start: 0, bits: FIELDS[name].bits });
const low = (name: FieldName, bits: number) => ({ field: FIELDS[name], start: 0, bits });
const move = (source: Subfield, destination: Subfield): Action => ({
  type: "move",
  source,
  destination,
});
const step = fc.constantFrom<Action>(
  move(whole("ip_src"), whole("reg0")),
  move(whole("ip_dst"), whole("reg0")),
  move(whole("tcp_src"), low("reg1", 16)),
  move(whole("tcp_dst"), low("reg1", 16)),
  move(whole("reg0"), whole("reg1")),
  move(whole("reg0"), whole("ip_dst")),
  move(whole("pkt_mark"), whole("reg1")),
  move(whole("nw_ttl"), low("reg0", 8)),
  set("ip_dst", 0x0a000002n),
  set("reg0", 0x0a000001n),
  set("reg1", 2n, 3n),
  set("tcp_dst", 80),
  set("pkt_mark", 1),
  { type: "output_reg", source: low("reg0", 2), maxLength: 0 },
  { type: "dec_ttl", controllerIds: [] },
  out(3),
);
/** Rules that lead to the next table, and to NORMAL from the last. */
const chain: fc.Arbitrary<FlowOptions> = fc.record({
  table: fc.constantFrom(0, 1, 2),
  priority: fc.nat({ max: 3 }),
  match: matches,
  steps: fc.array(step, { maxLength: 3 }),
  ends: fc.nat({ max: 5 }),
}).map(({ table, priority, match, steps, ends }) => ({
  table,
  priority,
  match,
  actions: [
    ...steps,
    ends === 0 ? out(2) : table === 2 ? out(PORTS.NORMAL) : resubmit(table + 1),
  ],
}));
const chained = fc.tuple(scene, fc.array(chain, { minLength: 6, maxLength: 14 })).map((
  [given, flows],
) => ({ ...given, patched: false, flows }));
const tcpKey = packetKey.filter((key) =>
  key.get(FIELDS.eth_type) === 0x800 && key.get(FIELDS.nw_proto) === 6 &&
  key.get(FIELDS.ip_frag) === 0
);

/** How many packets were decided upon without a translation, and how many were tried. */
function compare(scenes: typeof scene, keysOf: typeof packetKey, numRuns: number) {
  let used = 0;
  let tried = 0;
  fc.assert(
    fc.property(
      scenes,
      fc.array(keysOf, { minLength: 8, maxLength: 8 }),
      fc.array(fc.nat({ max: 255 }), { minLength: 8, maxLength: 8 }),
      (given, keys, parts) => {
        const bridge = build(given);
        const clock = new ManualClock();
        const references = new References(new Punts(clock), new RecirculationIds(clock));
        const replays = new Replays();
        const scratch = new Scratch();
        const mixes = keys.flatMap((key, i) =>
          parts.map((part, j) => mixed(key, keys[(i + j) % keys.length]!, part))
        );
        for (const key of [...keys, ...mixes]) {
          tried++;
          const again = translate({ bridge, key, ...references });
          const found = replays.find(bridge, key);
          if (!found) {
            translate({ bridge, key, ...references, scratch, replays });
            continue;
          }
          used++;
          expect(found.actions).toEqual(again.actions);
          expect(found.mask.words).toEqual(again.mask.words);
          expect(found.slow).toEqual(again.slow);
          expect(found.macs).toEqual(again.macs);
          expect(found.effects.map(describeEffect)).toEqual(again.effects.map(describeEffect));
        }
      },
    ),
    { numRuns },
  );
  expect(used).toBeGreaterThan(tried / 4);
  expect(used).toBeLessThan(tried);
}

/** A bridge with these rules, and what finds out whether a second packet needs a translation. */
function bridgeWith(...flows: readonly FlowOptions[]) {
  const bridge = build({
    flows: [],
    last: [],
    vlans: [{}, {}, {}, {}],
    learned: [],
    fragMode: "normal",
    patched: false,
  });
  for (const options of flows) bridge.add(options);
  const clock = new ManualClock();
  const references = new References(new Punts(clock), new RecirculationIds(clock));
  const replays = new Replays();
  return {
    replays,
    translate: (key: FlowKey) => translate({ bridge, key, ...references, replays }),
    isKnown: (key: FlowKey) => replays.find(bridge, key) !== undefined,
  };
}

function tcp(src: number, port: number): FlowKey {
  const key = new FlowKey();
  key.set(FIELDS.in_port, 1);
  key.set(FIELDS.eth_type, 0x800);
  key.set(FIELDS.nw_proto, 6);
  key.set(FIELDS.ip_src, src);
  key.set(FIELDS.tcp_src, port);
  return key;
}

describe("a decision is used again", () => {
  test("for packets that differ in what was copied and nobody looked at", () => {
    const t = bridgeWith({
      match: IP,
      actions: [
        move(whole("ip_src"), whole("reg0")),
        move(whole("tcp_src"), low("reg1", 16)),
        out(2),
      ],
    });
    t.translate(tcp(1, 1));
    const found = t.translate(tcp(2, 2));
    expect(t.isKnown(tcp(3, 3))).toBe(true);
    expect(found.mask.get(FIELDS.ip_src)).toBe(0xffffffff);
    const other = tcp(4, 4);
    other.set(FIELDS.in_port, 3);
    expect(t.isKnown(other)).toBe(false);
  });

  test("not when a rule matches the copy", () => {
    const t = bridgeWith(
      { match: IP, actions: [move(whole("ip_src"), whole("reg0")), resubmit(1)] },
      { table: 1, match: { reg0: 7 }, actions: [out(2)] },
    );
    t.translate(tcp(1, 1));
    expect(t.isKnown(tcp(1, 2))).toBe(true);
    expect(t.isKnown(tcp(7, 1))).toBe(false);
  });

  test("when rules look at what actions wrote", () => {
    const t = bridgeWith(
      { match: IP, actions: [set("reg0", 7), set("nw_ttl", 9), resubmit(1)] },
      { table: 1, match: { ...IP, reg0: 7, nw_ttl: 9 }, actions: [resubmit(2)] },
      { table: 2, match: { ...TCP, tcp_src: 80 }, actions: [out(2)] },
      { table: 2, priority: 1, actions: [out(3)] },
    );
    t.translate(tcp(1, 1));
    expect(t.isKnown(tcp(2, 2))).toBe(true);
    expect(t.isKnown(tcp(2, 80))).toBe(false);
    t.translate(tcp(2, 80));
    expect(t.isKnown(tcp(3, 80))).toBe(true);
    t.replays.clear();
    expect(t.isKnown(tcp(3, 80))).toBe(false);
  });

  test("not when there is something to be said of each packet", () => {
    // A revalidation says nothing itself.
    const refused = bridgeWith({ actions: [out(PORTS.NORMAL)] });
    const tagged = tcp(1, 1);
    tagged.set(FIELDS.eth_type, 0x8100);
    refused.translate(tcp(1, 1));
    refused.translate(tagged);
    expect([refused.isKnown(tcp(1, 1)), refused.isKnown(tagged)]).toEqual([true, false]);
    const truncating = bridgeWith({
      actions: [{ type: "output_trunc", port: 9, maxLength: 100 }, out(2)],
    });
    truncating.translate(tcp(1, 1));
    expect(truncating.isKnown(tcp(1, 1))).toBe(false);
  });

  test("not when it takes very many lookups", () => {
    const t = bridgeWith(
      { match: { ip_src: 1, ...IP }, actions: [...Array(200).fill(resubmit(1)), out(2)] },
      { match: { ip_src: 2, ...IP }, actions: [...Array(300).fill(resubmit(1)), out(2)] },
    );
    t.translate(tcp(1, 1));
    t.translate(tcp(2, 1));
    expect([t.isKnown(tcp(1, 2)), t.isKnown(tcp(2, 2))]).toEqual([true, false]);
  });
});

describe("decisions that are used again say what a translation says", () => {
  test("of all kinds of rules", () => compare(scene, packetKey, 60), 60_000);
  test("of rules that copy and rewrite", () => compare(chained, tcpKey, 100), 60_000);
});

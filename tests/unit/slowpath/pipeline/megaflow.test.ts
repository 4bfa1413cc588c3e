/**
 * The invariant on which the flow cache rests: packets that agree on the bits that a translation
 * looked at translate to the same thing. Random tables, packets and learned addresses.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FlowKey } from "../../../../src/packet/key.ts";
import { DP_KEY_WORDS, FIELDS } from "../../../../src/packet/layout.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Punts } from "../../../../src/slowpath/cache/punts.ts";
import { RecirculationIds } from "../../../../src/slowpath/cache/recirculation.ts";
import { References } from "../../../../src/slowpath/cache/references.ts";
import { translate } from "../../../../src/slowpath/pipeline/translate.ts";
import { withTags } from "../../../../src/slowpath/pipeline/wildcards.ts";
import { AT, build, describeEffect, packetKey, scene } from "./scenes.ts";

/** `other` with the looked-at bits of `key`, made a packet again; undefined where that cannot be. */
function agreeing(key: FlowKey, mask: FlowKey, other: FlowKey): FlowKey | undefined {
  const mixed = new FlowKey();
  for (let i = 0; i < DP_KEY_WORDS; i++) {
    mixed.words[i] = (key.words[i]! & mask.words[i]!) | (other.words[i]! & ~mask.words[i]!);
  }
  const tags = AT.map(({ tci }) => (mixed.bytes[tci]! & 0x10) !== 0);
  if (!tags[0]) tags[1] = false;
  AT.forEach(({ tci, tpid }, i) => {
    mixed.bytes.set(tags[i] ? [0x81, 0] : [0, 0], tpid);
    if (!tags[i]) mixed.bytes.set([0, 0], tci);
  });
  const type = mixed.get(FIELDS.eth_type);
  const proto = mixed.get(FIELDS.nw_proto);
  if ((type === 0x800 || type === 0x86dd) && mixed.get(FIELDS.ip_frag) === 3) {
    mixed.set(FIELDS.tcp_src, 0);
    mixed.set(FIELDS.tcp_dst, 0);
  } else if (proto === 1) {
    mixed.set(FIELDS.tcp_src, mixed.get(FIELDS.icmp_type));
    mixed.set(FIELDS.tcp_dst, mixed.get(FIELDS.icmp_code));
  }
  for (let i = 0; i < DP_KEY_WORDS; i++) {
    if (((mixed.words[i]! ^ key.words[i]!) & mask.words[i]!) !== 0) return undefined;
  }
  return mixed;
}

describe("megaflows", () => {
  test("packets that agree on the mask translate alike", () => {
    let compared = 0;
    fc.assert(
      fc.property(scene, packetKey, fc.array(packetKey, { minLength: 5, maxLength: 5 }), (
        given,
        key,
        others,
      ) => {
        const bridge = build(given);
        const clock = new ManualClock();
        const references = new References(new Punts(clock), new RecirculationIds(clock));
        const made = translate({ bridge, key, ...references });
        const installed = made.mask.clone();
        withTags(key, installed);
        // What revalidation has of the packet: the bits that were looked at, and zeros.
        const bare = new FlowKey();
        bare.words.forEach((_, i) => bare.words[i] = key.words[i]! & installed.words[i]!);
        const revalidated = translate({ bridge, key: bare, ...references });
        expect(revalidated.actions).toEqual(made.actions);
        expect(revalidated.mask.equals(made.mask)).toBe(true);
        for (const other of others) {
          // Another packet of the same kind, so that the mix is one that could be.
          if (other.get(FIELDS.eth_type) !== key.get(FIELDS.eth_type)) continue;
          const mixed = agreeing(key, installed, other);
          if (!mixed) continue;
          compared++;
          const again = translate({ bridge, key: mixed, ...references });
          expect(again.actions).toEqual(made.actions);
          expect(again.mask.equals(made.mask)).toBe(true);
          expect(again.error).toBe(made.error);
          expect(again.effects.map(describeEffect)).toEqual(made.effects.map(describeEffect));
        }
      }),
      { numRuns: 1500 },
    );
    expect(compared).toBeGreaterThan(500);
  }, 60_000);
});

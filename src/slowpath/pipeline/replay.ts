/**
 * Decisions that were made before. Packets of new flows mostly run through the same rules as those
 * before them: a translation notes on what it depended, and the next packet of which all of that holds
 * gets its actions and effects without being translated.
 *
 * What a translation depends on, besides tables, MACs and configuration:
 * - bits that it read by itself, outside of lookups: these must be the same (`Decision.bits`);
 * - what its lookups found: each is made again for the new packet, with the key as the actions before
 *   it left it, and must find the same rule. The bits that lookups look at are often different ones
 *   for the next packet, and go into its own mask;
 * - bits that were only copied into registers (`move`) that nobody looked at afterwards: they are
 *   looked at, so they are in the mask, but decide nothing.
 *
 * So the mask of the new packet is that of the bits read and copied, which is the same, and of its own
 * lookups. tests/unit/slowpath/pipeline/replay.test.ts compares with translations.
 *
 * Invariants
 * - A decision holds as long as a megaflow made of it would stay true without being looked at again:
 *   `clear` is to be called for every change that concerns megaflows.
 * - The key in the middle of a translation is the packet's with what actions wrote. Whoever writes a
 *   header's bits notes them as looked at, so they are among `bits`, and what was written follows from
 *   them: so the difference to the packet as it came is kept with each lookup, and laid over the next
 *   packet. A translation that wrote others is not kept (`notes` finds out).
 * - What is more than this (controllers, learning, recirculation, groups, patches, tunnels, bonds,
 *   samples, conntrack, complaints) gives up its notes by `Xlate.unlike`, and is translated each time.
 *
 * Limits: `MAX_DECISIONS`, of `MAX_SHAPES` different sets of bits; with more, all are forgotten. What
 * takes more than `MAX_LOOKUPS` is not kept. When few of them are ever used again, only one translation
 * in `RARELY` is noted.
 */
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS, KEY_WORDS } from "../../packet/layout.ts";
import { PORTS } from "../../openflow/version.ts";
import type { BridgeModel } from "./model.ts";
import type { Rule } from "./rule.ts";
import type { FlowTables } from "./tables.ts";
import type { Translation } from "./translate.ts";
import { finishMask, withTags } from "./wildcards.ts";

const MAX_DECISIONS = 1024;
const MAX_SHAPES = 16;
const MAX_LOOKUPS = 256;
/** Decisions of the same bits, which lookups tell apart. */
const MAX_ALIKE = 8;
/** What it takes to note one, and what one gives back when it is used: in uses. */
const FIRST_TRUST = 128;
const MAX_TRUST = 512;
const TRUST_A_USE = 4;
const RARELY = 64;

/** What a key differs by from that of the packet as it came: (word, bits, value) of each word. */
type Overlay = readonly number[];
const SAME: Overlay = [];

interface LookupNote {
  readonly tables: FlowTables;
  readonly table: number;
  readonly rule: Rule | undefined;
  readonly overlay: Overlay;
}

/** A translation's notes while it runs. */
export class Notes {
  readonly lookups: LookupNote[] = [];
  /** Bits that were copied into registers that nobody has looked at since. */
  readonly copied = new FlowKey();
  hasCopies = false;
  private overlay = SAME;

  /**
   * A lookup is about to be made with `key`; `mask` is what was read so far, without lookups. False:
   * a key like this cannot be told from the packet.
   */
  begin(key: FlowKey, initial: Uint32Array, mask: FlowKey): boolean {
    this.decide(mask);
    const overlay = overlayOf(key, initial, mask);
    if (!overlay) return false;
    this.overlay = overlay;
    return true;
  }

  /** What was copied may decide now: it counts as read. */
  decide(mask: FlowKey): void {
    if (!this.hasCopies) return;
    for (let i = 0; i < DP_KEY_WORDS; i++) mask.words[i]! |= this.copied.words[i]!;
    this.copied.words.fill(0);
    this.hasCopies = false;
  }

  found(tables: FlowTables, table: number, rule: Rule | undefined): void {
    this.lookups.push({ tables, table, rule, overlay: this.overlay });
  }
}

/** Undefined: headers differ in bits that are not in `mask`. */
function overlayOf(key: FlowKey, initial: Uint32Array, mask: FlowKey): Overlay | undefined {
  let overlay: number[] | undefined;
  for (let i = 0; i < KEY_WORDS; i++) {
    const changed = (key.words[i]! ^ initial[i]!) >>> 0;
    if (changed === 0) continue;
    if (i < DP_KEY_WORDS && (changed & ~mask.words[i]!) !== 0) return undefined;
    (overlay ??= []).push(i, changed, (key.words[i]! & changed) >>> 0);
  }
  return overlay ?? SAME;
}

interface Decision {
  /** The bits read, at the places of the shape. */
  readonly values: Uint32Array;
  readonly lookups: readonly LookupNote[];
  /** The key at the end. */
  readonly end: Overlay;
  /** Words of the mask besides what lookups add: (word, bits). */
  readonly looked: readonly number[];
  /** Its mask is `Replays.mask`. */
  readonly translation: Translation;
  /** Of the same bits. */
  next: Decision | undefined;
}

/** Decisions that read the same bits. */
class Shape {
  private readonly places: readonly number[];
  readonly decisions = new Map<number, Decision>();

  constructor(readonly bridge: BridgeModel, readonly bits: Uint32Array) {
    this.places = [...bits.keys()].filter((i) => bits[i] !== 0);
  }

  isFor(bridge: BridgeModel, bits: Uint32Array): boolean {
    if (bridge !== this.bridge) return false;
    for (let i = 0; i < DP_KEY_WORDS; i++) if (bits[i] !== this.bits[i]) return false;
    return true;
  }

  hash({ words }: FlowKey): number {
    const { places, bits } = this;
    let hash = places.length;
    for (let n = 0; n < places.length; n++) {
      const i = places[n]!;
      hash = Math.imul(hash ^ (words[i]! & bits[i]!), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  holds({ values }: Decision, { words }: FlowKey): boolean {
    const { places, bits } = this;
    for (let n = 0; n < places.length; n++) {
      const i = places[n]!;
      if (((words[i]! ^ values[n]!) & bits[i]!) !== 0) return false;
    }
    return true;
  }

  valuesOf({ words }: FlowKey): Uint32Array {
    return Uint32Array.from(this.places, (i) => words[i]! & this.bits[i]!);
  }
}

export class Replays {
  private shapes: Shape[] = [];
  private size = 0;
  private trust = FIRST_TRUST;
  private skipped = 0;
  private readonly mask = new FlowKey();
  private readonly key = new FlowKey();
  private readonly bits = new FlowKey();
  readonly counters = { noted: 0, used: 0 };

  /** Something changed that decisions may depend on. */
  clear(): void {
    if (this.size === 0) return;
    this.shapes = [];
    this.size = 0;
  }

  /** Notes for a translation whose packet has this key; undefined: it is not worth it. */
  notes(bridge: BridgeModel, key: FlowKey): Notes | undefined {
    if (bridge.sampling || bridge.inBand || key.get(FIELDS.recirc_id) !== 0) return undefined;
    // Lookups see fragments without ports.
    if (key.get(FIELDS.ip_frag) !== 0) return undefined;
    if (this.trust <= 0 && ++this.skipped % RARELY !== 0) return undefined;
    return new Notes();
  }

  /**
   * Keeps a translation of `key`. `read`: the bits read outside of lookups; `end`: the key at its end.
   */
  keep(
    { lookups, copied }: Notes,
    bridge: BridgeModel,
    key: FlowKey,
    initial: Uint32Array,
    read: FlowKey,
    end: FlowKey,
    translation: Translation,
  ): void {
    const { error, taught, uncacheable, punts, recircs, complaints } = translation;
    if (error !== undefined || taught || uncacheable) return;
    if (punts.length + recircs.length + complaints.length > 0) return;
    if (lookups.length > MAX_LOOKUPS) return;
    const atEnd = overlayOf(end, initial, read);
    if (!atEnd) return;
    const { bits } = this;
    bits.words.set(read.words);
    bits.words.fill(0, DP_KEY_WORDS);
    const looked: number[] = [];
    for (let i = 0; i < DP_KEY_WORDS; i++) {
      const word = (bits.words[i]! | copied.words[i]!) >>> 0;
      if (word !== 0) looked.push(i, word);
    }
    // Megaflows always tell packets apart by their tags, so translations need not look.
    bits.set(FIELDS.vlan_tci, 0x1fff | bits.get(FIELDS.vlan_tci));
    withTags(key, bits);
    let shape = this.shapes.find((each) => each.isFor(bridge, bits.words));
    if (!shape) {
      if (this.shapes.length >= MAX_SHAPES) this.clear();
      shape = new Shape(bridge, bits.words.slice(0, DP_KEY_WORDS));
      this.shapes.push(shape);
    }
    if (this.size >= MAX_DECISIONS) return this.clear();
    const hash = shape.hash(key);
    const next = shape.decisions.get(hash);
    let alike = 0;
    for (let each = next; each; each = each.next) alike++;
    if (alike >= MAX_ALIKE) return;
    shape.decisions.set(hash, {
      values: shape.valuesOf(key),
      lookups,
      end: atEnd,
      looked,
      translation: { ...translation, mask: this.mask },
      next,
    });
    this.size++;
    this.trust--;
    this.counters.noted++;
  }

  /** What a translation of `key` would say; valid until the next call. Undefined: nobody knows yet. */
  find(bridge: BridgeModel, key: FlowKey): Translation | undefined {
    const { shapes } = this;
    for (let n = 0; n < shapes.length; n++) {
      const shape = shapes[n]!;
      if (shape.bridge !== bridge) continue;
      let decision = shape.decisions.get(shape.hash(key));
      for (; decision; decision = decision.next) {
        if (!shape.holds(decision, key) || !this.replay(decision, bridge, key)) continue;
        this.counters.used++;
        if (this.trust < MAX_TRUST) this.trust += TRUST_A_USE;
        return decision.translation;
      }
    }
    return undefined;
  }

  /** Makes the decision's lookups again; false when one finds something else. */
  private replay(decision: Decision, bridge: BridgeModel, original: FlowKey): boolean {
    const { mask, key } = this;
    const { lookups, looked, end } = decision;
    mask.words.fill(0);
    for (let i = 0; i < looked.length; i += 2) mask.words[looked[i]!] = looked[i + 1]!;
    key.words.set(original.words);
    key.set(FIELDS.actset_output, PORTS.UNSET);
    for (let n = 0; n < lookups.length; n++) {
      const { tables, table, rule, overlay } = lookups[n]!;
      lay(overlay, key);
      const found = tables.lookup(table, key, mask);
      if (found !== rule) return false;
      if (overlay.length > 0) lift(overlay, key, original);
    }
    lay(end, key);
    bridge.finishTunnel?.(original, mask);
    finishMask(key, mask, original);
    return true;
  }
}

function lay(overlay: Overlay, { words }: FlowKey): void {
  for (let i = 0; i < overlay.length; i += 3) {
    const at = overlay[i]!;
    words[at] = (words[at]! & ~overlay[i + 1]!) | overlay[i + 2]!;
  }
}

function lift(overlay: Overlay, key: FlowKey, original: FlowKey): void {
  for (let i = 0; i < overlay.length; i += 3) {
    key.words[overlay[i]!] = original.words[overlay[i]!]!;
  }
  key.set(FIELDS.actset_output, PORTS.UNSET);
}

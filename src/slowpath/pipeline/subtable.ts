/**
 * One subtable of a classifier: all rules of one mask, in a hash table with chaining whose entries
 * are numbered slots of parallel arrays, so that a rule costs a few words and no object of its own.
 *
 *     hash ──> heads[hash & sizeMask] ──> slot ──next[slot]──> slot ──> -1
 *                                          │
 *                values[slot*n … slot*n+n) │ rulesAt[slot]: rule of highest priority ──lower──> …
 *
 * Slots are given in the order of insertion, which is the order in which rules are listed. One whose
 * last rule goes stays empty until the arrays are full; then, if half are empty, they close up.
 */
import { FlowKey, type Match, SharedMask } from "../../packet/key.ts";
import { FIELDS, KEY_WORDS, SLOTS } from "../../packet/layout.ts";
import { fullMask } from "../../openflow/field-bits.ts";
import { AT, look32, u32 } from "./bits.ts";
import type { Classified, ClassifierOptions, Home } from "./classifier.ts";
import { HashCounts } from "./hash-counts.ts";
import { fromNetwork, type PrefixField, type PrefixLookup } from "./prefix-fields.ts";
import { PrefixTrie } from "./prefix-trie.ts";

/** Stages in the order in which they are looked at: 0 metadata, 1 Ethernet, 2 network, 3 transport. */
const STAGE_OF_WORD: Uint8Array = stages();

function stages(): Uint8Array {
  const stage = new Uint8Array(KEY_WORDS).fill(2);
  const put = (number: number, names: readonly string[]): void => {
    for (const [name, { offset, bytes }] of SLOTS) {
      if (!names.some((n) => n === name || (n.endsWith("*") && name.startsWith(n.slice(0, -1))))) {
        continue;
      }
      for (let word = offset >> 2; word <= (offset + bytes - 1) >> 2; word++) stage[word] = number;
    }
  };
  put(1, ["eth_*", "vlan_tci", "vlan2_*", "mpls_*", "pbb_tci"]);
  put(3, ["tp_*", "tcp_flags", "nd_*", "arp_*", "nsh_*", "ct_tp_*"]);
  const metadata = ["metadata", "actset_output", "conj_id", "regs", "packet_type", "dp_hash"];
  const ct = ["ct_state", "ct_zone", "ct_nw_proto", "ct_mark", "ct_label"];
  put(0, ["in_port", "recirc_id", "skb_priority", "pkt_mark", "tun_*", ...ct, ...metadata]);
  return stage;
}

/** The bits that packets have which the table of fields says to need something of a packet. */
const HEADER_BITS: Uint32Array = headerBits();

function headerBits(): Uint32Array {
  const bits = new FlowKey();
  for (const field of Object.values(FIELDS)) {
    if (field.prerequisite !== undefined && !field.variable) bits.setBig(field, fullMask(field));
  }
  return bits.words;
}

const PACKET_TYPE_WORD = AT.packetType >> 2;
const FIRST_SLOTS = 4;
const PORTS_WORD = AT.tpSrc >> 2;
const NONE = -1;

/** Masks of equal hash may differ, masks of different hash do. */
export function hashMask({ words }: FlowKey): number {
  let hash = 0;
  for (let i = 0; i < KEY_WORDS; i++) {
    const word = words[i]!;
    if (word !== 0) hash = mix(hash + i, word);
  }
  return hash;
}

function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

export class Subtable<T extends Classified> implements Home {
  readonly mask: SharedMask;
  /** Positions of the mask's non-zero words, by stage; `bits` are those words. */
  private readonly at: Uint16Array;
  private readonly bits: Uint32Array;
  /** For each stage that has words: the end of its run in `at`. */
  private readonly stageEnds: number[] = [];
  /** For each stage but the last: hash of the key up to its end → number of slots that have it. */
  private readonly stageIndex: HashCounts[] = [];

  private values: Uint32Array;
  private hashes = new Int32Array(FIRST_SLOTS);
  private next = new Int32Array(FIRST_SLOTS);
  private heads = new Int32Array(FIRST_SLOTS).fill(NONE);
  private readonly rulesAt: (T | undefined)[] = [];
  /** Slots given out, and those of them that have rules. */
  private slots = 0;
  private used = 0;
  /** Rules of each priority. */
  private readonly priorities = new Map<number, number>();

  maxPriority = -1;
  /** Rules. */
  size = 0;

  /** Lengths of the prefixes that the mask has for the table's tries, in their order; 0: none. */
  private prefixLengths: readonly number[] = [];
  private prefixFields: readonly PrefixField[] = [];
  /** For each stage: the fields in it whose prefixes the mask has, by their places in the list. */
  private prefixesOfStage: readonly (readonly number[])[] = [];
  /** For each field: where its words are among a slot's values; -1: the mask has none of it. */
  private prefixPlaces: readonly (readonly number[])[] = [];
  /** The ports' bits of all rules, of which the mask looks at the first so many. */
  private readonly ports: PrefixTrie | undefined;
  private readonly portsLength: number;
  /** Where they are among a slot's values. */
  private readonly portsAt: number;
  /**
   * The rules look at headers and say nothing of the packet's type: then they are about Ethernet
   * frames (OpenFlow 1.5.1 §7.2.3.11), and no `ip` finds a packet without an Ethernet header.
   */
  private readonly framesOnly: boolean;

  /** `narrow`: lookups look at no more of ports and prefixes than they must. */
  constructor(mask: FlowKey, { narrow = false, staged = true }: ClassifierOptions = {}) {
    this.mask = SharedMask.of(mask);
    const ports = u32(mask, AT.tpSrc);
    this.portsLength = ports === 0 ? 0 : 1 + Math.clz32(ports & -ports);
    this.ports = narrow && ports !== 0 ? new PrefixTrie(32) : undefined;
    this.framesOnly = mask.words[PACKET_TYPE_WORD] === 0 &&
      mask.words.some((word, i) => (word & HEADER_BITS[i]!) !== 0);
    const at: number[] = [];
    for (let i = 0; i < KEY_WORDS; i++) if (mask.words[i] !== 0) at.push(i);
    at.sort((a, b) => STAGE_OF_WORD[a]! - STAGE_OF_WORD[b]! || a - b);
    this.portsAt = at.indexOf(AT.tpSrc >> 2);
    this.at = Uint16Array.from(at);
    this.bits = Uint32Array.from(at, (word) => mask.words[word]!);
    for (let i = 0; i < at.length; i++) {
      const isInside = !staged || STAGE_OF_WORD[at[i]!] === STAGE_OF_WORD[at[i + 1]!];
      if (i + 1 < at.length && isInside) continue;
      this.stageEnds.push(i + 1);
      if (i + 1 < at.length) this.stageIndex.push(new HashCounts());
    }
    this.values = new Uint32Array(FIRST_SLOTS * at.length);
  }

  /** The tries of the table that the subtable is in; its rules' prefixes are put in or taken out. */
  setPrefixes(fields: readonly PrefixField[]): void {
    this.prefixFields = fields;
    const { at, stageEnds } = this;
    const lengths = fields.map((field) => field.lengthIn(this.mask));
    this.prefixLengths = lengths;
    this.prefixPlaces = fields.map(({ word, words }) =>
      Array.from({ length: words }, (_, i) => at.indexOf(word + i))
    );
    this.prefixesOfStage = stageEnds.map((end) => {
      const stage = STAGE_OF_WORD[at[end - 1]!];
      return [...fields.keys()].filter((i) =>
        lengths[i]! > 0 && STAGE_OF_WORD[fields[i]!.word] === stage
      );
    });
    for (const [slot, head] of this.rulesAt.entries()) if (head) this.countPrefixes(slot, true);
  }

  /** The rule that matches, noting in `wildcards` the bits that were looked at. */
  lookup(
    key: FlowKey,
    wildcards: FlowKey | undefined,
    prefixes: PrefixLookup | undefined,
  ): T | undefined {
    const { at, bits, stageEnds, stageIndex } = this;
    const { words } = key;
    // The type is in the mask of every translation.
    if (this.framesOnly && words[PACKET_TYPE_WORD] !== 0) return undefined;
    let hash = 0;
    let i = 0;
    let before = 0;
    for (let stage = 0; stage < stageEnds.length; stage++) {
      before = i;
      const end = stageEnds[stage]!;
      if (prefixes) {
        const which = this.prefixesOfStage[stage]!;
        if (which.length > 0 && prefixes.excludes(which, this.prefixLengths)) {
          this.look(wildcards!.words, before);
          return undefined;
        }
      }
      for (; i < end; i++) hash = mix(hash, words[at[i]!]! & bits[i]!);
      if (stage < stageIndex.length && !stageIndex[stage]!.has(hash)) {
        if (wildcards) this.look(wildcards.words, i);
        return undefined;
      }
    }
    const slot = this.probe(hash, words);
    if (slot === NONE && this.ports && wildcards) {
      // Of the ports, what tells that no rule has them is enough; but some rule may have them, and
      // differ elsewhere.
      const mask = u32(this.mask, AT.tpSrc);
      this.ports.scratch[0] = u32(key, AT.tpSrc) & mask;
      const { looked } = this.ports.lookup(this.ports.scratch);
      if (looked > 0) look32(wildcards, AT.tpSrc, mask & -(2 ** (32 - looked)));
      for (let j = 0; j < i; j++) {
        if (at[j] !== PORTS_WORD) wildcards.words[at[j]!]! |= bits[j]!;
      }
      return undefined;
    }
    if (wildcards) this.look(wildcards.words, i);
    return slot === NONE ? undefined : this.rulesAt[slot];
  }

  /** The head of the chain whose match has this (already masked) key. */
  find(key: Uint32Array): T | undefined {
    const slot = this.probe(this.hash(key), key);
    return slot === NONE ? undefined : this.rulesAt[slot];
  }

  insert(rule: T, key: Uint32Array): void {
    const hash = this.hash(key);
    let slot = this.probe(hash, key);
    if (slot === NONE) slot = this.newSlot(hash, key);
    const head = this.rulesAt[slot];
    if (!head || head.priority < rule.priority) {
      rule.lower = head;
      this.rulesAt[slot] = rule;
    } else {
      let above: Classified = head;
      while (above.lower && above.lower.priority > rule.priority) above = above.lower;
      if (above.priority === rule.priority || above.lower?.priority === rule.priority) {
        throw new Error("classifier: a rule of equal match and priority is already in it");
      }
      rule.lower = above.lower;
      above.lower = rule;
    }
    rule.home = this;
    rule.slot = slot;
    this.size++;
    this.priorities.set(rule.priority, (this.priorities.get(rule.priority) ?? 0) + 1);
    if (rule.priority > this.maxPriority) this.maxPriority = rule.priority;
  }

  remove(rule: T): void {
    const { slot } = rule;
    const head = this.rulesAt[slot];
    if (head === rule) {
      this.rulesAt[slot] = rule.lower as T | undefined;
      if (!rule.lower) this.freeSlot(slot);
    } else {
      let above: Classified | undefined = head;
      while (above && above.lower !== rule) above = above.lower;
      if (!above) throw new Error("classifier: the rule to remove is not in its chain");
      above.lower = rule.lower;
    }
    rule.home = undefined;
    rule.slot = NONE;
    rule.lower = undefined;
    this.size--;
    const left = this.priorities.get(rule.priority)! - 1;
    if (left > 0) this.priorities.set(rule.priority, left);
    else {
      this.priorities.delete(rule.priority);
      if (rule.priority === this.maxPriority) {
        this.maxPriority = -1;
        for (const priority of this.priorities.keys()) {
          if (priority > this.maxPriority) this.maxPriority = priority;
        }
      }
    }
  }

  /** Puts `rule` in the place of `old`, whose match and priority it has. */
  replace(old: T, rule: T): void {
    const { slot } = old;
    if (rule.priority !== old.priority) throw new Error("classifier: another priority");
    if (this.rulesAt[slot] === old) this.rulesAt[slot] = rule;
    else {
      let above: Classified | undefined = this.rulesAt[slot];
      while (above && above.lower !== old) above = above.lower;
      if (!above) throw new Error("classifier: the rule to replace is not in its chain");
      above.lower = rule;
    }
    rule.lower = old.lower;
    rule.home = this;
    rule.slot = slot;
    old.home = undefined;
    old.slot = NONE;
    old.lower = undefined;
  }

  /** The whole match kept at a slot. */
  match(slot: number): Match {
    const key = new FlowKey();
    this.keyInto(slot, key);
    return { key, mask: this.mask };
  }

  keyInto(slot: number, key: FlowKey): void {
    this.unpack(this.values, slot * this.at.length, key);
  }

  pack(slot: number): Uint32Array {
    const base = slot * this.at.length;
    return this.values.slice(base, base + this.at.length);
  }

  unpack(values: Uint32Array, from: number, { words }: FlowKey): void {
    const { at } = this;
    words.fill(0);
    for (let i = 0; i < at.length; i++) words[at[i]!] = values[from + i]!;
  }

  *rules(): IterableIterator<T> {
    for (const head of this.rulesAt) {
      for (let rule = head; rule; rule = rule.lower as T | undefined) yield rule;
    }
  }

  /** See `Classifier.within`. */
  *within({ key, mask }: Match): IterableIterator<T> {
    let bitsWanted = 0;
    for (let i = 0; i < KEY_WORDS; i++) {
      const wanted = mask.words[i]!;
      if ((wanted & ~this.mask.words[i]!) !== 0) return;
      if (wanted !== this.mask.words[i]) bitsWanted = 1;
    }
    if (bitsWanted === 0) {
      for (let rule = this.find(key.words); rule; rule = rule.lower as T | undefined) yield rule;
      return;
    }
    for (let slot = 0; slot < this.rulesAt.length; slot++) {
      const head = this.rulesAt[slot];
      if (!head || this.differs(slot, key.words, mask.words)) continue;
      for (let rule: T | undefined = head; rule; rule = rule.lower as T | undefined) yield rule;
    }
  }

  overlaps({ key, mask }: Match, priority: number): boolean {
    if (!this.priorities.has(priority)) return false;
    for (let slot = 0; slot < this.rulesAt.length; slot++) {
      if (!this.rulesAt[slot] || this.differs(slot, key.words, mask.words)) continue;
      for (let rule = this.rulesAt[slot]; rule; rule = rule.lower as T | undefined) {
        if (rule.priority === priority) return true;
      }
    }
    return false;
  }

  differs(slot: number, key: Uint32Array, mask: Uint32Array): boolean {
    const base = slot * this.at.length;
    for (let i = 0; i < this.at.length; i++) {
      const word = this.at[i]!;
      if (((this.values[base + i]! ^ key[word]!) & this.bits[i]! & mask[word]!) !== 0) return true;
    }
    return false;
  }

  private look(wildcards: Uint32Array, end: number): void {
    for (let i = 0; i < end; i++) wildcards[this.at[i]!]! |= this.bits[i]!;
  }

  private hash(key: Uint32Array): number {
    let hash = 0;
    for (let i = 0; i < this.at.length; i++) hash = mix(hash, key[this.at[i]!]! & this.bits[i]!);
    return hash;
  }

  private probe(hash: number, key: Uint32Array): number {
    const { at, bits, values, hashes, next } = this;
    const n = at.length;
    search:
    for (
      let slot = this.heads[hash & (this.heads.length - 1)]!;
      slot !== NONE;
      slot = next[slot]!
    ) {
      if (hashes[slot] !== hash) continue;
      const base = slot * n;
      for (let i = 0; i < n; i++) {
        if (((values[base + i]! ^ key[at[i]!]!) & bits[i]!) !== 0) continue search;
      }
      return slot;
    }
    return NONE;
  }

  private newSlot(hash: number, key: Uint32Array): number {
    if (this.slots === this.hashes.length) this.makeRoom();
    const slot = this.slots++;
    this.used++;
    const n = this.at.length;
    for (let i = 0; i < n; i++) this.values[slot * n + i] = key[this.at[i]!]! & this.bits[i]!;
    this.hashes[slot] = hash;
    this.link(slot);
    this.countStages(slot, 1);
    this.countPrefixes(slot, true);
    return slot;
  }

  private freeSlot(slot: number): void {
    this.countStages(slot, -1);
    this.countPrefixes(slot, false);
    const bucket = this.hashes[slot]! & (this.heads.length - 1);
    if (this.heads[bucket] === slot) this.heads[bucket] = this.next[slot]!;
    else {
      let before = this.heads[bucket]!;
      while (this.next[before] !== slot) before = this.next[before]!;
      this.next[before] = this.next[slot]!;
    }
    this.rulesAt[slot] = undefined;
    this.used--;
    while (this.slots > 0 && !this.rulesAt[this.slots - 1]) {
      this.slots--;
      this.rulesAt.pop();
    }
  }

  /** Adds `by` to the index entry of each stage but the last. */
  private countStages(slot: number, by: 1 | -1): void {
    const base = slot * this.at.length;
    let hash = 0;
    let i = 0;
    for (let stage = 0; stage < this.stageIndex.length; stage++) {
      for (const end = this.stageEnds[stage]!; i < end; i++) {
        hash = mix(hash, this.values[base + i]!);
      }
      const index = this.stageIndex[stage]!;
      if (by === 1) index.add(hash);
      else index.remove(hash);
    }
  }

  /** Puts the slot's prefixes into the tries, or takes them out. */
  private countPrefixes(slot: number, there: boolean): void {
    const base = slot * this.at.length;
    for (let i = 0; i < this.prefixFields.length; i++) {
      const length = this.prefixLengths[i]!;
      if (length === 0) continue;
      const places = this.prefixPlaces[i]!;
      const { trie } = this.prefixFields[i]!;
      const value = trie.scratch;
      for (let n = 0; n < places.length; n++) {
        const place = places[n]!;
        value[n] = place < 0 ? 0 : fromNetwork(this.values[base + place]!);
      }
      if (there) trie.insert(value, length);
      else trie.remove(value, length);
    }
    const { ports } = this;
    if (!ports) return;
    ports.scratch[0] = fromNetwork(this.values[base + this.portsAt]!);
    if (there) ports.insert(ports.scratch, this.portsLength);
    else ports.remove(ports.scratch, this.portsLength);
  }

  private link(slot: number): void {
    const bucket = this.hashes[slot]! & (this.heads.length - 1);
    this.next[slot] = this.heads[bucket]!;
    this.heads[bucket] = slot;
  }

  /** Closes up the empty slots; if there are few, there is more room afterwards. */
  private makeRoom(): void {
    const n = this.at.length;
    let to = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      const head = this.rulesAt[slot];
      if (!head) continue;
      if (to !== slot) {
        this.values.copyWithin(to * n, slot * n, (slot + 1) * n);
        this.hashes[to] = this.hashes[slot]!;
        this.rulesAt[to] = head;
        for (let rule: Classified | undefined = head; rule; rule = rule.lower) rule.slot = to;
      }
      to++;
    }
    this.slots = to;
    this.rulesAt.length = to;
    const capacity = this.hashes.length;
    if (to > capacity / 2) this.grow(capacity * 2);
    this.heads.fill(NONE);
    for (let slot = 0; slot < to; slot++) this.link(slot);
  }

  private grow(capacity: number): void {
    const values = new Uint32Array(capacity * this.at.length);
    values.set(this.values);
    this.values = values;
    const hashes = new Int32Array(capacity);
    hashes.set(this.hashes);
    this.hashes = hashes;
    this.next = new Int32Array(capacity);
    this.heads = new Int32Array(capacity);
  }
}

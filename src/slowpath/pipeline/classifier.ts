/**
 * The flow classifier: finds the rule of highest priority that matches a flow key.
 *
 * Tuple space search. Rules are grouped by their mask: all rules of one mask form a *subtable*, a
 * hash table keyed by the masked words. A lookup masks the key with each subtable's mask in turn
 * and probes its hash table, so its cost is the number of distinct masks, not of rules. Subtables
 * are kept in order of their highest priority; the search ends at the first one that cannot beat
 * what was found.
 *
 * A lookup also answers "which bits of the key did this depend on?" by setting them in the caller's
 * mask. The megaflow that is made from a packet matches just those bits, so every bit that is left
 * out here lets one megaflow serve more packets:
 * - Only the masks of subtables that were probed count; the priority cut-off spares the others.
 * - Prefixes of addresses are kept in tries (prefix-fields.ts), transport ports in one a subtable: when
 *   no rule has the packet's prefix, only the bits that tell so are looked at.
 * - A subtable is probed in *stages*: metadata and registers, then Ethernet, then network, then
 *   transport. A small index per stage knows which prefixes of the key exist at all; when the
 *   packet's is not there, the later stages are not looked at and stay wildcarded. So a rule on a
 *   TCP port of one input port does not make the megaflows of all other ports look at TCP ports.
 *
 * Storage: a subtable knows its mask's non-zero words; a rule keeps only the key's words at those
 * places, side by side with its neighbours' in one array. Rules with the same match and different
 * priorities hang in a chain, highest first, at one place.
 *
 * Invariants
 * - `subtable.mask` has at least one rule, or the subtable is gone.
 * - A subtable's `maxPriority` is that of its highest rule; `ordered` is sorted by it, descending.
 * - Two rules of equal match and priority never coexist: `insert` throws on it.
 * - Of several matching rules with equal priority any may be found (OpenFlow leaves it open), but
 *   the same one for the same key until the classifier changes.
 *
 * Limits: masks are bounded by rules alone. Everything is on one thread, so a change is atomic for
 * all lookups and no versions are kept.
 *
 * References: V. Srinivasan et al., "Packet Classification using Tuple Space Search", SIGCOMM 1999;
 * B. Pfaff et al., "The Design and Implementation of Open vSwitch", NSDI 2015, §4–5.
 */
import { type FlowKey, type MaskTopic, type Match, SharedMask } from "../../packet/key.ts";
import { type Field, FIELDS } from "../../packet/layout.ts";
import { type Conjunction, satisfied } from "./conjunction.ts";
import { PrefixField, PrefixLookup } from "./prefix-fields.ts";
import { hashMask, Subtable } from "./subtable.ts";

/** What a subtable tells of the matches that it keeps, by slot. */
export interface Home {
  readonly mask: SharedMask;
  /** A copy of the whole match. */
  match(slot: number): Match;
  /** Makes `key` the match's key. */
  keyInto(slot: number, key: FlowKey): void;
  /** What is kept of a match, and the key made of it again. */
  pack(slot: number): Uint32Array;
  unpack(values: Uint32Array, from: number, key: FlowKey): void;
  /** True if the match and (`key`, `mask`) disagree on a bit that both look at. */
  differs(slot: number, key: Uint32Array, mask: Uint32Array): boolean;
}

/** What a classifier holds. The members below `priority` are the classifier's own. */
export abstract class Classified {
  constructor(readonly priority: number) {}
  /** Clauses that the rule is of; undefined: it is an ordinary rule. */
  readonly conjunctions: readonly Conjunction[] | undefined = undefined;
  /** The subtable that keeps the match; undefined: not in a classifier. */
  home: Home | undefined = undefined;
  slot = -1;
  /** The rule of the same match with the next lower priority. */
  lower: Classified | undefined = undefined;
}

export interface ClassifierOptions {
  /** Lookups look at as few bits as they can; it costs memory and time to insert. */
  readonly narrow?: boolean;
  /** False: a subtable is probed all at once. For those whose lookups do not ask which bits counted. */
  readonly staged?: boolean;
}

const CONJ_ID = FIELDS.conj_id;
const HASH: MaskTopic<number> = { find: hashMask };

const hashOf = (mask: FlowKey): number =>
  mask instanceof SharedMask ? mask.about(HASH) : hashMask(mask);

export class Classifier<T extends Classified> {
  /** Subtables by the hash of their mask. */
  private readonly byMask = new Map<number, Subtable<T>[]>();
  private ordered: Subtable<T>[] = [];
  private sorted = true;
  /** The subtable that was asked for last, if it is there. */
  private latest: Subtable<T> | undefined;
  private entries = 0;
  /** Rules that are clauses of conjunctions. */
  private soft = 0;
  private prefixes: readonly PrefixField[] = [];
  private prefixLookup = new PrefixLookup([]);

  constructor(private readonly options: ClassifierOptions = {}) {}

  get prefixFields(): readonly Field[] {
    return this.prefixes.map(({ field }) => field);
  }

  /** The fields whose prefixes are tracked, in the order in which they are asked. */
  setPrefixes(fields: readonly Field[]): void {
    this.prefixes = fields.map((field) => new PrefixField(field));
    this.prefixLookup = new PrefixLookup(this.prefixes);
    for (const subtable of this.ordered) subtable.setPrefixes(this.prefixes);
  }

  get size(): number {
    return this.entries;
  }

  get subtables(): number {
    return this.ordered.length;
  }

  /**
   * The matching rule of highest priority. Sets in `wildcards`, if given, each bit of `key` on
   * which the answer depended.
   */
  lookup(key: FlowKey, wildcards?: FlowKey): T | undefined {
    if (!this.sorted) this.sort();
    const prefixes = this.startPrefixes(key, wildcards);
    if (this.soft > 0) return this.lookupConjunctive(key, wildcards, prefixes);
    let best: T | undefined;
    for (const subtable of this.ordered) {
      if (best && subtable.maxPriority <= best.priority) break;
      const found = subtable.lookup(key, wildcards, prefixes);
      if (found && (!best || found.priority > best.priority)) best = found;
    }
    return best;
  }

  private startPrefixes(key: FlowKey, wildcards?: FlowKey): PrefixLookup | undefined {
    if (!wildcards) return undefined;
    const { prefixes } = this;
    for (let i = 0; i < prefixes.length; i++) {
      if (prefixes[i]!.trie.isEmpty) continue;
      this.prefixLookup.start(key, wildcards);
      return this.prefixLookup;
    }
    return undefined;
  }

  /** True if some rule is a clause of a conjunction. */
  get isConjunctive(): boolean {
    return this.soft > 0;
  }

  /**
   * As `lookup`, among clauses of conjunctions. A clause that matches is no answer by itself: from
   * the highest priority down, when the clauses of one priority make a conjunction whole, the answer
   * is what a search with its number in `conj_id` finds. Only clauses above the best ordinary rule
   * count.
   */
  private lookupConjunctive(
    key: FlowKey,
    wildcards: FlowKey | undefined,
    prefixes: PrefixLookup | undefined,
  ): T | undefined {
    let best: T | undefined;
    const clauses: T[] = [];
    for (const subtable of this.ordered) {
      if (best && subtable.maxPriority <= best.priority) break;
      let found = subtable.lookup(key, wildcards, prefixes);
      for (; found?.conjunctions; found = found.lower as T | undefined) clauses.push(found);
      if (found && (!best || found.priority > best.priority)) best = found;
    }
    clauses.sort((a, b) => b.priority - a.priority);
    for (let i = 0; i < clauses.length;) {
      const { priority } = clauses[i]!;
      if (best && priority <= best.priority) break;
      const level: T[] = [];
      for (; clauses[i]?.priority === priority; i++) level.push(clauses[i]!);
      for (const id of satisfied(level)) {
        const rule = this.withConjunction(id, key, wildcards);
        if (rule) return rule;
      }
    }
    return best;
  }

  /** The best rule, no clause, with `conj_id` set. */
  private withConjunction(id: number, key: FlowKey, wildcards?: FlowKey): T | undefined {
    const before = key.get(CONJ_ID);
    key.set(CONJ_ID, id);
    const prefixes = this.startPrefixes(key, wildcards);
    let best: T | undefined;
    for (const subtable of this.ordered) {
      if (best && subtable.maxPriority <= best.priority) break;
      const found = subtable.lookup(key, wildcards, prefixes);
      if (found && !found.conjunctions && (!best || found.priority > best.priority)) best = found;
    }
    key.set(CONJ_ID, before);
    return best;
  }

  /** The rule of exactly this match and priority. */
  find(match: Match, priority: number): T | undefined {
    let rule = this.subtable(match.mask)?.find(match.key.words);
    while (rule && rule.priority > priority) rule = rule.lower as T | undefined;
    return rule?.priority === priority ? rule : undefined;
  }

  insert(rule: T, match: Match): void {
    let subtable = this.subtable(match.mask);
    if (!subtable) {
      subtable = new Subtable<T>(match.mask, this.options);
      subtable.setPrefixes(this.prefixes);
      const hash = hashOf(match.mask);
      const alike = this.byMask.get(hash);
      if (alike) alike.push(subtable);
      else this.byMask.set(hash, [subtable]);
      this.ordered.push(subtable);
      this.sorted = false;
    }
    const before = subtable.maxPriority;
    subtable.insert(rule, match.key.words);
    if (subtable.maxPriority !== before) this.sorted = false;
    this.entries++;
    if (rule.conjunctions) this.soft++;
  }

  /** Throws if the rule is not here. */
  remove(rule: T): void {
    const subtable = rule.home as Subtable<T> | undefined;
    if (!subtable) throw new Error("classifier: the rule to remove is not in it");
    const before = subtable.maxPriority;
    subtable.remove(rule);
    this.entries--;
    if (rule.conjunctions) this.soft--;
    if (subtable.size === 0) {
      this.latest = undefined;
      const hash = hashOf(subtable.mask);
      const alike = this.byMask.get(hash)!.filter((other) => other !== subtable);
      if (alike.length > 0) this.byMask.set(hash, alike);
      else this.byMask.delete(hash);
      this.ordered.splice(this.ordered.indexOf(subtable), 1);
    } else if (subtable.maxPriority !== before) this.sorted = false;
  }

  /** Puts `rule` in the place of `old`, whose match and priority it has; listed where `old` was. */
  replace(old: T, rule: T): void {
    const subtable = old.home as Subtable<T> | undefined;
    if (!subtable) throw new Error("classifier: the rule to replace is not in it");
    subtable.replace(old, rule);
    if (old.conjunctions) this.soft--;
    if (rule.conjunctions) this.soft++;
  }

  /**
   * Rules at least as specific as `criteria`: those whose every packet fits it (the "loose" choice
   * of OpenFlow's modify and delete). Do not change the classifier while iterating.
   */
  *within(criteria: Match): IterableIterator<T> {
    for (const subtable of this.ordered) yield* subtable.within(criteria);
  }

  /** True if some rule of this priority and the match have a packet in common. */
  overlaps(match: Match, priority: number): boolean {
    for (const subtable of this.ordered) if (subtable.overlaps(match, priority)) return true;
    return false;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const subtable of this.ordered) yield* subtable.rules();
  }

  /** The mask as the rules that have it keep it, so that what is known of it is not found again. */
  share(mask: FlowKey): SharedMask {
    return this.subtable(mask)?.mask ?? SharedMask.of(mask);
  }

  private subtable(mask: FlowKey): Subtable<T> | undefined {
    // Whoever looks for a rule will often put one there next.
    const { latest } = this;
    if (latest && (latest.mask === mask || latest.mask.equals(mask))) return latest;
    return this.latest = this.search(mask);
  }

  private search(mask: FlowKey): Subtable<T> | undefined {
    const alike = this.byMask.get(hashOf(mask));
    if (!alike) return undefined;
    for (const subtable of alike) {
      if (subtable.mask === mask || subtable.mask.equals(mask)) return subtable;
    }
    return undefined;
  }

  private sort(): void {
    this.ordered.sort((a, b) => b.maxPriority - a.maxPriority);
    this.sorted = true;
  }
}

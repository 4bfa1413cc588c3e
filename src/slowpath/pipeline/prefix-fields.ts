/**
 * The fields for which a table keeps prefix tries (`Flow_Table.prefixes`), and one lookup's use of
 * them: a trie is asked at most once, and only when a subtable's stage has its field.
 */
import { FlowKey } from "../../packet/key.ts";
import { type Field, FIELDS } from "../../packet/layout.ts";
import { AT, ETH_IP, ETH_IPV6, u16 } from "./bits.ts";
import { PrefixTrie, TrieAnswer } from "./prefix-trie.ts";

/** What a table has unless told otherwise. */
export const DEFAULT_PREFIXES: readonly Field[] = [FIELDS.ip_dst, FIELDS.ip_src];
/** The fields that may be chosen, and how many of them. */
export const MAX_PREFIXES = 3;

export class PrefixField {
  readonly trie: PrefixTrie;
  /** Its first word in a key, and how many. */
  readonly word: number;
  readonly words: number;

  constructor(readonly field: Field) {
    this.trie = new PrefixTrie(field.bits);
    this.word = field.offset >> 2;
    this.words = field.bits >> 5;
  }

  /** Length of the prefix that a mask looks at; 0: none, or not a prefix. */
  lengthIn(mask: FlowKey): number {
    let length = 0;
    let ended = false;
    for (let i = 0; i < this.words; i++) {
      const word = fromNetwork(mask.words[this.word + i]!);
      const ones = Math.clz32(~word);
      if (ended ? word !== 0 : (ones < 32 && word << ones !== 0)) return 0;
      if (!ended) length += ones;
      ended ||= ones < 32;
    }
    return length;
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The number that a key's word stands for, whose bytes are in network order. */
export function fromNetwork(word: number): number {
  if (!LITTLE_ENDIAN) return word;
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** The tries of a table, as one lookup after the other uses them. */
export class PrefixLookup {
  /** By field: whether the trie was asked for this packet. */
  private readonly asked: boolean[];
  private readonly answers: readonly TrieAnswer[];
  /** False: the packet has no such field, so that nothing can be excluded. */
  private readonly applies: boolean[];
  /** By field: so many bits were noted as looked at for this packet. */
  private readonly noted: number[];
  private key = NO_KEY;
  private wildcards = NO_KEY;

  constructor(private readonly fields: readonly PrefixField[]) {
    this.answers = fields.map(({ trie }) => new TrieAnswer(trie.bits));
    this.asked = fields.map(() => false);
    this.applies = fields.map(() => false);
    this.noted = fields.map(() => 0);
  }

  /** Begins with a packet. */
  start(key: FlowKey, wildcards: FlowKey): void {
    this.key = key;
    this.wildcards = wildcards;
    for (let i = 0; i < this.asked.length; i++) {
      this.asked[i] = false;
      this.noted[i] = 0;
    }
  }

  /**
   * True if no rule of a subtable can fit whose masks have these lengths of prefix. `which`: fields
   * that are in the stage that comes next. The bits that say so are then looked at.
   */
  excludes(which: readonly number[], lengths: readonly number[]): boolean {
    for (let n = 0; n < which.length; n++) {
      const i = which[n]!;
      if (!this.asked[i]) this.ask(i);
      if (!this.applies[i]) continue;
      const length = lengths[i]!;
      const answer = this.answers[i]!;
      if (answer.fits(length)) continue;
      // A trie is the whole table's: its answer may depend on more bits than the subtable has.
      if (answer.looked <= this.noted[i]!) return true;
      if (answer.looked <= length) {
        this.look(i, answer.looked);
        this.noted[i] = answer.looked;
        return true;
      }
      if (this.hasLooked(i, answer.looked)) return true;
    }
    return false;
  }

  private ask(i: number): void {
    const { field, trie, word, words } = this.fields[i]!;
    this.asked[i] = true;
    this.applies[i] = hasField(this.key, field);
    if (!this.applies[i]) return;
    const { scratch } = trie;
    for (let n = 0; n < words; n++) scratch[n] = fromNetwork(this.key.words[word + n]!);
    trie.lookup(scratch, this.answers[i]!);
  }

  private look(i: number, bits: number): void {
    const { offset } = this.fields[i]!.field;
    const { bytes } = this.wildcards;
    for (let at = 0; at < bits; at += 8) {
      bytes[offset + (at >> 3)]! |= bits - at >= 8 ? 0xff : 0xff << (8 - (bits - at));
    }
  }

  private hasLooked(i: number, bits: number): boolean {
    const { offset } = this.fields[i]!.field;
    const { bytes } = this.wildcards;
    for (let at = 0; at < bits; at += 8) {
      const wanted = bits - at >= 8 ? 0xff : (0xff << (8 - (bits - at))) & 0xff;
      if ((bytes[offset + (at >> 3)]! & wanted) !== wanted) return false;
    }
    return true;
  }
}

const NO_KEY = new FlowKey();

/** Prefixes are of addresses, for which the Ethernet type is enough to know. */
function hasField(key: FlowKey, { prerequisite }: Field): boolean {
  const type = u16(key, AT.ethType);
  if (prerequisite === "ipv4") return type === ETH_IP;
  return prerequisite === "ipv6" ? type === ETH_IPV6 : prerequisite === undefined;
}

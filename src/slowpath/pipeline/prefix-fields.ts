/**
 * The fields for which a table keeps prefix tries (`Flow_Table.prefixes`), and one lookup's use of
 * them: a trie is asked at most once, and only when a subtable's stage has its field.
 */
import type { FlowKey } from "../../packet/key.ts";
import { type Field, FIELDS } from "../../packet/layout.ts";
import { AT, ETH_IP, ETH_IPV6, u16, u32 } from "./bits.ts";
import { PrefixTrie, type TrieAnswer } from "./prefix-trie.ts";

/** What a table has unless told otherwise. */
export const DEFAULT_PREFIXES: readonly Field[] = [FIELDS.ip_dst, FIELDS.ip_src];
/** The fields that may be chosen, and how many of them. */
export const MAX_PREFIXES = 3;

export class PrefixField {
  readonly trie: PrefixTrie;
  /** Its first word in a key. */
  readonly word: number;

  constructor(readonly field: Field) {
    this.trie = new PrefixTrie(field.bits);
    this.word = field.offset >> 2;
  }

  value(key: FlowKey): number[] {
    const words: number[] = [];
    for (let i = 0; i < this.field.bits / 32; i++) words.push(u32(key, this.field.offset + 4 * i));
    return words;
  }

  /** Length of the prefix that a mask looks at; 0: none, or not a prefix. */
  lengthIn(mask: FlowKey): number {
    let length = 0;
    let ended = false;
    for (const word of this.value(mask)) {
      const ones = Math.clz32(~word);
      if (ended ? word !== 0 : (ones < 32 && word << ones !== 0)) return 0;
      if (!ended) length += ones;
      ended ||= ones < 32;
    }
    return length;
  }
}

/** The tries of one lookup. */
export class PrefixLookup {
  /** Null: the packet has no such field, so that nothing can be excluded. */
  private readonly answers: (TrieAnswer | null | undefined)[];

  constructor(
    private readonly fields: readonly PrefixField[],
    private readonly key: FlowKey,
    private readonly wildcards: FlowKey,
  ) {
    this.answers = fields.map(() => undefined);
  }

  /**
   * True if no rule of a subtable whose masks have these prefix lengths can fit. `inStage`: is the
   * field in the stage that comes next? The bits that say so are then looked at.
   */
  excludes(lengths: readonly number[], inStage: (word: number) => boolean): boolean {
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      const field = this.fields[i]!;
      if (length === 0 || !inStage(field.word)) continue;
      let answer = this.answers[i];
      if (answer === undefined) answer = this.answers[i] = this.ask(field);
      if (!answer || answer.fits.has(length)) continue;
      // A trie is the whole table's: its answer may depend on more bits than the subtable has.
      if (answer.looked <= length) {
        this.look(field, answer.looked);
        return true;
      }
      if (this.hasLooked(field, answer.looked)) return true;
    }
    return false;
  }

  private ask(field: PrefixField): TrieAnswer | null {
    const { key } = this;
    return hasField(key, field.field) ? field.trie.lookup(field.value(key)) : null;
  }

  private look({ field }: PrefixField, bits: number): void {
    const { bytes } = this.wildcards;
    for (let i = 0; i < bits; i += 8) {
      bytes[field.offset + (i >> 3)]! |= bits - i >= 8 ? 0xff : 0xff << (8 - (bits - i));
    }
  }

  private hasLooked({ field }: PrefixField, bits: number): boolean {
    const { bytes } = this.wildcards;
    for (let i = 0; i < bits; i += 8) {
      const wanted = bits - i >= 8 ? 0xff : (0xff << (8 - (bits - i))) & 0xff;
      if ((bytes[field.offset + (i >> 3)]! & wanted) !== wanted) return false;
    }
    return true;
  }
}

/** Prefixes are of addresses, for which the Ethernet type is enough to know. */
function hasField(key: FlowKey, { prerequisite }: Field): boolean {
  const type = u16(key, AT.ethType);
  if (prerequisite === "ipv4") return type === ETH_IP;
  return prerequisite === "ipv6" ? type === ETH_IPV6 : prerequisite === undefined;
}

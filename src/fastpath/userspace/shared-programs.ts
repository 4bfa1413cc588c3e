/**
 * Action programs that many flows have between them. Of the flows of one rule most have the same list,
 * and a packet that goes before its flow has the flow's: a program that was asked for a moment ago is
 * found again, instead of being copied out of the command ring once more.
 *
 * Programs are not changed by those who run them, so it does not matter who else has one.
 */
import { type Program, programAt } from "../engine/opcodes.ts";

/** A power of two. */
const PLACES = 256;
/** Longer ones are rare and cost more to compare. */
const MAX_WORDS = 64;

export class SharedPrograms {
  private readonly places: (Program | undefined)[] = new Array(PLACES).fill(undefined);

  /** The program of `count` words at `at`. */
  find(words: Int32Array, at: number, count: number): Program {
    if (count > MAX_WORDS) return copied(words, at, count);
    let hash = count;
    for (let i = 0; i < count; i++) {
      hash = Math.imul(hash ^ words[at + i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const place = hash & (PLACES - 1);
    const known = this.places[place];
    if (known && isAt(known.code, words, at, count)) return known;
    return this.places[place] = copied(words, at, count);
  }
}

function isAt(code: Int32Array, words: Int32Array, at: number, count: number): boolean {
  if (code.length !== count) return false;
  for (let i = 0; i < count; i++) if (code[i] !== words[at + i]) return false;
  return true;
}

function copied(words: Int32Array, at: number, count: number): Program {
  const code = new Int32Array(count);
  for (let i = 0; i < count; i++) code[i] = words[at + i]!;
  return programAt(code);
}

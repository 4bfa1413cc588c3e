/** Metadata of a packet: the words of its key that no header says. */
export { swap32 } from "../../packet/extract.ts";
import type { Frame } from "../../packet/frame.ts";
import { METADATA_WORD, slot } from "../../packet/layout.ts";
import { TUNNEL_WORD } from "../tunnel-key.ts";

const W_CT = slot("ct_state").offset >> 2;

export function setWord(frame: Frame, word: number, value: number): void {
  frame.key.words[word] = value;
  if (frame.keyWords <= word) frame.keyWords = word + 1;
}

/** Sets `length` bytes at `at` to those of `args` at `value`, where the mask at `mask` has ones. */
export function setMasked(
  frame: Frame,
  args: Uint8Array,
  at: number,
  length: number,
  value: number,
  mask: number,
): void {
  const { bytes } = frame.key;
  for (let i = 0; i < length; i++) {
    bytes[at + i] = (bytes[at + i]! & ~args[mask + i]!) | (args[value + i]! & args[mask + i]!);
  }
  frame.keyWords = Math.max(frame.keyWords, (at + length) >> 2);
}

/** Replaces all tunnel metadata by `count` words of `source`. */
export function setTunnelWords(
  frame: Frame,
  source: ArrayLike<number>,
  from: number,
  count: number,
): void {
  const { words } = frame.key;
  for (let i = 0; i < count; i++) words[TUNNEL_WORD + i] = source[from + i]!;
  for (let i = TUNNEL_WORD + count; i < frame.keyWords; i++) words[i] = 0;
  frame.keyWords = TUNNEL_WORD + count;
}

export function clearConntrack(frame: Frame): void {
  const { words } = frame.key;
  const end = Math.min(frame.keyWords, TUNNEL_WORD);
  for (let i = W_CT; i < end; i++) words[i] = 0;
}

/** Puts the metadata of a datapath key into the frame's, as if the packet came with it. */
export function adoptMetadata(
  frame: Frame,
  words: ArrayLike<number>,
  from: number,
  count: number,
): void {
  const key = frame.key.words;
  for (let i = 0; i < count; i++) key[METADATA_WORD + i] = words[from + i]!;
  for (let i = METADATA_WORD + count; i < frame.keyWords; i++) key[i] = 0;
  frame.keyWords = Math.max(METADATA_WORD + count, Math.min(frame.keyWords, METADATA_WORD));
}

/** The Ethernet type of a whole frame, behind its tags: for messages of protocols, not for each packet. */
import { readU16 } from "./big-endian.ts";

const FIRST = 12;
const TAG_BYTES = 4;
const TAG_TYPES: ReadonlySet<number> = new Set([0x8100, 0x88a8]);

/** Where it stands, in bytes, behind however many 802.1Q and 802.1ad tags; undefined: the frame ends before. */
export function etherTypeAt(frame: Uint8Array): number | undefined {
  let at = FIRST;
  while (at + 2 <= frame.length && TAG_TYPES.has(readU16(frame, at))) at += TAG_BYTES;
  return at + 2 <= frame.length ? at : undefined;
}

/** Commands of the ring that are about flows and packets (commands.ts), carried out by a worker. */
import { VNET_BYTES } from "../../packet/frame.ts";
import { HEADROOM_BYTES } from "./arena.ts";
import { EXECUTE_HEADER_WORDS, PUT_HEADER_WORDS } from "./commands.ts";
import type { Forwarder } from "./forwarder.ts";
import type { RingMemory } from "./ring.ts";
import { counterIndex } from "./shared.ts";

const NO_ROOM = counterIndex("drop_no_room");

/** Room for a flow's match until the table has it; one for each number of words. */
export type MaskRoom = { indexes: Int32Array; masks: Int32Array; values: Int32Array }[];

/** PUT_FLOW at `word`. */
export function putFlow(
  forwarder: Forwarder,
  words: Int32Array,
  word: number,
  room: MaskRoom,
): void {
  const id = words[word + 1]!;
  const n = words[word + 2]!;
  const { indexes, masks, values } = room[n] ??= {
    indexes: new Int32Array(n),
    masks: new Int32Array(n),
    values: new Int32Array(n),
  };
  let next = word + PUT_HEADER_WORDS;
  for (let i = 0; i < n; i++) {
    indexes[i] = words[next++]!;
    masks[i] = words[next++]!;
    values[i] = words[next++]!;
  }
  // The program first: a flow that is found must have one.
  forwarder.programs[id] = forwarder.sharedPrograms.find(words, next, words[word + 3]!);
  forwarder.owned[id] = words[word + 4]!;
  forwarder.table.put(id, indexes, masks, values);
}

/** DELETE_FLOW at `word`. */
export function deleteFlow(forwarder: Forwarder, words: Int32Array, word: number): void {
  const id = words[word + 1]!;
  forwarder.table.delete(id);
  forwarder.programs[id] = undefined;
}

/** EXECUTE at `word`. */
export function executePacket(forwarder: Forwarder, memory: RingMemory, word: number): void {
  const { words, bytes } = memory;
  const programWords = words[word + 2]!;
  const length = words[word + 3]!;
  const recircId = words[word + 4]!;
  const kept = words[word + 5]!;
  const start = word + EXECUTE_HEADER_WORDS;
  const program = forwarder.sharedPrograms.find(words, start, programWords);
  const { arena, frame } = forwarder;
  forwarder.makeRoom(HEADROOM_BYTES + VNET_BYTES + length);
  const to = arena.take(HEADROOM_BYTES + VNET_BYTES + length);
  if (to < 0) {
    forwarder.count(NO_ROOM);
    return;
  }
  const metadataAt = start + programWords;
  const from = (metadataAt + kept) * 4;
  const into = to + HEADROOM_BYTES;
  arena.bytes.set(bytes.subarray(from, from + VNET_BYTES + length), into);
  frame.set(arena.bytes, into + VNET_BYTES, length, true, to);
  forwarder.executeOn(arena, words[word + 1]!, program, recircId, words, metadataAt, kept);
}

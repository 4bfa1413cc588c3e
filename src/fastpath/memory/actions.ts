/**
 * What the memory datapath's actions do to an extracted frame, over `src/packet/rewrite.ts`.
 */
import { type Frame, VNET_BYTES } from "../../packet/frame.ts";
import { slot } from "../../packet/layout.ts";
import { FRAME_SLOTS, setSlot } from "../../packet/rewrite.ts";
import { plainStart } from "../../packet/vnet.ts";
import type { DpAction } from "../actions.ts";
import { DatapathError, type Packet } from "../datapath.ts";

const FRAME_SLOT_NAMES: ReadonlySet<string> = new Set(FRAME_SLOTS);
/** Slots that stand in the key only and may be set. */
const KEY_SLOT_NAMES: ReadonlySet<string> = new Set(["pkt_mark", "skb_priority"]);

type SetAction = DpAction & { readonly type: "set" };

/** Throws a DatapathError `not-supported` for a list that cannot be run. */
export function checkActions(actions: readonly DpAction[]): void {
  for (const action of actions) {
    if (action.type !== "set") continue;
    const { bytes } = slot(action.slot);
    if (action.value.length !== bytes || action.mask.length !== bytes) {
      throw new DatapathError(
        "not-supported",
        `set ${action.slot}: value and mask must have ${bytes} bytes`,
      );
    }
    if (!FRAME_SLOT_NAMES.has(action.slot) && !KEY_SLOT_NAMES.has(action.slot)) {
      throw new DatapathError("not-supported", `the dummy datapath cannot set ${action.slot}`);
    }
  }
}

/** False if the frame lacks the header: it is unchanged then. */
export function applySet(frame: Frame, action: SetAction): boolean {
  const { offset, bytes } = slot(action.slot);
  if (FRAME_SLOT_NAMES.has(action.slot)) {
    const args = new Uint8Array(2 * bytes);
    args.set(action.value, 0);
    args.set(action.mask, bytes);
    return setSlot(frame, offset, args, 0, bytes);
  }
  const key = frame.key.bytes;
  for (let i = 0; i < bytes; i++) {
    const mask = action.mask[i]!;
    key[offset + i] = (key[offset + i]! & ~mask) | (action.value[i]! & mask);
  }
  frame.keyWords = Math.max(frame.keyWords, (offset + bytes + 3) >> 2);
  return true;
}

/** A copy of the packet as it is now, cut to `limit` bytes; a cut one has its offloads ended. */
export function packetOf(frame: Frame, limit: number): Packet {
  const { bytes, offset, length, vnet } = frame;
  if (limit < length) return { data: plainStart(frame, limit).slice() };
  const data = bytes.slice(offset, offset + length);
  return vnet ? { data, vnet: bytes.slice(offset - VNET_BYTES, offset) } : { data };
}

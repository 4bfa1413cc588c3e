/**
 * Action programs: `DpAction` lists as the worker runs them.
 *
 * A program is an array of 32-bit words, one opcode followed by its operands, ended by `END`; the
 * values and masks of `set` actions stand behind it as bytes, addressed by byte offset from the
 * program's start:
 *
 *     OUTPUT port | USERSPACE userdata | TRUNC maxLength | PUSH_VLAN tpid tci | POP_VLAN
 *     SET slotOffset valueAt maskAt | SET_KEY slotOffset slotBytes valueAt maskAt | COPY | END
 *
 * - `COPY` precedes the first rewriting action after an output: sends are batched and still point
 *   at the frame, so the rewriting goes on in a copy. A program that rewrites before its first
 *   output needs none, and works in the receive ring itself.
 * - `SET` changes a header in the frame, `SET_KEY` metadata that stands only in the flow key.
 */
import { FRAME_SLOTS } from "../../packet/rewrite.ts";
import { slot, type SlotName } from "../../packet/layout.ts";
import type { DpAction } from "../actions.ts";
import { DatapathError } from "../datapath.ts";

export const OP_END = 0;
export const OP_OUTPUT = 1;
export const OP_USERSPACE = 2;
export const OP_TRUNC = 3;
export const OP_PUSH_VLAN = 4;
export const OP_POP_VLAN = 5;
export const OP_SET = 6;
export const OP_SET_KEY = 7;
export const OP_COPY = 8;

/** Metadata that a set action may change here; tunnel slots wait for tunnels. */
const KEY_SLOTS: readonly SlotName[] = ["pkt_mark", "skb_priority"];

export interface Program {
  readonly code: Int32Array;
  /** The same memory as bytes. */
  readonly bytes: Uint8Array;
}

/** Over an encoded program in memory of the worker's own. */
export function programAt(words: Int32Array): Program {
  return { code: words, bytes: new Uint8Array(words.buffer, words.byteOffset, words.byteLength) };
}

/** Encodes; throws a DatapathError `not-supported` for a slot that this datapath cannot set. */
export function encodeProgram(actions: readonly DpAction[]): Int32Array {
  const code: number[] = [];
  const data: number[] = [];
  /** Places in `code` that hold an offset into `data`, to be moved behind the code. */
  const relocations: number[] = [];
  const literal = (bytes: Uint8Array): void => {
    relocations.push(code.length);
    code.push(data.length);
    data.push(...bytes);
  };
  let owed = false;
  const rewrite = (): void => {
    if (owed) code.push(OP_COPY);
    owed = false;
  };
  for (const action of actions) {
    switch (action.type) {
      case "output":
        code.push(OP_OUTPUT, action.port);
        owed = true;
        break;
      case "userspace":
        code.push(OP_USERSPACE, action.userdata | 0);
        break;
      case "trunc":
        code.push(OP_TRUNC, action.maxLength);
        break;
      case "push_vlan":
        rewrite();
        code.push(OP_PUSH_VLAN, action.tpid, action.tci);
        break;
      case "pop_vlan":
        rewrite();
        code.push(OP_POP_VLAN);
        break;
      case "set": {
        const place = slot(action.slot);
        if (action.value.length !== place.bytes || action.mask.length !== place.bytes) {
          throw new DatapathError(
            "not-supported",
            `set ${action.slot}: value and mask must have ${place.bytes} bytes`,
          );
        }
        if ((FRAME_SLOTS as readonly SlotName[]).includes(action.slot)) {
          rewrite();
          code.push(OP_SET, place.offset);
        } else if (KEY_SLOTS.includes(action.slot)) {
          code.push(OP_SET_KEY, place.offset, place.bytes);
        } else {
          throw new DatapathError(
            "not-supported",
            `the userspace datapath cannot set ${action.slot}`,
          );
        }
        literal(action.value);
        literal(action.mask);
        break;
      }
      default:
        throw new DatapathError("not-supported", `the userspace datapath cannot ${action.type}`);
    }
  }
  code.push(OP_END);
  const dataAt = code.length * 4;
  for (const place of relocations) code[place]! += dataAt;
  const words = new Int32Array(code.length + ((data.length + 3) >> 2));
  words.set(code);
  new Uint8Array(words.buffer).set(data, dataAt);
  return words;
}

/**
 * `DpAction` lists into action programs (opcodes.ts). Everything that a list may ask for is checked
 * here, when a flow is put: a packet meets no surprise. Throws a DatapathError `not-supported`.
 */
import { FlowKey } from "../../packet/key.ts";
import { FRAME_SLOTS } from "../../packet/rewrite.ts";
import { slot, type SlotName } from "../../packet/layout.ts";
import { type CtAction, type DpAction, DROP_REASONS, TUNNEL_KINDS } from "../actions.ts";
import { DatapathError } from "../datapath.ts";
import { TUNNEL_WORD, writeTunnel } from "../tunnel-key.ts";
import { encodeCt } from "./encode-ct.ts";
import {
  HASH_L4,
  HASH_SYM_L4,
  HASH_WIDE,
  IN_PLACE,
  KEEP_FRAME,
  KEEP_METADATA,
  OP_CHECK_LEN,
  OP_CLONE,
  OP_COPY,
  OP_CT,
  OP_CT_CLEAR,
  OP_DROP,
  OP_END,
  OP_HASH,
  OP_METER,
  OP_OUTPUT,
  OP_POP_ETH,
  OP_POP_MPLS,
  OP_POP_NSH,
  OP_POP_PBB,
  OP_POP_VLAN,
  OP_PUSH_ETH,
  OP_PUSH_MPLS,
  OP_PUSH_NSH,
  OP_PUSH_PBB,
  OP_PUSH_VLAN,
  OP_RECIRC,
  OP_SAMPLE,
  OP_SET,
  OP_SET_KEY,
  OP_TNL_POP,
  OP_TNL_PUSH,
  OP_TRUNC,
  OP_TTL_IN,
  OP_TTL_OUT,
  OP_TUNNEL,
  OP_USERSPACE,
} from "./opcodes.ts";

/** Metadata that a `set` may change; tunnel metadata is changed as a whole. */
const KEY_SLOTS: readonly SlotName[] = ["pkt_mark", "skb_priority", "dp_hash", "recirc_id"];
/** Ethernet, IPv6, UDP and Geneve with all options that fit. */
const MAX_TUNNEL_HEADER = 14 + 40 + 8 + 8 + 252;
/** Lists in lists; a stack that deep is nobody's intention. */
const MAX_NESTING = 16;

/** How much of the packet is not as it was after the list. */
function changes(actions: readonly DpAction[]): number {
  let worst = IN_PLACE;
  for (const action of actions) worst = Math.max(worst, changesOf(action));
  return worst;
}

function changesOf(action: DpAction): number {
  switch (action.type) {
    case "output":
    case "lb_output":
    case "userspace":
    case "trunc":
    case "drop":
      return IN_PLACE;
    case "clone":
    case "sample":
    case "check_pkt_len":
      // Whatever they do, they put back, unless they are last in their list.
      return nestedLists(action).reduce((worst, list) => Math.max(worst, changes(list)), IN_PLACE);
    case "set":
      return KEY_SLOTS.includes(action.slot) ? KEEP_METADATA : KEEP_FRAME;
    case "set_tunnel":
    case "hash":
    case "ct_clear":
      return KEEP_METADATA;
    default:
      return KEEP_FRAME;
  }
}

function nestedLists(
  action: Extract<DpAction, { type: "clone" | "sample" | "check_pkt_len" }>,
): readonly (readonly DpAction[])[] {
  return action.type === "check_pkt_len" ? [action.greater, action.lessEqual] : [action.actions];
}

function hashKind({ algorithm, wide }: Extract<DpAction, { type: "hash" }>): number {
  if (algorithm === "l4") return HASH_L4;
  return wide ? HASH_WIDE : HASH_SYM_L4;
}

function unsupported(what: string): DatapathError {
  return new DatapathError("not-supported", what);
}

class Encoder {
  readonly code: number[] = [];
  private readonly data: number[] = [];
  /** Places in `code` that hold an offset into `data`, to be moved behind the code. */
  private readonly relocations: number[] = [];
  private depth = 0;

  private literal(bytes: ArrayLike<number>): void {
    // Records are read as words.
    while (this.data.length % 4 !== 0) this.data.push(0);
    this.relocations.push(this.code.length);
    this.code.push(this.data.length);
    for (let i = 0; i < bytes.length; i++) this.data.push(bytes[i]!);
  }

  /** `owed`: sends may point at the frame. Returns whether they do after the list. */
  list(actions: readonly DpAction[], owed: boolean): boolean {
    if (++this.depth > MAX_NESTING) throw unsupported("actions are nested too deep");
    actions.forEach((action, i) => {
      const last = i === actions.length - 1;
      const nested = action.type === "clone" || action.type === "sample" ||
        action.type === "check_pkt_len";
      if (nested) owed = this.nested(action, last, owed);
      else if ((action.type === "recirc" || action.type === "tnl_pop") && !last) {
        owed = this.nested({ type: "clone", actions: [action] }, false, owed);
      } else {
        if (owed && changesOf(action) === KEEP_FRAME) {
          this.code.push(OP_COPY);
          owed = false;
        }
        if (action.type === "output") owed = true;
        this.plain(action);
      }
    });
    this.code.push(OP_END);
    this.depth--;
    return owed;
  }

  private nested(
    action: Extract<DpAction, { type: "clone" | "sample" | "check_pkt_len" }>,
    last: boolean,
    owed: boolean,
  ): boolean {
    const { code } = this;
    const worst = changesOf(action);
    if (last && owed && worst === KEEP_FRAME) {
      code.push(OP_COPY);
      owed = false;
    }
    const copies = last ? IN_PLACE : worst;
    switch (action.type) {
      case "clone":
        code.push(OP_CLONE, copies);
        break;
      case "sample":
        code.push(OP_SAMPLE, action.probability | 0, copies);
        break;
      case "check_pkt_len":
        code.push(OP_CHECK_LEN, action.length, copies);
        break;
      default: {
        const never: never = action;
        throw unsupported(String(never));
      }
    }
    let owes = owed;
    for (const actions of nestedLists(action)) {
      const sizeAt = code.push(0) - 1;
      // On a copy nothing is owed yet, and what will be does not concern the frame.
      const after = this.list(actions, copies === KEEP_FRAME ? false : owed);
      code[sizeAt] = code.length - sizeAt - 1;
      if (copies !== KEEP_FRAME) owes ||= after;
    }
    return owes;
  }

  private plain(action: DpAction): void {
    const { code } = this;
    switch (action.type) {
      case "output":
        code.push(OP_OUTPUT, action.port);
        return;
      case "userspace":
        code.push(OP_USERSPACE, action.userdata | 0);
        return;
      case "trunc":
        code.push(OP_TRUNC, action.maxLength);
        return;
      case "push_vlan":
        code.push(OP_PUSH_VLAN, action.tpid, action.tci);
        return;
      case "pop_vlan":
        code.push(OP_POP_VLAN);
        return;
      case "set":
        return this.set(action);
      case "set_tunnel": {
        const key = new FlowKey();
        const words = writeTunnel(key, action.tunnel);
        code.push(OP_TUNNEL);
        this.literal(key.bytes.subarray(TUNNEL_WORD * 4, (TUNNEL_WORD + words) * 4));
        code.push(words);
        return;
      }
      case "push_mpls":
        code.push(OP_PUSH_MPLS, action.ethType, action.lse | 0, 0);
        return;
      case "add_mpls":
        code.push(OP_PUSH_MPLS, action.ethType, action.lse | 0, action.l2 ? 1 : 0);
        return;
      case "pop_mpls":
        code.push(OP_POP_MPLS, action.ethType);
        return;
      case "push_eth":
        code.push(OP_PUSH_ETH);
        this.literal([...exactly(action.dst, 6, "dst"), ...exactly(action.src, 6, "src")]);
        return;
      case "pop_eth":
        code.push(OP_POP_ETH);
        return;
      case "push_nsh": {
        const { length } = action.header;
        if (length < 8 || length % 4 !== 0 || length > 252) {
          throw unsupported(`an NSH header of ${length} bytes`);
        }
        code.push(OP_PUSH_NSH);
        this.literal(action.header);
        code.push(length);
        return;
      }
      case "pop_nsh":
        code.push(OP_POP_NSH);
        return;
      case "push_pbb":
        code.push(OP_PUSH_PBB, action.ethType, action.tci | 0);
        return;
      case "pop_pbb":
        code.push(OP_POP_PBB);
        return;
      case "copy_ttl_in":
        code.push(OP_TTL_IN);
        return;
      case "copy_ttl_out":
        code.push(OP_TTL_OUT);
        return;
      case "hash":
        code.push(OP_HASH, hashKind(action), action.basis | 0);
        return;
      case "recirc":
        code.push(OP_RECIRC, action.id | 0);
        return;
      case "meter":
        code.push(OP_METER, action.id | 0);
        return;
      case "drop":
        code.push(OP_DROP, DROP_REASONS.indexOf(action.reason));
        return;
      case "ct":
        code.push(OP_CT);
        this.literal(ctBytes(action));
        return;
      case "ct_clear":
        code.push(OP_CT_CLEAR);
        return;
      case "clone":
      case "sample":
      case "check_pkt_len":
        throw new Error("a nested list is not plain");
      case "tnl_push":
        if (action.header.length > MAX_TUNNEL_HEADER) {
          throw unsupported(`outer headers of ${action.header.length} bytes`);
        }
        code.push(OP_TNL_PUSH);
        this.literal(action.header);
        code.push(action.header.length, TUNNEL_KINDS.indexOf(action.kind));
        return;
      case "tnl_pop":
        code.push(OP_TNL_POP, action.port);
        return;
      case "lb_output":
        throw unsupported(`this datapath cannot ${action.type}`);
      default: {
        const never: never = action;
        throw unsupported(`unknown datapath action ${String(never)}`);
      }
    }
  }

  private set(action: Extract<DpAction, { type: "set" }>): void {
    const { code } = this;
    const place = slot(action.slot);
    if (action.value.length !== place.bytes || action.mask.length !== place.bytes) {
      throw unsupported(`set ${action.slot}: value and mask must have ${place.bytes} bytes`);
    }
    if ((FRAME_SLOTS as readonly SlotName[]).includes(action.slot)) code.push(OP_SET, place.offset);
    else if (KEY_SLOTS.includes(action.slot)) code.push(OP_SET_KEY, place.offset, place.bytes);
    else throw unsupported(`this datapath cannot set ${action.slot}`);
    this.literal(action.value);
    this.literal(action.mask);
  }

  finish(): Int32Array {
    const { code, data } = this;
    const dataAt = code.length * 4;
    for (const place of this.relocations) code[place]! += dataAt;
    const words = new Int32Array(code.length + ((data.length + 3) >> 2));
    words.set(code);
    new Uint8Array(words.buffer).set(data, dataAt);
    return words;
  }
}

function exactly(bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length === length) return bytes;
  throw unsupported(`push_eth: ${what} must have ${length} bytes`);
}

function ctBytes(action: CtAction): Uint8Array {
  return new Uint8Array(encodeCt(action).buffer);
}

/** Throws a DatapathError for a list that cannot be run. */
export function encodeProgram(actions: readonly DpAction[]): Int32Array {
  return encodeOutputs(actions) ?? encodeAny(actions);
}

/**
 * Where in the program of a list its action number `index` begins, if neither that nor one before it is
 * nested or ends the packet.
 */
export function placeInProgram(actions: readonly DpAction[], index: number): number {
  const before = new Encoder();
  before.list(actions.slice(0, index), false);
  // Without the END.
  return before.code.length - 1;
}

/** Tells programs from one another. */
export function fingerprint(program: Int32Array): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < program.length; i++) {
    hash = Math.imul(hash ^ program[i]!, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

/** Most lists are outputs and nothing else. */
function encodeOutputs(actions: readonly DpAction[]): Int32Array | undefined {
  const words = new Int32Array(2 * actions.length + 1);
  for (let i = 0; i < actions.length; i++) {
    const action = actions[i]!;
    if (action.type !== "output") return undefined;
    words[2 * i] = OP_OUTPUT;
    words[2 * i + 1] = action.port;
  }
  words[2 * actions.length] = OP_END;
  return words;
}

function encodeAny(actions: readonly DpAction[]): Int32Array {
  const encoder = new Encoder();
  encoder.list(actions, false);
  return encoder.finish();
}

/**
 * What becomes of a flow's actions in the kernel: a verdict, a *plan* (steps and their arguments), or
 * "userspace does it", with the reason.
 *
 * Lists with the same steps share one action program (action-program.ts), whatever their arguments:
 * ports, addresses and tags stand in the flow's arguments, not in the instructions.
 *
 * A step is taken only where the match makes sure that the packet has the header. Everything else
 * (tunnels, conntrack, meters, sampling, truncation, packets to the controller, SCTP with its CRC,
 * neighbour discovery) is the userspace datapath's, which does the whole list.
 */
import { FIELDS, slot } from "../../packet/layout.ts";
import type { Match } from "../../packet/key.ts";
import type { DpAction } from "../actions.ts";
import { ARGUMENT_BYTES } from "./abi.ts";
import { type ChecksumRule, placeOf } from "./field-place.ts";

/** Where a port's packets go. */
export interface PortTarget {
  readonly ifindex: number;
  /** An internal port: into the host. */
  readonly ingress: boolean;
}

/** `at`: where the step's arguments begin. */
export type Step =
  /** Arguments: interface index u32, port number × 2 + (1 into the host) u32. */
  | { readonly kind: "output"; readonly at: number }
  /** Arguments: value, then the bits to keep, `padded` bytes each. */
  | {
    readonly kind: "set";
    readonly at: number;
    readonly base: "frame" | "l3" | "l4";
    readonly offset: number;
    readonly bytes: 2 | 4 | 6 | 16;
    readonly checksum: ChecksumRule;
  }
  /** Arguments: tag protocol u16 in network order, tci u16. */
  | { readonly kind: "push_vlan"; readonly at: number }
  | { readonly kind: "pop_vlan" }
  /** Argument: the kernel's `skb->priority` or `skb->mark`, u32, which queueing disciplines read. */
  | { readonly kind: "note"; readonly at: number; readonly field: "priority" | "mark" };

export interface Plan {
  readonly kind: "plan";
  readonly steps: readonly Step[];
  readonly args: Uint8Array;
  /** Equal for plans that share a program. */
  readonly shape: string;
}

export type KernelActions =
  | { readonly kind: "userspace"; readonly reason: string; readonly missingPort?: number }
  | { readonly kind: "drop" }
  | { readonly kind: "output"; readonly port: number; readonly target: PortTarget }
  | Plan;

const TAG_PRESENT = 0x1000;

/** Tags that every packet of the flow has at least. */
function knownTags({ key, mask }: Match): number {
  const has = (field: typeof FIELDS.vlan_tci): boolean =>
    (mask.get(field) & key.get(field) & TAG_PRESENT) !== 0;
  if (!has(FIELDS.vlan_tci)) return 0;
  const inner = slot("vlan2_tci").offset;
  return (mask.bytes[inner]! & key.bytes[inner]! & (TAG_PRESENT >> 8)) !== 0 ? 2 : 1;
}

/** The slot's bytes, shifted, at the end of `width` bytes. */
function widen(from: Uint8Array, width: number, shift: number): Uint8Array {
  const wide = new Uint8Array(width);
  if (shift === 0) wide.set(from, width - from.length);
  else {
    const value = from.reduce((sum, byte) => sum * 256 + byte, 0) << shift;
    wide[width - 2] = value >>> 8;
    wide[width - 1] = value;
  }
  return wide;
}

class ArgumentWriter {
  private readonly bytes: number[] = [];

  get length(): number {
    return this.bytes.length;
  }

  /** Pads to 4 bytes; where it begins. */
  add(data: Uint8Array): number {
    const at = this.bytes.length;
    this.bytes.push(...data);
    while (this.bytes.length % 4 !== 0) this.bytes.push(0);
    return at;
  }

  words(...values: number[]): number {
    return this.add(new Uint8Array(new Uint32Array(values).buffer));
  }

  finish(): Uint8Array {
    const whole = new Uint8Array(ARGUMENT_BYTES);
    whole.set(this.bytes);
    return whole;
  }
}

const userspace = (reason: string): KernelActions => ({ kind: "userspace", reason });

/** `targetOf`: where a datapath port's packets go; undefined if there is no such port. */
export function planActions(
  actions: readonly DpAction[],
  match: Match,
  targetOf: (port: number) => PortTarget | undefined,
): KernelActions {
  // Which reason it is, the kernel does not count: all are drops of the pipeline.
  if (actions.length === 0 || actions[0]!.type === "drop") return { kind: "drop" };
  const args = new ArgumentWriter();
  const steps: Step[] = [];
  let tags = knownTags(match);
  for (const action of actions) {
    switch (action.type) {
      case "output": {
        const target = targetOf(action.port);
        if (!target) {
          const reason = `there is no port ${action.port}`;
          return { kind: "userspace", reason, missingPort: action.port };
        }
        if (actions.length === 1) return { kind: "output", port: action.port, target };
        const port = action.port * 2 + (target.ingress ? 1 : 0);
        steps.push({ kind: "output", at: args.words(target.ifindex, port) });
        break;
      }
      case "set": {
        const { slot: name, value, mask } = action;
        if (name === "skb_priority" || name === "pkt_mark") {
          if (mask.some((byte) => byte !== 0xff)) return userspace(`sets bits of ${name}`);
          const number = new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
          const field = name === "pkt_mark" ? "mark" : "priority";
          steps.push({ kind: "note", at: args.words(number), field });
          break;
        }
        const step = setStep(action, match, args);
        if (!step) return userspace(`sets ${action.slot}`);
        steps.push(step);
        break;
      }
      case "push_vlan": {
        const { tpid, tci } = action;
        if (tpid !== 0x8100 && tpid !== 0x88a8) return userspace("pushes a rare tag");
        const low = tci & ~TAG_PRESENT;
        const at = args.add(Uint8Array.of(tpid >>> 8, tpid & 255, low & 255, low >>> 8));
        steps.push({ kind: "push_vlan", at });
        tags++;
        break;
      }
      case "pop_vlan":
        if (tags === 0) return userspace("takes off a tag that may not be there");
        tags--;
        steps.push({ kind: "pop_vlan" });
        break;
      default:
        return userspace(action.type);
    }
  }
  // What is behind the last output shows nowhere.
  while (steps.length > 0 && steps.at(-1)!.kind !== "output") steps.pop();
  if (steps.length === 0) return { kind: "drop" };
  if (args.length > ARGUMENT_BYTES) return userspace("too many actions");
  const shape = steps.map((step) => JSON.stringify(step)).join(" ");
  return { kind: "plan", steps, args: args.finish(), shape };
}

function setStep(
  { slot: name, value, mask }: Extract<DpAction, { type: "set" }>,
  match: Match,
  args: ArgumentWriter,
): Step | undefined {
  const place = placeOf(name, match);
  if (!place) return undefined;
  const { bytes, shift = 0, foreign = 0 } = place;
  const wideMask = widen(mask, bytes, shift);
  wideMask.forEach((byte, i) => wideMask[i] = byte & (0xff >> Math.max(0, foreign - 8 * i)));
  const wideValue = widen(value, bytes, shift).map((byte, i) => byte & wideMask[i]!);
  const at = args.add(wideValue);
  args.add(wideMask.map((byte) => ~byte));
  return {
    kind: "set",
    at,
    base: place.base,
    offset: place.offset,
    bytes,
    checksum: place.checksum,
  };
}

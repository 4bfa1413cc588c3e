/**
 * Datapath actions: what a datapath can do to a packet, in order. A packet that ends its list
 * without an `output` is gone.
 *
 * The set is Open vSwitch's (`enum ovs_action_attr`) plus what OpenFlow 1.3 names and Open vSwitch
 * lacks: PBB and copying TTLs. Everything here is plain data that can be compared (`sameActions`),
 * printed (slowpath/cache) and encoded for a worker (engine/program.ts).
 *
 * Rules
 * - A nested list (`clone`, `sample`, `check_pkt_len`) works on a copy: what it does to the packet and
 *   its metadata ends with it.
 * - `recirc` parses the packet anew, keeps its metadata (mark, priority, hash, conntrack, tunnel)
 *   and looks it up again with that recirculation id. Actions behind it see the packet as it was.
 * - `trunc` counts for the next `output` or `userspace`.
 * - Rewriting a header that the packet lacks does nothing but count (`rewrite_no_header`).
 */
import type { SlotName } from "../packet/layout.ts";

/** A copy of the packet goes to the slow path as an action upcall. */
export interface UserspaceAction {
  readonly type: "userspace";
  /** 32 bits that come back in the upcall. */
  readonly userdata: number;
  /** What `userdata` stands for, as text and comparison want it; the datapath does not look. */
  readonly cookie?: UserspaceCookie;
  /** Said in the text, like the cookie: the tunnel whose metadata, and that all actions, belong to it. */
  readonly tunnelOutPort?: number;
  readonly withActions?: boolean;
}

/** Why a packet goes to the slow path: Open vSwitch's `struct user_action_cookie`. */
export type UserspaceCookie =
  | {
    readonly kind: "controller";
    readonly reason: number;
    readonly dontSend: boolean;
    readonly continuation: boolean;
    readonly recircId: number;
    readonly ruleCookie: bigint;
    readonly controllerId: number;
    readonly maxLength: number;
  }
  /** Reasons as ovs-dpctl(8) names them: "cfm", "lacp", "stp", "controller", "action" … */
  | { readonly kind: "slow_path"; readonly reasons: readonly string[] }
  | { readonly kind: "sflow"; readonly vid: number; readonly pcp: number; readonly output: number }
  | {
    readonly kind: "flow_sample";
    readonly probability: number;
    readonly collectorSetId: number;
    readonly obsDomainId: number;
    readonly obsPointId: number;
    readonly outputPort: number;
    readonly direction: "" | "ingress" | "egress";
  }
  | { readonly kind: "ipfix"; readonly outputPort: number }
  /** Bytes that somebody else chose (`dpctl/add-flow`). */
  | { readonly kind: "raw"; readonly bytes: Uint8Array };

/** Tunnel metadata of a packet that is to be sent through a tunnel, or came through one. */
export interface DpTunnel {
  /** 8 bytes; absent: no key. */
  readonly id?: bigint;
  /** 4 or 16 bytes, both of one family. */
  readonly src?: Uint8Array;
  readonly dst: Uint8Array;
  readonly tos?: number;
  readonly ttl?: number;
  readonly tpSrc?: number;
  readonly tpDst?: number;
  /** TUN_F_OAM, TUN_F_DF, TUN_F_CSUM, TUN_F_KEY. */
  readonly flags?: number;
  readonly gbpId?: number;
  readonly gbpFlags?: number;
  readonly erspan?: {
    readonly version: number;
    readonly index: number;
    readonly direction: number;
    readonly hardwareId: number;
  };
  readonly gtpu?: { readonly flags: number; readonly messageType: number };
  /** Geneve options as they stand on the wire: whole TLVs, at most 252 bytes. */
  readonly options?: Uint8Array;
}

export interface CtNat {
  /** Absent: packets of a connection that has NAT are translated, new ones get none. */
  readonly direction?: "src" | "dst";
  /** 4 or 16 bytes. A single address has `max` equal to `min` or absent. */
  readonly addresses?: { readonly min: Uint8Array; readonly max?: Uint8Array };
  readonly ports?: { readonly min: number; readonly max?: number };
  readonly persistent?: boolean;
  readonly hash?: boolean;
  readonly random?: boolean;
}

/** Through the connection tracker (ovs-actions(7), "The ct action"); metadata is filled in. */
export interface CtAction {
  readonly type: "ct";
  readonly zone: number;
  readonly commit?: boolean;
  /** Implies commit; a connection of the other direction is deleted first. */
  readonly force?: boolean;
  readonly mark?: { readonly value: number; readonly mask: number };
  /** 16 bytes each. */
  readonly label?: { readonly value: Uint8Array; readonly mask: Uint8Array };
  readonly helper?: "ftp" | "tftp";
  readonly nat?: CtNat;
  /** Number of a timeout policy (`Conntrack.setTimeoutPolicy`). */
  readonly timeout?: number;
  /** Events that a netlink listener would see; kept for the text, this datapath sends none. */
  readonly eventMask?: number;
}

/** Why translation ends a packet: counters `drop_action_…`, as Open vSwitch's `xlate_error`. */
export const DROP_REASONS = [
  "of_pipeline",
  "bridge_not_found",
  "recursion_too_deep",
  "too_many_resubmit",
  "stack_too_deep",
  "no_recirculation_context",
  "recirculation_conflict",
  "too_many_mpls_labels",
  "invalid_tunnel_metadata",
  "unsupported_packet_type",
  "congestion",
  "forwarding_disabled",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export const TUNNEL_KINDS = ["vxlan", "geneve", "gre", "gtpu", "erspan", "lisp"] as const;
export type TunnelKind = (typeof TUNNEL_KINDS)[number];

export type DpAction =
  /** A copy of the packet as it is now leaves through a datapath port. */
  | { readonly type: "output"; readonly port: number }
  /** By the bond's hash through one of its members (`lb-output-action`). */
  | { readonly type: "lb_output"; readonly bond: number }
  | UserspaceAction
  /**
   * Sets bits of a header that the slot stands for, checksums kept right: `slot = slot & ~mask |
   * value`. Only slots that lie in the packet (engine/program.ts lists them), pkt_mark and
   * skb_priority.
   */
  | {
    readonly type: "set";
    readonly slot: SlotName;
    readonly value: Uint8Array;
    readonly mask: Uint8Array;
  }
  /** Replaces all tunnel metadata. */
  | { readonly type: "set_tunnel"; readonly tunnel: DpTunnel }
  /** Inserts a VLAN header after the Ethernet addresses. `tci` without the CFI/present bit's meaning. */
  | { readonly type: "push_vlan"; readonly tpid: number; readonly tci: number }
  | { readonly type: "pop_vlan" }
  /** A label stack entry (32 bits) behind the Ethernet header, whose type becomes `ethType`. */
  | { readonly type: "push_mpls"; readonly ethType: number; readonly lse: number }
  /** Takes the outermost entry; the Ethernet type becomes `ethType`. */
  | { readonly type: "pop_mpls"; readonly ethType: number }
  /** `l2`: in front of the Ethernet header, so that the packet is one of MPLS; else as push_mpls. */
  | {
    readonly type: "add_mpls";
    readonly ethType: number;
    readonly lse: number;
    readonly l2: boolean;
  }
  /** An Ethernet header in front of a packet without; its type is the packet's. */
  | { readonly type: "push_eth"; readonly dst: Uint8Array; readonly src: Uint8Array }
  | { readonly type: "pop_eth" }
  /** A whole NSH header (RFC 8300), whose next-protocol byte is filled in from the packet. */
  | { readonly type: "push_nsh"; readonly header: Uint8Array }
  | { readonly type: "pop_nsh" }
  /**
   * IEEE 802.1ah, OpenFlow 1.3.5 §5.12: an Ethernet header with the packet's own addresses, and an
   * I-TAG with this 32-bit TCI (priority, UCA, I-SID).
   */
  | { readonly type: "push_pbb"; readonly ethType: number; readonly tci: number }
  | { readonly type: "pop_pbb" }
  /** From the outermost header with a TTL to the next one inwards (IP or MPLS). */
  | { readonly type: "copy_ttl_in" }
  /** From the next-to-outermost header with a TTL to the outermost one. */
  | { readonly type: "copy_ttl_out" }
  /**
   * Fills dp_hash from the packet's 5-tuple; `sym_l4` gives both directions the same. `wide` (with
   * `sym_l4`; its text does not tell): other addresses and labels count too.
   */
  | {
    readonly type: "hash";
    readonly algorithm: "l4" | "sym_l4";
    readonly basis: number;
    readonly wide?: boolean;
  }
  | { readonly type: "recirc"; readonly id: number }
  /** `probability`: of 2^32 - 1. */
  | {
    readonly type: "sample";
    readonly probability: number;
    readonly actions: readonly DpAction[];
  }
  | { readonly type: "clone"; readonly actions: readonly DpAction[] }
  /** `id`: of `Datapath.setMeter`. A meter that is not there lets all through. */
  | { readonly type: "meter"; readonly id: number }
  /** By the frame's length without FCS and padding (of a super-packet: of its longest segment). */
  | {
    readonly type: "check_pkt_len";
    readonly length: number;
    readonly greater: readonly DpAction[];
    readonly lessEqual: readonly DpAction[];
  }
  /** The next output or userspace copy is cut to `maxLength` bytes. */
  | { readonly type: "trunc"; readonly maxLength: number }
  | CtAction
  | { readonly type: "ct_clear" }
  /** Puts outer headers (`header`, Ethernet first) in front, lengths and checksums filled in. */
  | {
    readonly type: "tnl_push";
    readonly tunnelPort: number;
    readonly outPort: number;
    readonly kind: TunnelKind;
    readonly header: Uint8Array;
  }
  /** Takes the outer headers off, as tunnel metadata, and looks the packet up from `port`. */
  | { readonly type: "tnl_pop"; readonly port: number }
  /** Ends the packet and counts it under its reason. */
  | { readonly type: "drop"; readonly reason: DropReason };

/** True if `test` is of some action, in nested lists too. */
export function someAction(
  actions: readonly DpAction[],
  test: (action: DpAction) => boolean,
): boolean {
  return actions.some((action) => {
    if (test(action)) return true;
    switch (action.type) {
      case "clone":
      case "sample":
        return someAction(action.actions, test);
      case "check_pkt_len":
        return someAction(action.greater, test) || someAction(action.lessEqual, test);
      default:
        return false;
    }
  });
}

/** Equal in all that a datapath or a reader can see. */
export function sameActions(a: readonly DpAction[], b: readonly DpAction[]): boolean {
  return a.length === b.length && a.every((action, i) => same(action, b[i]));
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Uint8Array || Array.isArray(a)) {
    if (!(b instanceof Uint8Array || Array.isArray(b)) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!same(a[i], b[i])) return false;
    return true;
  }
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const name of new Set([...Object.keys(x), ...Object.keys(y)])) {
    if (!same(x[name], y[name])) return false;
  }
  return true;
}

/**
 * Actions and instructions as plain records, the same for every OpenFlow version.
 *
 * A flow's `actions` is one flat list in the order in which the pipeline runs it. Instructions
 * stand in it as entries: `meter` first, then the apply-actions themselves, then `clear_actions`,
 * `write_actions`, `write_metadata` and `goto_table` (OpenFlow 1.3.5 §5.9). In OpenFlow 1.0 the
 * Nicira forms of these carry them. Ports use Open vSwitch's 16-bit numbers (version.ts).
 *
 * Values of fields are bigints as wide as the field; a `Subfield` is a run of bits in a field,
 * counted from its least significant bit.
 */
import type { Field } from "../../packet/layout.ts";

export interface Subfield {
  readonly field: Field;
  /** Lowest bit. */
  readonly start: number;
  readonly bits: number;
}

/** Why a packet goes to a controller, with the numbers of OpenFlow 1.3 (1.4+ adds 3..6). */
export type PacketInReason =
  | "no_match"
  | "action"
  | "invalid_ttl"
  | "action_set"
  | "group"
  | "packet_out"
  | "explicit_miss"
  | "implicit_miss";

export type Action =
  /** `maxLength` matters for CONTROLLER only: bytes of the packet to send, 0xffff = all. */
  | { readonly type: "output"; readonly port: number; readonly maxLength: number }
  | { readonly type: "output_reg"; readonly source: Subfield; readonly maxLength: number }
  | { readonly type: "output_trunc"; readonly port: number; readonly maxLength: number }
  | {
    readonly type: "controller";
    readonly maxLength: number;
    readonly controllerId: number;
    readonly reason: PacketInReason;
    readonly userdata: Uint8Array;
    readonly pause: boolean;
    /** 0xffffffff or undefined: none. */
    readonly meterId?: number;
  }
  | { readonly type: "enqueue"; readonly port: number; readonly queue: number }
  | { readonly type: "group"; readonly group: number }
  | {
    readonly type: "bundle";
    readonly algorithm: "active_backup" | "hrw";
    readonly fields: HashFields;
    readonly basis: number;
    readonly members: readonly number[];
    /** bundle_load: the choice goes here instead of being an output. */
    readonly destination?: Subfield;
  }
  /**
   * `field = field & ~mask | value`, where the field exists in the packet. `form: "load"` is how
   * `load:` and NXAST_REG_LOAD said it: it matters for text and re-encoding only.
   */
  | {
    readonly type: "set_field";
    readonly field: Field;
    readonly value: bigint;
    readonly mask: bigint;
    readonly form: "set_field" | "load";
  }
  /** `form`: said as ONF's extension of OpenFlow 1.3. */
  | {
    readonly type: "move";
    readonly source: Subfield;
    readonly destination: Subfield;
    readonly form?: "onf";
  }
  | { readonly type: "stack_push"; readonly subfield: Subfield }
  | { readonly type: "stack_pop"; readonly subfield: Subfield }
  /** The OpenFlow 1.0 form pushes a tag if there is none; the 1.1 form does not. */
  | { readonly type: "set_vlan_vid"; readonly vid: number; readonly pushIfNone: boolean }
  | { readonly type: "set_vlan_pcp"; readonly pcp: number; readonly pushIfNone: boolean }
  | { readonly type: "push_vlan"; readonly ethType: number }
  /** `strip`: said as OpenFlow 1.0's strip_vlan, which matters for text only. */
  | { readonly type: "pop_vlan"; readonly strip?: true }
  | { readonly type: "set_eth_src"; readonly address: Uint8Array }
  | { readonly type: "set_eth_dst"; readonly address: Uint8Array }
  | { readonly type: "set_ipv4_src"; readonly address: number }
  | { readonly type: "set_ipv4_dst"; readonly address: number }
  /** `tos`: the whole byte with the two ECN bits zero. */
  | { readonly type: "set_ip_dscp"; readonly tos: number }
  | { readonly type: "set_ip_ecn"; readonly ecn: number }
  | { readonly type: "set_ip_ttl"; readonly ttl: number }
  | { readonly type: "set_tp_src"; readonly port: number }
  | { readonly type: "set_tp_dst"; readonly port: number }
  /** Expired packets go to each controller id; `[0]` unless told. */
  | {
    readonly type: "dec_ttl";
    readonly controllerIds: readonly number[];
    /** The ids were spelled out, though `[0]` goes without saying: matters for text only. */
    readonly explicitIds?: true;
  }
  | { readonly type: "set_mpls_label"; readonly label: number }
  | { readonly type: "set_mpls_tc"; readonly tc: number }
  | { readonly type: "set_mpls_ttl"; readonly ttl: number }
  | { readonly type: "dec_mpls_ttl" }
  | { readonly type: "push_mpls"; readonly ethType: number }
  | { readonly type: "pop_mpls"; readonly ethType: number }
  /** TTL between the two outermost headers that have one (OpenFlow 1.3.5 §5.12). */
  | { readonly type: "copy_ttl_in" }
  | { readonly type: "copy_ttl_out" }
  | { readonly type: "push_pbb"; readonly ethType: number }
  | { readonly type: "pop_pbb" }
  /** `wide` is the 64-bit wire form (NXAST_SET_TUNNEL64). */
  | { readonly type: "set_tunnel"; readonly id: bigint; readonly wide: boolean }
  | { readonly type: "set_queue"; readonly queue: number }
  | { readonly type: "pop_queue" }
  /** For tests of recirculation and of the slow path (NXAST_DEBUG_RECIRC, NXAST_DEBUG_SLOW). */
  | { readonly type: "debug_recirc" }
  | { readonly type: "debug_slow" }
  | { readonly type: "fin_timeout"; readonly idle: number; readonly hard: number }
  /** `port` IN_PORT = the packet's own; `table` 0xff = the current one; `ct`: with ct's tuple swapped. */
  | {
    readonly type: "resubmit";
    readonly port: number;
    readonly table: number;
    readonly ct: boolean;
  }
  | LearnAction
  | {
    readonly type: "conjunction";
    readonly id: number;
    /** Zero-based. */
    readonly clause: number;
    readonly clauses: number;
  }
  | {
    readonly type: "multipath";
    readonly fields: HashFields;
    readonly basis: number;
    readonly algorithm: "modulo_n" | "hash_threshold" | "hrw" | "iter_hash";
    /** Highest link number: one less than the number of links. */
    readonly maxLink: number;
    readonly argument: number;
    readonly destination: Subfield;
  }
  | { readonly type: "note"; readonly data: Uint8Array }
  | { readonly type: "exit" }
  | {
    readonly type: "sample";
    /** 1..65535 of 65535. */
    readonly probability: number;
    readonly collectorSet: number;
    readonly domain: number;
    readonly point: number;
    /** NONE: not given. */
    readonly samplingPort: number;
    readonly direction: "default" | "ingress" | "egress";
  }
  | { readonly type: "clone"; readonly actions: readonly Action[] }
  | CtAction
  | NatAction
  | { readonly type: "ct_clear" }
  | {
    readonly type: "check_pkt_larger";
    readonly length: number;
    readonly destination: Subfield;
  }
  | { readonly type: "delete_field"; readonly field: Field }
  | {
    readonly type: "encap";
    readonly packetType: number;
    readonly headerSize: number;
    readonly properties: readonly EdProperty[];
  }
  | { readonly type: "decap"; readonly packetType: number }
  | { readonly type: "dec_nsh_ttl" }
  // Instructions
  | { readonly type: "meter"; readonly meter: number }
  | { readonly type: "clear_actions" }
  | { readonly type: "write_actions"; readonly actions: readonly Action[] }
  | { readonly type: "write_metadata"; readonly metadata: bigint; readonly mask: bigint }
  | { readonly type: "goto_table"; readonly table: number };

export type ActionType = Action["type"];
export type ActionOf<T extends ActionType> = Extract<Action, { type: T }>;

export type HashFields =
  | "eth_src"
  | "symmetric_l4"
  | "symmetric_l3l4"
  | "symmetric_l3l4+udp"
  | "nw_src"
  | "nw_dst"
  | "symmetric_l3";

/** A property of `encap` (NSH): its class, type and value without padding. */
export interface EdProperty {
  readonly propertyClass: number;
  readonly type: number;
  readonly data: Uint8Array;
}

export interface LearnAction {
  readonly type: "learn";
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly table: number;
  readonly finIdleTimeout: number;
  readonly finHardTimeout: number;
  readonly sendFlowRemoved: boolean;
  readonly deleteLearned: boolean;
  /** 0: no limit. */
  readonly limit: number;
  readonly resultDestination?: Subfield;
  /** Said in the longer form that Open vSwitch 2.8 brought, without need. */
  readonly form?: "learn2";
  readonly specs: readonly LearnSpec[];
}

export interface LearnSpec {
  /** A run of the packet's field, or an immediate value of `bits` bits. */
  readonly source:
    | { readonly type: "field"; readonly subfield: Subfield }
    | { readonly type: "value"; readonly value: bigint };
  readonly bits: number;
  readonly destination:
    | { readonly type: "match"; readonly subfield: Subfield }
    | { readonly type: "load"; readonly subfield: Subfield }
    | { readonly type: "output" };
}

export interface CtAction {
  readonly type: "ct";
  readonly commit: boolean;
  readonly force: boolean;
  readonly zone: { readonly value: number } | { readonly subfield: Subfield };
  /** 0xff: none. */
  readonly recircTable: number;
  /** IANA port of the helper: 21 ftp, 69 tftp, 0 none. */
  readonly alg: number;
  /** set_field, move, load on ct_mark and ct_label, and `nat`. */
  readonly actions: readonly Action[];
}

export interface NatAction {
  readonly type: "nat";
  readonly source: boolean;
  readonly destination: boolean;
  readonly persistent: boolean;
  readonly hash: boolean;
  readonly random: boolean;
  /** Addresses as bigints: 32 bits when `ipv6` is false, 128 when true. */
  readonly range?: {
    readonly ipv6: boolean;
    readonly min: bigint;
    readonly max?: bigint;
  };
  readonly ports?: { readonly min: number; readonly max?: number };
}

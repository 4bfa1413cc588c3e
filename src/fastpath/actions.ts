/**
 * Datapath actions: what a datapath can do to a packet, in order. A packet that ends its list
 * without an `output` is gone. The binary form in which they cross to a worker is in
 * userspace/program.ts.
 */
import type { SlotName } from "../packet/layout.ts";

export type DpAction =
  /** A copy of the packet as it is now leaves through a datapath port. */
  | { readonly type: "output"; readonly port: number }
  /** Sends a copy to the slow path as an action upcall. */
  | { readonly type: "userspace"; readonly userdata: number }
  /**
   * Sets bits of a header that the slot stands for, checksums kept right: `slot = slot & ~mask |
   * value`. Only slots of the datapath section that lie in the packet (or pkt_mark, tunnel, …).
   */
  | {
    readonly type: "set";
    readonly slot: SlotName;
    readonly value: Uint8Array;
    readonly mask: Uint8Array;
  }
  /** Inserts a VLAN header after the Ethernet addresses. `tci` without the CFI/present bit's meaning. */
  | { readonly type: "push_vlan"; readonly tpid: number; readonly tci: number }
  | { readonly type: "pop_vlan" }
  /** The next output or userspace copy is cut to `maxLength` bytes. */
  | { readonly type: "trunc"; readonly maxLength: number };

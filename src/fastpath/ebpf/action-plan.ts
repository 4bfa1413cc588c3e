/**
 * What becomes of a flow's actions in the kernel: a verdict, a *plan* (steps and their arguments), or
 * "userspace does it", with the reason.
 *
 * Lists with the same steps share one action program (action-program.ts), whatever their arguments:
 * ports, addresses and tags stand in the flow's arguments, not in the instructions. Who makes the steps is
 * action-planner.ts.
 */
import type { TunnelDeviceKind } from "../../linux/tunnel-device.ts";
import type { Match } from "../../packet/key.ts";
import type { DpAction } from "../actions.ts";
import { ActionPlanner } from "./action-planner.ts";
import type { CtStep } from "./ct-step.ts";
import type { ChecksumRule } from "./field-place.ts";
import type { SetTunnelStep } from "./tunnel-step.ts";

/** Where a port's packets go. */
export interface PortTarget {
  readonly ifindex: number;
  /** An internal port: into the host. */
  readonly ingress: boolean;
  /** A tunnel device, which wants to be told where to. */
  readonly tunnel?: TunnelTarget;
}

export interface TunnelTarget {
  readonly kind: TunnelDeviceKind;
  /** 0: not over UDP. */
  readonly udpPort: number;
  /** VXLAN with group policies. */
  readonly gbp: boolean;
}

/** `at`: where the step's arguments begin. */
export type Step =
  /** Arguments: interface index u32, port number × 2 + (1 into the host) u32; `cut`: longest frame u32. */
  | { readonly kind: "output"; readonly at: number; readonly cut?: number }
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
  /** Arguments: a label stack entry u32, the new Ethernet type u16, both in network order. */
  | { readonly kind: "push_mpls"; readonly at: number }
  /** Argument: the new Ethernet type u16 in network order. */
  | { readonly kind: "pop_mpls"; readonly at: number }
  /**
   * Argument: the kernel's `skb->priority` or `skb->mark`, u32, which queueing disciplines read. `state`:
   * also into the packet's state, where the next round finds it.
   */
  | {
    readonly kind: "note";
    readonly at: number;
    readonly field: "priority" | "mark";
    readonly state: boolean;
  }
  /** Into dp_hash. Arguments: basis u32, Ethernet type u32. */
  | {
    readonly kind: "hash";
    readonly at: number;
    readonly algorithm: "l4" | "sym_l4" | "wide";
    readonly network: HashedNetwork;
    /** Packets of the flow are fragments. */
    readonly fragments: boolean;
  }
  /** Last in its list. Argument: recirc_id u32 in network order. */
  | { readonly kind: "recirculate"; readonly at: number }
  /** Where the next output, to a tunnel device, sends to. */
  | SetTunnelStep
  | CtStep
  | { readonly kind: "ct_clear" }
  /** Argument: number of the meter u32. */
  | { readonly kind: "meter"; readonly at: number }
  /** Argument: length u32. Last in its list. */
  | {
    readonly kind: "check_length";
    readonly at: number;
    /** What says how long the packet is without padding. */
    readonly network: "ipv4" | "ipv6" | "frame";
    readonly greater: readonly Step[];
    readonly lessEqual: readonly Step[];
  };

/** What a hash looks at is behind this Ethernet type; `frame`: nothing known, the addresses only. */
export type HashedNetwork = "ipv4" | "ipv6" | "arp" | "mpls" | "frame";

/** What is to be sure before the first step: else the packet goes to the process. */
export interface Guards {
  /** No offload is to be done behind: what is a super-packet, or lacks its checksum, is not for us. */
  readonly plain: boolean;
  /** The same if the packet is longer than this argument, u32: where the shortest cut stands. */
  readonly cut?: number;
  /** An IPv6 packet's protocol is known. */
  readonly protocol: boolean;
  /** Arguments: probabilities u32 of what only the process can do to a sample. */
  readonly samples: readonly number[];
}

export interface Plan {
  readonly kind: "plan";
  readonly steps: readonly Step[];
  readonly guards: Guards;
  /** It needs the packet's state (packet-state.ts). */
  readonly stateful: boolean;
  readonly recirculates: boolean;
  readonly args: Uint8Array;
  /** Equal for plans that share a program. */
  readonly shape: string;
}

export type KernelActions =
  | { readonly kind: "userspace"; readonly reason: string; readonly missingPort?: number }
  | { readonly kind: "drop" }
  | { readonly kind: "output"; readonly port: number; readonly target: PortTarget }
  | Plan;

/** What a plan may refer to. */
export interface PlanWorld {
  /** Where a datapath port's packets go; undefined if there is no such port. */
  targetOf(port: number): PortTarget | undefined;
  /** The kernel can enforce the meter. */
  hasMeter(id: number): boolean;
}

export function planActions(
  actions: readonly DpAction[],
  match: Match,
  world: PlanWorld,
): KernelActions {
  const first = actions[0];
  // Which reason it is, the kernel does not count: all are drops of the pipeline.
  if (!first || first.type === "drop") return { kind: "drop" };
  if (actions.length === 1 && first.type === "output") {
    const target = world.targetOf(first.port);
    if (target && !target.tunnel) return { kind: "output", port: first.port, target };
  }
  return new ActionPlanner(match, world).plan(actions);
}

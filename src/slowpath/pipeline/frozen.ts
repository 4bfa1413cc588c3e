/**
 * A translation that stops to go on later: its state, frozen.
 *
 * A packet leaves the pipeline in mid-translation when what comes next depends on something that
 * only the datapath can find out (a connection's state, what lies under popped MPLS labels, a hash),
 * or that a controller wants to decide (`controller(pause)`). In the first case the datapath looks
 * the packet up again with a recirculation id, in the second the controller sends it back; either
 * way translation thaws the state of that id and goes on.
 *
 * Kept are what actions and lookups can depend on and no header tells: input port, tunnel metadata,
 * `metadata`, registers, the stack, the action set, mirrors already served, the actions that were
 * still to be run, and where they stood. Conntrack state and hash come with the packet.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { formatAction, formatActions } from "../../openflow/text/actions-format.ts";
import { FlowKey } from "../../packet/key.ts";
import { type Slot, slot, SLOTS } from "../../packet/layout.ts";
import type { BridgeModel } from "./model.ts";

/** Whatever runs next stood in a rule of this table and cookie (packet-ins and `resubmit` tell). */
export interface Unroll {
  readonly type: "unroll";
  readonly table: number;
  readonly cookie: bigint;
}

export type ThawAction = Action | Unroll;

/** A value pushed by `push`, as many bytes as its field had. */
export interface StackEntry {
  readonly value: bigint;
  readonly bytes: number;
}

export interface FrozenState {
  /** Where it goes on. */
  readonly bridge: BridgeModel;
  /** The table to search if no actions are left. */
  readonly table: number;
  /** Of this key only `FROZEN_SLOTS` count. */
  readonly state: FlowKey;
  /** Bottom first. */
  readonly stack: readonly StackEntry[];
  /** Mirrors that have had the packet, a bit each. */
  readonly mirrors: number;
  /** The packet's conntrack fields are this bridge's. */
  readonly conntracked: boolean;
  /** The packet comes back with a hash: a megaflow's key may have only bits of it, all zero. */
  readonly hashed: boolean;
  readonly actions: readonly ThawAction[];
  readonly actionSet: readonly Action[];
  /** Of the `controller` action that froze it. */
  readonly userdata: Uint8Array | undefined;
}

/** Gives states their ids; equal states get the same while anybody holds it. */
export interface Recirculations {
  /** A reference is held until it is released. */
  freeze(state: FrozenState): number;
  find(id: number): FrozenState | undefined;
}

/** Input port, tunnel, metadata and registers. */
export const FROZEN_SLOTS: readonly Slot[] = [
  slot("in_port"),
  ...[...SLOTS.values()].filter(({ name }) => name.startsWith("tun_")),
  slot("metadata"),
  slot("regs"),
];

/** The words that these slots are in, in which there is nothing else. */
const FROZEN_WORDS = Uint16Array.from(
  new Set(
    FROZEN_SLOTS.flatMap(({ offset, bytes }) =>
      Array.from({ length: (bytes + 3) >> 2 }, (_, i) => (offset >> 2) + i)
    ),
  ),
);

/** Copies what a state keeps of a key. */
export function copyFrozen({ words: from }: FlowKey, { words: into }: FlowKey): void {
  for (let i = 0; i < FROZEN_WORDS.length; i++) into[FROZEN_WORDS[i]!] = from[FROZEN_WORDS[i]!]!;
}

export function frozenKey(from: FlowKey): FlowKey {
  const key = new FlowKey();
  copyFrozen(from, key);
  return key;
}

/** Whatever distinguishes the state from others of its bridge, as text. */
export function frozenIdentity(frozen: FrozenState): string {
  const { state, stack, actions, actionSet, userdata } = frozen;
  const slots = FROZEN_SLOTS.map(({ offset, bytes }) =>
    state.bytes.subarray(offset, offset + bytes).toHex()
  );
  return [
    frozen.table,
    frozen.mirrors,
    frozen.conntracked,
    frozen.hashed,
    slots.join("."),
    stack.map(({ value, bytes }) => `${value}:${bytes}`).join("."),
    formatThaw(actions),
    formatActions(actionSet),
    userdata?.toHex() ?? "-",
  ].join("/");
}

/** The actions as a trace shows them. */
export function formatThaw(actions: readonly ThawAction[]): string {
  return actions.map((action) =>
    action.type === "unroll"
      ? `unroll_xlate(table=${action.table}, cookie=${action.cookie})`
      : formatAction(action)
  ).join(",");
}

/**
 * Whether actions may stand where they stand: which instructions, in which order, and what may be
 * inside what (OpenFlow 1.3.5 §5.9; ovs-actions(7), "Instructions"). The bytes of messages and texts
 * are judged by the same rules; whether actions suit the flow's match is check.ts's matter.
 */
import type { ErrorName } from "../errors.ts";
import { OF15, type OfVersion } from "../version.ts";
import type { Action, ActionType } from "./types.ts";

/** What a list of actions belongs to. */
export type Outer = "ct" | "clone" | "write_actions";

export interface Place {
  readonly version: OfVersion;
  /** Undefined: the flow's own list, or a bucket's. */
  readonly outer?: Outer | undefined;
  /** Instructions may stand among the actions. */
  readonly instructions: boolean;
}

/** Why a list cannot be, in ovs-ofctl's words. */
export interface Misplaced {
  readonly error: ErrorName;
  readonly text: string;
}

/** Instructions in the order in which they must stand. */
const ORDER = [
  "meter",
  "apply_actions",
  "clear_actions",
  "write_actions",
  "write_metadata",
  "goto_table",
] as const;
const METER = 0;
const APPLY_ACTIONS = 1;

/** Open vSwitch's names of actions, where records have another. */
const NAMES: Readonly<Partial<Record<ActionType, string>>> = {
  pop_vlan: "strip_vlan",
  set_eth_src: "mod_dl_src",
  set_eth_dst: "mod_dl_dst",
  set_ipv4_src: "mod_nw_src",
  set_ipv4_dst: "mod_nw_dst",
  set_ip_dscp: "mod_nw_tos",
  set_ip_ecn: "mod_nw_ecn",
  set_ip_ttl: "mod_nw_ttl",
  set_tp_src: "mod_tp_src",
  set_tp_dst: "mod_tp_dst",
  stack_push: "push",
  stack_pop: "pop",
};

export const actionName = (type: ActionType): string => NAMES[type] ?? type;

function instructionOf(type: ActionType, version: OfVersion): number {
  switch (type) {
    case "meter":
      return version >= OF15 ? APPLY_ACTIONS : METER;
    case "clear_actions":
      return 2;
    case "write_actions":
      return 3;
    case "write_metadata":
      return 4;
    case "goto_table":
      return 5;
    default:
      return APPLY_ACTIONS;
  }
}

/** The first thing that is wrong with the list; what is inside its actions is not looked at. */
export function findMisplaced(actions: readonly Action[], place: Place): Misplaced | undefined {
  let last = METER;
  for (let at = 0; at < actions.length; at++) {
    const action = actions[at]!;
    if (action.type === "conjunction") return besideConjunction(actions);
    const nested = wronglyNested(action, place.outer);
    if (nested) return nested;
    const next = instructionOf(action.type, place.version);
    if (at > 0 && (last === APPLY_ACTIONS ? next < last : next <= last)) {
      return { error: "OFPBAC_UNSUPPORTED_ORDER", text: wrongOrder(last, next) };
    }
    if (next !== APPLY_ACTIONS && !place.instructions) {
      return {
        error: "OFPBIC_UNSUP_INST",
        text: `${ORDER[next]} instruction not allowed here`,
      };
    }
    last = next;
  }
  return undefined;
}

function wrongOrder(last: number, next: number): string {
  const why = "for OpenFlow 1.1+ compatibility";
  if (next === last) return `duplicate ${ORDER[next]} instruction not allowed, ${why}`;
  return `invalid instruction ordering: ${ORDER[next]} must appear before ${ORDER[last]}, ${why}`;
}

function besideConjunction(actions: readonly Action[]): Misplaced | undefined {
  const other = actions.find(({ type }) => type !== "conjunction" && type !== "note");
  if (!other) return undefined;
  return {
    error: "NXBAC_BAD_CONJUNCTION",
    text: '"conjunction" actions may be used along with "note" but not any other kind of action ' +
      `(such as the "${actionName(other.type)}" action used here)`,
  };
}

function wronglyNested(action: Action, outer: Outer | undefined): Misplaced | undefined {
  const { type } = action;
  const field = type === "set_field"
    ? action.field.name
    : type === "move"
    ? action.destination.field.name
    : undefined;
  const tracked = field === "ct_mark" || field === "ct_label";
  if (tracked && outer !== "ct") {
    return {
      error: "OFPBAC_BAD_SET_ARGUMENT",
      text: "cannot set CT fields outside of ct action",
    };
  }
  if (type === "nat" && outer !== "ct") {
    return {
      error: "OFPBAC_BAD_SET_ARGUMENT",
      text: 'Cannot have NAT action outside of "ct" action',
    };
  }
  if (outer === undefined || type === "nat") return undefined;
  if (type === "meter" || (outer === "ct" && field === undefined)) {
    return {
      error: "OFPBAC_BAD_ARGUMENT",
      text: `${outer} action doesn't support nested action ${actionName(type)}`,
    };
  }
  if (outer !== "ct" || tracked) return undefined;
  return {
    error: "OFPBAC_BAD_ARGUMENT",
    text: `${outer} action doesn't support nested modification of ${field}`,
  };
}

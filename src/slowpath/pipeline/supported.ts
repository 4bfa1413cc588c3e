/** What tables must know of actions: which of them translation runs, and where they output to. */
import type { Action, ActionType } from "../../openflow/actions/types.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";

/** Actions that translation (actions.ts) does not run: adding a rule with one is an error. */
const UNSUPPORTED: ReadonlySet<ActionType> = new Set<ActionType>([
  "copy_ttl_in",
  "copy_ttl_out",
  "push_pbb",
  "pop_pbb",
  "set_mpls_label",
  "set_mpls_tc",
  "set_mpls_ttl",
  "dec_mpls_ttl",
  "push_mpls",
  "pop_mpls",
  "sample",
  "ct",
  "nat",
  "ct_clear",
  "check_pkt_larger",
  "encap",
  "decap",
  "dec_nsh_ttl",
  "meter",
]);

export function isSupported(type: ActionType): boolean {
  return !UNSUPPORTED.has(type);
}

/** The first action, nested ones included, that translation does not run; undefined: none. */
export function unsupportedAction(actions: readonly Action[]): ActionType | undefined {
  for (const action of actions) {
    if (UNSUPPORTED.has(action.type)) return action.type;
    if (action.type === "controller" && action.pause) return action.type;
    if (writesMpls(action)) return action.type;
    if (action.type === "resubmit" && action.ct) return action.type;
    if (action.type === "write_actions" || action.type === "clone") {
      const nested = unsupportedAction(action.actions);
      if (nested) return nested;
    }
  }
  return undefined;
}

/** Datapaths cannot rewrite MPLS labels yet. */
function writesMpls(action: Action): boolean {
  switch (action.type) {
    case "set_field":
      return action.field.name.startsWith("mpls_");
    case "move":
      return action.destination.field.name.startsWith("mpls_");
    case "stack_pop":
      return action.subfield.field.name.startsWith("mpls_");
    default:
      return false;
  }
}

const NO_GROUPS: readonly number[] = [];

/** The groups that the list sends packets to, nested actions included. */
export function groupsOf(actions: readonly Action[]): readonly number[] {
  let groups: number[] | undefined;
  some(actions, (action) => {
    if (action.type === "group") (groups ??= []).push(action.group);
    return false;
  });
  return groups ?? NO_GROUPS;
}

/** True if the list outputs to the port (unless ANY) and to the group (unless ANY). */
export function outputsTo(actions: readonly Action[], port: number, group: number): boolean {
  return (port === PORTS.ANY || some(actions, (action) => toPort(action, port))) &&
    (group === GROUP_ANY ||
      some(actions, (action) => action.type === "group" && action.group === group));
}

function toPort(action: Action, port: number): boolean {
  switch (action.type) {
    case "output":
    case "output_trunc":
    case "enqueue":
      return action.port === port;
    case "controller":
      return port === PORTS.CONTROLLER;
    default:
      return false;
  }
}

function some(actions: readonly Action[], test: (action: Action) => boolean): boolean {
  return actions.some((action) =>
    test(action) ||
    ((action.type === "write_actions" || action.type === "clone" || action.type === "ct") &&
      some(action.actions, test))
  );
}

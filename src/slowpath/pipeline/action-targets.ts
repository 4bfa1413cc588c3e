/** Where actions send packets, and through what: the groups, ports and meters that they name. */
import type { Action } from "../../openflow/actions/types.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";

const NONE: readonly number[] = [];

/** The groups that the list sends packets to, nested actions included. */
export const groupsOf = (actions: readonly Action[]): readonly number[] =>
  collect(actions, "group", undefined) ?? NONE;

/** The meters that the list's packets pass; those of packets to controllers do not count. */
export const metersOf = (actions: readonly Action[]): readonly number[] =>
  collect(actions, "meter", undefined) ?? NONE;

/** Adds what actions of a type name to what was found before. */
function collect(
  actions: readonly Action[],
  type: "group" | "meter",
  before: number[] | undefined,
): number[] | undefined {
  let found = before;
  for (const action of actions) {
    if (action.type === "group") {
      if (type === "group") (found ??= []).push(action.group);
    } else if (action.type === "meter") {
      if (type === "meter") (found ??= []).push(action.meter);
    } else if (hasActions(action)) found = collect(action.actions, type, found);
  }
  return found;
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

type Nesting = Extract<Action, { readonly type: "write_actions" | "clone" | "ct" }>;

const hasActions = (action: Action): action is Nesting =>
  action.type === "write_actions" || action.type === "clone" || action.type === "ct";

function some(actions: readonly Action[], test: (action: Action) => boolean): boolean {
  return actions.some((action) =>
    test(action) || (hasActions(action) && some(action.actions, test))
  );
}

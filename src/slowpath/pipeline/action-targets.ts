/** Where actions send packets, and through what: the groups, ports and meters that they name. */
import type { Action } from "../../openflow/actions/types.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";

const NONE: readonly number[] = [];

/** The groups that the list sends packets to, nested actions included. */
export function groupsOf(actions: readonly Action[]): readonly number[] {
  let groups: number[] | undefined;
  some(actions, (action) => {
    if (action.type === "group") (groups ??= []).push(action.group);
    return false;
  });
  return groups ?? NONE;
}

/** The meters that the list's packets pass; those of packets to controllers do not count. */
export function metersOf(actions: readonly Action[]): readonly number[] {
  let meters: number[] | undefined;
  some(actions, (action) => {
    if (action.type === "meter") (meters ??= []).push(action.meter);
    return false;
  });
  return meters ?? NONE;
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

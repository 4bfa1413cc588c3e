/** Which actions flows and buckets may have: the standard's, as far as translation runs them. */
import { actionNumber, standardActions } from "../../../openflow/actions/numbers.ts";
import type { ActionType } from "../../../openflow/actions/types.ts";
import type { OfVersion } from "../../../openflow/version.ts";

/** Open vSwitch lacks these, and controllers that ask it what it can do are not told of them. */
const OURS: ReadonlySet<ActionType> = new Set<ActionType>([
  "copy_ttl_in",
  "copy_ttl_out",
  "push_pbb",
  "pop_pbb",
]);

export function actionTypes(version: OfVersion): readonly ActionType[] {
  return standardActions(version).filter((type) => !OURS.has(type));
}

/** The same as a bitmap of wire numbers. */
export function actionBits(version: OfVersion): number {
  return actionTypes(version)
    .reduce((bits, type) => bits | (1 << actionNumber(version, type)!), 0) >>> 0;
}

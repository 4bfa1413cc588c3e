/** Which actions flows and buckets may have: the standard's, as far as translation runs them. */
import { actionNumber, standardActions } from "../../../openflow/actions/numbers.ts";
import type { ActionType } from "../../../openflow/actions/types.ts";
import type { OfVersion } from "../../../openflow/version.ts";
import { isSupported } from "../../pipeline/supported.ts";

export function actionTypes(version: OfVersion): readonly ActionType[] {
  return standardActions(version).filter(isSupported);
}

/** The same as a bitmap of wire numbers. */
export function actionBits(version: OfVersion): number {
  return actionTypes(version)
    .reduce((bits, type) => bits | (1 << actionNumber(version, type)!), 0) >>> 0;
}

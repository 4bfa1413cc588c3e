/** What a translation without actions becomes: a drop that is counted by its reason. */
import type { DpAction, DropReason } from "../../fastpath/actions.ts";
import type { Xlate, XlateError } from "./xlate.ts";

const REASONS: Readonly<Record<XlateError, DropReason>> = {
  "bridge not found": "bridge_not_found",
  "recursion too deep": "recursion_too_deep",
  "too many resubmits": "too_many_resubmit",
  // Open vSwitch has no such limit, nor a counter for it.
  "too many actions": "too_many_resubmit",
  "stack too deep": "stack_too_deep",
  "no recirculation context": "no_recirculation_context",
  "recirculation conflict": "recirculation_conflict",
  "too many MPLS labels": "too_many_mpls_labels",
  "invalid tunnel metadata": "invalid_tunnel_metadata",
  "unsupported packet type": "unsupported_packet_type",
};

/** No actions at all where the datapath has none that says why (`explicit_drop_action`). */
export function dropOf(x: Xlate): readonly DpAction[] {
  if (!x.supports("explicit_drop_action")) return [];
  if (x.error) return [{ type: "drop", reason: REASONS[x.error] }];
  return [{ type: "drop", reason: x.congested ? "congestion" : "of_pipeline" }];
}

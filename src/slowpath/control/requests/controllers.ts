/** What OpenFlow 1.5 asks about connections and bundles (OpenFlow 1.5.1 §7.3.5.20, §7.3.5.21). */
import type { Agent } from "../agent.ts";

/** OFPBF_*: atomic and ordered; none at a time of its own. */
const BUNDLE_CAPABILITIES = 0b011;

export function answerControllerStatus(agent: Agent, xid: number): void {
  const controllers = agent.agents.controllerStatuses();
  agent.send({ type: "controller_status_reply", controllers }, xid);
}

export function answerBundleFeatures(agent: Agent, xid: number): void {
  agent.send({ type: "bundle_features_reply", capabilities: BUNDLE_CAPABILITIES }, xid);
}

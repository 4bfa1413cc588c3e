/** Flow monitors: see ../flow-monitors.ts. */
import type { FlowMonitorRequest, FlowUpdate } from "../../../openflow/messages/types.ts";
import { OF13, OF14 } from "../../../openflow/version.ts";
import type { TablesChange } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";

export function answerFlowMonitors(agent: Agent, request: FlowMonitorRequest, xid: number): void {
  send(agent, agent.monitors.request(request), xid);
}

/** Tells a connection what its monitors see of some changes. */
export function tellMonitors(agent: Agent, changes: readonly TablesChange[]): void {
  const updates = agent.monitors.updates(changes, agent.requestXid);
  if (updates.length > 0) send(agent, updates, 0);
}

function send(agent: Agent, updates: readonly FlowUpdate[], xid: number): void {
  const { version } = agent;
  const form = version < OF13 ? "nicira" : version === OF13 ? "onf" : undefined;
  // Only OpenFlow 1.4 tells the beginning from what comes later.
  const said = version >= OF14
    ? updates
    : updates.map((update) =>
      update.event === "initial" ? { ...update, event: "added" as const } : update
    );
  agent.send({ type: "flow_monitor_reply", ...(form && { form }), updates: said }, xid);
}

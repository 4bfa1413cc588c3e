/** Flow monitors: see ../flow-monitors.ts. */
import type { FlowMonitorRequest, FlowUpdate } from "../../../openflow/messages/types.ts";
import { OF13, OF14 } from "../../../openflow/version.ts";
import type { TablesChange } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";

export function answerFlowMonitors(agent: Agent, request: FlowMonitorRequest, xid: number): void {
  send(agent, agent.monitors.request(request), xid);
}

/** Bytes that wait for a connection, above which it is not told of changes for a while. */
const PAUSE_BYTES = 128 * 1024;

/** Tells a connection what its monitors see of some changes. */
export function tellMonitors(agent: Agent, changes: readonly TablesChange[]): void {
  const { monitors, connection } = agent;
  if (!monitors.isActive) return;
  const updates = monitors.updates(changes, agent.requestXid);
  if (updates.length > 0) send(agent, updates, 0);
  if (monitors.isPaused || connection.queuedBytes <= PAUSE_BYTES) return;
  monitors.pause();
  sayPause(agent, "paused");
}

/** The connection has read everything. */
export function resumeMonitors(agent: Agent): void {
  if (!agent.monitors.isPaused) return;
  const updates = agent.monitors.resume();
  if (updates.length > 0) send(agent, updates, 0);
  sayPause(agent, "resumed");
}

function sayPause(agent: Agent, event: "paused" | "resumed"): void {
  if (agent.version >= OF14) return send(agent, [{ event }], 0);
  const form = agent.version < OF13 ? "nicira" : "onf";
  agent.send({ type: `flow_monitor_${event}`, form }, 0);
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

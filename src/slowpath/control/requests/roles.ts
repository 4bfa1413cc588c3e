/** Roles and what asynchronous messages a connection wants (OpenFlow 1.3.5 §7.3.9, §7.3.10). */
import { OfError } from "../../../openflow/errors.ts";
import type { AsyncConfig, RoleMessage } from "../../../openflow/messages/types.ts";
import { type Agent, DEFAULT_MISS_SEND_LENGTH } from "../agent.ts";
import { changeAsync, sayAsync } from "../async-config.ts";

/** A secondary controller may look, but not change. */
export function rejectSecondary(agent: Agent): void {
  if (agent.role === "secondary") {
    throw new OfError("OFPBRC_IS_SECONDARY", 0, "a secondary controller may not change the switch");
  }
}

export function answerRole(agent: Agent, request: RoleMessage, xid: number): void {
  const { agents } = agent;
  if (request.role !== "nochange") {
    if (request.role !== "equal" && request.generationId !== undefined) {
      if (!agents.acceptGeneration(request.generationId)) {
        throw new OfError("OFPRRFC_STALE", 16, `generation id ${request.generationId} is stale`);
      }
    }
    if (request.role === "primary" && agent.role !== "primary") agents.demotePrimary();
    const changed = agent.role !== request.role;
    agent.role = request.role;
    agents.changed();
    if (changed) agents.controllerStatus(agent, "role");
  }
  if (request.shortId !== undefined && request.shortId !== agent.shortId) {
    takeShortId(agent, request.shortId);
  }
  const { generationId } = agents;
  agent.send({
    type: "role_reply",
    role: agent.role,
    ...(request.form !== undefined && { form: request.form }),
    ...(generationId !== undefined && { generationId }),
    ...(agent.shortId !== undefined && { shortId: agent.shortId }),
  }, xid);
}

/** OpenFlow 1.5.1 §7.3.9: a number by which the other controllers know this one. */
function takeShortId(agent: Agent, shortId: number): void {
  for (const other of agent.agents) {
    if (other !== agent && other.shortId === shortId) {
      throw new OfError("OFPRRFC_ID_IN_USE", 12, `another controller has the number ${shortId}`);
    }
  }
  agent.shortId = shortId;
  agent.agents.controllerStatus(agent, "short_id");
}

export function answerGetAsync(agent: Agent, xid: number): void {
  agent.send({ type: "get_async_reply", masks: sayAsync(agent.async, agent.version) }, xid);
}

export function answerSetAsync(agent: Agent, request: AsyncConfig): void {
  agent.async = changeAsync(agent.async, request, agent.version);
  // A service connection that says what it wants wants to hear something.
  if (agent.kind === "service" && agent.missSendLength === 0) {
    agent.missSendLength = DEFAULT_MISS_SEND_LENGTH;
  }
  agent.agents.changed();
}

/** Roles and what asynchronous messages a connection wants (OpenFlow 1.3.5 §7.3.9, §7.3.10). */
import { OfError } from "../../../openflow/errors.ts";
import type { AsyncConfig, RoleMessage } from "../../../openflow/messages/types.ts";
import type { Agent } from "../agent.ts";
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
    agent.role = request.role;
    agents.changed();
  }
  const { generationId } = agents;
  agent.send({
    type: "role_reply",
    role: agent.role,
    ...(request.form !== undefined && { form: request.form }),
    ...(generationId !== undefined && { generationId }),
  }, xid);
}

export function answerGetAsync(agent: Agent, xid: number): void {
  agent.send({ type: "get_async_reply", masks: sayAsync(agent.async, agent.version) }, xid);
}

export function answerSetAsync(agent: Agent, request: AsyncConfig): void {
  agent.async = changeAsync(agent.async, request.masks, agent.version);
  agent.agents.changed();
}

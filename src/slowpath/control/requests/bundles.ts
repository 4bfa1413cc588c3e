/** Bundles (OpenFlow 1.4.1 §7.3.9): see ../bundles.ts. */
import { OfError } from "../../../openflow/errors.ts";
import type { BundleAdd, BundleControl } from "../../../openflow/messages/types.ts";
import type { Agent } from "../agent.ts";
import type { Bundled } from "../bundles.ts";
import { applyFlowMod, checkFlowMod, releaseFlowModBuffer } from "./flows.ts";
import { applyGroupMod } from "./groups.ts";
import { preparePacketOut } from "./packets.ts";
import { portToChange } from "./ports.ts";
import { rejectSecondary } from "./roles.ts";

export function answerBundleControl(
  agent: Agent,
  request: BundleControl,
  xid: number,
  bytes: Uint8Array,
): void {
  rejectSecondary(agent);
  const { bundle, flags, control } = request;
  const reply = (answer: BundleControl["control"]): void => {
    const form = request.form === undefined ? {} : { form: request.form };
    agent.send({ type: "bundle_control", ...form, bundle, control: answer, flags: 0 }, xid);
  };
  switch (control) {
    case "open_request":
      agent.bundles.open(bundle, flags, bytes);
      return reply("open_reply");
    case "close_request":
      agent.bundles.close(bundle, flags);
      return reply("close_reply");
    case "commit_request":
      commit(agent, bundle, flags);
      return reply("commit_reply");
    case "discard_request":
      agent.bundles.discard(bundle);
      return reply("discard_reply");
    case "open_reply":
    case "close_reply":
    case "commit_reply":
    case "discard_reply":
      throw new OfError("OFPBFC_BAD_TYPE", 12, `${control} is not a request`);
    default: {
      const never: never = control;
      throw new Error(`bundle control ${never}`);
    }
  }
}

export function answerBundleAdd(agent: Agent, request: BundleAdd, bytes: Uint8Array): void {
  rejectSecondary(agent);
  agent.bundles.add(request, bytes, (message) => {
    if (message.type === "flow_mod") checkFlowMod(agent, message);
  });
}

/** What a message does once all of them have been found good, or when they have not. */
interface Rest {
  readonly finish: () => void;
  readonly abandon?: () => void;
}

function commit(agent: Agent, id: number, flags: number): void {
  const { atomic, messages } = agent.bundles.take(id, flags);
  const rests: Rest[] = [];
  let failed: Uint8Array | undefined;
  try {
    agent.bridge.tables.transaction(() => {
      for (const bundled of messages) {
        failed = bundled.outer;
        const rest = begin(agent, bundled, atomic);
        if (rest) rests.push(rest);
      }
    });
  } catch (error) {
    for (const { abandon } of rests) abandon?.();
    if (!(error instanceof OfError) || !failed) throw error;
    agent.sendError(failed, error);
    throw new OfError("OFPBFC_MSG_FAILED", 0, `a message of bundle ${id} failed`);
  }
  for (const { finish } of rests) finish();
}

function begin(agent: Agent, { message, outer }: Bundled, atomic: boolean): Rest | undefined {
  switch (message.type) {
    case "flow_mod":
      applyFlowMod(agent, message, true);
      if (message.bufferId === undefined) return undefined;
      return { finish: () => releaseFlowModBuffer(agent, message, outer) };
    case "group_mod":
      applyGroupMod(agent, message);
      return undefined;
    case "packet_out": {
      const prepared = preparePacketOut(agent, message);
      return { finish: () => prepared.send(), abandon: () => prepared.drop() };
    }
    case "port_mod": {
      if (atomic) throw new OfError("OFPBFC_MSG_FAILED", 0, "port-mods are never atomic");
      const port = portToChange(agent, message);
      const { config, mask } = message;
      return { finish: () => agent.bridge.modifyPort(port, config, mask, agent) };
    }
    default: {
      const never: never = message;
      throw new Error(`bundled message ${never}`);
    }
  }
}

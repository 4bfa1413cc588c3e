/**
 * Packets that `controller(pause)` handed out, and that NXT_RESUME brings back: the frozen state of
 * the pipeline travels with them, so nothing is kept here while the controller thinks.
 */
import type { ErrorName } from "../../openflow/errors.ts";
import type { Action } from "../../openflow/actions/types.ts";
import {
  type ActionRun,
  decodeContinuation,
  encodeContinuation,
} from "../../openflow/messages/continuation.ts";
import type { Resume } from "../../openflow/messages/types.ts";
import type { OfVersion } from "../../openflow/version.ts";
import type { FlowCache } from "../cache/flow-cache.ts";
import { frozenKey, type FrozenState, type ThawAction } from "../pipeline/frozen.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { TlvTable } from "./tlv-table.ts";

export class Continuations {
  /** Distinguishes the bridge's packets from those of another, or of another life. */
  private readonly id = crypto.getRandomValues(new Uint8Array(16));

  constructor(
    private readonly bridge: BridgeModel,
    private readonly cache: Pick<FlowCache, "resume">,
    private readonly tlvTable: TlvTable,
  ) {}

  /** As bytes for a connection of `version`; throws OfError if that cannot say the actions. */
  encode(frozen: FrozenState, version: OfVersion): Uint8Array {
    const { stack, mirrors, conntracked, actions, actionSet } = frozen;
    return encodeContinuation(
      { bridge: this.id, stack, mirrors, conntracked, runs: runsOf(actions), actionSet },
      version,
      this.tlvTable,
    );
  }

  /** Lets the packet go on; the error if it cannot. */
  resume(request: Resume, version: OfVersion): ErrorName | undefined {
    const { packet, metadata, continuation: bytes } = request;
    const continuation = decodeContinuation(bytes, version, this.tlvTable);
    if (!continuation.bridge.every((byte, i) => byte === this.id[i])) return "NXR_STALE";
    const { stack, mirrors, conntracked, runs, actionSet } = continuation;
    const frozen: FrozenState = {
      bridge: this.bridge,
      // Not where it was paused: what is left to do there are actions.
      table: 0,
      state: frozenKey(metadata.key),
      stack,
      mirrors,
      conntracked,
      hashed: false,
      actions: thawed(runs),
      actionSet,
      userdata: undefined,
    };
    this.cache.resume(frozen, { data: packet }, metadata).send();
    return undefined;
  }
}

/** Actions by the rule that they stood in. */
function runsOf(actions: readonly ThawAction[]): ActionRun[] {
  const runs: (ActionRun & { actions: Action[] })[] = [];
  for (const action of actions) {
    if (action.type === "unroll") {
      runs.push({ table: action.table, cookie: action.cookie, actions: [] });
      continue;
    }
    if (runs.length === 0) runs.push({ table: 0, cookie: 0n, actions: [] });
    runs.at(-1)!.actions.push(action);
  }
  return runs;
}

function thawed(runs: readonly ActionRun[]): ThawAction[] {
  return runs.flatMap(({ table, cookie, actions }) => [
    { type: "unroll", table, cookie } as const,
    ...actions,
  ]);
}

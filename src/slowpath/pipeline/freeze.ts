/**
 * Freezing and thawing a translation (frozen.ts says what is kept and why).
 *
 *     triggerFreeze ──> each list on the way up adds what it had still to run (`freezeActions`)
 *                   ──> whoever began the pipeline, a clone or a bucket ends it: `finishFreezing`
 *                       emits the way back, `recirc` or a packet to a controller
 *     … the packet comes back ──> `thaw` ──> the frozen actions run, or the table is searched
 */
import { copyFrozen, formatThaw, frozenKey, type FrozenState, type ThawAction } from "./frozen.ts";
import type { ActionOf } from "../../openflow/actions/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { FIELDS } from "../../packet/layout.ts";
import { PORTS } from "../../openflow/version.ts";
import { setUpActionSet } from "./action-set.ts";
import { clearConntrack } from "./bits.ts";
import { putUserspace } from "./controller.ts";
import type { HashRequest, Xlate } from "./xlate.ts";

/** Translation stops after the present action. */
export function triggerFreeze(x: Xlate): void {
  x.unlike();
  x.exit = true;
  x.freezing = true;
}

export function triggerHash(x: Xlate, hash: HashRequest): void {
  triggerFreeze(x);
  x.hash = hash;
}

/** Freezing was for nothing: the packet is dropped anyhow, or what was frozen has its own id. */
export function cancelFreeze(x: Xlate): void {
  if (!x.freezing) return;
  x.freezing = false;
  x.hash = undefined;
  x.frozenActions = [];
  x.unrolled = undefined;
  x.pause = undefined;
}

/** Keeps the actions from `from` on, to be run after the thaw. */
export function freezeActions(x: Xlate, actions: readonly ThawAction[], from: number): void {
  for (const action of actions.slice(from)) {
    switch (action.type) {
      case "output":
      case "output_reg":
      case "output_trunc":
      case "group":
      case "controller":
      case "dec_ttl":
      case "dec_mpls_ttl":
      case "dec_nsh_ttl":
        // A packet-in tells the table and cookie of the rule that sent it.
        unroll(x);
        break;
      case "resubmit":
        if (action.table === 0xff) unroll(x);
        break;
      case "goto_table":
        x.frozenActions.push({
          type: "resubmit",
          port: PORTS.IN_PORT,
          table: action.table,
          ct: false,
        });
        continue;
      case "write_metadata":
        x.frozenActions.push({
          type: "set_field",
          field: FIELDS.metadata,
          value: action.metadata,
          mask: action.mask,
          form: "set_field",
        });
        continue;
      case "note":
      case "conjunction":
        continue;
      default:
        break;
    }
    x.frozenActions.push(action);
  }
}

/**
 * Notes where the next action stood, unless the last note says the same. Notes of an earlier freeze,
 * among actions that were thawed and are frozen again, are of no account.
 */
function unroll(x: Xlate): void {
  const { table, cookie, unrolled } = x;
  if (unrolled?.table === table && unrolled.cookie === cookie) return;
  x.unrolled = { type: "unroll", table, cookie };
  x.frozenActions.push(x.unrolled);
}

/** Sends the packet on its way back to the pipeline. */
export function finishFreezing(x: Xlate): void {
  x.commit();
  complete(x, 0);
}

/**
 * `ct(table=…)`: a copy of the packet comes back and goes on in `table`, with the present metadata
 * and action set; the packet itself goes on here.
 */
export function recirculateAndFork(x: Xlate, table: number, zone: number): void {
  x.freezing = true;
  const recircId = complete(x, table);
  if (!x.tracer || recircId === undefined) return;
  const { key, nat } = x;
  x.tracer.recirculate({ cause: "conntrack", recircId, key, zone, nat });
  x.tracer.report(
    "detail",
    "A clone of the packet is forked to recirculate. " +
      `The forked pipeline will be resumed at table ${table}.`,
  );
}

function complete(x: Xlate, table: number): number | undefined {
  const { pause, hash } = x;
  const frozen: FrozenState = {
    bridge: x.bridge,
    table,
    state: frozenKey(x.key),
    stack: [...x.stack],
    mirrors: x.mirrors,
    conntracked: x.conntracked,
    hashed: hash !== undefined,
    actions: x.frozenActions,
    actionSet: x.actionSet,
    userdata: pause && pause.userdata.length > 0 ? pause.userdata : undefined,
  };
  const recircId = x.recirculations.freeze(frozen);
  x.recircs.push(recircId);
  if (pause) {
    // A trace without a packet has nobody to send it to.
    if (!x.tracer || x.learns) putPause(x, pause, frozen, recircId);
  } else {
    if (hash) {
      const { algorithm, basis, wide } = hash;
      x.emit({ type: "hash", algorithm, basis, ...(wide && { wide }) });
    }
    x.emit({ type: "recirc", id: recircId });
  }
  cancelFreeze(x);
  return recircId;
}

function putPause(
  x: Xlate,
  pause: ActionOf<"controller">,
  frozen: FrozenState,
  recircId: number,
): void {
  const { reason, maxLength, controllerId, userdata, meterId } = pause;
  putUserspace(
    x,
    { reason, maxLength, controllerId, userdata, meterId },
    frozen,
    recircId,
    true,
  );
}

/** Makes the translation go on where `frozen` stopped. The actions to run come back. */
export function thaw(x: Xlate, frozen: FrozenState): readonly ThawAction[] {
  const { tracer, key } = x;
  tracer?.enter("thaw", "thaw");
  x.thawed = true;
  x.bridge = frozen.bridge;
  x.table = frozen.table;
  tracer?.report("thaw", `Resuming from table ${frozen.table}`);
  x.conntracked = frozen.conntracked;
  if (!frozen.conntracked) clearConntrack(key);
  copyFrozen(frozen.state, key);
  x.stack = [...frozen.stack];
  x.mirrors = frozen.mirrors;
  x.hashed = frozen.hashed;
  if (frozen.actionSet.length > 0) {
    tracer?.report("thaw", `Restoring action set: ${formatActions(frozen.actionSet)}`);
    x.actionSet = [...frozen.actionSet];
    setUpActionSet(x);
  }
  if (frozen.actions.length > 0) {
    tracer?.report("thaw", `Restoring actions: ${formatThaw(frozen.actions)}`);
  }
  tracer?.leave();
  return frozen.actions;
}

/** Packets for controllers: a copy by a `userspace` action, whose number stands for the rest. */
import type { DpAction, UserspaceCookie } from "../../fastpath/actions.ts";
import { REASONS } from "../../openflow/actions/controller.ts";
import type { PacketInReason } from "../../openflow/actions/types.ts";
import { frozenKey, type FrozenState } from "./frozen.ts";
import type { Xlate } from "./xlate.ts";

export interface ControllerCopy {
  readonly reason: PacketInReason;
  readonly maxLength: number;
  readonly controllerId: number;
  readonly userdata: Uint8Array | undefined;
  readonly meterId: number | undefined;
}

/** A copy of the packet, as it is now, to the controllers. */
export function sendToController(x: Xlate, copy: ControllerCopy): void {
  x.unlike();
  x.commit();
  // OpenFlow 1.3.5 §5.4: what a table-miss rule sends has the reason "no match".
  const reason = copy.reason === "action" && x.rule?.isTableMiss ? "explicit_miss" : copy.reason;
  const frozen: FrozenState = {
    bridge: x.bridge,
    table: x.table,
    state: frozenKey(x.key),
    stack: [...x.stack],
    mirrors: x.mirrors,
    conntracked: x.conntracked,
    hashed: false,
    actions: [],
    actionSet: [],
    userdata: copy.userdata && copy.userdata.length > 0 ? copy.userdata : undefined,
  };
  const recircId = x.recirculations.freeze(frozen);
  x.recircs.push(recircId);
  const { meters } = x.bridge.tables;
  const meter = meters.forControllers(copy.meterId);
  const send = (): void => putUserspace(x, { ...copy, reason }, frozen, recircId, false);
  if (meter === undefined) return send();
  const actions = x.nest(() => {
    x.emit({ type: "meter", id: meter });
    send();
  });
  x.emit({ type: "sample", probability: 0xffffffff, actions });
}

/** The action itself; with `continues`, the controller sends the packet back. */
export function putUserspace(
  x: Xlate,
  copy: ControllerCopy,
  frozen: FrozenState,
  recircId: number,
  continues: boolean,
): void {
  const { bridge, cookie, table } = x;
  const { reason, maxLength, controllerId, meterId } = copy;
  const number = x.puntNumbers.number({
    bridge,
    reason,
    tableId: table,
    cookie,
    maxLen: maxLength,
    controllerId,
    meterId,
    frozen,
    recircId,
    continues,
  });
  x.punts.push(number);
  const told: UserspaceCookie = {
    kind: "controller",
    reason: REASONS.indexOf(reason),
    dontSend: !continues && x.tracer !== undefined && !x.learns,
    continuation: continues,
    recircId,
    ruleCookie: cookie,
    controllerId,
    maxLength,
  };
  const action: DpAction = { type: "userspace", userdata: number, cookie: told };
  x.emit(action);
}

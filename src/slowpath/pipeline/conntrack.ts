/**
 * `ct` and `ct_clear` (ovs-actions(7), "Conntrack Actions"): the packet goes through the datapath's
 * connection tracker. Its connection's state is known only afterwards; with a table, a copy of the
 * packet comes back and goes on there with the state in its ct_… fields.
 */
import type { CtAction as DpCt, CtNat } from "../../fastpath/actions.ts";
import type { CtAction, NatAction } from "../../openflow/actions/types.ts";
import { bigToBytes } from "../../packet/address.ts";
import { FIELDS, slot } from "../../packet/layout.ts";
import { runActions } from "./actions.ts";
import { clearConntrack, lookSubfield, readSubfield } from "./bits.ts";
import { recirculateAndFork } from "./freeze.ts";
import { FROZEN_SLOTS } from "./frozen.ts";
import type { Xlate } from "./xlate.ts";

const NO_TABLE = 0xff;
const MARK = slot("ct_mark");
const LABEL = slot("ct_label");
const FTP = 21;
const TFTP = 69;

export function track(x: Xlate, action: CtAction): void {
  const { mask, key } = x;
  const zone = zoneOf(x, action);
  // What was done before is done to the packet before it is tracked.
  x.commit();
  // The nested actions write mark and label; what they write is what the connection gets.
  const looked = [MARK, LABEL].map(({ offset, bytes }) => mask.bytes.slice(offset, offset + bytes));
  for (const { offset, bytes } of [MARK, LABEL]) mask.bytes.fill(0, offset, offset + bytes);
  const nat = nestedActions(x, action);
  const mark = mask.get(FIELDS.ct_mark);
  const label = mask.bytes.slice(LABEL.offset, LABEL.offset + LABEL.bytes);
  const helper = action.alg === FTP ? "ftp" : action.alg === TFTP ? "tftp" : undefined;
  // For any protocol: those that the policy does not know have the defaults.
  const timeout = action.commit && x.supports("ct_timeout")
    ? x.bridge.zoneTimeouts?.(zone)
    : undefined;
  const tracked: DpCt = {
    type: "ct",
    ...(action.commit ? { commit: true } : {}),
    ...(action.commit && action.force ? { force: true } : {}),
    zone,
    ...(mark !== 0 && { mark: { value: (key.get(FIELDS.ct_mark) & mark) >>> 0, mask: mark } }),
    ...(label.some((byte) => byte !== 0) && { label: { value: labelOf(x, label), mask: label } }),
    ...(helper && { helper }),
    ...(nat && { nat: natOf(nat) }),
    ...(timeout !== undefined && { timeout }),
  };
  if (action.alg && !helper) {
    x.complain(`cannot serialize ct_helper ${action.alg}`);
  }
  x.emit(tracked);
  mask.bytes.set(looked[0]!, MARK.offset);
  mask.bytes.set(looked[1]!, LABEL.offset);
  if (action.recircTable !== NO_TABLE) {
    x.conntracked = true;
    recirculateAndFork(x, action.recircTable, zone);
  }
  x.nat = undefined;
  // The state that was found is for those who go on in the table.
  clearConntrack(key);
  x.tracer?.report(
    "detail",
    "Sets the packet to an untracked state, and clears all the conntrack fields.",
  );
  x.conntracked = false;
}

/** Runs the actions inside `ct`; the `nat` among them, if there is one. */
function nestedActions(x: Xlate, { actions }: CtAction): NatAction | undefined {
  x.nat = undefined;
  runActions(x, actions, false);
  return x.nat;
}

function zoneOf(x: Xlate, { zone }: CtAction): number {
  if ("value" in zone) return zone.value;
  const { field } = zone.subfield;
  // What was frozen is the same for all packets of a recirculation id.
  const frozen = x.thawed &&
    FROZEN_SLOTS.some(({ offset, bytes }) =>
      field.offset >= offset && field.offset < offset + bytes
    );
  if (!frozen) lookSubfield(x.mask, zone.subfield);
  return Number(readSubfield(x.key, zone.subfield) & 0xffffn);
}

function labelOf({ key }: Xlate, mask: Uint8Array): Uint8Array {
  const label = key.bytes.slice(LABEL.offset, LABEL.offset + LABEL.bytes);
  for (let i = 0; i < label.length; i++) label[i]! &= mask[i]!;
  return label;
}

function natOf(nat: NatAction): CtNat {
  if (!nat.source && !nat.destination) return {};
  const { range, ports } = nat;
  const address = (value: bigint): Uint8Array => bigToBytes(value, range?.ipv6 ? 16 : 4);
  return {
    direction: nat.source ? "src" : "dst",
    ...(range && {
      addresses: {
        min: address(range.min),
        ...(range.max !== undefined && range.max > range.min && { max: address(range.max) }),
      },
    }),
    ...(range && ports && ports.min !== 0 && {
      ports: {
        min: ports.min,
        ...(ports.max !== undefined && ports.max > ports.min && { max: ports.max }),
      },
    }),
    ...(nat.persistent && { persistent: true }),
    ...(nat.hash ? { hash: true } : nat.random ? { random: true } : {}),
  };
}

export function clearTracked(x: Xlate): void {
  if (!x.conntracked) return;
  x.conntracked = false;
  clearConntrack(x.key);
  x.emit({ type: "ct_clear" });
}

/**
 * What NXT_PACKET_IN2 says of a paused packet and NXT_RESUME brings back: where the pipeline goes on.
 * Nobody but the switch is to look into it, but stock `ovs-ofctl` can: the properties are Open
 * vSwitch's own (`lib/ofp-packet.c`, NXCPT_*).
 *
 * The actions still to be run come in runs, each with the table and cookie of the rule that they stood
 * in, told when they are others than before (0 at first).
 */
import { readActions, writeActions } from "../actions/codec.ts";
import type { Action } from "../actions/types.ts";
import { OfError } from "../errors.ts";
import type { TunnelFields } from "../tunnel-fields.ts";
import type { OfVersion } from "../version.ts";
import { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";

export interface ActionRun {
  readonly table: number;
  readonly cookie: bigint;
  readonly actions: readonly Action[];
}

export interface Continuation {
  /** 16 bytes that say which bridge. */
  readonly bridge: Uint8Array;
  /** Bottom first. */
  readonly stack: readonly { readonly value: bigint; readonly bytes: number }[];
  readonly mirrors: number;
  readonly conntracked: boolean;
  readonly runs: readonly ActionRun[];
  readonly actionSet: readonly Action[];
}

const PROPERTY = {
  BRIDGE: 0x8000,
  STACK: 0x8001,
  MIRRORS: 0x8002,
  CONNTRACKED: 0x8003,
  TABLE_ID: 0x8004,
  COOKIE: 0x8005,
  ACTIONS: 0x8006,
  ACTION_SET: 0x8007,
  DATAPATH_PORT: 0x8008,
} as const;
const BRIDGE_BYTES = 16;
const MAX_STACK_BYTES = 128;

export function encodeContinuation(
  continuation: Continuation,
  version: OfVersion,
  tunnelFields?: TunnelFields,
): Uint8Array {
  const { bridge, stack, mirrors, conntracked, runs, actionSet } = continuation;
  const writer = new Writer();
  writer.tunnelFields = tunnelFields;
  writeProperty(writer, PROPERTY.BRIDGE, (w) => w.put(bridge));
  for (const { value, bytes } of stack.toReversed()) {
    writeProperty(writer, PROPERTY.STACK, (w) => w.big(value, bytes));
  }
  if (mirrors !== 0) writeProperty(writer, PROPERTY.MIRRORS, (w) => w.u32(mirrors));
  if (conntracked) writeProperty(writer, PROPERTY.CONNTRACKED, () => {});
  let table = 0;
  let cookie = 0n;
  for (const run of runs) {
    if (run.table !== table) writeProperty(writer, PROPERTY.TABLE_ID, (w) => w.u8(run.table));
    if (run.cookie !== cookie) {
      writeProperty(writer, PROPERTY.COOKIE, (w) => w.zeros(4).u64(run.cookie));
    }
    table = run.table;
    cookie = run.cookie;
    writeProperty(
      writer,
      PROPERTY.ACTIONS,
      (w) => writeActions(w.zeros(4), version, run.actions),
    );
  }
  if (actionSet.length > 0) {
    writeProperty(
      writer,
      PROPERTY.ACTION_SET,
      (w) => writeActions(w.zeros(4), version, actionSet),
    );
  }
  return writer.finish();
}

/** Throws OfError for bytes that no switch made. */
export function decodeContinuation(
  bytes: Uint8Array,
  version: OfVersion,
  tunnelFields?: TunnelFields,
): Continuation {
  const reader = new Reader(bytes, "OFPBPC_BAD_LEN");
  reader.tunnelFields = tunnelFields;
  let bridge = new Uint8Array(BRIDGE_BYTES);
  const stack: Continuation["stack"][number][] = [];
  let mirrors = 0;
  let conntracked = false;
  const runs: ActionRun[] = [];
  let actionSet: readonly Action[] = [];
  let table = 0;
  let cookie = 0n;
  readProperties(reader, (type, value, at) => {
    switch (type) {
      case PROPERTY.BRIDGE:
        bridge = value.copy(BRIDGE_BYTES) as Uint8Array<ArrayBuffer>;
        return;
      case PROPERTY.STACK: {
        const { left } = value;
        if (left > MAX_STACK_BYTES) throw new OfError("OFPBPC_BAD_LEN", at, "too wide a value");
        stack.unshift({ value: value.big(left), bytes: left });
        return;
      }
      case PROPERTY.MIRRORS:
        mirrors = value.u32();
        return;
      case PROPERTY.CONNTRACKED:
        conntracked = true;
        return;
      case PROPERTY.TABLE_ID:
        table = value.u8();
        return;
      case PROPERTY.COOKIE:
        value.skip(4);
        cookie = value.u64();
        return;
      case PROPERTY.ACTIONS:
        value.skip(4);
        runs.push({ table, cookie, actions: readActions(value, version) });
        return;
      case PROPERTY.ACTION_SET:
        value.skip(4);
        actionSet = readActions(value, version);
        return;
      case PROPERTY.DATAPATH_PORT:
        return;
      default:
        throw new OfError("OFPBPC_BAD_TYPE", at, `a continuation has no property ${type}`);
    }
  });
  return { bridge, stack, mirrors, conntracked, runs, actionSet };
}

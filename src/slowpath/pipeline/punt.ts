/**
 * A punt: all that must be known, besides the packet itself, to make a packet-in of a packet that a
 * `userspace` datapath action sends up. The action carries its number only.
 *
 * The pipeline state in it (input port, metadata, registers) is the same for every packet of the
 * megaflow: whatever bits of the packet went into it were looked at, so the megaflow matches them.
 */
import type { PacketInReason } from "../../openflow/actions/types.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_BYTES, KEY_BYTES, SLOTS } from "../../packet/layout.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { BridgeModel, PacketIn } from "./model.ts";

export interface Punt {
  readonly bridge: BridgeModel;
  readonly reason: PacketInReason;
  readonly tableId: number;
  readonly cookie: bigint;
  readonly maxLen: number;
  readonly controllerId: number;
  readonly userdata: Uint8Array | undefined;
  readonly meterId: number | undefined;
  /** Only `in_port` and the pipeline section count. */
  readonly state: FlowKey;
}

/** Gives punts their numbers; equal punts get the same. Implemented by the flow cache. */
export interface PuntNumbers {
  /** A reference is held until it is released. */
  number(punt: Punt): number;
}

const IN_PORT = SLOTS.get("in_port")!;

/** Whatever distinguishes the punt from others of its bridge, as text. */
export function puntIdentity(punt: Punt): string {
  const { bytes } = punt.state;
  const port = bytes.subarray(IN_PORT.offset, IN_PORT.offset + IN_PORT.bytes);
  const pipeline = bytes.subarray(DP_KEY_BYTES, KEY_BYTES);
  const hex = (part: Uint8Array | undefined): string => part ? part.toHex() : "-";
  return [
    punt.reason,
    punt.tableId,
    punt.cookie,
    punt.maxLen,
    punt.controllerId,
    hex(punt.userdata),
    punt.meterId ?? "-",
    hex(port),
    hex(pipeline),
  ].join("/");
}

/** The packet-in of one packet; `key` is its datapath key as the action saw it. */
export function packetInOf(punt: Punt, packet: Packet, key: FlowKey): PacketIn {
  const whole = new FlowKey();
  whole.bytes.set(key.bytes.subarray(0, DP_KEY_BYTES));
  const end = IN_PORT.offset + IN_PORT.bytes;
  whole.bytes.set(punt.state.bytes.subarray(IN_PORT.offset, end), IN_PORT.offset);
  whole.bytes.set(punt.state.bytes.subarray(DP_KEY_BYTES), DP_KEY_BYTES);
  const { reason } = punt;
  return {
    reason,
    packet,
    key: whole,
    tableId: punt.tableId,
    cookie: punt.cookie,
    maxLen: punt.maxLen,
    controllerId: punt.controllerId,
    userdata: punt.userdata,
    meterId: punt.meterId,
    bufferable: reason === "no_match" || reason === "implicit_miss" || reason === "explicit_miss",
  };
}

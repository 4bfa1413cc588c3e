/**
 * A punt: what a packet that a `userspace` datapath action sends up is for. The action carries its
 * number only. It is a packet-in, a sample for collectors (sampling.ts), or a copy for an onlooker
 * (look-on.ts).
 *
 * A packet-in's punt is all that must be known, besides the packet itself, to make a packet-in of it.
 *
 * The pipeline state in it (input port, metadata, registers) is the same for every packet of the
 * megaflow: whatever bits of the packet went into it were looked at, so the megaflow matches them.
 */
import type { PacketInReason } from "../../openflow/actions/types.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS } from "../../packet/layout.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import { copyFrozen, type FrozenState } from "./frozen.ts";
import { clearConntrack } from "./bits.ts";
import type { Seen } from "./look-on.ts";
import type { BridgeModel, PacketIn } from "./model.ts";
import type { Sample } from "./sampling.ts";

export type Punt = PacketInPunt | SamplePunt | SeenPunt;

export interface SamplePunt {
  readonly bridge: BridgeModel;
  readonly sample: Sample;
}

export interface SeenPunt {
  readonly sample?: undefined;
  readonly bridge: BridgeModel;
  readonly seen: Seen;
}

export interface PacketInPunt {
  readonly sample?: undefined;
  readonly seen?: undefined;
  readonly bridge: BridgeModel;
  readonly reason: PacketInReason;
  readonly tableId: number;
  readonly cookie: bigint;
  readonly maxLen: number;
  readonly controllerId: number;
  readonly meterId: number | undefined;
  /** The pipeline's state: input port, metadata, registers, and the controller's own data. */
  readonly frozen: FrozenState;
  /** What `frozen` is known by. */
  readonly recircId: number;
  /** The controller resumes the packet from there. */
  readonly continues: boolean;
}

/** Gives punts their numbers; equal punts get the same. Implemented by the flow cache. */
export interface PuntNumbers {
  /** A reference is held until it is released. */
  number(punt: Punt): number;
}

/** Whatever distinguishes the punt from others of its bridge, as text. */
export function puntIdentity(punt: Punt): string {
  if (punt.sample) return JSON.stringify(punt.sample, asText);
  if (punt.seen) return `${punt.seen.direction} ${punt.seen.port.ofport}`;
  return [
    punt.recircId,
    punt.continues,
    punt.reason,
    punt.tableId,
    punt.cookie,
    punt.maxLen,
    punt.controllerId,
    punt.meterId ?? "-",
  ].join("/");
}

const asText = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? `${value}` : value instanceof Uint8Array ? value.toHex() : value;

/** Hands the packet to who wants it; `key` is its datapath key as the action saw it. */
export function deliver(punt: Punt, packet: Packet, key: FlowKey): void {
  const { bridge } = punt;
  if (punt.sample) bridge.sampling?.sample(punt.sample, packet, key);
  else if (punt.seen) punt.seen.port.onlooker?.see(packet, punt.seen.direction);
  else bridge.packetIn(packetInOf(punt, packet, key));
}

/** The packet-in of one packet; `key` is its datapath key as the action saw it. */
export function packetInOf(punt: PacketInPunt, packet: Packet, key: FlowKey): PacketIn {
  const { reason, frozen } = punt;
  const whole = new FlowKey();
  whole.words.set(key.words);
  whole.words.fill(0, DP_KEY_WORDS);
  copyFrozen(frozen.state, whole);
  if (!frozen.conntracked) clearConntrack(whole);
  return {
    reason,
    packet,
    key: whole,
    tableId: punt.tableId,
    cookie: punt.cookie,
    maxLen: punt.maxLen,
    controllerId: punt.controllerId,
    userdata: frozen.userdata,
    meterId: punt.meterId,
    continuation: punt.continues ? frozen : undefined,
    bufferable: reason === "no_match" || reason === "implicit_miss" || reason === "explicit_miss",
  };
}

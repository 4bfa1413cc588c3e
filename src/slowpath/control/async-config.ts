/**
 * Which asynchronous messages a connection gets (OpenFlow 1.3.5 §6.3.4, §7.3.10; Open vSwitch
 * Documentation/topics/design, "Asynchronous Messages").
 *
 * For each kind of message there are two bitmaps of reasons: one for connections whose role is
 * equal or primary, one for secondary ones. Bits have the numbers that the wire gives the reasons.
 */
import type { PacketInReason } from "../../openflow/actions/types.ts";
import type {
  AsyncConfig,
  AsyncKind,
  AsyncMasks,
  ControllerStatus,
  FlowRemoved,
  RoleStatus,
} from "../../openflow/messages/types.ts";
import { OF12, OF13, OF14, type OfVersion } from "../../openflow/version.ts";

export type AsyncTable = Readonly<Record<AsyncKind, AsyncMasks>>;

/** OFPR_*, as bits; the two misses are OFPR_NO_MATCH on the wire. */
const PACKET_IN_BITS: Readonly<Record<PacketInReason, number>> = {
  no_match: 1 << 0,
  implicit_miss: 1 << 0,
  explicit_miss: 1 << 0,
  action: 1 << 1,
  invalid_ttl: 1 << 2,
  action_set: 1 << 3,
  group: 1 << 4,
  packet_out: 1 << 5,
};

/** Refinements of OFPR_ACTION, which versions before 1.4 send as that. */
const ACTION_BITS = PACKET_IN_BITS.action_set | PACKET_IN_BITS.group | PACKET_IN_BITS.packet_out;

const FLOW_REMOVED_BITS: Readonly<Record<FlowRemoved["reason"], number>> = {
  idle_timeout: 1 << 0,
  hard_timeout: 1 << 1,
  delete: 1 << 2,
  group_delete: 1 << 3,
  meter_delete: 1 << 4,
  eviction: 1 << 5,
};

export const PORT_STATUS_BITS = { add: 1 << 0, delete: 1 << 1, modify: 1 << 2 } as const;

/** OFPTR_VACANCY_DOWN and OFPTR_VACANCY_UP. */
export const TABLE_STATUS_BITS = { vacancy_down: 1 << 3, vacancy_up: 1 << 4 } as const;
/** OFPRFR_GROUP_MOD and OFPRFR_METER_MOD. */
export const REQUESTFORWARD_BITS = { group_mod: 1 << 0, meter_mod: 1 << 1 } as const;

export const ROLE_STATUS_BITS: Readonly<Record<RoleStatus["reason"], number>> = {
  primary_request: 1 << 0,
  config: 1 << 1,
  experimenter: 1 << 2,
};
/** OFPCSR_*. */
export const CONTROLLER_STATUS_BITS: Readonly<Record<ControllerStatus["reason"], number>> = {
  request: 1 << 0,
  channel_status: 1 << 1,
  role: 1 << 2,
  controller_added: 1 << 3,
  controller_removed: 1 << 4,
  short_id: 1 << 5,
  experimenter: 1 << 6,
};

const NOTHING: AsyncMasks = { primary: 0, secondary: 0 };

/** What a connection of this version gets until it says otherwise. */
export function defaultAsync(version: OfVersion): AsyncTable {
  const flowRemoved = version >= OF14 ? 0b111111 : version === OF13 ? 0b1111 : 0b111;
  return {
    packet_in: { primary: 0b111111 & ~PACKET_IN_BITS.invalid_ttl, secondary: 0 },
    port_status: { primary: 0b111, secondary: 0b111 },
    flow_removed: { primary: flowRemoved, secondary: 0 },
    role_status: NOTHING,
    table_status: NOTHING,
    requestforward: NOTHING,
    flow_stats: NOTHING,
    controller_status: NOTHING,
  };
}

/** No asynchronous messages at all. */
export const NO_ASYNC: AsyncTable = {
  packet_in: NOTHING,
  port_status: NOTHING,
  flow_removed: NOTHING,
  role_status: NOTHING,
  table_status: NOTHING,
  requestforward: NOTHING,
  flow_stats: NOTHING,
  controller_status: NOTHING,
};

/**
 * What a connection of `version` means by `request`. The fixed structure of 1.3 and of Nicira's first
 * extension is about all kinds: those without a place in it are wanted no more.
 */
export function changeAsync(
  table: AsyncTable,
  { masks, form }: AsyncConfig,
  version: OfVersion,
): AsyncTable {
  const fixed = form === "nicira" || (form === undefined && version < OF14);
  const changed: Record<AsyncKind, AsyncMasks> = { ...(fixed ? NO_ASYNC : table) };
  for (const [kind, bits] of Object.entries(masks) as [AsyncKind, Partial<AsyncMasks>][]) {
    changed[kind] = { ...changed[kind], ...bits };
  }
  if (version >= OF14) return changed;
  const refine = (bits: number) => bits & PACKET_IN_BITS.action ? bits | ACTION_BITS : bits;
  const { primary, secondary } = changed.packet_in;
  return { ...changed, packet_in: { primary: refine(primary), secondary: refine(secondary) } };
}

/** The table as a connection of `version` can be told it: reasons of later versions left out. */
export function sayAsync(table: AsyncTable, version: OfVersion): AsyncConfig["masks"] {
  if (version >= OF14) {
    // Kinds of 1.5 alone are told when they were asked for: older clients stumble over them.
    const { flow_stats, controller_status, ...common } = table;
    return {
      ...common,
      ...(isWanted(flow_stats) && { flow_stats }),
      ...(isWanted(controller_status) && { controller_status }),
    };
  }
  const known = PACKET_IN_BITS.no_match | PACKET_IN_BITS.action | PACKET_IN_BITS.invalid_ttl;
  const { primary, secondary } = table.packet_in;
  return { ...table, packet_in: { primary: primary & known, secondary: secondary & known } };
}

const isWanted = ({ primary, secondary }: AsyncMasks): boolean => (primary | secondary) !== 0;

/** The bit of a packet-in's reason; 0 if connections of this version never get it. */
export function packetInBit(reason: PacketInReason, version: OfVersion): number {
  if (reason === "implicit_miss" && version > OF12) return 0;
  return PACKET_IN_BITS[reason];
}

export function flowRemovedBit(reason: FlowRemoved["reason"]): number {
  return FLOW_REMOVED_BITS[reason];
}

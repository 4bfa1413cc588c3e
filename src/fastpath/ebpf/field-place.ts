/**
 * Where a field stands in the packets of a flow, and which checksums cover it: as far as the flow's
 * match makes sure that its header is there.
 */
import { slot, type SlotName } from "../../packet/layout.ts";
import type { Match } from "../../packet/key.ts";

/** Which checksums follow a changed field. */
export type ChecksumRule =
  | "none"
  /** The IPv4 header's only. */
  | "ipv4"
  /** An IPv4 address: the header's and, through the pseudo header, layer 4's. */
  | "ipv4-address"
  | "ipv6-address"
  /** Layer 4's own. */
  | "tcp"
  | "udp"
  | "icmp";

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;

/** The value of a slot of which the match looks at all bits; undefined otherwise. */
export function pinned({ key, mask }: Match, name: SlotName): number | undefined {
  const { offset, bytes } = slot(name);
  let value = 0;
  for (let i = offset; i < offset + bytes; i++) {
    if (mask.bytes[i] !== 0xff) return undefined;
    value = value * 256 + key.bytes[i]!;
  }
  return value;
}

export interface FieldPlace {
  readonly base: "frame" | "l3" | "l4";
  readonly offset: number;
  readonly bytes: 2 | 4 | 6 | 16;
  readonly checksum: ChecksumRule;
  /** Moves the slot's value to where it stands in those bytes. */
  readonly shift?: number;
  /** Leading bits of those bytes that are not the field's. */
  readonly foreign?: number;
}

/** Where a slot stands in the flow's packets; undefined if that is not known or not done here. */
export function placeOf(name: SlotName, match: Match): FieldPlace | undefined {
  if (name === "eth_dst") return { base: "frame", offset: 0, bytes: 6, checksum: "none" };
  if (name === "eth_src") return { base: "frame", offset: 6, bytes: 6, checksum: "none" };
  switch (pinned(match, "eth_type")) {
    case 0x0806:
    case 0x8035:
      return arpPlace(name);
    case 0x8847:
    case 0x8848:
      return looksAt(match, name) ? mplsPlace(name) : undefined;
    case 0x0800:
      return ipv4Place(name) ?? portPlace(name, match);
    case 0x86dd:
      return ipv6Place(name) ?? neighbourPlace(name, match) ?? portPlace(name, match);
    default:
      return undefined;
  }
}

/** True if the match looks at some bit: then packets with the header only are the flow's. */
export function looksAt({ mask }: Match, name: SlotName): boolean {
  const { offset, bytes } = slot(name);
  return mask.bytes.subarray(offset, offset + bytes).some((byte) => byte !== 0);
}

/** RFC 826 for Ethernet and IPv4, which is the only ARP that programs forward. */
function arpPlace(name: SlotName): FieldPlace | undefined {
  switch (name) {
    case "nw_proto":
      return { base: "l3", offset: 6, bytes: 2, checksum: "none" };
    case "arp_sha":
      return { base: "l3", offset: 8, bytes: 6, checksum: "none" };
    case "nw_src":
      return { base: "l3", offset: 14, bytes: 4, checksum: "none" };
    case "arp_tha":
      return { base: "l3", offset: 18, bytes: 6, checksum: "none" };
    case "nw_dst":
      return { base: "l3", offset: 24, bytes: 4, checksum: "none" };
    default:
      return undefined;
  }
}

const mplsPlace = (name: SlotName): FieldPlace | undefined =>
  name === "mpls_lse0" ? { base: "l3", offset: 0, bytes: 4, checksum: "none" } : undefined;

function ipv4Place(name: SlotName): FieldPlace | undefined {
  switch (name) {
    case "nw_src":
      return { base: "l3", offset: 12, bytes: 4, checksum: "ipv4-address" };
    case "nw_dst":
      return { base: "l3", offset: 16, bytes: 4, checksum: "ipv4-address" };
    case "nw_tos":
      return { base: "l3", offset: 0, bytes: 2, checksum: "ipv4" };
    case "nw_ttl":
      return { base: "l3", offset: 8, bytes: 2, checksum: "ipv4", shift: 8 };
    default:
      return undefined;
  }
}

function ipv6Place(name: SlotName): FieldPlace | undefined {
  switch (name) {
    case "ipv6_src":
      return { base: "l3", offset: 8, bytes: 16, checksum: "ipv6-address" };
    case "ipv6_dst":
      return { base: "l3", offset: 24, bytes: 16, checksum: "ipv6-address" };
    case "nw_tos":
      return { base: "l3", offset: 0, bytes: 2, checksum: "none", shift: 4 };
    case "nw_ttl":
      return { base: "l3", offset: 6, bytes: 2, checksum: "none" };
    case "ipv6_label":
      return { base: "l3", offset: 0, bytes: 4, checksum: "none", foreign: 12 };
    default:
      return undefined;
  }
}

/** ICMP's type or code, if the match knows all of it. */
function lowByte({ key, mask }: Match, name: "tp_src" | "tp_dst"): number | undefined {
  const at = slot(name).offset + 1;
  return mask.bytes[at] === 0xff ? key.bytes[at] : undefined;
}

/** Of neighbour discovery; where its options are, no match says. */
function neighbourPlace(name: SlotName, match: Match): FieldPlace | undefined {
  if (name !== "nd_target" && name !== "nd_reserved") return undefined;
  const type = lowByte(match, "tp_src");
  const isNeighbour = pinned(match, "nw_proto") === ICMPV6 && lowByte(match, "tp_dst") === 0 &&
    (type === 135 || type === 136);
  if (!isNeighbour) return undefined;
  return name === "nd_target"
    ? { base: "l4", offset: 8, bytes: 16, checksum: "icmp" }
    : { base: "l4", offset: 4, bytes: 4, checksum: "icmp" };
}

function portPlace(name: SlotName, match: Match): FieldPlace | undefined {
  if (name !== "tp_src" && name !== "tp_dst") return undefined;
  const protocol = pinned(match, "nw_proto");
  const source = name === "tp_src";
  switch (protocol) {
    case TCP:
      return { base: "l4", offset: source ? 0 : 2, bytes: 2, checksum: "tcp" };
    case UDP:
      return { base: "l4", offset: source ? 0 : 2, bytes: 2, checksum: "udp" };
    case ICMP:
    case ICMPV6:
      // Type and code, a byte each, in slots of two.
      if ((protocol === ICMPV6) !== (pinned(match, "eth_type") === 0x86dd)) return undefined;
      return {
        ...{ base: "l4", offset: 0, bytes: 2, checksum: "icmp" },
        ...source ? { shift: 8 } : { foreign: 8 },
      };
    default:
      return undefined;
  }
}

/** A packet in words: its headers' fields as a match would name them, and its checksum. */
import { extract } from "../../packet/extract.ts";
import { Frame } from "../../packet/frame.ts";
import { anyMatch, type FlowKey, type Match } from "../../packet/key.ts";
import type { FieldName } from "../../packet/fields.ts";
import { FIELDS, slot, type SlotName, TUN_F_KEY } from "../../packet/layout.ts";
import { setMatchExact } from "../match-set.ts";
import { fullMask } from "../field-bits.ts";
import { formatMatch } from "./match.ts";

const ETHERNET = 0;
const FRAG_LATER = 2;
const [ICMP, IGMP, TCP, UDP, ICMPV6, SCTP] = [1, 2, 6, 17, 58, 132] as const;
const WITH_PORTS: ReadonlySet<number> = new Set([ICMP, IGMP, TCP, UDP, ICMPV6, SCTP]);

/** Where the checksum stands in the transport header, how long that is at least, and its name. */
const CHECKSUMS: ReadonlyMap<number, readonly [string, number, number, 2 | 4]> = new Map([
  [TCP, ["tcp_csum", 16, 20, 2] as const],
  [UDP, ["udp_csum", 6, 8, 2] as const],
  [SCTP, ["sctp_csum", 8, 12, 4] as const],
  [ICMP, ["icmp_csum", 2, 8, 2] as const],
  [ICMPV6, ["icmp6_csum", 2, 4, 2] as const],
]);

/** Fields that a packet of this kind has, besides what pipelines add. */
function fieldsOf(key: FlowKey): FieldName[] {
  const packetType = key.get(FIELDS.packet_type);
  const isEthernet = packetType === ETHERNET;
  const fields: FieldName[] = isEthernet ? ["eth_src", "eth_dst", "eth_type", "vlan_tci"] : [];
  switch (isEthernet ? key.get(FIELDS.eth_type) : packetType & 0xffff) {
    case 0x0800:
      fields.push("ip_src", "ip_dst");
      break;
    case 0x86dd:
      fields.push("ipv6_src", "ipv6_dst", "ipv6_label");
      if (isDiscovery(key)) fields.push("nd_target", "nd_sll", "nd_tll");
      break;
    case 0x0806:
    case 0x8035:
      return [...fields, "arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha"];
    case 0x8847:
    case 0x8848:
      return [...fields, "mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos"];
    case 0x894f:
      if (!isEthernet) return fields;
      fields.push("nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si");
      fields.push("nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4");
      break;
    default:
      return fields;
  }
  fields.push("ip_frag", "nw_tos", "nw_ecn", "nw_ttl", "nw_proto");
  const protocol = key.get(FIELDS.nw_proto);
  if ((key.get(FIELDS.ip_frag) & FRAG_LATER) === 0 && WITH_PORTS.has(protocol)) {
    fields.push("tcp_src", "tcp_dst");
    if (protocol === TCP) fields.push("tcp_flags");
  }
  return fields;
}

function isDiscovery(key: FlowKey): boolean {
  const type = key.get(FIELDS.icmpv6_type);
  return key.get(FIELDS.nw_proto) === ICMPV6 && (type === 135 || type === 136) &&
    key.get(FIELDS.icmpv6_code) === 0;
}

/** What pipelines add: told where it is not zero. */
const CONTEXT: readonly FieldName[] = [
  "in_port_oxm",
  "skb_priority",
  "pkt_mark",
  "recirc_id",
  "dp_hash",
  "ct_state",
  "ct_zone",
  "ct_mark",
  "ct_label",
  "metadata",
  ...Array.from({ length: 16 }, (_, n) => `reg${n}` as FieldName),
];

/** What a packet that came out of a tunnel shows of it. */
const TUNNEL: readonly SlotName[] = [
  "tun_src",
  "tun_dst",
  "tun_ipv6_src",
  "tun_ipv6_dst",
  "tun_flags",
  "tun_tos",
  "tun_ttl",
  "tun_gbp_id",
  "tun_gbp_flags",
  "tun_erspan_ver",
  "tun_erspan_idx",
  "tun_erspan_dir",
  "tun_erspan_hwid",
  "tun_gtpu_flags",
  "tun_gtpu_msgtype",
];
/** The direction in which a tracked connection was opened. */
const CONNECTION: readonly SlotName[] = ["ct_nw_proto", "ct_tp_src", "ct_tp_dst"];

/** All of the slot, as it is in the key. */
function matchSlot(match: Match, key: FlowKey, name: SlotName): void {
  const { offset, bytes } = slot(name);
  match.key.bytes.set(key.bytes.subarray(offset, offset + bytes), offset);
  match.mask.bytes.fill(0xff, offset, offset + bytes);
}

const isZero = (key: FlowKey, name: SlotName): boolean => {
  const { offset, bytes } = slot(name);
  return key.bytes.subarray(offset, offset + bytes).every((byte) => byte === 0);
};

const hasTunnel = (key: FlowKey): boolean =>
  !isZero(key, "tun_dst") || !isZero(key, "tun_ipv6_dst");

/** What no field of OpenFlow names, or only together with others. */
function matchMore(match: Match, key: FlowKey): void {
  // That there is no further tag is told, too.
  if (key.get(FIELDS.vlan_tci) !== 0) matchSlot(match, key, "vlan2_tci");
  const packetType = key.get(FIELDS.packet_type);
  const type = packetType === ETHERNET ? key.get(FIELDS.eth_type) : packetType & 0xffff;
  if ((type === 0x8847 || type === 0x8848) && key.get(FIELDS.mpls_bos) === 0) {
    matchSlot(match, key, "mpls_lse1");
    if ((key.bytes[slot("mpls_lse1").offset + 2]! & 1) === 0) matchSlot(match, key, "mpls_lse2");
  }
  if (hasTunnel(key)) {
    for (const name of TUNNEL) matchSlot(match, key, name);
    if (key.bytes[slot("tun_flags").offset + 1]! & TUN_F_KEY) matchSlot(match, key, "tun_id");
  } else if (!isZero(key, "tun_id")) matchSlot(match, key, "tun_id");
  if (isZero(key, "ct_nw_proto")) {
    // Of packets without an Ethernet header Open vSwitch tells addresses of a connection in any case.
    if (packetType === (1 << 16 | 0x0800)) {
      for (const name of ["ct_nw_src", "ct_nw_dst"] as const) matchSlot(match, key, name);
    } else if (packetType === (1 << 16 | 0x86dd)) {
      for (const name of ["ct_ipv6_src", "ct_ipv6_dst"] as const) matchSlot(match, key, name);
    }
    return;
  }
  if (type === 0x0800) {
    for (const name of ["ct_nw_src", "ct_nw_dst", ...CONNECTION] as const) {
      matchSlot(match, key, name);
    }
  } else if (type === 0x86dd) {
    for (const name of ["ct_ipv6_src", "ct_ipv6_dst", ...CONNECTION] as const) {
      matchSlot(match, key, name);
    }
  }
}

/** A match on everything that a packet with this key shows. */
export function matchOfKey(key: FlowKey): Match {
  const match = anyMatch();
  const packetType = key.get(FIELDS.packet_type);
  // Ethernet is told only of packets that the datapath has given back.
  if (packetType !== ETHERNET || key.get(FIELDS.recirc_id) !== 0) {
    setMatchExact(match, FIELDS.packet_type, packetType);
  }
  for (const name of fieldsOf(key)) setMatchExact(match, FIELDS[name], key.getBig(FIELDS[name]));
  matchMore(match, key);
  for (const name of CONTEXT) {
    const value = key.getBig(FIELDS[name]);
    if (value !== 0n) setMatchExact(match, FIELDS[name], value & fullMask(FIELDS[name]));
  }
  return match;
}

function checksumText(frame: Frame, bytes: Uint8Array): string {
  const found = frame.l4 < 0 ? undefined : CHECKSUMS.get(frame.key.get(FIELDS.nw_proto));
  if (!found) return "";
  const [label, offset, header, width] = found;
  if (frame.l3End - frame.l4 < header) return "";
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[frame.l4 + offset + i] ?? 0);
  return ` ${label}:${value.toString(16)}`;
}

/** The packet's line, with its newline. `packetType` is 0 for Ethernet frames. */
export function formatPacket(bytes: Uint8Array, packetType = ETHERNET): string {
  const frame = new Frame();
  frame.set(bytes, 0, bytes.length, false, 0);
  extract(frame, 0, 0, 0);
  if (packetType !== ETHERNET) frame.key.set(FIELDS.packet_type, packetType);
  return `${formatMatch(matchOfKey(frame.key))}${checksumText(frame, bytes)}\n`;
}

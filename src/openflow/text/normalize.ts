/** Leaves out of a match what can never be matched with the rest of it, as switches do. */
import type { FieldName } from "../../packet/fields.ts";
import { anyMatch, type Match } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import { fieldIsZero, fullMask } from "../field-bits.ts";
import { ETH_TYPE } from "../match-set.ts";

const NETWORK: readonly FieldName[] = ["ip_src", "ip_dst"];
const PORTS: readonly FieldName[] = ["tcp_src", "tcp_dst"];
const IPV6: readonly FieldName[] = ["ipv6_src", "ipv6_dst", "ipv6_label"];
const IP: readonly FieldName[] = ["nw_tos", "nw_ecn", "nw_ttl"];
const MPLS: readonly FieldName[] = ["mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"];
/** All that depends on something else. */
const DEPENDENT: readonly FieldName[] = [
  "eth_src",
  "eth_dst",
  "nw_proto",
  "arp_sha",
  "arp_tha",
  "nd_target",
  ...NETWORK,
  ...PORTS,
  ...IPV6,
  ...IP,
  ...MPLS,
];

const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 132]);
const [ICMP, ICMPV6, SOLICITATION, ADVERTISEMENT] = [1, 58, 135, 136];

function possible(match: Match): ReadonlySet<FieldName> {
  const { key, mask } = match;
  const packetType = key.get(FIELDS.packet_type);
  const isFrame = fieldIsZero(mask, FIELDS.packet_type) || packetType === 0;
  const may = new Set<FieldName>(isFrame ? ["eth_src", "eth_dst"] : []);
  const add = (names: readonly FieldName[]): void => names.forEach((name) => may.add(name));
  const ethType = isFrame
    ? key.get(FIELDS.eth_type)
    : packetType >>> 16 === 1
    ? packetType & 0xffff
    : 0;
  const protocol = key.get(FIELDS.nw_proto);
  switch (ethType) {
    case ETH_TYPE.IPV4:
      add([...NETWORK, ...IP, "nw_proto"]);
      if (WITH_PORTS.has(protocol) || protocol === ICMP) add(PORTS);
      break;
    case ETH_TYPE.IPV6:
      add([...IPV6, ...IP, "nw_proto"]);
      if (WITH_PORTS.has(protocol)) add(PORTS);
      else if (protocol === ICMPV6) {
        add(PORTS);
        const type = key.get(FIELDS.tcp_src);
        if (type === SOLICITATION) add(["nd_target", "arp_sha"]);
        else if (type === ADVERTISEMENT) add(["nd_target", "arp_tha"]);
      }
      break;
    case ETH_TYPE.ARP:
    case ETH_TYPE.RARP:
      add([...NETWORK, "nw_proto", "arp_sha", "arp_tha"]);
      break;
    case ETH_TYPE.MPLS:
    case ETH_TYPE.MPLS_MULTICAST:
      add(MPLS);
      break;
    default:
  }
  return may;
}

/** The match without what is impossible; undefined if all of it is possible. */
export function normalizedMatch(match: Match): Match | undefined {
  const may = possible(match);
  const gone = DEPENDENT.filter((name) => !may.has(name) && !fieldIsZero(match.mask, FIELDS[name]));
  if (gone.length === 0) return undefined;
  const copy = anyMatch();
  copy.key.words.set(match.key.words);
  copy.mask.words.set(match.mask.words);
  for (const name of gone) {
    const field = FIELDS[name];
    const bits = copy.mask.getBig(field) & ~fullMask(field);
    copy.mask.setBig(field, bits);
    copy.key.setBig(field, copy.key.getBig(field) & bits);
  }
  return copy;
}

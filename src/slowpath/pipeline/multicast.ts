/**
 * NORMAL and multicast where the bridge snoops (RFC 4541 §2): queries go everywhere, reports to
 * routers, other packets to those that asked for their group and to routers.
 *
 * Messages about groups come up each time: what they teach is an effect of theirs. Addresses of one
 * link only (224.0.0.0/24, ff02::1) are flooded, for nobody asks for them.
 */
import { slot } from "../../packet/layout.ts";
import { AT, ETH_IP, isIp, lookBytes, u16 } from "./bits.ts";
import type { BundleModel, SnoopingModel } from "./model.ts";
import type { Xlate } from "./xlate.ts";

const IPV6_DST = slot("ipv6_dst").offset;
const TP_SRC = AT.tpSrc;
const PROTOCOL_IGMP = 2;
const PROTOCOL_ICMPV6 = 58;
const MLD_TYPES: ReadonlySet<number> = new Set([130, 131, 132, 143]);

/** Where the packet goes; "flood": everywhere. Undefined: NORMAL decides as without snooping. */
export function snoopedBundles(
  x: Xlate,
  snooping: SnoopingModel,
  from: BundleModel,
  vlan: number,
): ReadonlySet<BundleModel> | "flood" | undefined {
  const { key, mask } = x;
  if (!isIp(key) || !(key.bytes[AT.ethDst]! & 1) || isBroadcast(key.bytes)) return undefined;
  const ipv4 = u16(key, AT.ethType) === ETH_IP;
  mask.bytes[AT.nwProto] = 0xff;
  const protocol = key.bytes[AT.nwProto];
  if (ipv4 ? protocol === PROTOCOL_IGMP : protocol === PROTOCOL_ICMPV6) {
    const about = aboutGroups(x, snooping, from, vlan, ipv4);
    if (about) return about;
  }
  const at = ipv4 ? AT.nwDst : IPV6_DST;
  const length = ipv4 ? 4 : 16;
  lookBytes(mask, at, length);
  const address = key.bytes.slice(at, at + length);
  if (isOfLink(address)) {
    x.tracer?.report("detail", "RFC4541: section 2.1.2, item 2, flooding");
    return "flood";
  }
  const members = snooping.members(vlan, address);
  if (!members && snooping.floodsUnregistered) {
    x.tracer?.report("detail", "unregistered multicast, flooding");
    return "flood";
  }
  const targets = new Set<BundleModel>();
  add(x, targets, from, members ?? [], "group");
  add(x, targets, from, snooping.floodBundles, "flood");
  add(x, targets, from, snooping.routers(vlan), "router");
  return targets;
}

function aboutGroups(
  x: Xlate,
  snooping: SnoopingModel,
  from: BundleModel,
  vlan: number,
  ipv4: boolean,
): ReadonlySet<BundleModel> | "flood" | undefined {
  const { packet, key } = x;
  if (!ipv4) {
    lookBytes(x.mask, TP_SRC, 2);
    if (!MLD_TYPES.has(u16(key, TP_SRC))) return undefined;
  }
  x.slow.add("action");
  x.uncacheable = true;
  const message = packet && snooping.parse(packet);
  if (message && x.learns && from.members.length > 0) {
    x.effect({ type: "touch", touch: () => snooping.receive(from, vlan, message) });
  }
  if (message?.kind !== "membership") {
    x.tracer?.report("detail", ipv4 ? "multicast traffic, flooding" : "MLD query, flooding");
    return "flood";
  }
  const targets = new Set<BundleModel>();
  add(x, targets, from, snooping.routers(vlan), "router");
  add(x, targets, from, snooping.reportBundles, "report");
  return targets;
}

function add(
  x: Xlate,
  targets: Set<BundleModel>,
  from: BundleModel,
  bundles: Iterable<BundleModel>,
  what: string,
): void {
  for (const bundle of bundles) {
    if (bundle === from) {
      x.tracer?.report("detail", `mcast ${what} port is input port, dropping`);
      continue;
    }
    x.tracer?.report("detail", `forwarding to mcast ${what} port`);
    targets.add(bundle);
  }
}

function isBroadcast(bytes: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (bytes[AT.ethDst + i] !== 0xff) return false;
  return true;
}

function isOfLink(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 224 && address[1] === 0 && address[2] === 0;
  return address[0] === 0xff && address[1] === 2 && address[15] === 1 &&
    address.subarray(2, 15).every((byte) => byte === 0);
}

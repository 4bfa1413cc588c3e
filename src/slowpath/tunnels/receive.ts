/**
 * A packet is about to be handed to a device of this host that has an address: a bridge's own port.
 * If it is a tunnelled one, it is taken apart instead (`tnl_pop`); and of answers to ARP and neighbour
 * solicitations we learn next hops (Open vSwitch `ofproto-dpif-xlate.c`, terminate_native_tunnel).
 */
import type { FlowKey } from "../../packet/key.ts";
import { FIELDS, slot, type SlotName } from "../../packet/layout.ts";
import { mapIpv4, sameAddress } from "../../packet/prefix.ts";
import { lookSlot } from "../pipeline/bits.ts";
import type { PortModel } from "../pipeline/model.ts";
import type { Xlate } from "../pipeline/xlate.ts";
import type { Tunnels } from "./tunnels.ts";

const ARP = 0x0806;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;

/** The tunnel's datapath port that takes the packet instead of the device; undefined: none does. */
export function terminates<P>(
  x: Xlate,
  tunnels: Tunnels<P>,
  port: PortModel,
  mac: Uint8Array,
): number | undefined {
  if (!tunnels.native || tunnels.network.addressesOf(port.name).length === 0) return undefined;
  // What is learned here is learned of each packet.
  x.unlike();
  const { key, mask } = x;
  if (tunnels.listens) look(mask, key);
  const found = tunnels.listening(key, port.name, mac);
  if (found === undefined) snoop(x, tunnels, port);
  else if (x.learns) {
    const from = key.get(FIELDS.eth_type) === IPV4
      ? mapIpv4(bytesOf(key, "nw_src"))
      : bytesOf(key, "ipv6_src");
    tunnels.neighbours.set(x.bridge.name, from, bytesOf(key, "eth_src"));
  }
  return found;
}

/** Everything by which `Tunnels.listening` tells. */
function look(mask: FlowKey, key: FlowKey): void {
  lookSlot(mask, "eth_dst");
  const type = key.get(FIELDS.eth_type);
  if (type !== IPV4 && type !== IPV6) return;
  lookSlot(mask, type === IPV4 ? "nw_dst" : "ipv6_dst");
  lookSlot(mask, "nw_proto");
  if (key.get(FIELDS.nw_proto) === 17) lookSlot(mask, "tp_dst");
}

function snoop<P>(x: Xlate, tunnels: Tunnels<P>, port: PortModel): void {
  const { key, mask } = x;
  const bridge = x.bridge.name;
  const type = key.get(FIELDS.eth_type);
  if (type === ARP) {
    lookSlot(mask, "nw_dst");
    lookSlot(mask, "nw_src");
    const from = mapIpv4(bytesOf(key, "nw_src"));
    const to = mapIpv4(bytesOf(key, "nw_dst"));
    const gratuitous = sameAddress(from, to);
    if (!gratuitous && !owns(x, tunnels, port, to)) return;
    lookSlot(mask, "nw_proto");
    lookSlot(mask, "arp_sha");
    const sender = bytesOf(key, "arp_sha");
    if (!gratuitous && key.get(FIELDS.arp_op) !== 2) return;
    if (sender.every((byte) => byte === 0)) return;
    if (x.learns) tunnels.neighbours.set(bridge, from, sender);
  } else if (type === IPV6 && key.get(FIELDS.nw_proto) === ICMPV6) {
    lookSlot(mask, "nw_proto");
    lookSlot(mask, "tp_src");
    if (bytesOf(key, "tp_src")[1] !== NEIGHBOUR_ADVERTISEMENT) return;
    lookSlot(mask, "ipv6_dst");
    lookSlot(mask, "ipv6_src");
    lookSlot(mask, "nd_target");
    lookSlot(mask, "arp_tha");
    const target = bytesOf(key, "arp_tha");
    if (target.every((byte) => byte === 0)) return;
    if (!owns(x, tunnels, port, bytesOf(key, "ipv6_dst"))) return;
    if (x.learns) tunnels.neighbours.set(bridge, bytesOf(key, "nd_target"), target);
  }
}

/** The bridge's own port, or another of its ports, has the address. */
function owns<P>(x: Xlate, tunnels: Tunnels<P>, port: PortModel, address: Uint8Array): boolean {
  const has = (name: string): boolean =>
    tunnels.network.addressesOf(name).some((own) =>
      sameAddress(own.address, address) || isSolicitedNode(address, own.address)
    );
  return has(port.name) || has(x.bridge.name) ||
    [...x.bridge.ports.values()].some(({ name }) => has(name));
}

/** RFC 4291 §2.7.1: ff02::1:ffXX:XXXX with the last three bytes of the address. */
function isSolicitedNode(group: Uint8Array, address: Uint8Array): boolean {
  if (group[0] !== 0xff || group[1] !== 2 || group[11] !== 1 || group[12] !== 0xff) return false;
  return [13, 14, 15].every((i) => group[i] === address[i]);
}

function bytesOf(key: FlowKey, name: SlotName): Uint8Array {
  const { offset, bytes } = slot(name);
  return key.bytes.slice(offset, offset + bytes);
}

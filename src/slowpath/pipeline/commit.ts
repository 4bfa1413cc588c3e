/**
 * Turns the difference between the packet as the datapath has it (`base`) and as the pipeline wants
 * it (`key`) into datapath actions, just before something is done with the packet.
 *
 * Actions that change headers only change the key. So what is set and set back costs nothing, what
 * is set twice is set once, and a packet that goes to two bridges is put back in between.
 *
 * Each bit that differs was written by an action, and an action's written bits are in the mask: all
 * packets of the megaflow have the same value there, so it is right to leave out a `set` to the
 * value that the packet already has. A `set` covers the slot's bits that are in the mask; those not
 * written keep, by the same argument, their value.
 *
 * The order is Open vSwitch's: encapsulation, Ethernet, NSH, network, transport, labels, tags, queue
 * and mark; labels go first when all of them are popped, for what is above them can be set only then.
 * The parts of one header follow each other in the header's order, so that text can show them as one.
 */
import { type FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, type Slot, slot, type SlotName } from "../../packet/layout.ts";
import {
  AT,
  ETH_ARP,
  ETH_IP,
  ETH_IPV6,
  ETH_MPLS,
  ETH_NSH,
  isMplsType,
  look16,
  look32,
  u16,
  u32,
} from "./bits.ts";
import { commitEncap } from "./encap.ts";
import { countCommonLabels, countLabels, lse, popLabel, pushLabel, setLse } from "./mpls.ts";
import { commitTags } from "./tags.ts";
import type { Xlate } from "./xlate.ts";

const TCP = 6;
const UDP = 17;
const SCTP = 132;
const ICMP = 1;
const ICMPV6 = 58;

const slots = (...names: SlotName[]): readonly Slot[] => names.map(slot);
const ETHERNET = slots("eth_src", "eth_dst");
const IPV4 = slots("nw_src", "nw_dst", "nw_tos", "nw_ttl");
const IPV6 = slots("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl");
const ARP = slots("nw_src", "nw_dst", "nw_proto", "arp_sha", "arp_tha");
const ND_EXTENSIONS = slots("nd_reserved", "nd_options_type");
const ND = slots("nd_target", "arp_sha", "arp_tha");
const NSH = slots("nsh_flags", "nsh_ttl", "nsh_path", "nsh_c");
const PORTS = slots("tp_src", "tp_dst");
const QUEUE = slots("skb_priority");
const MARK = slots("pkt_mark");
const PBB = slots("pbb_tci");
const ALL_BITS = 0xffffffff;

/** Appends what makes `base` into `key`, and makes them equal. */
export function commit(x: Xlate): void {
  const { key, base } = x;
  const encaps = x.pendingEncap || x.pendingDecap;
  // Most outputs find nothing changed.
  let changed = encaps;
  for (let i = 0; i < DP_KEY_WORDS && !changed; i++) changed = key.words[i] !== base.words[i];
  if (!changed) return;
  x.gather();

  commitEncap(x);
  if (isEthernet(key) && isEthernet(base)) set(x, ETHERNET);
  const pops = isMplsType(u16(base, AT.ethType)) && !isMplsType(u16(key, AT.ethType));
  if (pops) commitLabels(x, false);
  if (u16(key, AT.ethType) === ETH_NSH) commitNsh(x);
  if (isKnown(key, base)) commitNetwork(x);
  if (!pops) commitLabels(x, false);
  set(x, PBB);
  commitTags(x);
  set(x, QUEUE);
  set(x, MARK);
}

function isEthernet(key: FlowKey): boolean {
  return u32(key, AT.packetType) === 0;
}

/** Labels hide what is above them; then the key has nothing there, whatever the packet has. */
function isKnown(key: FlowKey, base: FlowKey): boolean {
  return key.bytes[AT.nwProto] !== 0 || base.bytes[AT.nwProto] === 0;
}

/** Sets the slots that differ. */
function set(x: Xlate, list: readonly Slot[]): boolean {
  let any = false;
  for (const { name, offset, bytes } of list) {
    if (!differs(x, offset, bytes)) continue;
    setSlot(x, name, offset, bytes);
    any = true;
  }
  return any;
}

function differs({ key, base }: Xlate, offset: number, bytes: number): boolean {
  for (let i = offset; i < offset + bytes; i++) if (key.bytes[i] !== base.bytes[i]) return true;
  return false;
}

function setSlot(x: Xlate, name: SlotName, offset: number, bytes: number): void {
  const mask = x.mask.bytes.slice(offset, offset + bytes);
  const value = x.key.bytes.slice(offset, offset + bytes);
  for (let i = 0; i < bytes; i++) value[i]! &= mask[i]!;
  x.emit({ type: "set", slot: name, value, mask });
  x.base.bytes.set(x.key.bytes.subarray(offset, offset + bytes), offset);
}

/**
 * Sets what says what a packet is: its Ethernet type or IP protocol. Neither can be told from what
 * pushing and popping make of them, so it is done at once, and what was to be done before is first.
 */
export function setKind(x: Xlate, name: "eth_type" | "nw_proto", value: bigint): void {
  commit(x);
  x.gather();
  const { offset, bytes } = slot(name);
  x.mask.bytes.fill(0xff, offset, offset + bytes);
  for (let i = 0; i < bytes; i++) {
    x.key.bytes[offset + i] = Number((value >> BigInt(8 * (bytes - 1 - i))) & 0xffn);
  }
  setSlot(x, name, offset, bytes);
}

function commitNetwork(x: Xlate): void {
  const { key, base } = x;
  switch (u16(base, AT.ethType)) {
    case ETH_IP:
      set(x, IPV4);
      break;
    case ETH_IPV6:
      set(x, IPV6);
      if (base.bytes[AT.nwProto] === ICMPV6) {
        if (set(x, ND_EXTENSIONS)) x.slow.add("action");
        if (set(x, ND)) x.slow.add("action");
      }
      break;
    case ETH_ARP:
      if (set(x, ARP)) x.slow.add("action");
      return;
    default:
      return;
  }
  const protocol = key.bytes[AT.nwProto];
  if (protocol === TCP || protocol === UDP || protocol === SCTP) set(x, PORTS);
  else if (protocol === (u16(base, AT.ethType) === ETH_IP ? ICMP : ICMPV6)) commitIcmp(x);
}

/** Type and code are set together. */
function commitIcmp(x: Xlate): void {
  if (!differs(x, AT.tpSrc, 2) && !differs(x, AT.tpDst, 2)) return;
  look16(x.mask, AT.tpSrc, 0xff);
  look16(x.mask, AT.tpDst, 0xff);
  setSlot(x, "tp_src", AT.tpSrc, 2);
  setSlot(x, "tp_dst", AT.tpDst, 2);
  x.slow.add("action");
}

/** All of the header that was looked at is set together. */
function commitNsh(x: Xlate): void {
  if (!NSH.some(({ offset, bytes }) => differs(x, offset, bytes))) return;
  for (const { name, offset, bytes } of NSH) {
    const looked = x.mask.bytes.subarray(offset, offset + bytes).some((byte) => byte !== 0);
    if (looked) setSlot(x, name, offset, bytes);
  }
}

/** `l2`: new labels go in front of the Ethernet header (`encap(mpls)`). */
export function commitLabels(x: Xlate, l2: boolean): void {
  const { key, base } = x;
  let have = countLabels(base);
  const wanted = countLabels(key);
  const common = countCommonLabels(key, wanted, base, have);
  const type = u16(key, AT.ethType);
  let same = common;
  while (have > same) {
    if (have - 1 === same && wanted > same) {
      // The outermost entry that is there becomes one of those that are wanted.
      const entry = lse(key, wanted - have);
      // All of it is written, so all of it was looked at.
      look32(x.mask, AT.mpls + 4 * (wanted - have), ALL_BITS);
      const { offset, bytes } = slot("mpls_lse0");
      const value = new Uint8Array(bytes);
      new DataView(value.buffer).setUint32(0, entry);
      x.emit({ type: "set", slot: "mpls_lse0", value, mask: new Uint8Array(bytes).fill(0xff) });
      base.bytes.set(value, offset);
      same++;
    } else {
      x.emit({ type: "pop_mpls", ethType: !isMplsType(type) && have > 1 ? ETH_MPLS : type });
      // The type is that of the packet only when all are gone; labels are counted by it until then.
      popLabel(base, have, have > 1 && !isMplsType(type) ? ETH_MPLS : type, undefined);
      have--;
    }
  }
  for (; have < wanted; have++) {
    const entry = lse(key, wanted - have - 1);
    x.emit(
      l2
        ? { type: "add_mpls", ethType: type, lse: entry, l2: true }
        : { type: "push_mpls", ethType: type, lse: entry },
    );
    // What is above stays in `base`: it is needed when the packet is put back.
    pushLabel(base, have, type, undefined, false);
    setLse(base, 0, entry);
  }
}

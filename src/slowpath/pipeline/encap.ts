/**
 * `encap`, `decap` and `dec_nsh_ttl`: headers of other kinds in front of the packet (ovs-actions(7),
 * "Packet Type Aware"; RFC 8300 for NSH).
 *
 * A packet's type says what stands first in it: 0 for Ethernet, (1 << 16) | Ethernet type for a bare
 * header of that kind. `encap` writes the new header into the key; the datapath action comes with the
 * next commit, so that fields set in between are in the header that is pushed. What is under a header
 * that was taken off is known only after the packet has been parsed again.
 *
 *      0   2   4        10       16       20     24          32
 *     +---+---+--------+--------+--------+------+-----------+
 *     |ver|O U| TTL    | length | unused | MD   | next      |   NSH, length in words
 *     +---+---+--------+--------+--------+------+-----------+
 *     | service path identifier                 | index     |
 *     +-----------------------------------------+-----------+
 */
import { ENCAP_TYPES } from "../../openflow/actions/encap.ts";
import type { ActionOf } from "../../openflow/actions/types.ts";
import { FIELDS, type Slot, slot, type SlotName, SLOTS } from "../../packet/layout.ts";
import {
  AT,
  ETH_MPLS,
  ETH_NSH,
  lookBytes,
  lookSlot,
  setU16,
  setU32,
  u16,
  u32,
  VLAN_CFI,
} from "./bits.ts";
import { commitLabels } from "./commit.ts";
import {
  clearUpperLayers,
  countLabels,
  MAX_LABELS,
  popLabel,
  pushLabel,
  tooManyLabels,
} from "./mpls.ts";
import type { Xlate } from "./xlate.ts";

const { ETHERNET, MPLS, MPLS_MULTICAST, NSH } = ENCAP_TYPES;
const NAMESPACE_ETHERTYPE = 1;
const IPV4 = 0x10800;
const IPV6 = 0x186dd;
const ETH_TEB = 0x6558;
/** NSH's numbers of what follows it. */
const NEXT = { IPV4: 1, IPV6: 2, ETHERNET: 3, NSH: 4 } as const;
const PROPERTY = { CLASS_NSH: 4, MD_TYPE: 1, TLV: 2 } as const;
const MD_TYPE_2 = 2;
const NSH_BASE_BYTES = 8;
const MD1_BYTES = 16;
const MAX_OPTION_BYTES = 248;
const DEFAULT_TTL = 63;
const DEFAULT_PATH = 255;

/** Headers that `encap(mpls)` and NSH hide, Ethernet included. */
const L2: readonly Slot[] = ([
  "eth_dst",
  "eth_src",
  "eth_type",
  "vlan_tci",
  "vlan_tpid",
  "vlan2_tci",
  "vlan2_tpid",
  "mpls_lse0",
  "mpls_lse1",
  "mpls_lse2",
] satisfies SlotName[]).map(slot);
const HEADERS = [...SLOTS.values()].filter(({ name }) =>
  L2.some((each) => each.name === name) || /^(nw_|ipv6_|arp_|nd_|tp_|tcp_|nsh_|pbb_)/.test(name)
);

function packetType(key: Xlate["key"]): number {
  return u32(key, AT.packetType);
}

function namespaceOf(type: number): number {
  return type >>> 16;
}

export function encap(x: Xlate, action: ActionOf<"encap">): void {
  // What is inside is done with before another header goes in front.
  x.commit();
  x.encapOptions = undefined;
  switch (action.packetType) {
    case ETHERNET:
      encapEthernet(x);
      break;
    case NSH:
      encapNsh(x, action);
      break;
    case MPLS:
    case MPLS_MULTICAST:
      encapMpls(x, action.packetType);
      if (!x.supports("add_mpls")) x.slow.add("action");
      break;
    default:
      return refuse(x, `Dropping packet as encap of type ${action.packetType} is not supported`);
  }
  if (!x.error) x.pendingEncap = true;
}

function refuse(x: Xlate, text: string): void {
  x.tracer?.report("action", text);
  x.fail("unsupported packet type");
}

function clearEthernet({ key }: Xlate): void {
  key.bytes.fill(0, AT.ethDst, AT.ethDst + 6);
  key.bytes.fill(0, AT.ethSrc, AT.ethSrc + 6);
}

function encapEthernet(x: Xlate): void {
  const { key, mask } = x;
  lookSlot(mask, "packet_type");
  const type = packetType(key);
  if (namespaceOf(type) !== NAMESPACE_ETHERTYPE) {
    return refuse(
      x,
      "Dropping packet as encap(ethernet) is not supported for packet type ethernet.",
    );
  }
  setU32(key, AT.packetType, ETHERNET);
  clearEthernet(x);
  setU16(key, AT.ethType, type & 0xffff);
}

function encapMpls(x: Xlate, type: number): void {
  const { key, base, mask } = x;
  const n = countLabels(key, mask);
  if (n >= MAX_LABELS) return tooManyLabels(x, "encap MPLS action can't be performed as it would");
  lookSlot(mask, "packet_type");
  if (packetType(key) === ETHERNET && u16(key, AT.ethType) === ETH_MPLS) {
    // Labels inside the frame are not of the new stack.
    for (const each of [key, base, mask]) each.bytes.fill(0, AT.mpls, AT.mpls + 4 * MAX_LABELS);
  }
  setU32(key, AT.packetType, type);
  pushLabel(key, n, type & 0xffff, mask, true);
  clearEthernet(x);
}

function encapNsh(x: Xlate, action: ActionOf<"encap">): void {
  const { key, mask } = x;
  const { mdType, options } = nshProperties(action);
  const type = packetType(key);
  const next = nextProtocol(type);
  if (next === undefined) {
    return refuse(
      x,
      `Dropping packet as encap(nsh) is not supported for packet type ` +
        `(${namespaceOf(type)},0x${(type & 0xffff).toString(16)})`,
    );
  }
  lookSlot(mask, "packet_type");
  for (const { offset, bytes } of HEADERS) key.bytes.fill(0, offset, offset + bytes);
  clearUpperLayers(key);
  setU32(key, AT.packetType, NSH);
  setU16(key, AT.ethType, ETH_NSH);
  key.set(FIELDS.nsh_ttl, DEFAULT_TTL);
  key.set(FIELDS.nsh_np, next);
  setU32(key, slot("nsh_path").offset, DEFAULT_PATH);
  key.set(FIELDS.nsh_mdtype, mdType & 0xf);
  if (mdType === MD_TYPE_2) x.encapOptions = options;
}

function nextProtocol(type: number): number | undefined {
  switch (type) {
    case ETHERNET:
      return NEXT.ETHERNET;
    case IPV4:
      return NEXT.IPV4;
    case IPV6:
      return NEXT.IPV6;
    case NSH:
      return NEXT.NSH;
    default:
      return undefined;
  }
}

/** Metadata type and, for type 2, its options as on the wire. */
function nshProperties({ properties }: ActionOf<"encap">): { mdType: number; options: Uint8Array } {
  let mdType = 1;
  const options: number[] = [];
  for (const { propertyClass, type, data } of properties) {
    if (propertyClass !== PROPERTY.CLASS_NSH) continue;
    if (type === PROPERTY.MD_TYPE) mdType = data[0] ?? mdType;
    if (type !== PROPERTY.TLV || data.length < 4) continue;
    // Class, type, length, then the value in whole words.
    const length = data[3]!;
    options.push(...data.subarray(0, 4));
    for (let i = 0; i < Math.ceil(length / 4) * 4; i++) {
      options.push(i < length ? data[4 + i] ?? 0 : 0);
    }
  }
  return {
    mdType,
    options: options.length > MAX_OPTION_BYTES ? new Uint8Array() : Uint8Array.from(options),
  };
}

/** True when the packet must be parsed again before anything else is done. */
export function decap(x: Xlate, action: ActionOf<"decap">): boolean {
  x.commit();
  const { key, mask } = x;
  const type = packetType(key);
  switch (type) {
    case ETHERNET:
      if (u16(key, AT.vlanTci) & VLAN_CFI) {
        refuse(x, "Dropping packet, cannot decap Ethernet if VLAN is present.");
        return false;
      }
      setU32(key, AT.packetType, (NAMESPACE_ETHERTYPE << 16) | u16(key, AT.ethType));
      clearEthernet(x);
      lookBytes(mask, AT.ethType, 2);
      return false;
    case NSH: {
      const next = key.get(FIELDS.nsh_np);
      const inner = new Map<number, number>([
        [NEXT.ETHERNET, ETHERNET],
        [NEXT.IPV4, IPV4],
        [NEXT.IPV6, IPV6],
        [NEXT.NSH, NSH],
      ]).get(next);
      if (inner === undefined) {
        refuse(x, `Dropping packet as NSH next protocol ${next} is not supported`);
        return false;
      }
      setU32(key, AT.packetType, inner);
      lookSlot(mask, "nsh_np");
      x.pendingDecap = true;
      return true;
    }
    case MPLS:
    case MPLS_MULTICAST: {
      setU32(key, AT.packetType, action.packetType);
      const n = countLabels(key, mask);
      if (popLabel(key, n, action.packetType & 0xffff || ETH_TEB, mask)) {
        x.pendingDecap = true;
        if (!x.supports("add_mpls")) x.slow.add("action");
        return n === 1;
      }
      if (n >= MAX_LABELS) {
        tooManyLabels(x, "MPLS decap can't be performed as it");
        x.actions.length = 0;
      }
      return false;
    }
    default:
      refuse(
        x,
        "Dropping packet as the decap() does not support packet type " +
          `(${namespaceOf(type)},0x${(type & 0xffff).toString(16)})`,
      );
      return false;
  }
}

/** Called by `commit`: the headers that were pushed or popped since the last time. */
export function commitEncap(x: Xlate): void {
  const { key, base, mask, pendingEncap, pendingDecap } = x;
  x.pendingEncap = false;
  x.pendingDecap = false;
  lookSlot(mask, "packet_type");
  const type = packetType(key);
  const had = packetType(base);
  if (pendingEncap) pushHeader(x, type);
  else if (pendingDecap || type !== had) {
    if (namespaceOf(type) === NAMESPACE_ETHERTYPE && had === ETHERNET) {
      x.emit({ type: "pop_eth" });
      setU32(base, AT.packetType, type);
      base.bytes.fill(0, AT.ethDst, AT.ethDst + 6);
      base.bytes.fill(0, AT.ethSrc, AT.ethSrc + 6);
    } else if (had === NSH) x.emit({ type: "pop_nsh" });
    else if (had === MPLS || had === MPLS_MULTICAST) commitLabels(x, false);
  }
}

function pushHeader(x: Xlate, type: number): void {
  const { key, base } = x;
  switch (type) {
    case ETHERNET:
      x.emit({
        type: "push_eth",
        dst: key.bytes.slice(AT.ethDst, AT.ethDst + 6),
        src: key.bytes.slice(AT.ethSrc, AT.ethSrc + 6),
      });
      base.bytes.set(key.bytes.subarray(AT.ethDst, AT.ethDst + 6), AT.ethDst);
      base.bytes.set(key.bytes.subarray(AT.ethSrc, AT.ethSrc + 6), AT.ethSrc);
      break;
    case NSH:
      x.emit({ type: "push_nsh", header: nshHeader(x) });
      for (const { offset, bytes } of HEADERS) {
        base.bytes.set(key.bytes.subarray(offset, offset + bytes), offset);
      }
      x.encapOptions = undefined;
      break;
    default:
      commitLabels(x, true);
      break;
  }
  setU32(base, AT.packetType, type);
}

function nshHeader({ key, encapOptions }: Xlate): Uint8Array {
  const md1 = key.get(FIELDS.nsh_mdtype) === 1;
  const rest = md1
    ? key.bytes.subarray(slot("nsh_c").offset, slot("nsh_c").offset + MD1_BYTES)
    : encapOptions ?? new Uint8Array();
  const header = new Uint8Array(NSH_BASE_BYTES + rest.length);
  const view = new DataView(header.buffer);
  const flags = key.get(FIELDS.nsh_flags) & 3;
  const ttl = key.get(FIELDS.nsh_ttl) & 0x3f;
  view.setUint16(0, (flags << 12) | (ttl << 6) | (header.length / 4));
  header[2] = key.get(FIELDS.nsh_mdtype);
  header[3] = key.get(FIELDS.nsh_np);
  view.setUint32(4, u32(key, slot("nsh_path").offset));
  header.set(rest, NSH_BASE_BYTES);
  return header;
}

/** False when the TTL is used up, or there is none: the list ends then. */
export function decNshTtl(x: Xlate): boolean {
  const { key, mask } = x;
  if (packetType(key) === NSH || u16(key, AT.ethType) === ETH_NSH) {
    lookSlot(mask, "nsh_ttl");
    const ttl = key.get(FIELDS.nsh_ttl);
    if (ttl > 1) {
      key.set(FIELDS.nsh_ttl, ttl - 1);
      return true;
    }
    x.expired(0);
  }
  x.tracer?.report("warn", "NSH decrement TTL exception");
  return false;
}

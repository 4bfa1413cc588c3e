/**
 * Makes a frame of a flow key: one that the extractor would give this key again, with arbitrary
 * values where the key says nothing (`ofproto/trace -generate`, `netdev-dummy/receive`).
 *
 * The payload is 64 bytes 0, 1, 2 … unless told otherwise; TCP segments with SYN, FIN or RST, and
 * protocols in which none belongs, get none. `size` lengthens the frame with zeros. A key of a
 * fragment makes one whose offset is made up. Keys say nothing of IP options and extension headers.
 */
import { checksum, fold, pseudoSum, sumBytes } from "./checksum.ts";
import type { FlowKey } from "./key.ts";
import { slot, type SlotName } from "./layout.ts";

export interface ComposeOptions {
  /** What stands behind the transport's header. */
  readonly payload?: Uint8Array;
  /** Bytes of made-up payload, where `payload` is not given. */
  readonly payloadBytes?: number;
  /** Least length of the frame in bytes. */
  readonly size?: number;
}

const DEFAULT_PAYLOAD_BYTES = 64;
const ETH_TYPE_MIN = 0x0600;
const VLAN_PRESENT = 0x1000;
const ANY_OFFSET = 100;
const TCP_NO_DATA = 0x007;

/** A cursor over the frame that is being made. */
class Maker {
  readonly bytes: number[] = [];

  constructor(private readonly key: FlowKey) {}

  get length(): number {
    return this.bytes.length;
  }

  number(name: SlotName): number {
    let value = 0;
    for (const byte of this.slot(name)) value = value * 256 + byte;
    return value;
  }

  slot(name: SlotName): Uint8Array {
    const { offset, bytes } = slot(name);
    return this.key.bytes.subarray(offset, offset + bytes);
  }

  put(...values: readonly (number | Uint8Array)[]): void {
    for (const value of values) {
      if (typeof value === "number") this.bytes.push(value & 0xff);
      else this.bytes.push(...value);
    }
  }

  put16(value: number): void {
    this.put(value >> 8, value);
  }

  zeros(count: number): void {
    for (let i = 0; i < count; i++) this.bytes.push(0);
  }
}

/** A frame from its Ethernet header on, without FCS. */
export function composePacket(key: FlowKey, options: ComposeOptions = {}): Uint8Array {
  const m = new Maker(key);
  const ethType = m.number("eth_type");
  const isEthernet = m.number("packet_type") === 0;
  if (isEthernet) {
    m.put(m.slot("eth_dst"), m.slot("eth_src"));
    if (ethType < ETH_TYPE_MIN) return finishLength(m, options);
    putTags(m);
    m.put16(ethType);
  }
  const l3 = m.length;
  let type = ethType;
  if (ethType === 0x8847 || ethType === 0x8848) {
    putLabels(m);
    type = 0;
  }
  if (type === 0x0800) return ipv4(m, l3, options);
  if (type === 0x86dd) return ipv6(m, l3, options);
  if (type === 0x0806 || type === 0x8035) arp(m);
  else if (type === 0x894f) nsh(m);
  return padded(m, options);
}

/** IEEE 802.3: the length of what follows stands where the type is. */
function finishLength(m: Maker, options: ComposeOptions): Uint8Array {
  const size = Math.max(14, options.size ?? 0);
  m.put16(size);
  m.zeros(size - 14);
  return Uint8Array.from(m.bytes);
}

function padded(m: Maker, { size }: ComposeOptions): Uint8Array {
  m.zeros(Math.max(0, (size ?? 0) - m.length));
  return Uint8Array.from(m.bytes);
}

function putTags(m: Maker): void {
  for (
    const [tci, tpid] of [["vlan_tci", "vlan_tpid"], ["vlan2_tci", "vlan2_tpid"]] as const
  ) {
    if ((m.number(tci) & VLAN_PRESENT) === 0) break;
    m.put16(m.number(tpid) || 0x8100);
    m.put16(m.number(tci) & ~VLAN_PRESENT);
  }
}

function putLabels(m: Maker): void {
  for (const name of ["mpls_lse0", "mpls_lse1", "mpls_lse2"] as const) {
    m.put(m.slot(name));
    if (m.number(name) & 0x100) break;
  }
}

function arp(m: Maker): void {
  const op = m.number("nw_proto");
  m.put(0, 1, 8, 0, 6, 4);
  m.put16(op);
  if (op === 1 || op === 2) {
    m.put(m.slot("arp_sha"), m.slot("nw_src"), m.slot("arp_tha"), m.slot("nw_dst"));
  } else m.zeros(20);
}

function nsh(m: Maker): void {
  const type1 = m.number("nsh_mdtype") === 1;
  const length = type1 ? 6 : 2;
  m.put16((m.number("nsh_flags") << 12) | (m.number("nsh_ttl") << 6) | length);
  m.put(m.number("nsh_mdtype"), m.number("nsh_np"), m.slot("nsh_path"));
  if (type1) m.put(m.slot("nsh_c"));
}

function ipv4(m: Maker, l3: number, options: ComposeOptions): Uint8Array {
  const frag = m.number("nw_frag");
  m.put(0x45, m.slot("nw_tos"));
  m.zeros(4);
  m.put16(frag & 1 ? 0x2000 | (frag & 2 ? ANY_OFFSET : 0) : 0);
  m.put(m.slot("nw_ttl"), m.slot("nw_proto"), 0, 0, m.slot("nw_src"), m.slot("nw_dst"));
  const l4 = m.length;
  transport(m, options);
  const bytes = padded(m, options);
  const view = new DataView(bytes.buffer);
  view.setUint16(l3 + 2, bytes.length - l3);
  view.setUint16(l3 + 10, checksum(bytes, l3, l4));
  finishTransport(
    m,
    bytes,
    l4,
    pseudoSum(bytes, l3 + 12, 4, m.number("nw_proto"), bytes.length - l4),
  );
  return bytes;
}

function ipv6(m: Maker, l3: number, options: ComposeOptions): Uint8Array {
  const flow = (6 * 2 ** 28 + m.number("nw_tos") * 2 ** 20 + m.number("ipv6_label")) >>> 0;
  m.put16(flow >>> 16);
  m.put16(flow & 0xffff);
  m.zeros(2);
  m.put(m.slot("nw_proto"), m.slot("nw_ttl"), m.slot("ipv6_src"), m.slot("ipv6_dst"));
  const l4 = m.length;
  transport(m, options);
  const bytes = padded(m, options);
  new DataView(bytes.buffer).setUint16(l3 + 4, bytes.length - l4);
  finishTransport(
    m,
    bytes,
    l4,
    pseudoSum(bytes, l3 + 8, 16, m.number("nw_proto"), bytes.length - l4),
  );
  return bytes;
}

function payload(m: Maker, options: ComposeOptions): void {
  if (options.payload) return m.put(options.payload);
  const count = options.payloadBytes ?? DEFAULT_PAYLOAD_BYTES;
  for (let i = 0; i < count; i++) m.put(i);
}

function transport(m: Maker, options: ComposeOptions): void {
  if (m.number("nw_frag") & 2) return;
  const [first, second] = [m.number("tp_src"), m.number("tp_dst")];
  switch (m.number("nw_proto")) {
    case 6: {
      const flags = m.number("tcp_flags");
      m.put(m.slot("tp_src"), m.slot("tp_dst"));
      m.zeros(8);
      m.put16((5 << 12) | flags);
      m.zeros(6);
      if ((flags & TCP_NO_DATA) === 0) payload(m, options);
      return;
    }
    case 17:
      m.put(m.slot("tp_src"), m.slot("tp_dst"));
      m.zeros(4);
      return payload(m, options);
    case 132:
      m.put(m.slot("tp_src"), m.slot("tp_dst"));
      return m.zeros(8);
    case 1:
      m.put(first, second);
      m.zeros(6);
      if ((first === 8 || first === 0) && second === 0) payload(m, options);
      return;
    case 2:
      m.put(first, second);
      return m.zeros(6);
    case 58: {
      m.put(first, second, 0, 0, m.slot("nd_reserved"));
      if (second !== 0) return;
      if (first === 135 || first === 136) {
        m.put(m.slot("nd_target"));
        if (m.slot("arp_sha").some((byte) => byte !== 0)) m.put(1, 1, m.slot("arp_sha"));
        if (m.slot("arp_tha").some((byte) => byte !== 0)) m.put(2, 1, m.slot("arp_tha"));
      } else if (first === 128 || first === 129) payload(m, options);
    }
  }
}

/** Lengths and checksums of the transport's header at `l4`, now that all is in its place. */
function finishTransport(m: Maker, bytes: Uint8Array, l4: number, pseudo: number): void {
  if (m.number("nw_frag") & 2) return;
  const view = new DataView(bytes.buffer);
  const sum = (): number => ~fold(sumBytes(bytes, l4, bytes.length, pseudo)) & 0xffff;
  switch (m.number("nw_proto")) {
    case 6:
      return view.setUint16(l4 + 16, sum());
    case 17:
      view.setUint16(l4 + 4, bytes.length - l4);
      return view.setUint16(l4 + 6, sum() || 0xffff);
    case 1:
    case 2:
      return view.setUint16(l4 + 2, checksum(bytes, l4, bytes.length));
    case 58:
      return view.setUint16(l4 + 2, sum());
  }
}

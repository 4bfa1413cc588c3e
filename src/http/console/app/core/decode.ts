/** What is in a frame, layer by layer, for people: bounds are looked at before every byte. */

export interface Layer {
  readonly name: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export interface Decoded {
  readonly source: string;
  readonly target: string;
  /** The innermost protocol that was understood. */
  readonly protocol: string;
  readonly info: string;
  readonly layers: readonly Layer[];
}

interface Building {
  source: string;
  target: string;
  protocol: string;
  info: string;
  readonly layers: Layer[];
}

const hex = (bytes: Uint8Array, by = ""): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(by);
const mac = (bytes: Uint8Array): string => hex(bytes, ":");
const ipv4 = (bytes: Uint8Array): string => bytes.join(".");

function ipv6(bytes: Uint8Array): string {
  const words = Array.from(
    { length: 8 },
    (_, i) => (bytes[2 * i]! << 8 | bytes[2 * i + 1]!).toString(16),
  );
  return words.join(":").replace(/(^|:)0(:0)+(:|$)/, "::");
}

class Cursor {
  constructor(readonly bytes: Uint8Array, public at = 0) {}

  has(count: number): boolean {
    return this.at + count <= this.bytes.length;
  }

  u8(): number {
    return this.bytes[this.at++] ?? 0;
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }

  u32(): number {
    return ((this.u16() << 16) | this.u16()) >>> 0;
  }

  take(count: number): Uint8Array {
    const part = this.bytes.subarray(this.at, this.at + count);
    this.at += count;
    return part;
  }

  rest(): Uint8Array {
    return this.bytes.subarray(this.at);
  }
}

export function decode(frame: Uint8Array): Decoded {
  const out: Building = { source: "", target: "", protocol: "?", info: "", layers: [] };
  ethernet(new Cursor(frame), out, 0);
  return out;
}

const ETHER_TYPES: Readonly<Record<number, string>> = {
  0x0800: "IPv4",
  0x0806: "ARP",
  0x86dd: "IPv6",
  0x8100: "VLAN",
  0x88a8: "VLAN",
  0x8847: "MPLS",
  0x8848: "MPLS",
  0x88cc: "LLDP",
  0x8863: "PPPoE",
  0x8864: "PPPoE",
  0x888e: "EAPOL",
  0x8809: "LACP",
  0x6558: "Ethernet",
};
const MOST_NESTED = 4;

function ethernet(cursor: Cursor, out: Building, depth: number): void {
  if (!cursor.has(14) || depth > MOST_NESTED) return;
  const [target, source] = [mac(cursor.take(6)), mac(cursor.take(6))];
  const type = cursor.u16();
  Object.assign(out, { source, target, protocol: "Ethernet" });
  const shown = type < 0x600 ? `length ${type}` : `0x${type.toString(16).padStart(4, "0")}`;
  out.layers.push({
    name: "Ethernet",
    fields: [["to", target], ["from", source], ["type", shown]],
  });
  if (type < 0x600) {
    out.protocol = target.startsWith("01:80:c2:00:00:0") ? "STP" : "LLC";
    return;
  }
  network(type, cursor, out, depth);
}

function network(type: number, cursor: Cursor, out: Building, depth: number): void {
  out.protocol = ETHER_TYPES[type] ?? `0x${type.toString(16).padStart(4, "0")}`;
  switch (type) {
    case 0x8100:
    case 0x88a8: {
      if (!cursor.has(4)) return;
      const tci = cursor.u16();
      out.layers.push({
        name: "VLAN",
        fields: [["VLAN", String(tci & 0xfff)], ["priority", String(tci >> 13)]],
      });
      const next = cursor.u16();
      network(next, cursor, out, depth);
      out.info = `VLAN ${tci & 0xfff} ${out.info}`;
      return;
    }
    case 0x0806:
      return arp(cursor, out);
    case 0x0800:
      return internet4(cursor, out, depth);
    case 0x86dd:
      return internet6(cursor, out, depth);
    case 0x8847:
    case 0x8848: {
      const labels: string[] = [];
      let bottom = false;
      while (cursor.has(4) && !bottom) {
        const entry = cursor.u32();
        labels.push(String(entry >>> 12));
        bottom = (entry & 0x100) !== 0;
      }
      out.layers.push({ name: "MPLS", fields: [["labels", labels.join(", ")]] });
      out.info = `labels ${labels.join(", ")}`;
      return;
    }
    case 0x88cc:
      out.info = "link layer discovery";
      return;
    case 0x6558:
      return ethernet(cursor, out, depth + 1);
  }
}

function arp(cursor: Cursor, out: Building): void {
  if (!cursor.has(28)) return;
  cursor.at += 6;
  const operation = cursor.u16();
  const [fromMac, fromIp, toMac, toIp] = [
    mac(cursor.take(6)),
    ipv4(cursor.take(4)),
    mac(cursor.take(6)),
    ipv4(cursor.take(4)),
  ];
  out.layers.push({
    name: "ARP",
    fields: [
      ["operation", operation === 1 ? "request" : operation === 2 ? "reply" : String(operation)],
      ["sender", `${fromIp} (${fromMac})`],
      ["target", `${toIp} (${toMac})`],
    ],
  });
  out.info = operation === 1 ? `who has ${toIp}? tell ${fromIp}` : `${fromIp} is at ${fromMac}`;
}

function internet4(cursor: Cursor, out: Building, depth: number): void {
  if (!cursor.has(20)) return;
  const start = cursor.at;
  const length = (cursor.u8() & 0xf) * 4;
  const tos = cursor.u8();
  const total = cursor.u16();
  const id = cursor.u16();
  const fragment = cursor.u16();
  const ttl = cursor.u8();
  const protocol = cursor.u8();
  cursor.at += 2;
  out.source = ipv4(cursor.take(4));
  out.target = ipv4(cursor.take(4));
  out.layers.push({
    name: "IPv4",
    fields: [
      ["from", out.source],
      ["to", out.target],
      ["protocol", String(protocol)],
      ["TTL", String(ttl)],
      ["DSCP, ECN", `${tos >> 2}, ${tos & 3}`],
      ["identification", String(id)],
      ["length", String(total)],
    ],
  });
  cursor.at = start + Math.max(20, length);
  const offset = (fragment & 0x1fff) * 8;
  if (offset > 0) {
    out.info = `fragment at ${offset}`;
    return;
  }
  transport(protocol, cursor, out, depth);
}

const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60, 135]);

function internet6(cursor: Cursor, out: Building, depth: number): void {
  if (!cursor.has(40)) return;
  cursor.at += 6;
  let next = cursor.u8();
  const hops = cursor.u8();
  out.source = ipv6(cursor.take(16));
  out.target = ipv6(cursor.take(16));
  out.layers.push({
    name: "IPv6",
    fields: [["from", out.source], ["to", out.target], ["hop limit", String(hops)]],
  });
  for (let i = 0; i < 8 && EXTENSIONS.has(next) && cursor.has(8); i++) {
    next = cursor.u8();
    cursor.at += cursor.u8() * 8 + 6;
  }
  transport(next, cursor, out, depth);
}

const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

function transport(protocol: number, cursor: Cursor, out: Building, depth: number): void {
  switch (protocol) {
    case 1:
    case 58:
      return icmp(protocol, cursor, out);
    case 6: {
      if (!cursor.has(20)) return;
      const [from, to, sequence, acknowledged] = [
        cursor.u16(),
        cursor.u16(),
        cursor.u32(),
        cursor.u32(),
      ];
      const bits = cursor.u16();
      const window = cursor.u16();
      const flags = TCP_FLAGS.filter((_, i) => bits & 1 << i).join(" ");
      out.protocol = "TCP";
      out.info = `${from} → ${to} [${flags}] seq ${sequence} ack ${acknowledged} win ${window}`;
      out.layers.push({
        name: "TCP",
        fields: [
          ["from port", String(from)],
          ["to port", String(to)],
          ["flags", flags],
          ["sequence", String(sequence)],
          ["acknowledged", String(acknowledged)],
          ["window", String(window)],
        ],
      });
      return;
    }
    case 17:
      return udp(cursor, out, depth);
    case 47: {
      if (!cursor.has(4)) return;
      const bits = cursor.u16();
      const type = cursor.u16();
      out.protocol = "GRE";
      const key = bits & 0x2000;
      if (bits & 0x8000) cursor.at += 4;
      const value = key && cursor.has(4) ? cursor.u32() : undefined;
      out.layers.push({
        name: "GRE",
        fields: [["key", value === undefined ? "–" : String(value)]],
      });
      return nested(() => network(type, cursor, out, depth + 1), out, "GRE");
    }
    case 89:
      out.protocol = "OSPF";
      return;
    case 132:
      out.protocol = "SCTP";
      if (cursor.has(4)) out.info = `${cursor.u16()} → ${cursor.u16()}`;
      return;
    case 2:
      out.protocol = "IGMP";
      return;
  }
}

const ICMP: Readonly<Record<number, string>> = {
  0: "echo reply",
  3: "unreachable",
  5: "redirect",
  8: "echo request",
  11: "time exceeded",
};
const ICMP6: Readonly<Record<number, string>> = {
  1: "unreachable",
  2: "packet too big",
  3: "time exceeded",
  128: "echo request",
  129: "echo reply",
  133: "router solicitation",
  134: "router advertisement",
  135: "neighbour solicitation",
  136: "neighbour advertisement",
  143: "multicast listener report",
};

function icmp(protocol: number, cursor: Cursor, out: Building): void {
  out.protocol = protocol === 1 ? "ICMP" : "ICMPv6";
  if (!cursor.has(8)) return;
  const [type, code] = [cursor.u8(), cursor.u8()];
  cursor.at += 2;
  const name = (protocol === 1 ? ICMP : ICMP6)[type] ?? `type ${type}`;
  const echo = /^echo/.test(name);
  const [id, sequence] = [cursor.u16(), cursor.u16()];
  const target = /^neighbour/.test(name) && cursor.has(16) ? ipv6(cursor.take(16)) : undefined;
  out.info = `${name}${echo ? ` id ${id} seq ${sequence}` : target ? ` ${target}` : ""}`;
  out.layers.push({
    name: out.protocol,
    fields: [
      ["type", `${type} (${name})`],
      ["code", String(code)],
      ...(echo ? [["id", String(id)], ["sequence", String(sequence)]] as const : []),
    ],
  });
}

const UDP_PORTS: Readonly<Record<number, string>> = {
  53: "DNS",
  67: "DHCP",
  68: "DHCP",
  123: "NTP",
  161: "SNMP",
  443: "QUIC",
  514: "syslog",
  546: "DHCPv6",
  547: "DHCPv6",
  1812: "RADIUS",
  5353: "mDNS",
};

function udp(cursor: Cursor, out: Building, depth: number): void {
  out.protocol = "UDP";
  if (!cursor.has(8)) return;
  const [from, to, length] = [cursor.u16(), cursor.u16(), cursor.u16()];
  cursor.at += 2;
  out.info = `${from} → ${to} ${length - 8} B`;
  out.layers.push({
    name: "UDP",
    fields: [["from port", String(from)], ["to port", String(to)], ["length", String(length)]],
  });
  if (to === 4789 && cursor.has(8)) {
    cursor.at += 4;
    const vni = cursor.u32() >>> 8;
    out.layers.push({ name: "VXLAN", fields: [["VNI", String(vni)]] });
    return nested(() => ethernet(cursor, out, depth + 1), out, `VXLAN ${vni}`);
  }
  if (to === 6081 && cursor.has(8)) {
    const options = (cursor.u8() & 0x3f) * 4;
    cursor.at += 1;
    const type = cursor.u16();
    const vni = cursor.u32() >>> 8;
    cursor.at += options;
    out.layers.push({
      name: "Geneve",
      fields: [["VNI", String(vni)], ["options", `${options} B`]],
    });
    return nested(() => network(type, cursor, out, depth + 1), out, `Geneve ${vni}`);
  }
  const known = UDP_PORTS[to] ?? UDP_PORTS[from];
  if (known !== undefined) out.protocol = known;
  if (known === "DNS" || known === "mDNS") dns(cursor, out);
}

/** What is inside a tunnel is what people look for: its outside is in the layers. */
function nested(inside: () => void, out: Building, label: string): void {
  const before = out.layers.length;
  inside();
  if (out.layers.length > before) out.info = `(${label}) ${out.info}`;
}

function dns(cursor: Cursor, out: Building): void {
  if (!cursor.has(12)) return;
  cursor.at += 2;
  const answer = cursor.u16() >> 15;
  cursor.at += 8;
  const labels: string[] = [];
  for (let i = 0; i < 20 && cursor.has(1); i++) {
    const length = cursor.u8();
    if (length === 0 || length > 63 || !cursor.has(length)) break;
    labels.push(String.fromCharCode(...cursor.take(length)).replace(/[^\x21-\x7e]/g, "?"));
  }
  const name = labels.join(".");
  out.info = `${answer ? "answer" : "query"} ${name}`;
  out.layers.push({ name: "DNS", fields: [["name", name], ["answer", answer ? "yes" : "no"]] });
}

/** Sixteen bytes a line, as text too. */
export function dump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const text = [...part].map((b) => b >= 32 && b < 127 ? String.fromCharCode(b) : ".").join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex(part, " ").padEnd(48)} ${text}`);
  }
  return lines.join("\n");
}

/** What `ofproto/trace` takes for the same packet: its bytes. */
export const hexOf = (bytes: Uint8Array): string => hex(bytes);

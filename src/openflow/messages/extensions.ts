/**
 * Extensions of Open vSwitch without a counterpart in the standard: the table of tunnel options,
 * connections to forget, IPFIX counters (`nicira-ext.h`).
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty, writeProperty16 } from "./properties.ts";
import { bare, list, type MessageRow, row } from "./rows.ts";
import type { CtFlush, CtTuple, IpfixStats, TlvMapping, TlvTableMod } from "./types.ts";

/** `tun_metadata0` to `tun_metadata63`. */
export const TLV_FIELDS = 64;
/** Bytes for all options together. */
export const TLV_SPACE_BYTES = 256;
const TLV_MAX_BYTES = 124;
const TLV_COMMANDS: readonly TlvTableMod["command"][] = ["add", "delete", "clear"];

function readMappings(reader: Reader): TlvMapping[] {
  const mappings: TlvMapping[] = [];
  while (reader.left > 0) {
    const at = reader.offset;
    const optionClass = reader.u16();
    const optionType = reader.u8();
    const optionLength = reader.u8();
    const index = reader.u16();
    reader.skip(2);
    if (optionLength % 4 !== 0 || optionLength > TLV_MAX_BYTES) {
      throw new OfError("NXTTMFC_BAD_OPT_LEN", at, `an option of ${optionLength} bytes`);
    }
    if (index >= TLV_FIELDS) {
      throw new OfError("NXTTMFC_BAD_FIELD_IDX", at, `there is no tun_metadata${index}`);
    }
    mappings.push({ optionClass, optionType, optionLength, index });
  }
  return mappings;
}

function writeMappings(writer: Writer, mappings: readonly TlvMapping[]): void {
  for (const { optionClass, optionType, optionLength, index } of mappings) {
    writer.u16(optionClass).u8(optionType).u8(optionLength).u16(index).zeros(2);
  }
}

const TLV_ROWS: readonly MessageRow[] = [
  row<"tlv_table_mod">({
    type: "tlv_table_mod",
    ids: ["NXT 1.0+(24)"],
    read: (reader) => {
      const at = reader.offset;
      const command = TLV_COMMANDS[reader.u16()];
      if (!command) throw new OfError("NXTTMFC_BAD_COMMAND", at, "there is no such command");
      reader.skip(6);
      return { type: "tlv_table_mod", command, mappings: readMappings(reader) };
    },
    write: (writer, { command, mappings }) => {
      writer.u16(TLV_COMMANDS.indexOf(command)).zeros(6);
      writeMappings(writer, mappings);
    },
  }),
  bare("tlv_table_request", "NXT 1.0+(25)"),
  row<"tlv_table_reply">({
    type: "tlv_table_reply",
    ids: ["NXT 1.0+(26)"],
    read: (reader) => {
      const maxSpace = reader.u32();
      const maxFields = reader.u16();
      reader.skip(10);
      return { type: "tlv_table_reply", maxSpace, maxFields, mappings: readMappings(reader) };
    },
    write: (writer, { maxSpace, maxFields, mappings }) => {
      writer.u32(maxSpace).u16(maxFields).zeros(10);
      writeMappings(writer, mappings);
    },
  }),
];

const CT = { ORIGINAL: 0, REPLY: 1, ZONE: 2 } as const;
/** The members of a tuple by property number, with the bytes of each. */
const TUPLE: readonly (readonly [keyof CtTuple, 16 | 2 | 1])[] = [
  ["source", 16],
  ["destination", 16],
  ["sourcePort", 2],
  ["destinationPort", 2],
  ["icmpId", 2],
  ["icmpType", 1],
  ["icmpCode", 1],
];
const MAPPED_PREFIX = 0xffffn;
const IPV4_BITS = 32n;

/** All addresses of a request are of one family. */
interface Family {
  isV4?: boolean;
}

function readTuple(reader: Reader, family: Family): CtTuple {
  const tuple: Record<string, number | bigint> = {};
  // A property of properties begins after eight bytes.
  reader.skip(4);
  readProperties(reader, (type, value, at) => {
    const member = TUPLE[type];
    if (!member) return;
    const [name, bytes] = member;
    if (bytes !== 16) {
      const number = bytes === 2 ? value.u16() : value.u8();
      // Zero ports are as none; ICMP's numbers are what they are.
      if (number !== 0 || name.startsWith("icmp")) tuple[name] = number;
      return;
    }
    const address = value.big(bytes);
    if (address === 0n) return;
    const mapped = address >> IPV4_BITS === MAPPED_PREFIX;
    if (family.isV4 !== undefined && family.isV4 !== mapped) {
      throw new OfError("OFPBPC_BAD_VALUE", at, "one address is IPv4, the other IPv6");
    }
    family.isV4 = mapped;
    tuple[name] = address;
  });
  return tuple as CtTuple;
}

function writeTuple(writer: Writer, type: number, tuple: CtTuple): void {
  if (TUPLE.every(([name]) => tuple[name] === undefined)) return;
  writeProperty(writer, type, (w) => {
    w.zeros(4);
    TUPLE.forEach(([name, bytes], number) => {
      const value = tuple[name];
      if (value !== undefined) writeProperty(w, number, (inner) => inner.big(BigInt(value), bytes));
    });
  });
}

function readCtFlush(reader: Reader): CtFlush {
  const protocol = reader.u8();
  reader.zeros(7, "NXBRC_MUST_BE_ZERO");
  let original: CtTuple = {};
  let reply: CtTuple = {};
  let zone: number | undefined;
  const family: Family = {};
  readProperties(reader, (type, value) => {
    if (type === CT.ORIGINAL) original = readTuple(value, family);
    else if (type === CT.REPLY) reply = readTuple(value, family);
    else if (type === CT.ZONE) zone = value.u16();
  });
  return { type: "ct_flush", protocol, ...(zone !== undefined && { zone }), original, reply };
}

const CT_ROWS: readonly MessageRow[] = [
  row<"ct_flush_zone">({
    type: "ct_flush_zone",
    ids: ["NXT 1.0+(29)"],
    read: (reader) => {
      reader.zeros(6, "NXBRC_MUST_BE_ZERO");
      return { type: "ct_flush_zone", zone: reader.u16() };
    },
    write: (writer, { zone }) => {
      writer.zeros(6).u16(zone);
    },
  }),
  row<"ct_flush">({
    type: "ct_flush",
    ids: ["NXT 1.0+(32)"],
    read: readCtFlush,
    write: (writer, { protocol, zone, original, reply }) => {
      writer.u8(protocol).zeros(7);
      writeTuple(writer, CT.ORIGINAL, original);
      writeTuple(writer, CT.REPLY, reply);
      if (zone !== undefined) writeProperty16(writer, CT.ZONE, zone);
    },
  }),
];

/** In wire order. */
const IPFIX_COUNTERS = [
  "totalFlows",
  "currentFlows",
  "packets",
  "ipv4Packets",
  "ipv6Packets",
  "errorPackets",
  "ipv4ErrorPackets",
  "ipv6ErrorPackets",
  "sentPackets",
  "sendErrors",
] as const satisfies readonly (keyof IpfixStats)[];

function readIpfix(reader: Reader): IpfixStats {
  const counters = Object.fromEntries(IPFIX_COUNTERS.map((name) => [name, reader.u64()]));
  const collectorSet = reader.u32();
  reader.skip(4);
  return { ...(counters as Record<(typeof IPFIX_COUNTERS)[number], bigint>), collectorSet };
}

function writeIpfix(writer: Writer, stats: IpfixStats): void {
  for (const name of IPFIX_COUNTERS) writer.u64(stats[name]);
  writer.u32(stats.collectorSet).zeros(4);
}

const IPFIX_ROWS: readonly MessageRow[] = ([["bridge", 3], ["flow", 4]] as const).flatMap(
  ([what, number]) => [
    bare(`ipfix_${what}_request`, `NXST_REQUEST 1.0+(${number})`),
    list<`ipfix_${typeof what}_reply`, IpfixStats>(`ipfix_${what}_reply`, [
      `NXST_REPLY 1.0+(${number})`,
    ], {
      make: (stats) => ({ type: `ipfix_${what}_reply`, stats }),
      items: (message) => message.stats,
      readItem: readIpfix,
      writeItem: writeIpfix,
    }),
  ],
);

export const EXTENSION_ROWS: readonly MessageRow[] = [...TLV_ROWS, ...CT_ROWS, ...IPFIX_ROWS];

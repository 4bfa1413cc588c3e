/** Multipart messages about the switch, its tables, ports and queues. */
import { OfError } from "../errors.ts";
import { readPort, writePort } from "../ports.ts";
import { OF10, OF11, OF12, OF13, OF14, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty, writeProperty16 } from "./properties.ts";
import { bare, list, type MessageContext, type MessageRow, row } from "./rows.ts";
import {
  EXPERIMENTER,
  type IntelCounters,
  readIntelCounters,
  writeIntelCounters,
} from "./intel.ts";
import type { PortStats, QueueConfig, QueueStats, TableStats } from "./types.ts";

const DESC_BYTES = 256;
const SERIAL_BYTES = 32;
const TABLE_NAME_BYTES = 32;
const ETHERNET_PROPERTY = 0;

/** OpenFlow 1.0: every one of the twelve fields may be a wildcard. */
const WILDCARDS_10 = 0x3fffff;
/** OpenFlow 1.1: the fields (OFPFMF_*) that can be matched, and left out. */
const FIELDS_11 = 0x1fffff;
/** OpenFlow 1.2: OXM_OF fields 0..37 except IN_PHY_PORT and IPv6 extension headers. */
const FIELDS_12 = 0xf_ffff_ffffn & ~(1n << 1n);
/** All but the Ethernet type and the IP protocol. */
const SET_FIELDS_12 = FIELDS_12 & ~((1n << 5n) | (1n << 10n));
/** goto, metadata, write, apply, clear. */
const INSTRUCTIONS_11 = 0x3e;
const GOTO_TABLE = 1 << 1;
/** OFPTC_TABLE_MISS_*; the default is to ask the controller. */
const MISS: readonly TableStats["miss"][] = ["controller", "continue", "drop"];
/** Standard action types of 1.1 (0..24 but copy-ttl) and 1.2 (with set-field). */
const ACTIONS_11 = 0x1ffffff & ~((1 << 11) | (1 << 12));
const ACTIONS_12 = (1 << 0) | (0xff << 15 >>> 0) | (1 << 23) | (1 << 24) | (1 << 25);
const METADATA_ALL = 0xffff_ffff_ffff_ffffn;

function readTable(reader: Reader, { version }: MessageContext): TableStats {
  const table = reader.u8();
  if (version >= OF13) {
    reader.skip(3);
    const active = reader.u32();
    const lookups = reader.u64();
    return { table, name: "", maxEntries: 0, active, lookups, matched: reader.u64() };
  }
  reader.skip(version === OF10 ? 3 : 7);
  const name = reader.text(TABLE_NAME_BYTES);
  // What the table can do; the later versions tell it as table features.
  if (version === OF10) reader.skip(4);
  else if (version === OF11) reader.skip(24);
  else reader.skip(64);
  const maxEntries = reader.u32();
  const active = reader.u32();
  const lookups = reader.u64();
  return { table, name, maxEntries, active, lookups, matched: reader.u64() };
}

function writeTable(writer: Writer, stats: TableStats, { version }: MessageContext): void {
  writer.u8(stats.table);
  if (version >= OF13) {
    writer.zeros(3).u32(stats.active).u64(stats.lookups).u64(stats.matched);
    return;
  }
  writer.zeros(version === OF10 ? 3 : 7).text(stats.name, TABLE_NAME_BYTES);
  const config = Math.max(0, MISS.indexOf(stats.miss ?? "default"));
  const instructions = stats.last ? INSTRUCTIONS_11 & ~GOTO_TABLE : INSTRUCTIONS_11;
  if (version === OF10) writer.u32(WILDCARDS_10);
  else if (version === OF11) {
    const actions = stats.actions ?? ACTIONS_11;
    writer.u32(FIELDS_11).u32(FIELDS_11);
    writer.u32(instructions).u32(actions).u32(actions).u32(config);
  } else if (version === OF12) {
    const actions = stats.actions ?? ACTIONS_12;
    writer.u64(FIELDS_12).u64(FIELDS_12).u32(actions).u32(actions);
    writer.u64(SET_FIELDS_12).u64(SET_FIELDS_12).u64(METADATA_ALL).u64(METADATA_ALL);
    writer.u32(instructions).u32(config);
  }
  writer.u32(stats.maxEntries).u32(stats.active).u64(stats.lookups).u64(stats.matched);
}

/** OpenFlow 1.3 and 1.4 say that the duration is not known by all ones. */
const UNKNOWN_DURATION = 0xffffffff;

function readDuration(reader: Reader): { durationSeconds?: number; durationNanoseconds?: number } {
  const durationSeconds = reader.u32();
  const durationNanoseconds = reader.u32();
  return durationSeconds === UNKNOWN_DURATION ? {} : { durationSeconds, durationNanoseconds };
}

function writeDuration(
  writer: Writer,
  stats: { durationSeconds?: number; durationNanoseconds?: number },
): void {
  writer.u32(stats.durationSeconds ?? UNKNOWN_DURATION);
  writer.u32(stats.durationNanoseconds ?? UNKNOWN_DURATION);
}

function readBasicCounters(reader: Reader) {
  return {
    rxPackets: reader.counter(),
    txPackets: reader.counter(),
    rxBytes: reader.counter(),
    txBytes: reader.counter(),
    rxDropped: reader.counter(),
    txDropped: reader.counter(),
    rxErrors: reader.counter(),
    txErrors: reader.counter(),
  };
}

function readEthernetCounters(reader: Reader) {
  return {
    rxFrameErrors: reader.counter(),
    rxOverErrors: reader.counter(),
    rxCrcErrors: reader.counter(),
    collisions: reader.counter(),
  };
}

function writeBasicCounters(writer: Writer, stats: PortStats): void {
  writer.counter(stats.rxPackets).counter(stats.txPackets);
  writer.counter(stats.rxBytes).counter(stats.txBytes);
  writer.counter(stats.rxDropped).counter(stats.txDropped);
  writer.counter(stats.rxErrors).counter(stats.txErrors);
}

function writeEthernetCounters(writer: Writer, stats: PortStats): void {
  writer.counter(stats.rxFrameErrors).counter(stats.rxOverErrors);
  writer.counter(stats.rxCrcErrors).counter(stats.collisions);
}

/** An entry of 1.4+ that begins with its length; the reader ends with it. */
function entry14(reader: Reader, minimum: number): Reader {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < minimum || length > reader.left) {
    throw new OfError("OFPBRC_BAD_LEN", at, `entry of ${length} bytes, ${reader.left} are left`);
  }
  const body = reader.sub(length);
  body.skip(2);
  return body;
}

function readPortStats(reader: Reader, { version, loose }: MessageContext): PortStats {
  if (version < OF14) {
    const port = readPort(reader, version, "OFPBRC_BAD_PORT");
    reader.skip(version === OF10 ? 6 : 4);
    const counters = { ...readBasicCounters(reader), ...readEthernetCounters(reader) };
    return { port, ...counters, ...(version >= OF13 ? readDuration(reader) : {}) };
  }
  const body = entry14(reader, 80);
  body.skip(2);
  const port = readPort(body, version, "OFPBRC_BAD_PORT");
  const duration = readDuration(body);
  const counters = readBasicCounters(body);
  let ethernet: ReturnType<typeof readEthernetCounters> = {
    rxFrameErrors: undefined,
    rxOverErrors: undefined,
    rxCrcErrors: undefined,
    collisions: undefined,
  };
  let more: IntelCounters = {};
  readProperties(body, (type, value, at) => {
    if (type === EXPERIMENTER) more = { ...more, ...readIntelCounters(value, at, loose) };
    if (type !== ETHERNET_PROPERTY) return;
    value.skip(4);
    ethernet = readEthernetCounters(value);
  });
  return { port, ...counters, ...ethernet, ...duration, ...more };
}

function writePortStats(writer: Writer, stats: PortStats, { version }: MessageContext): void {
  if (version < OF14) {
    writePort(writer, version, stats.port);
    writer.zeros(version === OF10 ? 6 : 4);
    writeBasicCounters(writer, stats);
    writeEthernetCounters(writer, stats);
    if (version >= OF13) writeDuration(writer, stats);
    return;
  }
  const open = writer.open(0);
  writer.u16(0).zeros(2);
  writePort(writer, version, stats.port);
  writeDuration(writer, stats);
  writeBasicCounters(writer, stats);
  writeProperty(writer, ETHERNET_PROPERTY, (w) => writeEthernetCounters(w.zeros(4), stats));
  writeIntelCounters(writer, stats);
  writer.end(open);
}

function readQueueStats(reader: Reader, { version }: MessageContext): QueueStats {
  const body = version >= OF14 ? entry14(reader, 48) : reader;
  if (version >= OF14) body.skip(6);
  const port = readPort(body, version, "OFPBRC_BAD_PORT");
  if (version === OF10) body.skip(2);
  return {
    port,
    queue: body.u32(),
    txBytes: body.counter(),
    txPackets: body.counter(),
    txErrors: body.counter(),
    ...(version >= OF13 ? readDuration(body) : {}),
  };
}

function writeQueueStats(writer: Writer, stats: QueueStats, { version }: MessageContext): void {
  const open = writer.open(0);
  if (version >= OF14) writer.u16(0).zeros(6);
  writePort(writer, version, stats.port);
  if (version === OF10) writer.zeros(2);
  writer.u32(stats.queue);
  writer.counter(stats.txBytes).counter(stats.txPackets).counter(stats.txErrors);
  if (version >= OF13) writeDuration(writer, stats);
  if (version >= OF14) writer.end(open);
}

const MIN_RATE = 1;
const MAX_RATE = 2;
const NO_RATE = 0xffff;

function readQueue(reader: Reader, version: OfVersion, port: number): QueueConfig {
  const queue = reader.u32();
  // Switches put anything here (Open vSwitch did): the header says which port it is.
  if (version >= OF12) reader.skip(4);
  const at = reader.offset;
  const length = reader.u16();
  reader.skip(version >= OF12 ? 6 : 2);
  const header = version >= OF12 ? 16 : 8;
  if (length < header) throw new OfError("OFPBRC_BAD_LEN", at, `queue of ${length} bytes`);
  const properties = reader.sub(length - header);
  const rates: { minRate?: number; maxRate?: number } = {};
  while (properties.left > 0) {
    const where = properties.offset;
    const type = properties.peek16();
    const size = properties.peek16(2);
    if (size < 8) throw new OfError("OFPBRC_BAD_LEN", where, `queue property of ${size} bytes`);
    const body = properties.sub(size);
    body.skip(8);
    if (type !== MIN_RATE && type !== MAX_RATE) continue;
    const rate = body.u16();
    if (rate === NO_RATE) continue;
    if (type === MIN_RATE) rates.minRate = rate;
    else rates.maxRate = rate;
  }
  return { port, queue, ...rates };
}

function writeQueue(writer: Writer, queue: QueueConfig, version: OfVersion): void {
  const start = writer.length;
  writer.u32(queue.queue);
  if (version >= OF12) writePort(writer, version, queue.port);
  const lengthAt = writer.length;
  writer.u16(0).zeros(version >= OF12 ? 6 : 2);
  for (const [type, rate] of [[MIN_RATE, queue.minRate], [MAX_RATE, queue.maxRate]] as const) {
    if (rate === undefined) continue;
    writer.u16(type).u16(16).zeros(4).u16(rate).zeros(6);
  }
  writer.patch16(lengthAt, writer.length - start);
}

export const STATS_ROWS: readonly MessageRow[] = [
  bare("desc_request", "OFPST_REQUEST 1.0+(0)"),
  row<"desc_reply">({
    type: "desc_reply",
    ids: ["OFPST_REPLY 1.0+(0)"],
    read: (reader) => ({
      type: "desc_reply",
      manufacturer: reader.text(DESC_BYTES),
      hardware: reader.text(DESC_BYTES),
      software: reader.text(DESC_BYTES),
      serial: reader.text(SERIAL_BYTES),
      datapath: reader.text(DESC_BYTES),
    }),
    write: (writer, message) => {
      writer.text(message.manufacturer, DESC_BYTES).text(message.hardware, DESC_BYTES);
      writer.text(message.software, DESC_BYTES).text(message.serial, SERIAL_BYTES);
      writer.text(message.datapath, DESC_BYTES);
    },
  }),
  bare("table_stats_request", "OFPST_REQUEST 1.0+(3)"),
  list<"table_stats_reply", TableStats>("table_stats_reply", ["OFPST_REPLY 1.0+(3)"], {
    make: (tables) => ({ type: "table_stats_reply", tables }),
    items: (message) => message.tables,
    readItem: readTable,
    writeItem: writeTable,
  }),
  row<"port_stats_request">({
    type: "port_stats_request",
    ids: ["OFPST_REQUEST 1.0+(4)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPBRC_BAD_PORT");
      reader.skip(version === OF10 ? 6 : 4);
      return { type: "port_stats_request", port };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      writer.zeros(version === OF10 ? 6 : 4);
    },
  }),
  list<"port_stats_reply", PortStats>("port_stats_reply", ["OFPST_REPLY 1.0+(4)"], {
    make: (ports) => ({ type: "port_stats_reply", ports }),
    items: (message) => message.ports,
    readItem: readPortStats,
    writeItem: writePortStats,
  }),
  row<"queue_stats_request">({
    type: "queue_stats_request",
    ids: ["OFPST_REQUEST 1.0+(5)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPBRC_BAD_PORT");
      if (version === OF10) reader.skip(2);
      return { type: "queue_stats_request", port, queue: reader.u32() };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      if (version === OF10) writer.zeros(2);
      writer.u32(message.queue);
    },
  }),
  list<"queue_stats_reply", QueueStats>("queue_stats_reply", ["OFPST_REPLY 1.0+(5)"], {
    make: (queues) => ({ type: "queue_stats_reply", queues }),
    items: (message) => message.queues,
    readItem: readQueueStats,
    writeItem: writeQueueStats,
  }),
  row<"queue_get_config_request">({
    type: "queue_get_config_request",
    ids: ["OFPT 1.0(20)", "OFPT 1.1-1.3(22)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPQOFC_BAD_PORT");
      reader.skip(version === OF10 ? 2 : 4);
      return { type: "queue_get_config_request", port, queue: 0xffffffff };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      writer.zeros(version === OF10 ? 2 : 4);
    },
  }),
  row<"queue_get_config_request">({
    type: "queue_get_config_request",
    ids: ["OFPST_REQUEST 1.4+(15)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPQOFC_BAD_PORT");
      return { type: "queue_get_config_request", port, queue: reader.u32() };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      writer.u32(message.queue);
    },
  }),
  row<"queue_get_config_reply">({
    type: "queue_get_config_reply",
    ids: ["OFPT 1.0(21)", "OFPT 1.1-1.3(23)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPBRC_BAD_PORT");
      reader.skip(version === OF10 ? 6 : 4);
      const queues: QueueConfig[] = [];
      while (reader.left > 0) queues.push(readQueue(reader, version, port));
      return { type: "queue_get_config_reply", port, queues };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      writer.zeros(version === OF10 ? 6 : 4);
      for (const queue of message.queues) writeQueue(writer, queue, version);
    },
  }),
  list<"queue_get_config_reply", QueueConfig>(
    "queue_get_config_reply",
    ["OFPST_REPLY 1.4+(15)"],
    {
      make: (queues) => ({
        type: "queue_get_config_reply",
        port: queues[0]?.port ?? 0xffff,
        queues,
      }),
      items: (message) => message.queues,
      readItem: (reader, { version }) => {
        const at = reader.offset;
        const length = reader.peek16(8);
        if (length < 16) throw new OfError("OFPBRC_BAD_LEN", at, `queue of ${length} bytes`);
        const body = reader.sub(length);
        const port = readPort(body, version, "OFPBRC_BAD_PORT");
        const queue = body.u32();
        body.skip(8);
        const rates: { minRate?: number; maxRate?: number } = {};
        readProperties(body, (type, value) => {
          if (type === MIN_RATE) rates.minRate = value.u16();
          else if (type === MAX_RATE) rates.maxRate = value.u16();
        });
        return { port, queue, ...rates };
      },
      writeItem: (writer, queue, { version }) => {
        const open = writer.open(8);
        writePort(writer, version, queue.port);
        writer.u32(queue.queue).u16(0).zeros(6);
        const { minRate, maxRate } = queue;
        if (minRate !== undefined) writeProperty16(writer, MIN_RATE, minRate);
        if (maxRate !== undefined) writeProperty16(writer, MAX_RATE, maxRate);
        writer.end(open);
      },
    },
  ),
];

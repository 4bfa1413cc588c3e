/** Meters (OpenFlow 1.3 and later): modification, statistics, configuration, features. */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { bare, list, type MessageContext, type MessageRow, row } from "./rows.ts";
import type { MeterBand, MeterConfig, MeterMod, MeterRequest, MeterStats } from "./types.ts";

const COMMANDS: readonly MeterMod["command"][] = ["add", "modify", "delete"];
const BAND_DROP = 1;
const BAND_DSCP = 2;
const BAND_BYTES = 16;
const KNOWN_FLAGS = 0xf;
const BOTH_UNITS = 3;

function readBand(reader: Reader): MeterBand {
  const at = reader.offset;
  const type = reader.peek16();
  const length = reader.peek16(2);
  if (length !== BAND_BYTES) {
    throw new OfError("OFPBRC_BAD_LEN", at, `meter band of ${length} bytes`);
  }
  const body = reader.sub(length);
  body.skip(4);
  const rate = body.u32();
  const burst = body.u32();
  if (type === BAND_DROP) return { type: "drop", rate, burst };
  if (type === BAND_DSCP) return { type: "dscp_remark", rate, burst, level: body.u8() };
  throw new OfError("OFPMMFC_BAD_BAND", at, `meter band ${type} is unknown`);
}

function writeBand(writer: Writer, band: MeterBand): void {
  writer.u16(band.type === "drop" ? BAND_DROP : BAND_DSCP).u16(BAND_BYTES);
  writer.u32(band.rate).u32(band.burst);
  if (band.type === "drop") writer.zeros(4);
  else writer.u8(band.level).zeros(3);
}

function readBands(reader: Reader): MeterBand[] {
  const bands: MeterBand[] = [];
  while (reader.left > 0) bands.push(readBand(reader));
  return bands;
}

function readMeterMod(
  reader: Reader,
  { loose }: MessageContext,
): MeterMod & { type: "meter_mod" } {
  const at = reader.offset;
  const command = COMMANDS[reader.u16()];
  if (!command) throw new OfError("OFPMMFC_BAD_COMMAND", at, "meter command is unknown");
  const flags = reader.u16();
  const meter = reader.u32();
  if (command !== "delete") {
    const both = (flags & BOTH_UNITS) === BOTH_UNITS;
    if ((flags & ~KNOWN_FLAGS && !loose) || both) {
      throw new OfError("OFPMMFC_BAD_FLAGS", at + 2, `flags 0x${flags.toString(16)}`);
    }
  }
  // A delete's bands mean nothing.
  const bands = command === "delete" ? (reader.skip(reader.left), []) : readBands(reader);
  return { type: "meter_mod", command, flags, meter, bands };
}

function request(type: MeterRequest["type"], number: number): MessageRow {
  return row<typeof type>({
    type,
    ids: [`OFPST_REQUEST 1.3+(${number})`],
    read: (reader) => {
      const meter = reader.u32();
      reader.skip(4);
      return { type, meter } as never;
    },
    write: (writer, message: MeterRequest) => {
      writer.u32(message.meter).zeros(4);
    },
  });
}

function readStats(reader: Reader): MeterStats {
  const at = reader.offset;
  const length = reader.peek16(4);
  if (length < 40) throw new OfError("OFPBRC_BAD_LEN", at, `meter of ${length} bytes`);
  const body = reader.sub(length);
  const meter = body.u32();
  body.skip(8);
  const flows = body.u32();
  const packets = body.counter();
  const bytes = body.counter();
  const durationSeconds = body.u32();
  const durationNanoseconds = body.u32();
  const bands: MeterStats["bands"][number][] = [];
  while (body.left > 0) bands.push({ packets: body.counter(), bytes: body.counter() });
  return { meter, flows, packets, bytes, durationSeconds, durationNanoseconds, bands };
}

function writeStats(writer: Writer, stats: MeterStats): void {
  const open = writer.open(4);
  writer.u32(stats.meter).u16(0).zeros(6).u32(stats.flows);
  writer.counter(stats.packets).counter(stats.bytes);
  writer.u32(stats.durationSeconds).u32(stats.durationNanoseconds);
  for (const band of stats.bands) writer.counter(band.packets).counter(band.bytes);
  writer.end(open);
}

function readConfig(reader: Reader): MeterConfig {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < 8) throw new OfError("OFPBRC_BAD_LEN", at, `meter of ${length} bytes`);
  const body = reader.sub(length);
  body.skip(2);
  const flags = body.u16();
  return { flags, meter: body.u32(), bands: readBands(body) };
}

function writeConfig(writer: Writer, config: MeterConfig): void {
  const open = writer.open(0);
  writer.u16(0).u16(config.flags).u32(config.meter);
  for (const band of config.bands) writeBand(writer, band);
  writer.end(open);
}

export const METER_ROWS: readonly MessageRow[] = [
  row<"meter_mod">({
    type: "meter_mod",
    ids: ["OFPT 1.3+(29)"],
    read: readMeterMod,
    write: (writer, message) => {
      writer.u16(COMMANDS.indexOf(message.command)).u16(message.flags).u32(message.meter);
      for (const band of message.bands) writeBand(writer, band);
    },
  }),
  request("meter_stats_request", 9),
  request("meter_config_request", 10),
  list<"meter_stats_reply", MeterStats>("meter_stats_reply", ["OFPST_REPLY 1.3+(9)"], {
    make: (meters) => ({ type: "meter_stats_reply", meters }),
    items: (message) => message.meters,
    readItem: readStats,
    writeItem: writeStats,
  }),
  list<"meter_config_reply", MeterConfig>("meter_config_reply", ["OFPST_REPLY 1.3+(10)"], {
    make: (meters) => ({ type: "meter_config_reply", meters }),
    items: (message) => message.meters,
    readItem: readConfig,
    writeItem: writeConfig,
  }),
  bare("meter_features_request", "OFPST_REQUEST 1.3+(11)"),
  row<"meter_features_reply">({
    type: "meter_features_reply",
    ids: ["OFPST_REPLY 1.3+(11)"],
    read: (reader) => {
      const maxMeters = reader.u32();
      const bandTypes = reader.u32();
      const capabilities = reader.u32();
      const maxBands = reader.u8();
      const maxColor = reader.u8();
      reader.skip(2);
      return {
        type: "meter_features_reply",
        maxMeters,
        bandTypes,
        capabilities,
        maxBands,
        maxColor,
      };
    },
    write: (writer, message) => {
      writer.u32(message.maxMeters).u32(message.bandTypes).u32(message.capabilities);
      writer.u8(message.maxBands).u8(message.maxColor).zeros(2);
    },
  }),
];

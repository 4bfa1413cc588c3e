/**
 * Ports: their descriptions in each version's structure, status, modification.
 *
 * Configuration bits are OpenFlow 1.0's (later versions define a subset at the same places).
 * Features are OpenFlow 1.1's bits; 1.0 lacks the speeds above 10 Gbit/s, so the rest moves down.
 */
import { OfError } from "../errors.ts";
import { portToWide, readPort, writePort } from "../ports.ts";
import { OF10, OF11, OF14, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, unknownProperty, writeProperty } from "./properties.ts";
import { list, type MessageRow, row } from "./rows.ts";
import { PORT_CONFIG, PORT_STATE, type PortDescription, type PortMod } from "./types.ts";

const NAME_BYTES = 16;
const CONFIG_10 = 0x7f;
const CONFIG_11 = PORT_CONFIG.PORT_DOWN | PORT_CONFIG.NO_RECV | PORT_CONFIG.NO_FWD |
  PORT_CONFIG.NO_PACKET_IN;
const STATE_10 = PORT_STATE.LINK_DOWN | PORT_STATE.STP_MASK;
const STATE_11 = PORT_STATE.LINK_DOWN | PORT_STATE.BLOCKED | PORT_STATE.LIVE;
/** Speeds that 1.0 has (bits 0..6), and where the rest (copper …) begins in either layout. */
const SPEEDS_10 = 0x7f;
const MEDIA_10 = 7;
const MEDIA_11 = 11;
const MEDIA_BITS = 0x1f;
const ETHERNET_PROPERTY = 0;
const PORT14_BYTES = 40;

/** Bit/s of each speed bit, slowest first. */
const SPEEDS_KBPS = [10e3, 10e3, 100e3, 100e3, 1e6, 1e6, 10e6, 40e6, 100e6, 1e9];

function featuresFrom10(bits: number): number {
  return (bits & SPEEDS_10) | (((bits >> MEDIA_10) & MEDIA_BITS) << MEDIA_11);
}

function featuresTo10(features: number): number {
  return (features & SPEEDS_10) | (((features >> MEDIA_11) & MEDIA_BITS) << MEDIA_10);
}

/** kbit/s of the fastest speed among `PORT_FEATURES` bits, 0 if there is none. */
export function featuresSpeed(features: number): number {
  for (let bit = SPEEDS_KBPS.length - 1; bit >= 0; bit--) {
    if (features & (1 << bit)) return SPEEDS_KBPS[bit]!;
  }
  return 0;
}

function readPort10(reader: Reader): PortDescription {
  const port = reader.u16();
  const hwAddr = reader.copy(6);
  const name = reader.text(NAME_BYTES);
  const config = reader.u32() & CONFIG_10;
  const state = reader.u32() & STATE_10;
  const current = featuresFrom10(reader.u32());
  const advertised = featuresFrom10(reader.u32());
  const supported = featuresFrom10(reader.u32());
  const peer = featuresFrom10(reader.u32());
  return {
    port,
    hwAddr,
    name,
    config,
    state,
    current,
    advertised,
    supported,
    peer,
    currentSpeed: featuresSpeed(current),
    maxSpeed: featuresSpeed(supported),
  };
}

export function writePort10(writer: Writer, port: PortDescription): void {
  writer.u16(port.port).put(port.hwAddr).text(port.name, NAME_BYTES);
  writer.u32(port.config & CONFIG_10).u32(port.state & STATE_10);
  writer.u32(featuresTo10(port.current)).u32(featuresTo10(port.advertised));
  writer.u32(featuresTo10(port.supported)).u32(featuresTo10(port.peer));
}

function readPort11(reader: Reader): PortDescription {
  const port = readPort(reader, OF11, "OFPBRC_BAD_PORT");
  reader.skip(4);
  const hwAddr = reader.copy(6);
  reader.skip(2);
  const name = reader.text(NAME_BYTES);
  const config = reader.u32() & CONFIG_11;
  const state = reader.u32() & STATE_11;
  return { port, hwAddr, name, config, state, ...readEthernet(reader) };
}

function readEthernet(reader: Reader) {
  return {
    current: reader.u32() & 0xffff,
    advertised: reader.u32() & 0xffff,
    supported: reader.u32() & 0xffff,
    peer: reader.u32() & 0xffff,
    currentSpeed: reader.u32(),
    maxSpeed: reader.u32(),
  };
}

function writeEthernet(writer: Writer, port: PortDescription): void {
  writer.u32(port.current).u32(port.advertised).u32(port.supported).u32(port.peer);
  writer.u32(port.currentSpeed).u32(port.maxSpeed);
}

export function writePort11(writer: Writer, port: PortDescription): void {
  writer.u32(portToWide(port.port)).zeros(4).put(port.hwAddr).zeros(2);
  writer.text(port.name, NAME_BYTES).u32(port.config & CONFIG_11).u32(port.state & STATE_11);
  writeEthernet(writer, port);
}

function readPort14(reader: Reader): PortDescription {
  const at = reader.offset;
  if (reader.left < 6) reader.fail("a port ends early");
  const length = reader.peek16(4);
  if (length < PORT14_BYTES || length % 8 !== 0) {
    throw new OfError("OFPBRC_BAD_LEN", at, `port of ${length} bytes`);
  }
  const body = reader.sub(length);
  const port = readPort(body, OF14, "OFPBRC_BAD_PORT");
  body.skip(4);
  const hwAddr = body.copy(6);
  body.skip(2);
  const name = body.text(NAME_BYTES);
  const config = body.u32() & CONFIG_11;
  const state = body.u32() & STATE_11;
  let ethernet = {
    current: 0,
    advertised: 0,
    supported: 0,
    peer: 0,
    currentSpeed: 0,
    maxSpeed: 0,
  };
  readProperties(body, (type, value) => {
    // Others describe hardware that is none of ours.
    if (type !== ETHERNET_PROPERTY) return;
    value.skip(4);
    ethernet = readEthernet(value);
  });
  return { port, hwAddr, name, config, state, ...ethernet };
}

function writePort14(writer: Writer, port: PortDescription): void {
  const open = writer.open(4);
  writer.u32(portToWide(port.port)).u16(0).zeros(2).put(port.hwAddr).zeros(2);
  writer.text(port.name, NAME_BYTES).u32(port.config & CONFIG_11).u32(port.state & STATE_11);
  writeProperty(writer, ETHERNET_PROPERTY, (w) => writeEthernet(w.zeros(4), port));
  writer.end(open);
}

function readList(reader: Reader, one: (reader: Reader) => PortDescription): PortDescription[] {
  const ports: PortDescription[] = [];
  while (reader.left > 0) ports.push(one(reader));
  return ports;
}

export const readPort10List = (reader: Reader): PortDescription[] => readList(reader, readPort10);
export const readPort11List = (reader: Reader): PortDescription[] => readList(reader, readPort11);

function readDescription(reader: Reader, version: OfVersion): PortDescription {
  if (version === OF10) return readPort10(reader);
  return version < OF14 ? readPort11(reader) : readPort14(reader);
}

function writeDescription(writer: Writer, version: OfVersion, port: PortDescription): void {
  if (version === OF10) writePort10(writer, port);
  else if (version < OF14) writePort11(writer, port);
  else writePort14(writer, port);
}

const REASONS = ["add", "delete", "modify"] as const;
/** Property of a 1.4 port-mod with the features to advertise. */
const ADVERTISE_PROPERTY = 0;

function readPortMod(reader: Reader, version: OfVersion): PortMod {
  const port = readPort(reader, version, "OFPPMFC_BAD_PORT");
  if (version > OF10) reader.skip(4);
  const hwAddr = reader.copy(6);
  if (version > OF10) reader.skip(2);
  const known = version === OF10 ? CONFIG_10 : CONFIG_11;
  const at = reader.offset;
  const config = reader.u32();
  const mask = reader.u32();
  if (version > OF10 && (config & ~mask) !== 0) {
    throw new OfError("OFPPMFC_BAD_CONFIG", at, "bits outside the mask");
  }
  let advertise = 0;
  if (version < OF14) {
    advertise = version === OF10 ? featuresFrom10(reader.u32()) : reader.u32() & 0xffff;
    reader.skip(4);
  } else {
    readProperties(reader, (type, value, where) => {
      if (type !== ADVERTISE_PROPERTY) unknownProperty(type, where);
      advertise = value.u32() & 0xffff;
    });
  }
  reader.finish("port mod");
  return { type: "port_mod", port, hwAddr, config: config & known, mask: mask & known, advertise };
}

function writePortMod(writer: Writer, message: PortMod, version: OfVersion): void {
  writePort(writer, version, message.port);
  if (version > OF10) writer.zeros(4);
  writer.put(message.hwAddr);
  if (version > OF10) writer.zeros(2);
  const known = version === OF10 ? CONFIG_10 : CONFIG_11;
  writer.u32(message.config & known).u32(message.mask & known);
  if (version === OF10) writer.u32(featuresTo10(message.advertise)).zeros(4);
  else if (version < OF14) writer.u32(message.advertise).zeros(4);
  else if (message.advertise !== 0) {
    writeProperty(writer, ADVERTISE_PROPERTY, (w) => w.u32(message.advertise));
  }
}

export const PORT_ROWS: readonly MessageRow[] = [
  row<"port_status">({
    type: "port_status",
    ids: ["OFPT 1.0+(12)"],
    read: (reader, { version }) => {
      const at = reader.offset;
      const reason = REASONS[reader.u8()];
      if (!reason) throw new OfError("NXBRC_BAD_REASON", at, "port status reason is unknown");
      reader.skip(7);
      const description = readDescription(reader, version);
      reader.finish("port status");
      return { type: "port_status", reason, description };
    },
    write: (writer, message, { version }) => {
      writer.u8(REASONS.indexOf(message.reason)).zeros(7);
      writeDescription(writer, version, message.description);
    },
  }),
  row<"port_mod">({
    type: "port_mod",
    ids: ["OFPT 1.0(15)", "OFPT 1.1+(16)"],
    read: (reader, { version }) => readPortMod(reader, version),
    write: (writer, message, { version }) => writePortMod(writer, message, version),
  }),
  row<"port_desc_request">({
    type: "port_desc_request",
    ids: ["OFPST_REQUEST 1.0-1.4(13)"],
    read: (reader) => {
      reader.finish("port description request");
      return { type: "port_desc_request", port: 0xffff };
    },
    write: () => {},
  }),
  row<"port_desc_request">({
    type: "port_desc_request",
    ids: ["OFPST_REQUEST 1.5(13)"],
    read: (reader, { version }) => {
      const port = readPort(reader, version, "OFPBRC_BAD_PORT");
      reader.skip(4);
      return { type: "port_desc_request", port };
    },
    write: (writer, message, { version }) => {
      writePort(writer, version, message.port);
      writer.zeros(4);
    },
  }),
  list<"port_desc_reply", PortDescription>("port_desc_reply", ["OFPST_REPLY 1.0+(13)"], {
    make: (ports) => ({ type: "port_desc_reply", ports }),
    items: (message) => message.ports,
    readItem: (reader, { version }) => readDescription(reader, version),
    writeItem: (writer, port, { version }) => writeDescription(writer, version, port),
  }),
];

/** Messages about the connection itself: hello, errors, echo, features, configuration, roles. */
import { type ErrorName, errorName, errorNumbers, OfError } from "../errors.ts";
import { NX_VENDOR, OF10, OF11, OF12, OF13, OF15, ONF_VENDOR } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readPort10List, readPort11List, writePort10, writePort11 } from "./ports.ts";
import { bare, isNicira, isStandard, type MessageContext, type MessageRow, row } from "./rows.ts";
import type { FeaturesReply, MessageOf, Role, RoleMessage, SwitchConfig } from "./types.ts";
import { CAPABILITIES } from "./types.ts";

const HELLO_VERSIONBITMAP = 1;
const VENDOR_ERROR_10 = 0xb0c2;
const VENDOR_ERROR_CODE = 0;
const EXPERIMENTER_ERROR = 0xffff;

function readHello(reader: Reader, { bytes }: MessageContext): MessageOf<"hello"> {
  const header = Math.min(bytes[0] ?? 0, 31);
  let versions = (2 ** (header + 1) - 2) >>> 0;
  // Elements that make no sense are passed over: a hello must not fail for what it may add later.
  while (reader.left >= 4) {
    const type = reader.peek16();
    const length = reader.peek16(2);
    if (length < 4 || ((length + 7) & ~7) > reader.left) break;
    const element = reader.subPadded(length);
    element.skip(4);
    if (type !== HELLO_VERSIONBITMAP || element.left < 4 || element.left % 4 !== 0) continue;
    const bitmap = (element.u32() & ~1) >>> 0;
    if (bitmap !== 0) versions = bitmap;
  }
  return { type: "hello", versions };
}

function writeHello(writer: Writer, { versions }: MessageOf<"hello">): void {
  const highest = 31 - Math.clz32(versions);
  if (versions === (2 ** (highest + 1) - 2) >>> 0) return;
  writer.u16(HELLO_VERSIONBITMAP).u16(8).u32(versions);
}

function readError(reader: Reader, { version }: MessageContext): MessageOf<"error"> {
  let vendor = 0;
  let type = reader.u16();
  let code = reader.u16();
  if (type === VENDOR_ERROR_10 && code === VENDOR_ERROR_CODE) {
    vendor = reader.u32();
    type = reader.u16();
    code = reader.u16();
  } else if (type === EXPERIMENTER_ERROR) {
    vendor = reader.u32();
    type = code;
    code = 0;
  }
  const numbers = { vendor, type, code };
  return { type: "error", error: errorName(version, numbers) ?? numbers, data: reader.rest() };
}

function writeError(writer: Writer, message: MessageOf<"error">, context: MessageContext): void {
  const { error } = message;
  const numbers = typeof error === "string"
    ? errorNumbers(error as ErrorName, context.version)
    : error;
  if (numbers.vendor === 0) writer.u16(numbers.type).u16(numbers.code);
  else if (context.version <= OF11) {
    writer.u16(VENDOR_ERROR_10).u16(VENDOR_ERROR_CODE);
    writer.u32(numbers.vendor).u16(numbers.type).u16(numbers.code);
  } else writer.u16(EXPERIMENTER_ERROR).u16(numbers.type).u32(numbers.vendor);
  writer.put(message.data.subarray(0, 0xffff - writer.length));
}

/** Capability bits that each version defines, in their common layout. */
function knownCapabilities(version: number): number {
  const { FLOW_STATS, TABLE_STATS, PORT_STATS, GROUP_STATS, STP, IP_REASM, QUEUE_STATS } =
    CAPABILITIES;
  const common = FLOW_STATS | TABLE_STATS | PORT_STATS | IP_REASM | QUEUE_STATS;
  if (version === OF10) return common | STP | CAPABILITIES.ARP_MATCH_IP;
  if (version === OF11) return common | GROUP_STATS | CAPABILITIES.ARP_MATCH_IP;
  const modern = common | GROUP_STATS | CAPABILITIES.PORT_BLOCKED;
  return version < 5 ? modern : modern | CAPABILITIES.BUNDLES | CAPABILITIES.FLOW_MONITORING;
}

/** OFPC_STP of OpenFlow 1.0 and OFPC_GROUP_STATS of 1.1 are both bit 3. */
const WIRE_BIT_3 = 1 << 3;

function readFeatures(reader: Reader, { version }: MessageContext): FeaturesReply {
  const datapathId = reader.u64();
  const buffers = reader.u32();
  const tables = reader.u8();
  const auxiliaryId = reader.u8();
  reader.skip(2);
  let capabilities = reader.u32();
  if (version === OF10 && capabilities & WIRE_BIT_3) {
    capabilities = (capabilities & ~WIRE_BIT_3) | CAPABILITIES.STP;
  }
  const actions = reader.u32();
  const ports = version === OF10
    ? readPort10List(reader)
    : version <= OF12
    ? readPort11List(reader)
    : [];
  reader.finish("features reply");
  return {
    type: "features_reply",
    datapathId,
    buffers,
    tables,
    auxiliaryId: version >= OF13 ? auxiliaryId : 0,
    capabilities,
    actions: version === OF10 ? actions : 0,
    ports,
  };
}

function writeFeatures(writer: Writer, message: FeaturesReply, { version }: MessageContext): void {
  writer.u64(message.datapathId).u32(message.buffers).u8(message.tables);
  writer.u8(version >= OF13 ? message.auxiliaryId : 0).zeros(2);
  let capabilities = message.capabilities & knownCapabilities(version);
  if (version === OF10 && capabilities & CAPABILITIES.STP) {
    capabilities = (capabilities & ~CAPABILITIES.STP) | WIRE_BIT_3;
  }
  writer.u32(capabilities).u32(version === OF10 ? message.actions : 0);
  for (const port of version <= OF12 ? message.ports : []) {
    if (version === OF10) writePort10(writer, port);
    else writePort11(writer, port);
  }
}

const FRAGMENTS = ["normal", "drop", "reassemble", "nx-match"] as const;
const INVALID_TTL_TO_CONTROLLER = 1 << 2;

function config(type: SwitchConfig["type"], id: string): MessageRow {
  return row<typeof type>({
    type,
    ids: [id],
    read: (reader, { version }) => {
      const at = reader.offset;
      const flags = reader.u16();
      const missSendLength = reader.u16();
      const ttl = version < OF13;
      if (flags & ~(3 | (ttl ? INVALID_TTL_TO_CONTROLLER : 0))) {
        throw new OfError("OFPSCFC_BAD_FLAGS", at, `flags 0x${flags.toString(16)} are unknown`);
      }
      return {
        type,
        fragments: FRAGMENTS[flags & 3]!,
        ...(ttl ? { invalidTtlToController: (flags & INVALID_TTL_TO_CONTROLLER) !== 0 } : {}),
        missSendLength,
      } as never;
    },
    write: (writer, message: SwitchConfig, { version }) => {
      const ttl = version < OF13 && message.invalidTtlToController === true;
      writer.u16(FRAGMENTS.indexOf(message.fragments) | (ttl ? INVALID_TTL_TO_CONTROLLER : 0));
      writer.u16(message.missSendLength);
    },
  });
}

const ROLES: readonly Role[] = ["nochange", "equal", "primary", "secondary"];
/** NX_ROLE_OTHER, _PRIMARY, _SECONDARY. */
const NX_ROLES: readonly Role[] = ["equal", "primary", "secondary"];
const NO_GENERATION = 0xffff_ffff_ffff_ffffn;
/** OFPCID_UNDEFINED of OpenFlow 1.5: a controller that is not known by a number. */
const NO_SHORT_ID = 0;

function role(type: RoleMessage["type"], standard: string, nicira: string): MessageRow[] {
  return [
    row<typeof type>({
      type,
      ids: [standard],
      when: isStandard,
      read: (reader, { version }) => {
        const at = reader.offset;
        const number = reader.u32();
        const found = ROLES[number];
        if (!found) throw new OfError("OFPRRFC_BAD_ROLE", at, `role ${number} is unknown`);
        const shortId = reader.u16();
        reader.skip(2);
        const identified = version >= OF15 && shortId !== NO_SHORT_ID;
        const generation = reader.u64();
        const has = type === "role_request"
          ? found === "primary" || found === "secondary"
          : generation !== NO_GENERATION;
        return {
          type,
          role: found,
          ...(has && { generationId: generation }),
          ...(identified && { shortId }),
        } as never;
      },
      write: (writer, message: RoleMessage, { version }) => {
        const shortId = version >= OF15 ? message.shortId ?? NO_SHORT_ID : 0;
        writer.u32(ROLES.indexOf(message.role)).u16(shortId).zeros(2).u64(
          message.generationId ?? (type === "role_reply" ? NO_GENERATION : 0n),
        );
      },
    }),
    row<typeof type>({
      type,
      ids: [nicira],
      when: isNicira,
      read: (reader) => {
        const at = reader.offset;
        const number = reader.u32();
        const found = NX_ROLES[number];
        if (!found) throw new OfError("OFPRRFC_BAD_ROLE", at, `role ${number} is unknown`);
        return { type, form: "nicira", role: found } as never;
      },
      write: (writer, message: RoleMessage) => {
        writer.u32(Math.max(0, NX_ROLES.indexOf(message.role)));
      },
    }),
  ];
}

const FLOW_FORMATS = { openflow10: 0, nxm: 2 } as const;
const PACKET_IN_FORMATS = ["standard", "nicira", "nicira2"] as const;

export const SESSION_ROWS: readonly MessageRow[] = [
  row<"hello">({ type: "hello", ids: ["OFPT 1.0+(0)"], read: readHello, write: writeHello }),
  row<"error">({ type: "error", ids: ["OFPT 1.0+(1)"], read: readError, write: writeError }),
  ...(["echo_request", "echo_reply"] as const).map((type, i) =>
    row<typeof type>({
      type,
      ids: [`OFPT 1.0+(${2 + i})`],
      read: (reader) => ({ type, data: reader.rest() }) as never,
      write: (writer, message: { data: Uint8Array }) => {
        writer.put(message.data);
      },
    })
  ),
  bare("features_request", "OFPT 1.0+(5)"),
  row<"features_reply">({
    type: "features_reply",
    ids: ["OFPT 1.0+(6)"],
    read: readFeatures,
    write: writeFeatures,
  }),
  bare("get_config_request", "OFPT 1.0+(7)"),
  config("get_config_reply", "OFPT 1.0+(8)"),
  config("set_config", "OFPT 1.0+(9)"),
  bare("barrier_request", "OFPT 1.0(18)", "OFPT 1.1+(20)"),
  bare("barrier_reply", "OFPT 1.0(19)", "OFPT 1.1+(21)"),
  ...role("role_request", "OFPT 1.2+(24)", "NXT 1.0+(10)"),
  ...role("role_reply", "OFPT 1.2+(25)", "NXT 1.0+(11)"),
  row<"set_flow_format">({
    type: "set_flow_format",
    ids: ["NXT 1.0(12)"],
    read: (reader) => {
      const at = reader.offset;
      const number = reader.u32();
      if (number === FLOW_FORMATS.openflow10) {
        return { type: "set_flow_format", format: "openflow10" };
      }
      if (number === FLOW_FORMATS.nxm) return { type: "set_flow_format", format: "nxm" };
      throw new OfError("OFPBRC_EPERM", at, `flow format ${number} is unknown`);
    },
    write: (writer, message) => {
      writer.u32(FLOW_FORMATS[message.format]);
    },
  }),
  row<"flow_mod_table_id">({
    type: "flow_mod_table_id",
    ids: ["NXT 1.0+(15)"],
    read: (reader) => {
      const enabled = reader.u8() !== 0;
      reader.skip(7);
      return { type: "flow_mod_table_id", enabled };
    },
    write: (writer, message) => {
      writer.u8(message.enabled ? 1 : 0).zeros(7);
    },
  }),
  row<"set_packet_in_format">({
    type: "set_packet_in_format",
    ids: ["NXT 1.0+(16)"],
    read: (reader) => {
      const at = reader.offset;
      const format = PACKET_IN_FORMATS[reader.u32()];
      if (!format) throw new OfError("OFPBRC_EPERM", at, "packet-in format is unknown");
      return { type: "set_packet_in_format", format };
    },
    write: (writer, message) => {
      writer.u32(PACKET_IN_FORMATS.indexOf(message.format));
    },
  }),
  bare("flow_age", "NXT 1.0+(18)"),
  row<"set_controller_id">({
    type: "set_controller_id",
    ids: ["NXT 1.0+(20)"],
    read: (reader) => {
      reader.zeros(6, "NXBRC_MUST_BE_ZERO");
      return { type: "set_controller_id", controllerId: reader.u16() };
    },
    write: (writer, message) => {
      writer.zeros(6).u16(message.controllerId);
    },
  }),
];

/** Vendor ids of the kinds of messages. */
export const KIND_VENDORS: Readonly<Record<string, number>> = {
  OFPT: 0,
  NXT: NX_VENDOR,
  ONFT: ONF_VENDOR,
  OFPST: 0,
  NXST: NX_VENDOR,
  ONFST: ONF_VENDOR,
};

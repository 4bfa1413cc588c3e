/**
 * OpenFlow messages as text for people: what `ovs-ofctl ofp-print` prints, and `snoop`, `monitor`
 * and the dump commands.
 *
 * The text begins with the message's name, version and xid (message-names.ts), and ends in a newline.
 * What is about ports, tables, groups, packets and the rest stands in a file for each; here is
 * which message gets which, and what a message looks like that cannot be read: as far as its
 * headers tell what it is, then the error's name, then its bytes.
 *
 * `verbosity` is `ovs-ofctl`'s: 0 leaves packets and statistics of ports out, 2 shows what echoes
 * carry, 3 shows packets' bytes and matches by their wire names, 5 the message's bytes.
 */
import { decode, identify, type MessageIdentity } from "../codec.ts";
import { errorName, OfError, type Remark } from "../errors.ts";
import type { Decoded, ErrorMessage, OfMessage } from "../messages/types.ts";
import { formatPort } from "../../packet/text.ts";
import type { FlowListText } from "./flow-list.ts";
import { formatFlow, formatFlowMod, formatFlowRequest } from "./flow.ts";
import { hexDump, printable } from "./hex-dump.ts";
import * as groups from "./message-groups.ts";
import { messageHeader, messageName } from "./message-names.ts";
import * as packets from "./message-packets.ts";
import * as ports from "./message-ports.ts";
import * as session from "./message-session.ts";
import * as tables from "./message-tables.ts";
import { OF10, type OfVersion, PORTS } from "../version.ts";
import { LearnedTunnelFields } from "../tunnel-fields.ts";
import type { TextNames } from "./names.ts";
import { readWholeMatch10 } from "../match.ts";
import { Reader } from "../wire.ts";
import { formatMatch } from "./match.ts";
import { normalizedMatch } from "./normalize.ts";
import { wireMatch } from "./wire-match.ts";

export interface MessageTextOptions {
  readonly verbosity?: number;
  readonly names?: TextNames | undefined;
  /** Prints the flows of one answer after the other. */
  readonly flows?: FlowListText | undefined;
  /** Told what is odd about a message, by the name of Open vSwitch's module that would say it. */
  readonly log?:
    | ((module: "ofp_msgs" | "ofp_util" | "ofp_match" | Remark["module"], text: string) => void)
    | undefined;
}

const HEADER_BYTES = 8;
const NO_NAMES: TextNames = { nameOf: () => undefined, numberOf: () => undefined };

/** `bytes` should be one message; what else they are is told. */
export function formatMessage(bytes: Uint8Array, options: MessageTextOptions = {}): string {
  const verbosity = options.verbosity ?? 0;
  if (bytes.length === 0) return "OpenFlow message is empty\n";
  if (bytes.length < HEADER_BYTES) {
    return `OpenFlow packet too short (only ${bytes.length} bytes):\n${hexDump(bytes, true)}`;
  }
  const length = (bytes[2]! << 8) | bytes[3]!;
  if (length > bytes.length) {
    const identity = tryIdentify(bytes);
    const head = identity instanceof OfError ? "" : `${messageHeader(identity)}\n`;
    return `${head}(***truncated to ${bytes.length} bytes from ${length}***)\n` +
      hexDump(bytes, true);
  }
  if (length < bytes.length) {
    return `(***only uses ${length} bytes out of ${bytes.length}***)\n${hexDump(bytes, true)}`;
  }
  const { text, failed } = formatWhole(bytes, verbosity, options);
  const dump = failed || verbosity >= 5 ? hexDump(bytes, true) : "";
  return withNewline(text) + dump;
}

const withNewline = (text: string): string => text.endsWith("\n") ? text : `${text}\n`;
const decodeError = ({ error }: OfError): string => `***decode error: ${error}***\n`;

function formatWhole(
  bytes: Uint8Array,
  verbosity: number,
  { names: given, flows, log }: MessageTextOptions,
): { text: string; failed: boolean } {
  const tunnelFields = given?.tunnelFields ?? new LearnedTunnelFields();
  const names: TextNames = { ...(given ?? NO_NAMES), tunnelFields };
  const identity = tryIdentify(bytes);
  if (identity instanceof OfError) {
    log?.("ofp_msgs", `unknown OpenFlow message (version ${bytes[0]}, type ${bytes[1]})`);
    return { text: decodeError(identity), failed: true };
  }
  const header = messageHeader(identity, bytes[0]) + formatMore(identity);
  if (identity.name === "hello") {
    const hello = session.formatHello(bytes, (text) => log?.("ofp_util", text));
    return { text: header + hello, failed: false };
  }
  try {
    const options = { loose: true, flowModTableId: true, tunnelFields };
    const body = flows && identity.name === "flow_stats_reply"
      ? flows.format(bytes, names, options)
      : formatBody(decode(bytes, options), bytes, verbosity, names, log);
    const text = body.endsWith(" ") ? body.slice(0, -1) : body;
    return { text: body === "" ? header.replace(/ $/, "") : header + text, failed: false };
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
    for (const { module, text } of error.remarks) log?.(module, text());
    if (identity.name === "bundle_add" && error.error === "OFPBFC_MSG_UNSUP") {
      log?.("ofp_bundle", unbundled(bytes.subarray(error.offset)));
    }
    // A list of ports that ends early is not a message of its kind at all.
    const whole = identity.name === "features_reply" && error.error === "OFPBRC_BAD_LEN";
    if (whole) {
      log?.(
        "ofp_msgs",
        `received OFPT_FEATURES_REPLY with incorrect length ${bytes.length} (must be exactly ` +
          `32 bytes or longer by an integer multiple of ${identity.version === OF10 ? 48 : 64} ` +
          "bytes)",
      );
    }
    return { text: whole ? decodeError(error) : `${header} ${decodeError(error)}`, failed: true };
  }
}

function tryIdentify(bytes: Uint8Array): MessageIdentity | OfError {
  try {
    return identify(bytes);
  } catch (error) {
    if (error instanceof OfError) return error;
    throw error;
  }
}

const formatMore = ({ shape, more, version }: MessageIdentity): string => {
  if (!more) return "";
  return shape === "reply" || version >= 4
    ? " flags=[more]"
    : " flags=[***unknown flags 0x0001***]";
};

function formatError(
  message: ErrorMessage,
  { version }: Decoded,
  names: TextNames | undefined,
): string {
  const { error, data } = message;
  const name = typeof error === "string" ? error : errorName(version, error);
  if (name === undefined) throw new OfError("OFPBRC_BAD_LEN", 0, "an error that is not known");
  const isText = name === "OFPHFC_INCOMPATIBLE" || name === "OFPHFC_EPERM";
  const failed = isText ? printable(data) : formatMessage(data, { verbosity: 1, names });
  return ` ${name}\n${failed}`;
}

/** Exhaustive: a record that is added to the union must get its text here. */
function formatBody(
  decoded: Decoded,
  bytes: Uint8Array,
  verbosity: number,
  names: TextNames | undefined,
  log: MessageTextOptions["log"],
): string {
  const { version } = decoded;
  const message: OfMessage = decoded.message;
  switch (message.type) {
    case "hello":
      return session.formatHello(bytes, () => {});
    case "error":
      return formatError(message, decoded, names);
    case "echo_request":
    case "echo_reply": {
      const { data } = message;
      const dump = verbosity > 1 ? hexDump(data, true) : "";
      return ` ${data.length} bytes of payload\n${dump}`;
    }
    case "features_reply":
      return session.formatFeatures(message, version);
    case "get_config_reply":
    case "set_config":
      return session.formatConfig(message);
    case "port_status":
      return ports.formatPortStatus(message);
    case "port_mod":
      return ports.formatPortMod(message, names);
    case "packet_in":
    case "resume":
      return packets.formatPacketIn(message, version, verbosity, names);
    case "packet_out":
      return packets.formatPacketOut(message, verbosity, names);
    case "flow_mod":
      if (version === OF10 && bytes[1] === FLOW_MOD_TYPE) tellNormalization(bytes, log);
      return formatFlowMod(message, {
        names,
        version,
        ...(verbosity >= 3 ? { match: wireMatch(bytes) } : {}),
      });
    case "flow_removed":
      return packets.formatFlowRemoved(message, names);
    case "desc_reply":
      return session.formatDesc(message);
    case "flow_stats_request":
    case "aggregate_stats_request":
    case "flow_counts_request":
      return formatFlowRequest(message, names);
    case "flow_stats_reply":
      return message.flows.map((flow) => `\n ${formatFlow(flow, { names })}`).join("");
    case "aggregate_stats_reply": {
      const { packets, bytes, flows } = message;
      const unknown = 0xffff_ffff_ffff_ffffn;
      return ` packet_count=${packets ?? unknown} byte_count=${bytes ?? unknown} ` +
        `flow_count=${flows}`;
    }
    case "flow_counts_reply":
      return packets.formatFlowCounts(message, names);
    case "table_stats_reply":
      return tables.formatTableStats(message, bytes, version);
    case "port_stats_request":
      return ` port_no=${formatPort(message.port, names)}`;
    case "port_stats_reply":
      return ports.formatPortStats(message, verbosity, names);
    case "queue_stats_request":
      return ` port=${formatPort(anyPort(message.port, version), names)} ` +
        `queue=${ports.formatQueueId(message.queue)}`;
    case "queue_stats_reply":
      return ports.formatQueueStats(message, verbosity, names);
    case "port_desc_request":
      return ` port=${formatPort(message.port, names)}`;
    case "port_desc_reply":
      return `\n${ports.formatPortDescriptions(message.ports)}`;
    case "queue_get_config_request": {
      const { port, queue } = message;
      const all = ports.formatQueueId(queue) === "ALL";
      return ` port=${formatPort(port, names)}${all ? "" : ` queue=${queue}`}`;
    }
    case "queue_get_config_reply":
      return ports.formatQueueConfigs(message, names);
    case "role_request":
    case "role_reply":
      return session.formatRole(message);
    case "role_status":
      return session.formatRoleStatus(message);
    case "set_async":
    case "get_async_reply":
      return session.formatAsync(message);
    case "set_flow_format":
      return ` format=${message.format}`;
    case "flow_mod_table_id":
      return ` ${message.enabled ? "enable" : "disable"}`;
    case "set_packet_in_format":
      return ` format=${PACKET_IN_FORMATS[message.format]}`;
    case "set_controller_id":
      return ` id=${message.controllerId}`;
    case "group_mod":
      return groups.formatGroupMod(message, version, names);
    case "group_stats_request":
    case "group_desc_request":
      return ` group_id=${groups.formatGroupId(message.group)}`;
    case "group_stats_reply":
      return groups.formatGroupStats(message, version);
    case "group_desc_reply":
      return groups.formatGroupDescs(message, version, names);
    case "group_features_reply":
      return groups.formatGroupFeatures(message, version);
    case "meter_mod":
      return groups.formatMeterMod(message);
    case "meter_stats_request":
    case "meter_config_request":
      return ` ${groups.formatMeterId(message.meter)}`;
    case "meter_stats_reply":
      return groups.formatMeterStats(message);
    case "meter_config_reply":
      return groups.formatMeterConfigs(message);
    case "meter_features_reply":
      return groups.formatMeterFeatures(message);
    case "table_mod":
      return tables.formatTableMod(message, version, names);
    case "table_desc_reply":
      return tables.formatTableDesc(message, names);
    case "table_status":
      return tables.formatTableStatus(message, names);
    case "table_features_request":
    case "table_features_reply":
      return tables.formatTableFeatures(message);
    case "requestforward":
      return formatForwarded(message.inner, names);
    case "bundle_control":
      return session.formatBundleControl(message);
    case "bundle_add":
      return session.formatBundleAdd(message) + formatMessage(message.inner, { verbosity, names });
    case "bundle_features_request":
    case "bundle_features_reply":
      return session.formatBundleFeatures(message);
    case "flow_monitor_request":
      return packets.formatMonitorRequest(message, names);
    case "flow_monitor_reply":
      return packets.formatMonitorReply(message, names);
    case "flow_monitor_cancel":
      return ` id=${message.id}`;
    case "controller_status":
      return session.formatControllerStatus([message]);
    case "controller_status_reply":
      return session.formatControllerStatus(message.controllers);
    case "tlv_table_mod":
      return session.formatTlvTableMod(message);
    case "tlv_table_reply":
      return session.formatTlvTable(message);
    case "ct_flush_zone":
      return ` zone_id=${message.zone}`;
    case "ct_flush":
      return session.formatCtFlush(message);
    case "ipfix_bridge_reply":
    case "ipfix_flow_reply":
      return session.formatIpfix(message);
    case "features_request":
    case "get_config_request":
    case "barrier_request":
    case "barrier_reply":
    case "get_async_request":
    case "flow_age":
    case "desc_request":
    case "table_stats_request":
    case "table_desc_request":
    case "group_features_request":
    case "meter_features_request":
    case "tlv_table_request":
    case "ipfix_bridge_request":
    case "ipfix_flow_request":
    case "controller_status_request":
    case "flow_monitor_paused":
    case "flow_monitor_resumed":
    case "unsupported":
      return "";
    default: {
      const never: never = message;
      return never;
    }
  }
}

function unbundled(inner: Uint8Array): string {
  const identity = tryIdentify(inner);
  return identity instanceof OfError
    ? `OFPT14_BUNDLE_ADD_MESSAGE contained message is unparsable (${identity.error})`
    : `${messageName(identity)} message not allowed inside OFPT14_BUNDLE_ADD_MESSAGE`;
}

const FLOW_MOD_TYPE = 14;

/** OpenFlow 1.0's structure can say what no packet has: that is left out, and told. */
function tellNormalization(bytes: Uint8Array, log: MessageTextOptions["log"]): void {
  if (!log) return;
  const match = readWholeMatch10(new Reader(bytes.subarray(HEADER_BYTES), "OFPBMC_BAD_LEN"));
  const normal = normalizedMatch(match);
  if (!normal) return;
  log("ofp_match", "normalization changed ofp_match, details:");
  log("ofp_match", ` pre: ${formatMatch(match)}`);
  log("ofp_match", `post: ${formatMatch(normal)}`);
}

/** OpenFlow 1.0 says "all" where later versions say "any". */
const anyPort = (port: number, version: OfVersion): number =>
  version === OF10 && port === PORTS.ALL ? PORTS.ANY : port;

const PACKET_IN_FORMATS = {
  standard: "standard",
  nicira: "nxt_packet_in",
  nicira2: "nxt_packet_in2",
} as const;

/** Of the request only its content is told. */
function formatForwarded(inner: Uint8Array, names: TextNames | undefined): string {
  const { message, version } = decode(inner, { loose: true });
  if (message.type === "group_mod") {
    return ` reason=group_mod${groups.formatGroupMod(message, version, names)}`;
  }
  if (message.type === "meter_mod") return ` reason=meter_mod${groups.formatMeterMod(message)}`;
  throw new OfError("OFPBRC_BAD_TYPE", 0, "neither a group-mod nor a meter-mod was forwarded");
}

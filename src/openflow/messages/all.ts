/** Every message that is declared, and those that are known by name only. */
import type { ErrorName } from "../errors.ts";
import { FLOW_MOD_ROWS } from "./flow-mod.ts";
import { FLOW_REMOVED_ROWS } from "./flow-removed.ts";
import { FLOW_STATS_ROWS } from "./flow-stats.ts";
import { GROUP_ROWS } from "./groups.ts";
import { METER_ROWS } from "./meters.ts";
import { MONITOR_ROWS } from "./monitors.ts";
import { PACKET_ROWS } from "./packets.ts";
import { PORT_ROWS } from "./ports.ts";
import type { MessageRow } from "./rows.ts";
import { SESSION_ROWS } from "./session.ts";
import { STATS_ROWS } from "./stats.ts";
import { STATUS_ROWS } from "./status.ts";
import { TABLE_ROWS } from "./tables.ts";

export const MESSAGE_ROWS: readonly MessageRow[] = [
  ...SESSION_ROWS,
  ...PORT_ROWS,
  ...PACKET_ROWS,
  ...FLOW_MOD_ROWS,
  ...FLOW_REMOVED_ROWS,
  ...FLOW_STATS_ROWS,
  ...STATS_ROWS,
  ...TABLE_ROWS,
  ...STATUS_ROWS,
  ...GROUP_ROWS,
  ...METER_ROWS,
  ...MONITOR_ROWS,
];

export interface UnsupportedRow {
  readonly id: string;
  readonly name: string;
  /** What a switch answers. */
  readonly error: ErrorName;
}

const unsupported = (name: string, error: ErrorName, ...ids: string[]): UnsupportedRow[] =>
  ids.map((id) => ({ id, name, error }));

export const UNSUPPORTED_ROWS: readonly UnsupportedRow[] = [
  ...unsupported("OFPT_CONTROLLER_STATUS", "OFPBRC_BAD_TYPE", "OFPT 1.5(35)"),
  ...unsupported("NXT_SET_ASYNC_CONFIG2", "OFPBRC_BAD_SUBTYPE", "NXT 1.0-1.3(27)"),
  ...unsupported("NXT_TLV_TABLE_MOD", "OFPBRC_BAD_SUBTYPE", "NXT 1.0+(24)"),
  ...unsupported("NXT_TLV_TABLE_REQUEST", "OFPBRC_BAD_SUBTYPE", "NXT 1.0+(25)"),
  ...unsupported("NXT_TLV_TABLE_REPLY", "OFPBRC_BAD_SUBTYPE", "NXT 1.0+(26)"),
  ...unsupported("NXT_CT_FLUSH_ZONE", "OFPBRC_BAD_SUBTYPE", "NXT 1.0+(29)"),
  ...unsupported("NXT_CT_FLUSH", "OFPBRC_BAD_SUBTYPE", "NXT 1.0+(32)"),
  ...unsupported("NXT_FLOW_MONITOR_PAUSED", "OFPBRC_BAD_SUBTYPE", "NXT 1.0-1.2(22)"),
  ...unsupported("NXT_FLOW_MONITOR_RESUMED", "OFPBRC_BAD_SUBTYPE", "NXT 1.0-1.2(23)"),
  ...unsupported("ONFT_FLOW_MONITOR_PAUSED", "OFPBRC_BAD_SUBTYPE", "ONFT 1.3(1871)"),
  ...unsupported("ONFT_FLOW_MONITOR_RESUMED", "OFPBRC_BAD_SUBTYPE", "ONFT 1.3(1872)"),
  ...unsupported("NXST_IPFIX_BRIDGE", "NXST_NOT_CONFIGURED", "NXST_REQUEST 1.0+(3)"),
  ...unsupported("NXST_IPFIX_FLOW", "NXST_NOT_CONFIGURED", "NXST_REQUEST 1.0+(4)"),
];

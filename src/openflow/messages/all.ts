/** Every message that is declared, and those that are known by name only. */
import type { ErrorName } from "../errors.ts";
import { ASYNC_ROWS } from "./async.ts";
import { CONTROLLER_STATUS_ROWS } from "./controller-status.ts";
import { EXTENSION_ROWS } from "./extensions.ts";
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
import { TABLE_FEATURES_ROWS } from "./table-features.ts";
import { TABLE_ROWS } from "./tables.ts";

export const MESSAGE_ROWS: readonly MessageRow[] = [
  ...SESSION_ROWS,
  ...ASYNC_ROWS,
  ...PORT_ROWS,
  ...PACKET_ROWS,
  ...FLOW_MOD_ROWS,
  ...FLOW_REMOVED_ROWS,
  ...FLOW_STATS_ROWS,
  ...STATS_ROWS,
  ...TABLE_ROWS,
  ...TABLE_FEATURES_ROWS,
  ...STATUS_ROWS,
  ...GROUP_ROWS,
  ...METER_ROWS,
  ...MONITOR_ROWS,
  ...CONTROLLER_STATUS_ROWS,
  ...EXTENSION_ROWS,
];

export interface UnsupportedRow {
  readonly id: string;
  readonly name: string;
  /** What a switch answers. */
  readonly error: ErrorName;
}

/** Known by name only: a switch answers these with their error. */
export const UNSUPPORTED_ROWS: readonly UnsupportedRow[] = [];

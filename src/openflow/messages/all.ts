/** Every message that is declared, and those that are known by name only. */
import type { ErrorName } from "../errors.ts";
import { FLOW_MOD_ROWS } from "./flow-mod.ts";
import { FLOW_REMOVED_ROWS } from "./flow-removed.ts";
import { FLOW_STATS_ROWS } from "./flow-stats.ts";
import { PACKET_ROWS } from "./packets.ts";
import { PORT_ROWS } from "./ports.ts";
import type { MessageRow } from "./rows.ts";
import { SESSION_ROWS } from "./session.ts";
import { STATS_ROWS } from "./stats.ts";
import { TABLE_FEATURES_ROWS } from "./table-features.ts";

export const MESSAGE_ROWS: readonly MessageRow[] = [
  ...SESSION_ROWS,
  ...PORT_ROWS,
  ...PACKET_ROWS,
  ...FLOW_MOD_ROWS,
  ...FLOW_REMOVED_ROWS,
  ...FLOW_STATS_ROWS,
  ...STATS_ROWS,
  ...TABLE_FEATURES_ROWS,
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
  ...unsupported("OFPT_BUNDLE_CONTROL", "OFPBRC_BAD_TYPE", "OFPT 1.4+(33)"),
  ...unsupported("OFPT_BUNDLE_ADD_MESSAGE", "OFPBRC_BAD_TYPE", "OFPT 1.4+(34)"),
  ...unsupported("ONFT_BUNDLE_CONTROL", "OFPBRC_BAD_SUBTYPE", "ONFT 1.3(2300)"),
  ...unsupported("ONFT_BUNDLE_ADD_MESSAGE", "OFPBRC_BAD_SUBTYPE", "ONFT 1.3(2301)"),
];

/** Tables: statistics, features, configuration (OpenFlow 1.3.5 §7.3.4.2, §7.3.5.4, §7.3.5.5). */
import { OfError } from "../../../openflow/errors.ts";
import type {
  TableAbility,
  TableDesc,
  TableFeatures,
  TableFeaturesRequest,
  TableMod,
} from "../../../openflow/messages/types.ts";
import { type Field, FIELD_LIST } from "../../../packet/layout.ts";
import { OXM_CLASSES } from "../../../packet/fields.ts";
import { type FlowTables, MAX_RULES, USER_TABLES } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";
import { actionBits, actionNumbers } from "./abilities.ts";

export function answerTableStats(agent: Agent, xid: number): void {
  const tables = agent.bridge.tables.stats().map((stats) => ({
    table: stats.table,
    name: agent.bridge.tableName(stats.table),
    maxEntries: stats.limit,
    miss: agent.bridge.tables.missSetting(stats.table),
    actions: actionBits(agent.version),
    last: stats.table === USER_TABLES - 1,
    active: stats.active,
    lookups: BigInt(stats.lookups),
    matched: BigInt(stats.matched),
  }));
  agent.send({ type: "table_stats_reply", tables }, xid);
}

export function answerTableFeatures(
  agent: Agent,
  request: TableFeaturesRequest,
  xid: number,
): void {
  if (request.tables.length > 0) {
    throw new OfError("OFPTFFC_EPERM", 0, "the features of tables cannot be set");
  }
  const tables = Array.from({ length: USER_TABLES }, (_, id) => featuresOf(agent, id));
  agent.send({ type: "table_features_reply", tables }, xid);
}

export function answerTableMod(agent: Agent, request: TableMod): void {
  agent.bridge.tables.modify(request);
}

export function answerTableDesc(agent: Agent, xid: number): void {
  const { tables } = agent.bridge;
  const described = Array.from({ length: USER_TABLES }, (_, id) => describeTable(tables, id));
  agent.send({ type: "table_desc_reply", tables: described }, xid);
}

/** OFPTMPEF_OTHER, IMPORTANCE, LIFETIME: by what the flows that go are chosen. */
const EVICTION_FLAGS = 0b111;

export function describeTable(tables: FlowTables, id: number): TableDesc {
  const { eviction, vacancy } = tables.settings(id);
  const now = vacancy ? tables.settings(id).free(tables.count(id)) : 0;
  return {
    table: id,
    eviction,
    evictionFlags: EVICTION_FLAGS,
    ...(vacancy && { vacancy: { down: vacancy.down, up: vacancy.up, now } }),
  };
}

/** goto_table, write_metadata, write_actions, apply_actions, clear_actions. */
const INSTRUCTIONS = [1, 2, 3, 4, 5];
const GOTO_TABLE = 1;

function featuresOf(agent: Agent, table: number): TableFeatures {
  const last = table === USER_TABLES - 1;
  const match = FIELD_LIST.flatMap((field) => oxmHeader(field, field.maskable === true));
  const writable = FIELD_LIST.flatMap((field) => field.writable ? oxmHeader(field, false) : []);
  const actions = actionNumbers(agent.version);
  const ability: TableAbility = {
    nextTables: Array.from({ length: USER_TABLES - table - 1 }, (_, i) => table + 1 + i),
    instructions: last ? INSTRUCTIONS.filter((type) => type !== GOTO_TABLE) : INSTRUCTIONS,
    writeActions: actions,
    applyActions: actions,
    writeSetFields: writable,
    applySetFields: writable,
  };
  return {
    table,
    name: agent.bridge.tableName(table),
    metadataMatch: 0xffffffffffffffffn,
    metadataWrite: 0xffffffffffffffffn,
    config: 0,
    maxEntries: MAX_RULES,
    nonmiss: ability,
    miss: ability,
    match,
    wildcards: FIELD_LIST.flatMap((field) => oxmHeader(field, false)),
  };
}

/**
 *      31            16 15       9  8  7        0
 *     +----------------+----------+---+----------+
 *     |     class      |  field   | M |  length  |   length counts the mask too when M is set
 *     +----------------+----------+---+----------+
 *
 * Fields of experimenter classes, whose headers are longer, are left out.
 */
function oxmHeader(field: Field, withMask: boolean): number[] {
  const id = field.oxm ?? field.nxm;
  if (!id || "experimenter" in OXM_CLASSES[id[0]]) return [];
  const length = withMask ? 2 * field.bytes : field.bytes;
  const bits = OXM_CLASSES[id[0]].class * 0x10000 + (id[1] << 9) + (withMask ? 0x100 : 0) + length;
  return [bits >>> 0];
}

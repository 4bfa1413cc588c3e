/** Tables: statistics, features, configuration (OpenFlow 1.3.5 §7.3.4.2, §7.3.5.4, §7.3.5.5). */
import type {
  InstructionName,
  TableAbility,
  TableDesc,
  TableFeatures,
  TableFeaturesRequest,
  TableMod,
} from "../../../openflow/messages/types.ts";
import { oxmIdOf } from "../../../openflow/oxm.ts";
import { OF14 } from "../../../openflow/version.ts";
import { FIELD_LIST } from "../../../packet/layout.ts";
import { type FlowTables, USER_TABLES } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";
import { actionBits, actionTypes } from "./abilities.ts";
import { rejectSecondary } from "./roles.ts";
import { changeFeatures } from "./table-features.ts";

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
  const tables = Array.from({ length: USER_TABLES }, (_, id) => featuresOf(agent, id));
  if (request.tables.length > 0) {
    rejectSecondary(agent);
    changeFeatures(agent, request.tables, tables);
  }
  const now = tables.map((table) => ({ ...table, name: agent.bridge.tableName(table.table) }));
  agent.send({ type: "table_features_reply", tables: now }, xid);
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

const INSTRUCTIONS: readonly InstructionName[] = [
  "goto_table",
  "write_metadata",
  "write_actions",
  "apply_actions",
  "clear_actions",
  "meter",
];

function featuresOf(agent: Agent, table: number): TableFeatures {
  const { version, bridge } = agent;
  const last = table === USER_TABLES - 1;
  const matchable = FIELD_LIST.filter((field) => oxmIdOf(field, version) !== undefined);
  const writable = matchable.filter((field) => field.writable === true);
  const actions = actionTypes(version);
  const ability: TableAbility = {
    nextTables: Array.from({ length: USER_TABLES - table - 1 }, (_, i) => table + 1 + i),
    instructions: last ? INSTRUCTIONS.filter((name) => name !== "goto_table") : INSTRUCTIONS,
    writeActions: actions,
    applyActions: actions,
    writeSetFields: writable,
    applySetFields: writable,
  };
  return {
    table,
    command: "replace",
    name: bridge.tableName(table),
    metadataMatch: 0xffffffffffffffffn,
    metadataWrite: 0xffffffffffffffffn,
    ...(version >= OF14 && { eviction: true, vacancyEvents: true }),
    maxEntries: bridge.tables.settings(table).limit,
    hasProperties: true,
    nonmiss: ability,
    miss: ability,
    match: matchable.map((field) => ({ field, maskable: field.maskable === true })),
    wildcards: matchable,
  };
}

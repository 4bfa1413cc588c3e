/**
 * How a row is named on the command line: by its UUID or enough of it, by a name that it or the row
 * that refers to it has, or as `.` where there is but one.
 */
import type { Draft, DraftRow } from "../../../db/client/draft.ts";
import type { TableName } from "../../../db/replica.ts";
import type { TableSchema } from "../../../db/schema/schema.ts";
import { parseUuid } from "../../../db/values/atom.ts";
import { Fatal } from "../fatal.ts";
import type { Wanted } from "./command.ts";

/** The column `name` of table `of`; if `via` is there, what that column of the row refers to. */
interface RecordName {
  readonly of: TableName;
  readonly name: string;
  readonly via?: string;
}

export const RECORD_NAMES: { readonly [T in TableName]?: RecordName } = {
  AutoAttach: { of: "Bridge", name: "name", via: "auto_attach" },
  Bridge: { of: "Bridge", name: "name" },
  Controller: { of: "Bridge", name: "name", via: "controller" },
  Flow_Sample_Collector_Set: { of: "Flow_Sample_Collector_Set", name: "id" },
  Flow_Table: { of: "Flow_Table", name: "name" },
  IPFIX: { of: "Bridge", name: "name", via: "ipfix" },
  Interface: { of: "Interface", name: "name" },
  Manager: { of: "Manager", name: "target" },
  Mirror: { of: "Mirror", name: "name" },
  NetFlow: { of: "Bridge", name: "name", via: "netflow" },
  Port: { of: "Port", name: "name" },
  QoS: { of: "Port", name: "name", via: "qos" },
  sFlow: { of: "Bridge", name: "name", via: "sflow" },
};

const nameOf = (table: TableSchema): RecordName | undefined =>
  (RECORD_NAMES as Readonly<Record<string, RecordName>>)[table.name];

/** Asks for what naming the table's rows needs. */
export function wantRecords(wanted: Wanted, table: TableSchema): void {
  wanted.add(table.name);
  const record = nameOf(table);
  if (record === undefined) return;
  wanted.add(record.of, record.name, ...(record.via === undefined ? [] : [record.via]));
}

/** Hexadecimal digits needed to name a row by the beginning of its UUID. */
const SHORTEST_UUID = 4;

function isUuidBeginning(text: string): boolean {
  if (text.length < SHORTEST_UUID || text.length > 36) return false;
  return [...text].every((character, i) =>
    [8, 13, 18, 23].includes(i) ? character === "-" : /[0-9a-f]/i.test(character)
  );
}

/** The row, or undefined if there is none and none is needed. Throws `Fatal`. */
export function findRecord(
  draft: Draft,
  table: TableSchema,
  record: string,
  mustExist: boolean,
): DraftRow | undefined {
  const row = byUuid(draft, table, record) ?? theOnly(draft, table, record) ??
    byName(draft, table, record) ?? byUuidBeginning(draft, table, record);
  if (row === undefined && mustExist) {
    throw new Fatal(`no row "${record}" in table ${table.name}`);
  }
  return row;
}

function byUuid(draft: Draft, table: TableSchema, record: string): DraftRow | undefined {
  const uuid = parseUuid(record);
  return uuid === undefined ? undefined : draft.row(table.name, uuid);
}

function theOnly(draft: Draft, table: TableSchema, record: string): DraftRow | undefined {
  if (record !== ".") return undefined;
  const rows = draft.rows(table.name);
  return rows.length === 1 ? rows[0] : undefined;
}

function byName(draft: Draft, table: TableSchema, record: string): DraftRow | undefined {
  const how = nameOf(table);
  if (how === undefined) return undefined;
  const rows = draft.rows<string>(how.of);
  const column = rows[0]?.table.columns.get(how.name);
  if (column === undefined) return undefined;
  const isInteger = column.type.key.type === "integer";
  if (isInteger && !/^\d+$/.test(record)) return undefined;
  const wanted = isInteger ? BigInt(record) : record;
  const found = rows.filter((row) => {
    const [name, ...others] = row.read(column).keys;
    if (name === undefined || others.length > 0) return false;
    if (isInteger) return BigInt(name) === wanted;
    return name === wanted || isNameBeginning(String(name), record);
  });
  if (found.length > 1) throw new Fatal(`multiple rows in ${how.of} match "${record}"`);
  const [row] = found;
  if (row === undefined || how.via === undefined) return row;
  const reference = row.table.columns.get(how.via);
  if (reference === undefined) return undefined;
  row.verify(reference);
  const [uuid, ...others] = row.read(reference).keys;
  return uuid === undefined || others.length > 0 ? undefined : draft.row(table.name, String(uuid));
}

/** Names that are UUIDs may be shortened as UUIDs may. */
const isNameBeginning = (name: string, record: string): boolean =>
  record.length >= SHORTEST_UUID && name.startsWith(record) && parseUuid(name) !== undefined;

function byUuidBeginning(draft: Draft, table: TableSchema, record: string): DraftRow | undefined {
  if (!isUuidBeginning(record)) return undefined;
  const [row, other] = draft.rows(table.name).filter(({ uuid }) => uuid.startsWith(record));
  if (row !== undefined && other !== undefined) {
    throw new Fatal(
      `${table.name} contains 2 or more rows whose UUIDs begin with ${record}: ` +
        `at least ${row.uuid} and ${other.uuid}`,
    );
  }
  return row;
}

/** Database schemas (RFC 7047 §3.2): parse, validate, print. Any schema can be served. */
import { OvsdbError, syntaxError } from "../error.ts";
import { isArray, type Json, type JsonObject, member } from "../json.ts";
import { Members } from "../members.ts";
import { isId } from "../values/atom.ts";
import { type Datum, defaultDatum, type Reference, references } from "../values/datum.ts";
import type { DatabaseDeclaration } from "./declare.ts";
import {
  type BaseType,
  checkAtom,
  type ColumnType,
  parseType,
  typeToJson,
  UNLIMITED,
  uuidType,
} from "./type.ts";

export interface Column {
  readonly name: string;
  /** Place in a row's `fields`. */
  readonly index: number;
  readonly type: ColumnType;
  readonly mutable: boolean;
  readonly persistent: boolean;
  /** The sides of its type that refer to rows. */
  readonly strong: readonly Reference[];
  readonly weak: readonly Reference[];
}

export interface TableSchema {
  readonly name: string;
  /** By name; `_uuid` (index 0) and `_version` (1) included. */
  readonly columns: ReadonlyMap<string, Column>;
  /** By index. */
  readonly columnList: readonly Column[];
  /** A row's `fields` where every column has its default. */
  readonly defaults: readonly Datum[];
  /** Columns whose default violates their own constraints: who inserts a row must give them. */
  readonly mustBeGiven: readonly Column[];
  readonly maxRows: number;
  readonly isRoot: boolean;
  /** Sets of columns of which no two rows may have the same values. */
  readonly indexes: readonly (readonly Column[])[];
  /** Columns that refer to rows. */
  readonly strongRefs: readonly Column[];
  readonly weakRefs: readonly Column[];
}

export interface DatabaseSchema {
  readonly name: string;
  /** Empty if the schema states none. */
  readonly version: string;
  readonly cksum: string;
  readonly tables: ReadonlyMap<string, TableSchema>;
}

export const UUID_COLUMN = 0;
export const VERSION_COLUMN = 1;

const standardColumns: readonly Column[] = [
  {
    name: "_uuid",
    index: UUID_COLUMN,
    type: uuidType,
    mutable: false,
    persistent: true,
    strong: [],
    weak: [],
  },
  {
    name: "_version",
    index: VERSION_COLUMN,
    type: uuidType,
    mutable: false,
    persistent: false,
    strong: [],
    weak: [],
  },
];

/** Takes a schema as received, or as declared in the program: both have the RFC's shape. */
export function parseSchema(schema: Json | DatabaseDeclaration): DatabaseSchema {
  const json = schema as Json;
  const members = new Members(json, "database schema");
  const name = members.required("name", "id");
  const version = members.optional("version", "string");
  const cksum = members.optional("cksum", "string");
  const tablesJson = members.required("tables", "object");
  members.finish();
  if (version !== undefined && !/^\d+\.\d+\.\d+$/.test(version)) {
    throw syntaxError(json, `schema version "${version}" not in format x.y.z`);
  }
  const drafts = Object.keys(tablesJson).map((tableName) => {
    checkName(tableName, json);
    return parseTable(tableName, member(tablesJson, tableName) as Json);
  });
  // Schemas older than garbage collection name no root table: then all are roots.
  const allRoots = drafts.every((table) => !table.isRoot);
  const roots = new Map(drafts.map((table) => [table.name, allRoots || table.isRoot]));
  const tables = new Map(
    drafts.map((draft) => [draft.name, finishTable(draft, roots)]),
  );
  return { name, version: version ?? "", cksum: cksum ?? "", tables };
}

function checkName(name: string, json: Json): void {
  if (name.startsWith("_")) throw syntaxError(json, 'names beginning with "_" are reserved');
  if (!isId(name)) throw syntaxError(json, "name must be a valid id");
}

interface TableDraft {
  readonly name: string;
  readonly columnList: readonly Column[];
  readonly maxRows: number;
  readonly isRoot: boolean;
  readonly indexes: readonly (readonly string[])[];
}

function parseTable(name: string, json: Json): TableDraft {
  const members = new Members(json, `table schema for table ${name}`);
  const columnsJson = members.required("columns", "object");
  members.optional("mutable", "boolean");
  const maxRows = members.optional("maxRows", "integer");
  const isRoot = members.optional("isRoot", "boolean") ?? false;
  const indexesJson = members.optional("indexes", "array") ?? [];
  members.finish();
  if (maxRows !== undefined && maxRows <= 0) {
    throw syntaxError(json, "maxRows must be at least 1");
  }
  const names = Object.keys(columnsJson);
  if (names.length === 0) throw syntaxError(json, "table must have at least one column");
  const columnList = [
    ...standardColumns,
    ...names.map((columnName, i) => {
      checkName(columnName, json);
      const columnJson = member(columnsJson, columnName) as Json;
      return parseColumn(columnName, standardColumns.length + i, columnJson);
    }),
  ];
  const columns = new Map(columnList.map((column) => [column.name, column]));
  const indexes = indexesJson.map((indexJson) => {
    const index = parseColumnNames(indexJson, columns);
    if (index.length === 0) throw syntaxError(json, "index must have at least one column");
    const ephemeral = index.find((column) => !column.persistent);
    if (ephemeral !== undefined) {
      throw syntaxError(json, `ephemeral columns (such as ${ephemeral.name}) may not be indexed`);
    }
    return index.map((column) => column.name);
  });
  const limit = maxRows === undefined || maxRows > UNLIMITED ? UNLIMITED : Number(maxRows);
  return { name, columnList, maxRows: limit, isRoot, indexes };
}

function parseColumn(name: string, index: number, json: Json): Column {
  const members = new Members(json, `schema for column ${name}`);
  const mutable = members.optional("mutable", "boolean") ?? true;
  const ephemeral = members.optional("ephemeral", "boolean") ?? false;
  const type = parseType(members.required("type", "string or object"));
  members.finish();
  // A weak reference changes when what it refers to is deleted: it cannot be immutable.
  const weak = references(type, "weak");
  return {
    name,
    index,
    type,
    mutable: mutable || weak.length > 0,
    persistent: !ephemeral,
    strong: references(type, "strong"),
    weak,
  };
}

function finishTable(draft: TableDraft, roots: ReadonlyMap<string, boolean>): TableSchema {
  const columnList = draft.columnList.map((column) => finishColumn(column, roots));
  const columns = new Map(columnList.map((column) => [column.name, column]));
  return {
    name: draft.name,
    columns,
    columnList,
    defaults: columnList.map(({ type }) => defaultDatum(type)),
    mustBeGiven: columnList.filter(({ type }) => defaultViolation(type) !== undefined),
    maxRows: draft.maxRows,
    isRoot: roots.get(draft.name) ?? false,
    indexes: draft.indexes.map((names) => names.map((name) => columns.get(name) as Column)),
    strongRefs: columnList.filter(({ strong }) => strong.length > 0),
    weakRefs: columnList.filter(({ weak }) => weak.length > 0),
  };
}

/** Why a column cannot have the default of its type, if so. */
export function defaultViolation(type: ColumnType): OvsdbError | undefined {
  const { keys, values = [] } = defaultDatum(type);
  try {
    for (const key of keys) checkAtom(key, type.key);
    if (type.value !== undefined) { for (const atom of values) checkAtom(atom, type.value); }
    return undefined;
  } catch (error) {
    if (error instanceof OvsdbError) return error;
    throw error;
  }
}

function finishColumn(column: Column, roots: ReadonlyMap<string, boolean>): Column {
  let { persistent } = column;
  const check = (base: BaseType | undefined, side: string): void => {
    if (base?.refTable === undefined) return;
    const isRoot = roots.get(base.refTable);
    if (isRoot === undefined) {
      throw syntaxError(
        undefined,
        `column ${column.name} ${side} refers to undefined table ${base.refTable}`,
      );
    }
    // The only reference to a row must outlive a restart, or the row would not.
    if (base.refType === "strong" && !isRoot) persistent = true;
  };
  check(column.type.key, "key");
  check(column.type.value, "value");
  return persistent === column.persistent ? column : { ...column, persistent };
}

/** A list of distinct column names, as `columns`, `sort` and `indexes` have. */
export function parseColumnNames(
  json: Json,
  columns: ReadonlyMap<string, Column>,
): readonly Column[] {
  const distinct = (): never => {
    throw syntaxError(json, "array of distinct column names expected");
  };
  if (!isArray(json)) return distinct();
  const result: Column[] = [];
  for (const name of json) {
    if (typeof name !== "string") return distinct();
    const column = columns.get(name);
    if (column === undefined) throw syntaxError(json, `${name} is not a valid column name`);
    if (result.includes(column)) return distinct();
    result.push(column);
  }
  return result;
}

/** The schema as `get_schema` answers it. */
export function schemaToJson(schema: DatabaseSchema): JsonObject {
  const tables = [...schema.tables.values()];
  const allRoots = tables.every((table) => table.isRoot);
  return {
    name: schema.name,
    ...(schema.version === "" ? {} : { version: schema.version }),
    ...(schema.cksum === "" ? {} : { cksum: schema.cksum }),
    tables: Object.fromEntries(tables.map((table) => [table.name, tableToJson(table, allRoots)])),
  };
}

function tableToJson(table: TableSchema, allRoots: boolean): JsonObject {
  const columns = table.columnList.slice(standardColumns.length);
  return {
    ...(table.isRoot === allRoots ? {} : { isRoot: table.isRoot }),
    columns: Object.fromEntries(columns.map((column) => [column.name, columnToJson(column)])),
    ...(table.maxRows === UNLIMITED ? {} : { maxRows: table.maxRows }),
    ...(table.indexes.length === 0
      ? {}
      : { indexes: table.indexes.map((index) => index.map((column) => column.name)) }),
  };
}

const columnToJson = (column: Column): JsonObject => ({
  ...(column.mutable ? {} : { mutable: false }),
  ...(column.persistent ? {} : { ephemeral: true }),
  type: typeToJson(column.type),
});

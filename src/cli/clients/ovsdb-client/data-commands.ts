/** The commands that read and write data: `transact`, `query`, `dump`, `backup`, `restore`. */
import { readFileSync } from "node:fs";
import { isArray, isObject, type Json, type JsonObject, member } from "../../../db/json.ts";
import { equalJson } from "../../../db/json.ts";
import type { Column, TableSchema } from "../../../db/schema/schema.ts";
import { schemaToJson } from "../../../db/schema/schema.ts";
import { type ColumnType, UNLIMITED } from "../../../db/schema/type.ts";
import { LogReplay } from "../../../db/storage/log-replay.ts";
import { decodeRecords, encodeRecord } from "../../../db/storage/record.ts";
import { compareAtoms } from "../../../db/values/atom.ts";
import { compareDatums, type Datum, datumToJson } from "../../../db/values/datum.ts";
import { parseDatum } from "../../../db/values/parse.ts";
import { Fatal } from "../fatal.ts";
import { jsonText, unsortedJsonText } from "../json-text.ts";
import { toStdout } from "../output.ts";
import type { ClientCommand, Connected, Unconnected } from "./command.ts";
import {
  ask,
  beChangeAware,
  checkResults,
  fetchSchema,
  orFatal,
  parseJson,
  readSchema,
  withServer,
} from "./requests.ts";

async function runTransaction(command: Unconnected, transaction: Json): Promise<Json> {
  const { options } = command;
  const [database] = isArray(transaction) ? transaction : [];
  if (!isArray(transaction) || typeof database !== "string") {
    throw new Fatal("not a valid OVSDB query");
  }
  return await withServer(command, database, async ({ session, remote }) => {
    if (options.changeAware === true) await beChangeAware(session, remote, options);
    options.ready();
    const { pretty } = options.printer.style;
    return await ask(session, "transact", transaction, { pretty });
  });
}

const print = ({ options }: Unconnected, json: Json): void =>
  toStdout(`${jsonText(json, options.printer.style.pretty)}\n`);

async function transact(command: Unconnected): Promise<void> {
  const transaction = parseJson(command.args.at(-1) as string);
  print(command, await runTransaction(command, transaction));
}

/** As `transact`, but aborted at the end, so that nothing is changed. */
async function query(command: Unconnected): Promise<void> {
  const transaction = parseJson(command.args.at(-1) as string);
  if (!isArray(transaction)) throw new Fatal("not a valid OVSDB query");
  const results = await runTransaction(command, [...transaction, { op: "abort" }]);
  const last = isArray(results) ? results.at(-1) : undefined;
  const aborted = isArray(results) && results.length === transaction.length &&
    isObject(last) && member(last, "error") === "aborted";
  print(command, aborted ? results.slice(0, -1) : results);
}

const unconstrained = ({ key, value }: ColumnType): ColumnType => ({
  key: { type: key.type },
  ...(value === undefined ? {} : { value: { type: value.type } }),
  min: 0,
  max: UNLIMITED,
});

interface DumpedTable {
  readonly table: TableSchema;
  /** Sorted by name, without `_version`. */
  readonly columns: readonly Column[];
}

async function tablesToDump({ session, database, args }: Connected): Promise<DumpedTable[]> {
  const { schema } = await fetchSchema(session, database);
  const sorted = (columns: readonly Column[]): Column[] =>
    columns.filter(({ name }) => name !== "_version")
      .sort((a, b) => compareAtoms(a.name, b.name));
  const [name, ...columnNames] = args;
  if (name === undefined) {
    return [...schema.tables.values()].sort((a, b) => compareAtoms(a.name, b.name))
      .map((table) => ({ table, columns: sorted(table.columnList) }));
  }
  const table = schema.tables.get(name);
  if (table === undefined) throw new Fatal(`No table "${name}" found.`);
  const columns = columnNames.map((columnName) => {
    const column = table.columns.get(columnName);
    if (column !== undefined) return column;
    throw new Fatal(`Table "${name}" has no column ${columnName}.`);
  });
  return [{ table, columns: sorted(columns.length === 0 ? table.columnList : columns) }];
}

async function selectAll(
  { session, database }: Connected,
  tables: readonly { readonly table: TableSchema; readonly columns: readonly Column[] }[],
): Promise<(readonly JsonObject[])[]> {
  const operations = tables.map(({ table, columns }) => ({
    op: "select",
    table: table.name,
    where: [],
    columns: columns.map(({ name }) => name),
  }));
  const results = await ask(session, "transact", [database, ...operations]);
  if (!isArray(results) || results.length !== tables.length) {
    throw new Fatal(
      `reply is not array of ${tables.length} elements: ${unsortedJsonText(results)}`,
    );
  }
  return tables.map(({ table }, i) => {
    const result = results[i] as Json;
    const rows = isObject(result) ? member(result, "rows") : undefined;
    if (isArray(rows) && rows.every((row) => isObject(row))) return rows as JsonObject[];
    throw new Fatal(
      `${table.name} table reply is not an object with a "rows" member array: ` +
        unsortedJsonText(result),
    );
  });
}

async function dump(command: Connected): Promise<void> {
  const tables = await tablesToDump(command);
  const results = await selectAll(command, tables);
  const { printer } = command.options;
  for (const [i, { table, columns }] of tables.entries()) {
    const rows = (results[i] as readonly JsonObject[])
      .map((row, y) => columns.map((column) => dumpedValue(table, column, row, y)))
      .sort((a, b) => compareRows(columns, a, b));
    toStdout(printer.print({
      caption: `${table.name} table`,
      headings: columns.map(({ name }) => name),
      rows: rows.map((row) =>
        row.map((datum, x) => {
          const { type } = columns[x] as Column;
          return { json: datumToJson(datum, type), type };
        })
      ),
    }));
  }
}

function dumpedValue(table: TableSchema, column: Column, row: JsonObject, y: number): Datum {
  const json = member(row, column.name);
  if (json === undefined) {
    throw new Fatal(`row ${y} in table ${table.name} response lacks ${column.name} column`);
  }
  return orFatal(() => parseDatum(json, unconstrained(column.type)));
}

/** UUIDs are random: they decide only between rows that are the same in all else. */
function compareRows(
  columns: readonly Column[],
  a: readonly Datum[],
  b: readonly Datum[],
): number {
  for (const ofUuids of [false, true]) {
    for (const [x, { type }] of columns.entries()) {
      if ((type.key.type === "uuid") !== ofUuids) continue;
      const order = compareDatums(a[x] as Datum, b[x] as Datum);
      if (order !== 0) return order;
    }
  }
  return 0;
}

async function backup(command: Connected): Promise<void> {
  if (process.stdout.isTTY) {
    throw new Fatal("not writing backup to a terminal; please redirect stdout to a file");
  }
  const { schema } = await fetchSchema(command.session, command.database);
  const tables = [...schema.tables.values()].map((table) => ({
    table,
    columns: table.columnList.filter(({ name, persistent }) => persistent && name !== "_version"),
  }));
  const results = await selectAll(command, tables);
  const record: Record<string, Json> = {};
  for (const [i, { table }] of tables.entries()) {
    const rows = results[i] as readonly JsonObject[];
    if (rows.length === 0) continue;
    record[table.name] = Object.fromEntries(rows.map(({ _uuid, ...row }) => {
      const [, uuid] = isArray(_uuid) ? _uuid : [];
      if (typeof uuid === "string") return [uuid, row];
      throw new Fatal(`${table.name} table reply row lacks _uuid member: ${unsortedJsonText(row)}`);
    }));
  }
  record["_comment"] = 'produced by "ovsdb-client backup"';
  record["_date"] = Date.now();
  toStdout(Buffer.from(encodeRecord(schemaToJson(schema))).toString());
  toStdout(Buffer.from(encodeRecord(record)).toString());
}

async function restore({ session, database, options }: Connected): Promise<void> {
  if (process.stdin.isTTY) {
    throw new Fatal("not reading backup from a terminal; please redirect stdin from a file");
  }
  const { records, problem } = decodeRecords(readFileSync(0));
  const [schemaJson, ...transactions] = records;
  if (schemaJson === undefined || problem !== undefined) {
    throw new Fatal(`ovsdb error: /dev/stdin: ${problem ?? "cannot identify file type"}`);
  }
  const { schema } = readSchema(schemaJson);
  const served = (await fetchSchema(session, database)).schema;
  if (!options.force && !equalJson(schemaToJson(schema), schemaToJson(served))) {
    const difference = schema.version === served.version
      ? `backup schema and database schema are both version ${schema.version} but still differ`
      : `backup schema has version "${schema.version}" but database schema has version ` +
        `"${served.version}"`;
    throw new Fatal(
      `${difference} (use --force to override differences, ` +
        'or "ovsdb-client convert" to change the schema)',
    );
  }
  const replay = new LogReplay(schema);
  orFatal(() => transactions.forEach((transaction) => replay.apply(transaction)));
  const rows = [...replay.rows()];
  const own = new Set(rows.map(({ uuid }) => uuid));
  const inserts = rows.map(({ table, uuid, columns }) => ({
    op: "insert",
    table,
    "uuid-name": rowName(uuid),
    row: nameRows(columns as Json, own),
  }));
  const deletes = [...schema.tables.keys()].map((table) => ({ op: "delete", table, where: [] }));
  checkResults(await ask(session, "transact", [schema.name, ...deletes, ...inserts]));
}

const rowName = (uuid: string): string => `row${uuid.replaceAll("-", "_")}`;

/** References to rows that are restored, by the names that the transaction gives them. */
function nameRows(json: Json, own: ReadonlySet<string>): Json {
  if (isArray(json)) {
    const [kind, uuid] = json;
    return kind === "uuid" && typeof uuid === "string" && own.has(uuid)
      ? ["named-uuid", rowName(uuid)]
      : json.map((element) => nameRows(element, own));
  }
  if (!isObject(json)) return json;
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => [name, nameRows(value, own)]),
  );
}

const ofTransaction = { need: "nothing", min: 1, max: 2, args: "[SERVER] TRANSACTION" } as const;
const ofDatabase = { need: "database", min: 0, max: 0, args: "[SERVER] [DATABASE]" } as const;

export const dataCommands: readonly ClientCommand[] = [
  { ...ofTransaction, name: "transact", help: "run a transaction", run: transact },
  { ...ofTransaction, name: "query", help: "run it without changing anything", run: query },
  {
    ...ofDatabase,
    name: "dump",
    max: Number.MAX_SAFE_INTEGER,
    args: "[SERVER] [DATABASE] [TABLE [COLUMN]...]",
    help: "print the data of a table or of all",
    run: dump,
  },
  { ...ofDatabase, name: "backup", help: "write a database file to standard output", run: backup },
  {
    ...ofDatabase,
    name: "restore",
    help: "replace the data by that of a database file on standard input",
    run: restore,
  },
];

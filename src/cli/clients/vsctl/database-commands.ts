/** The commands that work on any table: `get`, `list`, `find`, `set`, `add`, `remove`, … */
import type { DraftRow } from "../../../db/client/draft.ts";
import type { Uuid } from "../../../db/schema/declare.ts";
import type { Column, TableSchema } from "../../../db/schema/schema.ts";
import { type ColumnType, isMap, UNLIMITED, uuidType } from "../../../db/schema/type.ts";
import { atomToText, parseUuid } from "../../../db/values/atom.ts";
import {
  type Datum,
  datumToJson,
  datumToText,
  findKey,
  subtract,
  union,
} from "../../../db/values/datum.ts";
import { Fatal } from "../fatal.ts";
import type { Cell } from "../table.ts";
import { parseAtom, parseValue, type Symbols } from "../value-text.ts";
import { type CommandDeclaration, type Prepared, type Running, UNLIMITED_ARGS } from "./command.ts";
import { assign, checkMutable, parseColumnKey, satisfies, wantColumn } from "./conditions.ts";
import { findColumn, findTable, isUuidColumn, ownColumns } from "./names.ts";
import { findRecord, wantRecords } from "./records.ts";

const ofUuid = (arg: string): boolean => ["_uuid", "-uuid"].includes(arg.toLowerCase());

function prepareTable(command: Prepared): TableSchema {
  const table = findTable(command.schema, command.args[0] as string);
  wantRecords(command.wanted, table);
  return table;
}

/** For commands whose arguments after TABLE RECORD begin with columns. */
function prepareColumns(command: Prepared): void {
  const table = prepareTable(command);
  for (const arg of command.args.slice(2)) {
    if (!ofUuid(arg)) wantColumn(command.wanted, table, arg);
  }
}

/** For commands with TABLE RECORD COLUMN and then values. */
function prepareColumn(command: Prepared): void {
  const table = prepareTable(command);
  command.wanted.add(table.name, findColumn(table, command.args[2] as string).name);
}

/** The row that TABLE RECORD name; undefined only with `--if-exists`. */
function theRow(command: Running): DraftRow | undefined {
  const [table = "", record = ""] = command.args;
  const mustExist = !command.options.has("--if-exists");
  return findRecord(command.draft, findTable(command.schema, table), record, mustExist);
}

function get(command: Running): void {
  const { args: [, record], options, symbols } = command;
  const id = options.get("--id");
  const mustExist = !options.has("--if-exists");
  if (id !== undefined && !mustExist) {
    throw new Fatal("--if-exists and --id may not be specified together");
  }
  const row = theRow(command);
  if (row === undefined) return;
  if (id !== undefined) nameRow(row, id, symbols);
  for (const arg of command.args.slice(2)) {
    if (ofUuid(arg)) {
      command.print(`${row.uuid}\n`);
      continue;
    }
    const { column, key } = parseColumnKey(row.table, arg);
    row.verify(column);
    const datum = row.read(column);
    const { type } = column;
    if (key === undefined) {
      command.print(`${datumToText(datum, type)}\n`);
      continue;
    }
    if (type.value === undefined) {
      throw new Fatal(`cannot specify key to get for non-map column ${column.name}`);
    }
    const at = findKey(datum.keys, parseAtom(key, type.key, symbols));
    const value = at < 0 ? undefined : datum.values?.[at];
    if (value === undefined && mustExist) {
      throw new Fatal(
        `no key "${key}" in ${row.table.name} record "${record}" column ${column.name}`,
      );
    }
    command.print(`${value === undefined ? "" : atomToText(value, type.value.type)}\n`);
  }
}

function nameRow(row: DraftRow, id: string, symbols: Symbols): void {
  const known = symbols.table.has(id);
  const symbol = symbols.create(id);
  if (known) {
    throw new Fatal(`row id "${id}" specified on "get" command was used before it was defined`);
  }
  symbol.uuid = row.uuid;
  symbol.strongRef = true; // the row is there already
}

/** The columns that `--columns` asks for, or all; undefined stands for the UUID. */
function chosenColumns(
  table: TableSchema,
  names: string | undefined,
): readonly (Column | undefined)[] {
  if (names === undefined) return [undefined, ...ownColumns(table)];
  const chosen = names.split(/[, ]+/).filter((name) => name !== "")
    .map((name) => isUuidColumn(name) ? undefined : findColumn(table, name));
  if (chosen.length === 0) throw new Fatal("must specify at least one column name");
  return chosen;
}

function prepareList(command: Prepared): TableSchema {
  const table = prepareTable(command);
  for (const column of chosenColumns(table, command.options.get("--columns"))) {
    if (column !== undefined) command.wanted.add(table.name, column.name);
  }
  return table;
}

function printRows(command: Running, table: TableSchema, rows: readonly DraftRow[]): void {
  const columns = chosenColumns(table, command.options.get("--columns"));
  command.printTable({
    headings: columns.map((column) => column?.name ?? "_uuid"),
    rows: rows.map((row) =>
      columns.map((column): Cell =>
        column === undefined
          ? { json: ["uuid", row.uuid], type: uuidType }
          : { json: datumToJson(row.read(column), column.type), type: column.type }
      )
    ),
  });
}

function list(command: Running): void {
  const [name = "", ...records] = command.args;
  const table = findTable(command.schema, name);
  const mustExist = !command.options.has("--if-exists");
  const rows = records.length === 0
    ? command.draft.rows(table.name)
    : records.map((record) => findRecord(command.draft, table, record, mustExist))
      .filter((row) => row !== undefined);
  printRows(command, table, rows);
}

function find(command: Running): void {
  const [name = "", ...conditions] = command.args;
  const table = findTable(command.schema, name);
  const rows = command.draft.rows(table.name).filter((row) =>
    conditions.every((condition) => satisfies(row, condition, command.symbols))
  );
  printRows(command, table, rows);
}

function set(command: Running): void {
  const row = theRow(command);
  if (row === undefined) return;
  for (const arg of command.args.slice(2)) assign(row, arg, command.symbols, command.last);
  command.model.invalidate();
}

const values = (type: ColumnType): string => isMap(type) ? "pairs" : "values";

/** A part of a set or map: at least one member, and no limit but what the whole may have. */
const partOf = (type: ColumnType): ColumnType => ({ ...type, min: 1, max: UNLIMITED });

function add(command: Running): void {
  const table = findTable(command.schema, command.args[0] as string);
  const column = findColumn(table, command.args[2] as string);
  const row = theRow(command);
  if (row === undefined) return;
  checkMutable(row, column);
  const { type } = column;
  const empty: Datum = isMap(type) ? { keys: [], values: [] } : { keys: [] };
  let datum = command.last ? empty : row.read(column);
  for (const arg of command.args.slice(3)) {
    datum = union(datum, parseValue(arg, partOf(type), command.symbols));
  }
  if (command.last) {
    datum.keys.forEach((key, i) => row.insertMember(column, key, datum.values?.[i]));
  } else {
    if (datum.keys.length > type.max) {
      throw new Fatal(
        `"add" operation would put ${datum.keys.length} ${values(type)} in column ` +
          `${column.name} of table ${table.name} but the maximum number is ${type.max}`,
      );
    }
    row.verify(column);
    row.write(column, datum);
  }
  command.model.invalidate();
}

function remove(command: Running): void {
  const table = findTable(command.schema, command.args[0] as string);
  const column = findColumn(table, command.args[2] as string);
  const row = theRow(command);
  if (row === undefined) return;
  checkMutable(row, column);
  const { type } = column;
  let datum = row.read(column);
  for (const arg of command.args.slice(3)) {
    datum = subtract(datum, removedPart(arg, type, command.symbols));
  }
  if (datum.keys.length < type.min) {
    throw new Fatal(
      `"remove" operation would put ${datum.keys.length} ${values(type)} in column ` +
        `${column.name} of table ${table.name} but the minimum number is ${type.min}`,
    );
  }
  row.verify(column);
  row.write(column, datum);
  command.model.invalidate();
}

/** In a map, pairs, or else keys alone. */
function removedPart(arg: string, type: ColumnType, symbols: Symbols): Datum {
  const part = partOf(type);
  if (type.value === undefined) return parseValue(arg, part, symbols);
  try {
    return parseValue(arg, part, symbols);
  } catch (error) {
    if (!(error instanceof Fatal)) throw error;
    return parseValue(arg, { key: part.key, min: part.min, max: part.max }, symbols);
  }
}

function clear(command: Running): void {
  const row = theRow(command);
  if (row === undefined) return;
  for (const arg of command.args.slice(2)) {
    const column = findColumn(row.table, arg);
    checkMutable(row, column);
    if (column.type.min > 0) {
      throw new Fatal(
        `"clear" operation cannot be applied to column ${column.name} of table ` +
          `${row.table.name}, which is not allowed to be empty`,
      );
    }
    row.write(column, isMap(column.type) ? { keys: [], values: [] } : { keys: [] });
  }
  command.model.invalidate();
}

function create(command: Running): void {
  const [name = "", ...assignments] = command.args;
  const table = findTable(command.schema, name);
  const row = insertNamed(command, table, command.options.get("--id"));
  for (const arg of assignments) assign(row, arg, command.symbols, false);
  command.print(row.uuid);
}

function insertNamed(command: Running, table: TableSchema, id: string | undefined): DraftRow {
  const { draft, symbols } = command;
  if (id === undefined) return draft.insert(table.name);
  const uuid = parseUuid(id);
  if (uuid !== undefined) return draft.insert(table.name, uuid, true);
  const symbol = symbols.create(id);
  // A root stays without anything that refers to it.
  if (table.isRoot) symbol.strongRef = true;
  return draft.insert(table.name, symbol.uuid);
}

function destroy(command: Running): void {
  const { draft, options } = command;
  const [name = "", ...records] = command.args;
  const table = findTable(command.schema, name);
  const [all, mustExist] = [options.has("--all"), !options.has("--if-exists")];
  if (all && records.length > 0) {
    throw new Fatal("--all and records argument should not be specified together");
  }
  if (all && !mustExist) {
    throw new Fatal("--all and --if-exists should not be specified together");
  }
  if (!all && records.length === 0) {
    command.log.log("db_ctl_base", "warn", "either --all or records argument should be specified");
    return;
  }
  if (all) { for (const row of draft.rows(table.name)) row.delete(); }
  for (const record of records) findRecord(draft, table, record, mustExist)?.delete();
  command.model.invalidate();
}

function waitUntil(command: Running): void {
  const [name = "", record = "", ...conditions] = command.args;
  const row = findRecord(command.draft, findTable(command.schema, name), record, false);
  const satisfied = row !== undefined &&
    conditions.every((condition) => satisfies(row, condition, command.symbols));
  if (!satisfied) command.tryAgain();
}

function prepareGet(command: Prepared): void {
  if (!command.options.has("--id") && command.args.length <= 2 && process.stdout.isTTY) {
    command.log.log(
      "db_ctl_base",
      "warn",
      '"get" command without row arguments or "--id" is possibly erroneous',
    );
  }
  prepareColumns(command);
}

function prepareCreate({ args: [name = ""], options, schema, log }: Prepared): void {
  const table = findTable(schema, name);
  if (options.has("--id") || table.isRoot) return;
  const what = `applying "create" command to table ${table.name} without --id option`;
  log.log("db_ctl_base", "warn", `${what} will have no effect`);
}

const base = { max: UNLIMITED_ARGS, options: [], writes: false } as const;

export const databaseCommands: readonly CommandDeclaration[] = [
  { ...base, name: "comment", min: 0, args: "[ARG]...", help: "do nothing; the log has ARGs" },
  {
    ...base,
    name: "get",
    min: 2,
    args: "TABLE RECORD [COLUMN[:KEY]]...",
    options: ["--if-exists", "--id="],
    help: "print values of a record",
    prepare: prepareGet,
    run: get,
  },
  {
    ...base,
    name: "list",
    min: 1,
    args: "TABLE [RECORD]...",
    options: ["--if-exists", "--columns="],
    help: "print records, or all of a table",
    prepare: prepareList,
    run: list,
  },
  {
    ...base,
    name: "find",
    min: 1,
    args: "TABLE [COLUMN[:KEY]=VALUE]...",
    options: ["--columns="],
    help: "print the records that satisfy all conditions",
    prepare(command) {
      const table = prepareList(command);
      for (const arg of command.args.slice(1)) wantColumn(command.wanted, table, arg);
    },
    run: find,
  },
  {
    ...base,
    name: "set",
    min: 3,
    args: "TABLE RECORD COLUMN[:KEY]=VALUE...",
    options: ["--if-exists"],
    writes: true,
    help: "set values of a record",
    prepare: prepareColumns,
    run: set,
  },
  {
    ...base,
    name: "add",
    min: 4,
    args: "TABLE RECORD COLUMN [KEY=]VALUE...",
    options: ["--if-exists"],
    writes: true,
    help: "add values or pairs to a column",
    prepare: prepareColumn,
    run: add,
  },
  {
    ...base,
    name: "remove",
    min: 4,
    args: "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...",
    options: ["--if-exists"],
    writes: true,
    help: "remove values, keys or pairs from a column",
    prepare: prepareColumn,
    run: remove,
  },
  {
    ...base,
    name: "clear",
    min: 3,
    args: "TABLE RECORD COLUMN...",
    options: ["--if-exists"],
    writes: true,
    help: "empty columns of a record",
    prepare(command) {
      const table = prepareTable(command);
      for (const arg of command.args.slice(2)) {
        command.wanted.add(table.name, findColumn(table, arg).name);
      }
    },
    run: clear,
  },
  {
    ...base,
    name: "create",
    min: 2,
    args: "TABLE COLUMN[:KEY]=VALUE...",
    options: ["--id="],
    writes: true,
    help: "make a record and print its UUID",
    prepare: prepareCreate,
    run: create,
    finish: (output: string, uuidOf: (row: Uuid) => Uuid) => `${uuidOf(output)}\n`,
  },
  {
    ...base,
    name: "destroy",
    min: 1,
    args: "TABLE [RECORD]...",
    options: ["--if-exists", "--all"],
    writes: true,
    help: "delete records",
    prepare: (command) => void prepareTable(command),
    run: destroy,
  },
  {
    ...base,
    name: "wait-until",
    min: 2,
    args: "TABLE RECORD [COLUMN[:KEY]=VALUE]...",
    help: "wait until the record is there and as the conditions say",
    prepare: prepareColumns,
    run: waitUntil,
  },
];

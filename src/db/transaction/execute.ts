/**
 * The operations of `transact` (RFC 7047 §5.2), one function each. They read and change a
 * `Transaction`; whether it commits is decided afterwards.
 */
import { OvsdbError, syntaxError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";
import { isObject, member } from "../json.ts";
import { Members } from "../members.ts";
import { type Column, defaultViolation, parseColumnNames } from "../schema/schema.ts";
import type { Row, Table } from "../table.ts";
import { parseUuid } from "../values/atom.ts";
import {
  compareDatums,
  type Datum,
  datumKey,
  datumToJson,
  defaultDatum,
  equalDatums,
} from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";
import { type Condition, parseCondition } from "./condition.ts";
import { mutate, parseMutation } from "./mutation.ts";
import type { RoleRules } from "./roles.ts";
import type { Transaction } from "./transaction.ts";

/** Thrown by a `wait` whose condition does not hold yet: try again later. */
export class NotYet extends Error {}

export interface ExecutionContext {
  readonly txn: Transaction;
  /** How long the request has been waiting already. */
  readonly elapsedMs: number;
  holdsLock(name: string): boolean;
  readonly readOnly: boolean;
  /** What the client's role allows. */
  readonly rules: RoleRules;
  /** Why nothing may be written to this database, if so. */
  readonly reserved: string | undefined;
}

/** One request's run: the names it has given to rows, and how long it is ready to wait. */
export class Execution {
  private readonly names = new Map<string, { uuid: string; inserted: boolean }>();
  /** The shortest timeout of the `wait` operations seen; undefined: for ever. */
  timeoutMs: number | undefined;

  constructor(private readonly context: ExecutionContext) {}

  /** Runs one operation; throws `OvsdbError`, or `NotYet`. */
  run(operation: Json, number: number, total: number): JsonObject {
    const members = new Members(operation, `ovsdb operation ${number} of ${total}`);
    const op = members.required("op", "id");
    const execute = operations.get(op);
    if (execute === undefined) throw members.error(`No operation "${op}"`);
    const result = execute.run(this, members);
    if (!execute.readOnly) this.checkWritable(op);
    return result;
  }

  private checkWritable(op: string): void {
    if (this.context.readOnly) {
      throw new OvsdbError(
        "not allowed",
        `${op} operation not allowed when database server is in read only mode`,
      );
    }
    if (this.context.reserved !== undefined) {
      throw new OvsdbError(
        "not allowed",
        `${op} operation not allowed on table in reserved database ${this.context.reserved}`,
      );
    }
  }

  get txn(): Transaction {
    return this.context.txn;
  }

  get rules(): RoleRules {
    return this.context.rules;
  }

  get elapsedMs(): number {
    return this.context.elapsedMs;
  }

  holdsLock(name: string): boolean {
    return this.context.holdsLock(name);
  }

  /** The UUID for a `uuid-name`, made up at its first mention. */
  readonly resolve = (name: string): string => this.named(name).uuid;

  named(name: string): { uuid: string; inserted: boolean } {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    const entry = { uuid: crypto.randomUUID() as string, inserted: false };
    this.names.set(name, entry);
    return entry;
  }

  table(members: Members): Table {
    const name = members.required("table", "id");
    const table = this.txn.tables.get(name);
    if (table === undefined) throw members.error(`No table named ${name}.`);
    return table;
  }

  condition(table: Table, where: readonly Json[]): Condition {
    return parseCondition(table.schema, where, this.resolve);
  }

  /** A `<row>`: the columns that it names, with their values. */
  row(table: Table, json: Json): Map<Column, Datum> {
    if (!isObject(json)) throw syntaxError(json, "row must be JSON object");
    const values = new Map<Column, Datum>();
    for (const name of Object.keys(json)) {
      const column = table.schema.columns.get(name);
      if (column === undefined) {
        throw syntaxError(
          json,
          `No column ${name} in table ${table.schema.name}.`,
          "unknown column",
        );
      }
      values.set(column, parseDatum(member(json, name) as Json, column.type, this.resolve));
    }
    return values;
  }
}

interface Operation {
  readonly readOnly: boolean;
  run(execution: Execution, members: Members): JsonObject;
}

const operations: ReadonlyMap<string, Operation> = new Map(Object.entries<Operation>({
  insert: { readOnly: false, run: insert },
  select: { readOnly: true, run: select },
  update: { readOnly: false, run: update },
  mutate: { readOnly: false, run: mutateRows },
  delete: { readOnly: false, run: deleteRows },
  wait: { readOnly: true, run: wait },
  commit: { readOnly: false, run: commit },
  abort: { readOnly: true, run: abort },
  comment: { readOnly: true, run: comment },
  assert: { readOnly: true, run: assertLock },
}));

function insert(execution: Execution, members: Members): JsonObject {
  const table = execution.table(members);
  const uuidJson = members.optional("uuid", "string");
  const name = members.optional("uuid-name", "id");
  const rowJson = members.required("row", "object");
  members.finish();
  const uuid = insertedUuid(execution, table, uuidJson, name);
  const values = execution.row(table, rowJson);
  const fields = [...table.schema.defaults];
  for (const [{ index }, value] of values) fields[index] = value;
  for (const column of table.schema.mustBeGiven) {
    if (!values.has(column)) throw defaultViolation(column.type);
  }
  execution.rules.checkInsert(table, fields);
  execution.txn.insert(table, uuid, fields);
  return { uuid: ["uuid", uuid] };
}

function insertedUuid(
  execution: Execution,
  table: Table,
  uuidJson: string | undefined,
  name: string | undefined,
): string {
  const stated = uuidJson === undefined ? undefined : parseUuid(uuidJson);
  if (uuidJson !== undefined) {
    if (stated === undefined) throw syntaxError(uuidJson, "bad uuid");
    if (!execution.txn.mayInsert(table, stated)) {
      throw syntaxError(
        uuidJson,
        "This UUID would duplicate a UUID already present within the table or deleted within the " +
          "same transaction.",
        "duplicate uuid",
      );
    }
  }
  if (name === undefined) return stated ?? crypto.randomUUID();
  const entry = execution.named(name);
  if (entry.inserted) {
    throw syntaxError(
      name,
      'This "uuid-name" appeared on an earlier "insert" operation.',
      "duplicate uuid-name",
    );
  }
  entry.inserted = true;
  entry.uuid = stated ?? entry.uuid;
  return entry.uuid;
}

function select(execution: Execution, members: Members): JsonObject {
  const table = execution.table(members);
  const where = members.required("where", "array");
  const columnsJson = members.optional("columns", "array");
  const sortJson = members.optional("sort", "array");
  members.finish();
  const condition = execution.condition(table, where);
  const { columns: known, columnList } = table.schema;
  const columns = columnsJson === undefined ? columnList : parseColumnNames(columnsJson, known);
  const sort = sortJson === undefined ? [] : parseColumnNames(sortJson, known);
  let rows = execution.txn.select(table, condition);
  if (!columns.some((column) => column.name === "_uuid")) {
    rows = [...new Map(rows.map((row) => [rowKey(row, columns), row])).values()];
  }
  if (sort.length > 0) rows.sort((a, b) => compareRows(a, b, sort));
  return {
    rows: rows.map((row) =>
      Object.fromEntries(
        columns.map((
          { name, index, type },
        ) => [name, datumToJson(row.fields[index] as Datum, type)]),
      )
    ),
  };
}

type Fields = { readonly fields: readonly Datum[] };

const rowKey = ({ fields }: Fields, columns: readonly Column[]): string =>
  columns.map(({ index }) => datumKey(fields[index] as Datum)).join("\n");

function compareRows(a: Row, b: Row, columns: readonly Column[]): number {
  for (const { index } of columns) {
    const order = compareDatums(a.fields[index] as Datum, b.fields[index] as Datum);
    if (order !== 0) return order;
  }
  return 0;
}

function update(execution: Execution, members: Members): JsonObject {
  const table = execution.table(members);
  const where = members.required("where", "array");
  const rowJson = members.required("row", "object");
  members.finish();
  const values = execution.row(table, rowJson);
  for (const column of values.keys()) {
    if (!column.mutable) {
      throw members.fault(
        `Cannot update immutable column ${column.name} in table ${table.schema.name}.`,
        "constraint violation",
      );
    }
  }
  const rows = execution.txn.select(table, execution.condition(table, where));
  execution.rules.checkModify(table, "modification of", [...values.keys()], rows);
  for (const row of rows) {
    const fields = [...row.fields];
    let changed = false;
    for (const [{ index }, value] of values) {
      if (equalDatums(fields[index] as Datum, value)) continue;
      fields[index] = value;
      changed = true;
    }
    if (changed) execution.txn.replace(table, row.uuid, fields);
  }
  return { count: rows.length };
}

function mutateRows(execution: Execution, members: Members): JsonObject {
  const table = execution.table(members);
  const where = members.required("where", "array");
  const mutationsJson = members.required("mutations", "array");
  members.finish();
  const mutations = mutationsJson.map((json) =>
    parseMutation(table.schema, json, execution.resolve)
  );
  const rows = execution.txn.select(table, execution.condition(table, where));
  const columns = mutations.map(({ column }) => column);
  execution.rules.checkModify(table, "mutate operation on", columns, rows);
  for (const row of rows) {
    const fields = [...row.fields];
    for (const mutation of mutations) {
      const { index } = mutation.column;
      fields[index] = mutate(mutation, fields[index] as Datum);
    }
    execution.txn.replace(table, row.uuid, fields);
  }
  return { count: rows.length };
}

function deleteRows(execution: Execution, members: Members): JsonObject {
  const where = members.required("where", "array");
  const table = execution.table(members);
  members.finish();
  const rows = execution.txn.select(table, execution.condition(table, where));
  execution.rules.checkDelete(table, rows);
  for (const row of rows) execution.txn.delete(table, row.uuid);
  return { count: rows.length };
}

function wait(execution: Execution, members: Members): JsonObject {
  const timeout = members.optional("timeout", "integer");
  const where = members.required("where", "array");
  const columnsJson = members.optional("columns", "array");
  const until = members.required("until", "string");
  const rowsJson = members.required("rows", "array");
  const table = execution.table(members);
  members.finish();
  const condition = execution.condition(table, where);
  const columns = columnsJson === undefined
    ? table.schema.columnList
    : parseColumnNames(columnsJson, table.schema.columns);
  if (timeout !== undefined) {
    if (timeout < 0) throw syntaxError(timeout, "timeout must be nonnegative");
    execution.timeoutMs = Math.min(execution.timeoutMs ?? Infinity, Number(timeout));
  }
  if (until !== "==" && until !== "!=") {
    throw syntaxError(until, '"until" must be "==" or "!="');
  }
  const expected = new Set(rowsJson.map((json) => {
    const values = execution.row(table, json);
    const fields = table.schema.columnList.map((column) =>
      values.get(column) ?? defaultDatum(column.type)
    );
    return rowKey({ fields }, columns);
  }));
  const actual = new Set(
    execution.txn.select(table, condition).map((row) => rowKey(row, columns)),
  );
  const equal = actual.size === expected.size && [...actual].every((key) => expected.has(key));
  if (equal === (until === "==")) return {};
  if (timeout === undefined || execution.elapsedMs < timeout) throw new NotYet();
  throw new OvsdbError(
    "timed out",
    execution.elapsedMs > 0
      ? `"wait" timed out after ${execution.elapsedMs} ms`
      : '"where" clause test failed',
  );
}

function commit(_execution: Execution, members: Members): JsonObject {
  members.optional("durable", "boolean"); // every commit is durable
  members.finish();
  return {};
}

function abort(_execution: Execution, members: Members): JsonObject {
  members.finish();
  throw new OvsdbError("aborted", "aborted by request");
}

function comment(execution: Execution, members: Members): JsonObject {
  const text = members.required("comment", "string");
  members.finish();
  execution.txn.addComment(text);
  return {};
}

function assertLock(execution: Execution, members: Members): JsonObject {
  const lock = members.required("lock", "id");
  members.finish();
  if (execution.holdsLock(lock)) return {};
  throw new OvsdbError("not owner", `Asserted lock ${lock} not held.`);
}

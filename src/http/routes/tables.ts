/**
 * `/api/v1/tables`: every table of the Open_vSwitch database, generically: lists with filters, order
 * and pages; rows made, changed, removed.
 */
import { z } from "zod";
import { type BaseType, isMap, typeToEnglish } from "../../db/schema/type.ts";
import type { Row, Table } from "../../db/table.ts";
import { compareDatums, type Datum } from "../../db/values/datum.ts";
import { HttpProblem } from "../problem.ts";
import { Draft, type Values } from "../rows/draft.ts";
import {
  checkIfMatch,
  columnOf,
  entityTag,
  findRow,
  nameOf,
  rowOf,
  tableOf,
} from "../rows/find.ts";
import { shownRow } from "../rows/values.ts";
import {
  auditText,
  changeQuery,
  ifMatchRow,
  outcomeSchema,
  rowSchema,
  run,
  valuesSchema,
} from "./configure.ts";
import { type Call, type Operation, operation, queryInteger } from "./route.ts";

const tag = "Tables";

const atomType = z.enum(["integer", "real", "boolean", "string", "uuid"]);

export const tablesSchema = z.object({
  tables: z.array(z.object({
    name: z.string(),
    rows: z.number().int(),
    columns: z.array(z.object({
      name: z.string(),
      type: z.string().describe("In words: `set of integers`."),
      key: atomType,
      value: atomType.optional().describe("A map has one."),
      most: z.number().int().nullable().describe("How many members; null: as many as you like."),
      optional: z.boolean(),
      writable: z.boolean().describe("False: the switch writes it."),
      choices: z.array(z.string()).optional(),
      refersTo: z.string().optional().describe("The table whose rows' UUIDs it holds."),
    })),
  })),
});

const choicesOf = ({ enumeration }: BaseType) =>
  enumeration === undefined ? {} : { choices: enumeration.map(String) };

export const listTables = operation({
  tag,
  summary: "All tables, with their columns",
  response: tablesSchema,
  handle({ source: { database } }) {
    const tables = [...database.tables.values()].map(({ schema, rows }) => ({
      name: schema.name,
      rows: rows.size,
      columns: schema.columnList.filter(({ name }) => !name.startsWith("_")).map((column) => {
        const { name, type } = column;
        const refersTo = (type.value ?? type.key).refTable;
        return {
          name,
          type: typeToEnglish(type),
          key: type.key.type,
          ...(type.value && { value: type.value.type }),
          most: Number.isFinite(type.max) ? type.max : null,
          optional: type.min === 0,
          writable: database.isConfiguration(schema, column),
          ...choicesOf(type.key),
          ...(refersTo !== undefined && { refersTo }),
        };
      }),
    }));
    return { json: { tables: tables.sort((a, b) => (a.name < b.name ? -1 : 1)) } };
  },
});

export type TablesJson = z.infer<typeof tablesSchema>;

export const rowsSchema = z.object({
  rows: z.array(rowSchema),
  total: z.number().int().describe("How many rows the filters leave."),
  offset: z.number().int(),
});

export type RowsJson = z.infer<typeof rowsSchema>;

/** `column=value`: equal to it, or, in a set, contains it; `map:key=value` looks into a map. */
function filterOf(table: Table, name: string, value: string): (row: Row) => boolean {
  const colon = name.indexOf(":");
  const column = columnOf(table.schema, colon < 0 ? name : name.slice(0, colon));
  const key = colon < 0 ? undefined : name.slice(colon + 1);
  const { index, type } = column;
  if (key !== undefined && !isMap(type)) {
    throw new HttpProblem(
      400,
      `${table.schema.name}.${column.name} is no map: leave ":${key}" out.`,
    );
  }
  return ({ fields }) => {
    const datum = fields[index] as Datum;
    if (key !== undefined) {
      const at = datum.keys.findIndex((each) => String(each) === key);
      return at >= 0 && String(datum.values?.[at]) === value;
    }
    if (value === "" && datum.keys.length === 0) return true;
    return datum.keys.some((each) => String(each) === value);
  };
}

function orderOf(table: Table, text: string): (a: Row, b: Row) => number {
  const keys = text.split(",").map((word) => {
    const down = word.startsWith("-");
    return { column: columnOf(table.schema, down ? word.slice(1) : word), sign: down ? -1 : 1 };
  });
  return (a, b) => {
    for (const { column: { index }, sign } of keys) {
      const order = compareDatums(a.fields[index] as Datum, b.fields[index] as Datum);
      if (order !== 0) return order * sign;
    }
    return a.uuid < b.uuid ? -1 : 1;
  };
}

/** By name where rows have one, else by UUID. */
function byName(table: Table): (a: Row, b: Row) => number {
  const key = (row: Row): string => `${nameOf(table, row)} ${row.uuid}`;
  return (a, b) => (key(a) < key(b) ? -1 : 1);
}

export const listRows = operation({
  tag,
  summary: "Rows of a table",
  description:
    "Any other parameter is a filter: `COLUMN=VALUE` (a set: contains it; empty: is empty) " +
    "or `MAP:KEY=VALUE`, for example `?external_ids:owner=me`.",
  query: z.object({
    sort: z.string().max(200).optional().describe(
      "Columns, `-` before one for the other way round.",
    ),
    columns: z.string().max(2000).optional().describe("Only these columns."),
    limit: queryInteger(1, 1000).default(100),
    offset: queryInteger(0, 1e9).default(0),
  }).catchall(z.string()),
  response: rowsSchema,
  handle({ source: { database }, params: { table: name = "" }, query }) {
    const { sort, columns, limit, offset, ...filters } = query;
    const table = tableOf(database, name);
    const tests = Object.entries(filters).map(([key, value]) =>
      filterOf(table, key, String(value))
    );
    const only = columns === undefined
      ? undefined
      : new Set(columns.split(",").map((each) => columnOf(table.schema, each).name));
    const rows = [...table.rows.values()].filter((row) => tests.every((test) => test(row)))
      .sort(sort === undefined ? byName(table) : orderOf(table, sort));
    return {
      json: {
        rows: rows.slice(offset, offset + limit).map((row) => shownRow(table.schema, row, only)),
        total: rows.length,
        offset,
      },
    };
  },
});

/** The table and row that a path names. */
function named({ source: { database }, params: { table = "", id = "" } }: Call) {
  const found = tableOf(database, table);
  return { database, table: found, row: rowOf(found, id) };
}

export const showRow = operation({
  tag,
  summary: "One row, by its UUID or name",
  description: "The ETag changes when the row's configuration does.",
  response: rowSchema,
  handle(call) {
    const { database, table, row } = named(call);
    return {
      json: shownRow(table.schema, row),
      headers: { etag: entityTag(database, table, row) },
    };
  },
});

export const changedRowSchema = z.object({ row: rowSchema, outcome: outcomeSchema });

/** The answer to a change of one row. */
export async function changed(
  draft: Draft,
  call: Parameters<typeof run>[1],
  table: Table,
  uuid: string,
) {
  const outcome = await run(draft, call);
  const row = table.rows.get(uuid);
  if (row === undefined) {
    throw new HttpProblem(409, "It was done, but somebody has removed the row meanwhile.");
  }
  return {
    json: { row: shownRow(table.schema, row), outcome },
    headers: { etag: entityTag(draft.database, table, row) },
    audit: auditText(draft, outcome),
  };
}

export const createRow = operation({
  tag,
  summary: "Add a row",
  description:
    "Rows of most tables live in a place: `?place=Bridge/br0/controller`, `?place=QoS/UUID/queues/0`. " +
    "Bridges, managers and SSL have but one and need none said; QoS, Queue and " +
    "Flow_Sample_Collector_Set live by themselves.",
  query: changeQuery.extend({
    place: z.string().max(300).optional().describe("TABLE/ROW/COLUMN, and /KEY in a map."),
  }),
  body: valuesSchema,
  status: 201,
  response: changedRowSchema,
  async handle(call) {
    const { database } = call.source;
    const table = tableOf(database, call.params["table"] ?? "");
    const draft = new Draft(database);
    const { place } = call.query;
    const at = place === undefined ? draft.onlyPlace(table) : draft.place(place, table);
    const uuid = draft.create(table, call.body as Values, at);
    const output = await changed(draft, call, table, uuid);
    const location = `/api/v1/tables/${table.schema.name}/${uuid}`;
    return { ...output, headers: { ...output.headers, location } };
  },
});

export const changeRow = operation({
  tag,
  summary: "Change columns of a row",
  description:
    "A merge patch: null empties a column; in a map, members are set one by one and null removes one; " +
    "a set is replaced.",
  headers: ifMatchRow,
  query: changeQuery,
  body: valuesSchema,
  response: changedRowSchema,
  handle(call) {
    const { database, table, row } = named(call);
    checkIfMatch(call.header("if-match"), database, table, row);
    const draft = new Draft(database);
    draft.change(table, row.uuid, call.body as Values, nameOf(table, row));
    return changed(draft, call, table, row.uuid);
  },
});

export const removedSchema = z.object({ outcome: outcomeSchema });

export async function removed(draft: Draft, call: Parameters<typeof run>[1]) {
  const outcome = await run(draft, call);
  return { json: { outcome }, audit: auditText(draft, outcome) };
}

export const removeRow = operation({
  tag,
  summary: "Remove a row, and the references to it",
  description: "A row of QoS, Queue or Flow_Sample_Collector_Set must not be in use.",
  headers: ifMatchRow,
  query: changeQuery,
  response: removedSchema,
  handle(call) {
    const { database, table, row } = named(call);
    checkIfMatch(call.header("if-match"), database, table, row);
    const draft = new Draft(database);
    draft.remove(table, row);
    return removed(draft, call);
  },
});

/** The same operation for one table, named by the path. */
export const ofTable = (one: Operation, table: string): Operation => ({
  ...one,
  tag: table,
  summary: `${one.summary} (${table})`,
  handle: (call) => one.handle({ ...call, params: { ...call.params, table } }),
});

const operationSchema = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("create"),
    table: z.string(),
    values: valuesSchema,
    as: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/).optional()
      .describe("A name for the row: later operations refer to it as `@name`."),
    place: z.string().max(300).optional(),
  }),
  z.strictObject({
    op: z.literal("change"),
    table: z.string(),
    row: z.string(),
    values: valuesSchema,
    ifMatch: z.string().optional(),
  }),
  z.strictObject({
    op: z.literal("remove"),
    table: z.string(),
    row: z.string(),
    ifMatch: z.string().optional(),
  }),
]);

const MOST_OPERATIONS = 2000;

export const batchSchema = z.object({
  results: z.array(z.object({ uuid: z.string() })),
  outcome: outcomeSchema,
});

export const batch = operation({
  tag,
  summary: "Several changes in one transaction: all or none",
  query: changeQuery,
  body: z.strictObject({ operations: z.array(operationSchema).min(1).max(MOST_OPERATIONS) }),
  maxBodyBytes: 1 << 20,
  response: batchSchema,
  async handle(call) {
    const { database } = call.source;
    const draft = new Draft(database);
    const results = call.body.operations.map((each, i) => {
      try {
        return { uuid: apply(draft, each) };
      } catch (error) {
        if (!(error instanceof HttpProblem)) throw error;
        const members = { ...error.extras.members, operation: i };
        const status = error.status === 404 ? 400 : error.status;
        throw new HttpProblem(status, `operations.${i}: ${error.message}`, { members });
      }
    });
    const outcome = await run(draft, call);
    return { json: { results, outcome }, audit: auditText(draft, outcome) };
  },
});

function apply(draft: Draft, each: z.infer<typeof operationSchema>): string {
  const { database } = draft;
  const table = tableOf(database, each.table);
  switch (each.op) {
    case "create": {
      const { place, as } = each;
      const at = place === undefined ? draft.onlyPlace(table) : draft.place(place, table);
      return draft.create(table, each.values as Values, at, as);
    }
    case "change": {
      const uuid = draft.rowId(table, each.row);
      const row = findRow(table, uuid);
      if (row !== undefined) checkIfMatch(each.ifMatch, database, table, row);
      draft.change(table, uuid, each.values as Values, each.row);
      return uuid;
    }
    case "remove": {
      const row = rowOf(table, each.row);
      checkIfMatch(each.ifMatch, database, table, row);
      draft.remove(table, row);
      return row.uuid;
    }
    default: {
      const never: never = each;
      return never;
    }
  }
}

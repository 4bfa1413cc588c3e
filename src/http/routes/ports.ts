/**
 * `/api/v1/bridges` and their ports, as people think of them: a bridge comes with its internal port,
 * a port with its interface. Columns are those of the tables Bridge, Port and Interface.
 */
import { z } from "zod";
import type { Row, Table } from "../../db/table.ts";
import type { Datum } from "../../db/values/datum.ts";
import { HttpProblem } from "../problem.ts";
import { Draft, type Values } from "../rows/draft.ts";
import { checkIfMatch, entityTag, nameOf, rowOf, tableOf } from "../rows/find.ts";
import { shownRow } from "../rows/values.ts";
import { changeQuery, ifMatchRow, rowSchema, valuesSchema } from "./configure.ts";
import { type Call, operation } from "./route.ts";
import { changed, changedRowSchema, removed, removedSchema } from "./tables.ts";

const tag = "Bridges";

const deviceName = z.string().regex(
  /^[^/\s\p{Cc}]{1,15}$/u,
  "1 to 15 characters, without / or blanks",
);

function bridgeOf(
  { source: { database }, params: { name = "" } }: Call,
): { table: Table; row: Row } {
  const table = tableOf(database, "Bridge");
  return { table, row: rowOf(table, name) };
}

/** A bridge's ports are looked for in this bridge alone. */
export function portOf(
  call: Call,
): { bridge: Row; table: Table; row: Row; readonly interfaces: readonly string[] } {
  const { database } = call.source;
  const { table: bridges, row: bridge } = bridgeOf(call);
  const table = tableOf(database, "Port");
  const { index } = bridges.schema.columns.get("ports")!;
  const { port = "" } = call.params;
  for (const uuid of (bridge.fields[index] as Datum).keys) {
    const row = table.rows.get(String(uuid));
    if (row !== undefined && (nameOf(table, row) === port || uuid === port)) {
      const interfaces = interfacesOf(call, table, row);
      return {
        bridge,
        table,
        row,
        interfaces: interfaces.rows.map((each) => nameOf(interfaces.table, each)),
      };
    }
  }
  const name = nameOf(bridges, bridge);
  throw new HttpProblem(404, `Bridge ${name} has no port ${JSON.stringify(port)}.`);
}

export const createBridge = operation({
  tag,
  summary: "Add a bridge, with its internal port",
  description: "`name`, and any columns of the table Bridge.",
  query: changeQuery,
  body: z.object({ name: deviceName }).catchall(z.unknown()),
  status: 201,
  response: changedRowSchema,
  async handle(call) {
    const { database } = call.source;
    const draft = new Draft(database);
    const { name } = call.body;
    const table = tableOf(database, "Bridge");
    const uuid = draft.create(table, call.body as Values, draft.onlyPlace(table));
    addPort(draft, uuid, { name, type: "internal" });
    const output = await changed(draft, call, table, uuid);
    const location = `/api/v1/bridges/${encodeURIComponent(name)}`;
    return { ...output, headers: { ...output.headers, location } };
  },
});

export const changeBridge = operation({
  tag,
  summary: "Change columns of a bridge",
  description: "A merge patch, as for any row.",
  headers: ifMatchRow,
  query: changeQuery,
  body: valuesSchema,
  response: changedRowSchema,
  handle(call) {
    const { table, row } = bridgeOf(call);
    const draft = new Draft(call.source.database);
    checkIfMatch(call.header("if-match"), draft.database, table, row);
    draft.change(table, row.uuid, call.body as Values, nameOf(table, row));
    return changed(draft, call, table, row.uuid);
  },
});

export const removeBridge = operation({
  tag,
  summary: "Remove a bridge, with its ports",
  headers: ifMatchRow,
  query: changeQuery,
  response: removedSchema,
  handle(call) {
    const { table, row } = bridgeOf(call);
    const draft = new Draft(call.source.database);
    checkIfMatch(call.header("if-match"), draft.database, table, row);
    draft.remove(table, row);
    return removed(draft, call);
  },
});

/** Adds a port with its interfaces. Columns that Port has not and Interface has go to the interface. */
function addPort(draft: Draft, bridge: string, values: Values): { table: Table; uuid: string } {
  const { database } = draft;
  const [bridges, table, interfaces] = ["Bridge", "Port", "Interface"]
    .map((name) => tableOf(database, name)) as [Table, Table, Table];
  const { interfaces: given, ...rest } = values;
  const { port, one } = split(table, interfaces, rest);
  const list = given === undefined ? [{ name: values["name"] ?? null, ...one }] : given;
  if (!Array.isArray(list) || list.length === 0) {
    throw new HttpProblem(400, "interfaces: a list of at least one interface is wanted.");
  }
  if (given !== undefined && Object.keys(one).length > 0) {
    const [column] = Object.keys(one);
    throw new HttpProblem(400, `${column}: say it in one of the interfaces.`);
  }
  // Port.interfaces may never be empty: so its rows come first.
  const made = list.map((each) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) {
      throw new HttpProblem(400, "interfaces: each is an object of Interface's columns.");
    }
    return draft.create(interfaces, each as Values, "given");
  });
  const place = { table: bridges, uuid: bridge, column: bridges.schema.columns.get("ports")! };
  return { table, uuid: draft.create(table, { ...port, interfaces: made }, place) };
}

function split(ports: Table, interfaces: Table, values: Values) {
  const port: Record<string, Values[string]> = {};
  const one: Record<string, Values[string]> = {};
  for (const [name, value] of Object.entries(values)) {
    const inInterface = !ports.schema.columns.has(name) && interfaces.schema.columns.has(name);
    (inInterface ? one : port)[name] = value;
  }
  return { port, one };
}

export const portRowSchema = rowSchema.extend({ interfaces: z.array(rowSchema) });

export const showPort = operation({
  tag,
  summary: "One port, with its interfaces",
  response: portRowSchema,
  handle(call) {
    const { database } = call.source;
    const { table, row } = portOf(call);
    const interfaces = interfacesOf(call, table, row);
    const shown = interfaces.rows.map((each) => shownRow(interfaces.table.schema, each));
    return {
      json: { ...shownRow(table.schema, row), interfaces: shown },
      headers: { etag: entityTag(database, table, row) },
    };
  },
});

function interfacesOf({ source: { database } }: Call, ports: Table, port: Row) {
  const table = tableOf(database, "Interface");
  const { index } = ports.schema.columns.get("interfaces")!;
  const uuids = (port.fields[index] as Datum).keys;
  return { table, rows: uuids.flatMap((uuid) => table.rows.get(String(uuid)) ?? []) };
}

export const createPort = operation({
  tag,
  summary: "Add a port to a bridge",
  description:
    "`name`, and any columns of Port; those that only Interface has (`type`, `options`, " +
    "`ofport_request`, …) go to its interface, which bears its name. Or give `interfaces`, a list.",
  query: changeQuery,
  body: z.object({ name: deviceName }).catchall(z.unknown()),
  status: 201,
  response: changedRowSchema,
  async handle(call) {
    const { table: bridges, row: bridge } = bridgeOf(call);
    const draft = new Draft(call.source.database);
    const { table, uuid } = addPort(draft, bridge.uuid, call.body as Values);
    const output = await changed(draft, call, table, uuid);
    const [at, name] = [nameOf(bridges, bridge), call.body.name].map(encodeURIComponent);
    return {
      ...output,
      headers: { ...output.headers, location: `/api/v1/bridges/${at}/ports/${name}` },
    };
  },
});

export const changePort = operation({
  tag,
  summary: "Change columns of a port, or of its one interface",
  headers: ifMatchRow,
  query: changeQuery,
  body: valuesSchema,
  response: changedRowSchema,
  handle(call) {
    const { table, row } = portOf(call);
    const draft = new Draft(call.source.database);
    checkIfMatch(call.header("if-match"), draft.database, table, row);
    const interfaces = interfacesOf(call, table, row);
    const { port, one } = split(table, interfaces.table, call.body as Values);
    draft.change(table, row.uuid, port, nameOf(table, row));
    const [column] = Object.keys(one);
    if (column !== undefined) {
      const [only, ...others] = interfaces.rows;
      if (only === undefined || others.length > 0) {
        throw new HttpProblem(
          409,
          `${column}: the port has several interfaces; change one of them.`,
        );
      }
      draft.change(interfaces.table, only.uuid, one, nameOf(interfaces.table, only));
    }
    return changed(draft, call, table, row.uuid);
  },
});

export const removePort = operation({
  tag,
  summary: "Remove a port",
  headers: ifMatchRow,
  query: changeQuery,
  response: removedSchema,
  handle(call) {
    const { table, row } = portOf(call);
    const draft = new Draft(call.source.database);
    checkIfMatch(call.header("if-match"), draft.database, table, row);
    draft.remove(table, row);
    return removed(draft, call);
  },
});

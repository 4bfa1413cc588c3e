/**
 * From changes to the operations of a transaction that makes them, and from a wanted content to the
 * changes that lead there, given what the tables hold now.
 */
import { OvsdbError } from "../error.ts";
import { type JsonObject, member } from "../json.ts";
import type { TableSchema } from "../schema/schema.ts";
import type { StoredRow } from "../storage/storage.ts";
import type { Tables } from "../table.ts";
import { type Datum, equalDatums } from "../values/datum.ts";
import { parseDatum } from "../values/parse.ts";
import { defaultJson, type MutableChanges, rowDifference, withoutDefaults } from "./join.ts";
import { mutationsFor } from "./members.ts";
import { type Changes, configurationColumns, type IsConfiguration, rowName } from "./revision.ts";

/** The operations (RFC 7047 §5.2) that make these changes to what the tables hold now. */
export function operationsFor(
  changes: Changes,
  tables: Tables,
  isConfiguration: IsConfiguration,
): JsonObject[] {
  const deletions: JsonObject[] = [];
  const others: JsonObject[] = [];
  for (const [name, rows] of Object.entries(changes)) {
    const table = tables.get(name);
    if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
    for (const [uuid, { old, new: wanted, members }] of Object.entries(rows)) {
      const where = [["_uuid", "==", ["uuid", uuid]]];
      const row = table.rows.get(uuid);
      if (wanted === undefined) {
        if (row !== undefined) deletions.push({ op: "delete", table: name, where });
      } else if (row === undefined) {
        if (old !== undefined) {
          throw new OvsdbError("constraint violation", `${name} row ${uuid} is gone`);
        }
        others.push({ op: "insert", table: name, uuid, row: wanted });
      } else {
        const columns = old === undefined
          ? completed(table.schema, wanted, isConfiguration)
          : wanted;
        const update = differing(table.schema, row.fields, columns);
        if (Object.keys(update).length > 0) {
          others.push({ op: "update", table: name, where, row: update });
        }
        const mutations = mutationsFor(members ?? {});
        if (mutations.length > 0) others.push({ op: "mutate", table: name, where, mutations });
      }
    }
  }
  return [...deletions, ...others];
}

/** A whole row's configuration, defaults included. */
function completed(
  table: TableSchema,
  columns: JsonObject,
  isConfiguration: IsConfiguration,
): JsonObject {
  return Object.fromEntries(
    table.columnList.filter((column) => isConfiguration(table, column))
      .map(({ name }) => [name, member(columns, name) ?? defaultJson(table, name)]),
  );
}

function differing(
  table: TableSchema,
  fields: readonly Datum[],
  columns: JsonObject,
): JsonObject {
  return Object.fromEntries(
    Object.entries(columns).filter(([name, value]) => {
      const column = table.columns.get(name);
      if (column === undefined) {
        throw new OvsdbError("unknown column", `No column ${name} in table ${table.name}.`);
      }
      return !equalDatums(fields[column.index] as Datum, parseDatum(value, column.type));
    }),
  );
}

/** What turns the tables' configuration into this content; status columns are left aside. */
export function changesTowards(
  content: Iterable<StoredRow>,
  tables: Tables,
  isConfiguration: IsConfiguration,
): Changes {
  const changes: MutableChanges = {};
  const kept = new Set<string>();
  for (const { table: name, uuid, columns } of content) {
    const table = tables.get(name);
    if (table === undefined) throw new OvsdbError("unknown table", `No table named ${name}.`);
    const { schema } = table;
    const wanted = withoutDefaults(
      schema,
      Object.fromEntries(
        Object.entries(columns).filter(([column]) => {
          const known = schema.columns.get(column);
          return known === undefined || isConfiguration(schema, known);
        }),
      ),
    );
    kept.add(`${name} ${uuid}`);
    const row = table.rows.get(uuid);
    const rows = changes[name] ??= {};
    if (row === undefined) rows[uuid] = { new: wanted };
    else {
      const before = configurationColumns(schema, row, isConfiguration);
      const change = rowDifference(schema, {}, before, wanted);
      if (change !== undefined) rows[uuid] = change;
    }
  }
  for (const { schema, rows } of tables.values()) {
    for (const row of rows.values()) {
      if (kept.has(`${schema.name} ${row.uuid}`)) continue;
      const name = rowName(schema, row);
      (changes[schema.name] ??= {})[row.uuid] = {
        ...(name === undefined ? {} : { name }),
        old: configurationColumns(schema, row, isConfiguration),
      };
    }
  }
  return changes;
}

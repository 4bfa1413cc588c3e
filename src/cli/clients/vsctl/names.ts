/** Names of tables and columns as people shorten them: any beginning that is no other's. */
import type { Column, DatabaseSchema, TableSchema } from "../../../db/schema/schema.ts";
import { compareAtoms } from "../../../db/values/atom.ts";
import { Fatal } from "../fatal.ts";

const fold = (name: string): string => name.toLowerCase().replaceAll("-", "_");

/** How well `given` names `name`; 0: not at all. */
function score(name: string, given: string): number {
  if (name === given) return Infinity;
  const [a, b] = [fold(name), fold(given)];
  if (a === b) return Number.MAX_SAFE_INTEGER;
  return a.startsWith(b) ? b.length : 0;
}

function bestMatches<T extends { readonly name: string }>(all: readonly T[], given: string): T[] {
  const best = all.reduce((highest, { name }) => Math.max(highest, score(name, given)), 0);
  return best === 0 ? [] : all.filter(({ name }) => score(name, given) === best);
}

const listed = (found: readonly { readonly name: string }[]): string =>
  found.map(({ name }) => name).sort(compareAtoms).join(", ");

/** Throws `Fatal` if no table is meant, or several may be. */
export function findTable(schema: DatabaseSchema, given: string): TableSchema {
  const found = bestMatches([...schema.tables.values()], given);
  const [table] = found;
  if (table === undefined) throw new Fatal(`unknown table "${given}"`);
  if (found.length === 1) return table;
  throw new Fatal(`"${given}" matches multiple table names: ${listed(found)}`);
}

/** The table's own columns, by name, without `_uuid` and `_version`. */
export const ownColumns = (table: TableSchema): Column[] =>
  table.columnList.filter(({ name }) => !name.startsWith("_"))
    .sort((a, b) => compareAtoms(a.name, b.name));

/** Throws `Fatal` if no column is meant, or several may be. */
export function findColumn(table: TableSchema, given: string): Column {
  const found = bestMatches(ownColumns(table), given);
  const [column] = found;
  if (column === undefined) {
    throw new Fatal(`${table.name} does not contain a column whose name matches "${given}"`);
  }
  if (found.length === 1) return column;
  throw new Fatal(
    `${table.name} contains more than one column whose name matches "${given}": ${listed(found)}`,
  );
}

/** `_uuid`, which is no column of its own. */
export const isUuidColumn = (given: string): boolean => given.toLowerCase() === "_uuid";

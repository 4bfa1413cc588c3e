/** A committed transaction: what storage writes, monitors tell, and history keeps. */
import type { Author } from "./history/revision.ts";
import type { JsonObject } from "./json.ts";
import type { TableSchema } from "./schema/schema.ts";
import type { Row, RowDelta } from "./table.ts";
import { type Datum, datumToJson, isDefault } from "./values/datum.ts";

export interface Commit {
  /** The transaction's id, as `monitor_cond_since` knows it. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  /** The session that asked for it. */
  readonly who: string;
  readonly author: Author;
  readonly comment?: string | undefined;
  readonly deltas: readonly RowDelta[];
}

/** True if the commit changes anything that outlives a restart. */
export const isPersistent = (commit: Commit): boolean => commit.deltas.some(isPersistentDelta);

export const isPersistentDelta = ({ before, after, changed }: RowDelta): boolean =>
  before === undefined || after === undefined || changed.some((column) => column.persistent);

/** The columns of a row that are to be stored: persistent, and not at their defaults. */
export function storedColumns(table: TableSchema, row: Row): JsonObject {
  const columns: Record<string, JsonObject[string]> = {};
  for (const { name, index, type, persistent } of table.columnList) {
    const value = row.fields[index] as Datum;
    if (value === table.defaults[index]) continue;
    if (!persistent || isDefault(value, type) || name.startsWith("_")) continue;
    columns[name] = datumToJson(value, type);
  }
  return columns;
}

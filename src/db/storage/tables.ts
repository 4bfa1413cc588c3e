/**
 * The SQLite file's tables, as drizzle declares them. `npx drizzle-kit generate --config
 * src/db/drizzle.config.ts` writes the migration for a change here into `src/db/migrations`; then
 * name the new file in `migrations.ts`.
 */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** One row: the schema of the database that the file holds. */
export const databases = sqliteTable("databases", {
  name: text().primaryKey(),
  /** RFC 7047 `<database-schema>`, JSON. */
  schema: text().notNull(),
});

/** The database's rows as of the last commit. */
export const rows = sqliteTable("rows", {
  table: text("table_name").notNull(),
  uuid: text().notNull(),
  /** Persistent columns that differ from their defaults: a JSON object of OVSDB values. */
  columns: text().notNull(),
}, (row) => [primaryKey({ columns: [row.table, row.uuid] })]);

/** The record of configuration changes (`../history/history.ts`). Numbers are never used again. */
export const revisions = sqliteTable("revisions", {
  number: integer().primaryKey({ autoIncrement: true }),
  /** Milliseconds since 1970. */
  timeMs: integer("time_ms").notNull(),
  /** `change`, `baseline` or `convert`. */
  kind: text().notNull(),
  /** JSON: who asked for it. */
  author: text().notNull(),
  comment: text(),
  /** How many rows it inserted, modified and deleted. */
  inserted: integer().notNull(),
  modified: integer().notNull(),
  deleted: integer().notNull(),
  /** JSON: table, UUID, old and new values. */
  changes: text().notNull(),
  /** Length of `changes`. */
  size: integer().notNull(),
});

/** The commit-confirm window that is open, or how the last one ended; at most one row. */
export const confirmations = sqliteTable("confirmations", {
  id: integer().primaryKey(),
  /** JSON. */
  state: text().notNull(),
});

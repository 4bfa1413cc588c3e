/**
 * The SQLite file's tables, as drizzle declares them. `npx drizzle-kit generate --config
 * src/db/drizzle.config.ts` writes the migration for a change here into `src/db/migrations`; then
 * name the new file in `migrations.ts`.
 */
import { primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

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

/**
 * Samples of traffic, as a table of the database's SQLite file (`../../db/storage/side-tables.ts`).
 * `npx drizzle-kit generate --config src/http/statistics/drizzle.config.ts` writes the migration for
 * a change here; then name the new file in `migrations.ts`.
 */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** A ring: `slot` is the sample's time in units of `stepSeconds`, modulo the ring's length. */
export const samples = sqliteTable("side_samples", {
  stepSeconds: integer("step_seconds").notNull(),
  slot: integer().notNull(),
  /** Milliseconds since 1970: the sample's end. */
  timeMs: integer("time_ms").notNull(),
  /** `Sample` as JSON, without its time. */
  data: text().notNull(),
}, (table) => [primaryKey({ columns: [table.stepSeconds, table.slot] })]);

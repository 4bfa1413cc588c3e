/** The table's migrations, embedded: drizzle-kit writes the SQL, this names the files. */
import type { Migrations } from "../../db/storage/migrations.ts";
import journal from "./migrations/meta/_journal.json" with { type: "json" };
import samples from "./migrations/0000_samples.sql" with { type: "text" };

export const statisticsMigrations: Migrations = {
  recordTable: "side_samples_migrations",
  journal,
  sqlByTag: new Map([["0000_samples", samples]]),
};

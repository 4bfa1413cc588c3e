/** The side tables' migrations, embedded: drizzle-kit writes the SQL, this names the files. */
import type { Migrations } from "../../db/storage/migrations.ts";
import journal from "./migrations/meta/_journal.json" with { type: "json" };
import access from "./migrations/0000_access.sql" with { type: "text" };

export const accessMigrations: Migrations = {
  recordTable: "side_migrations",
  journal,
  sqlByTag: new Map([["0000_access", access]]),
};

/**
 * The SQLite file's migrations, embedded: drizzle-kit writes the SQL, this list names the files in
 * order. They are recorded as drizzle's own migrator records them.
 */
import type { Database as Sqlite } from "bun:sqlite";
import journal from "../migrations/meta/_journal.json" with { type: "json" };
import rows from "../migrations/0000_rows.sql" with { type: "text" };
import history from "../migrations/0001_history.sql" with { type: "text" };
import { StorageError } from "./storage.ts";

/** A set of tables with the history of its making; each set in a file is at its own version. */
export interface Migrations {
  /** Where it is recorded what has been done; a set's tables begin with the same word. */
  readonly recordTable: string;
  /** drizzle-kit's `meta/_journal.json`. */
  readonly journal: {
    readonly entries: readonly { readonly tag: string; readonly when: number }[];
  };
  readonly sqlByTag: ReadonlyMap<string, string>;
}

export const databaseMigrations: Migrations = {
  recordTable: "__drizzle_migrations",
  journal,
  sqlByTag: new Map([
    ["0000_rows", rows],
    ["0001_history", history],
  ]),
};

/** Brings the file to this version's tables, in one transaction. Throws if it is from a later one. */
export function migrate(sqlite: Sqlite, { recordTable, journal, sqlByTag }: Migrations): void {
  sqlite.transaction(() => {
    sqlite.run(
      `CREATE TABLE IF NOT EXISTS ${recordTable} ` +
        "(id INTEGER PRIMARY KEY AUTOINCREMENT, hash text NOT NULL, created_at numeric)",
    );
    const { last } = sqlite.query<{ last: number }, []>(
      `SELECT coalesce(max(created_at), 0) AS last FROM ${recordTable}`,
    ).get() ?? { last: 0 };
    const newest = journal.entries.at(-1)?.when ?? 0;
    if (last > newest) {
      throw new StorageError("cannot open the database", "it was written by a newer version");
    }
    for (const { tag, when } of journal.entries) {
      if (when <= last) continue;
      const sql = sqlByTag.get(tag);
      if (sql === undefined) throw new Error(`migration ${tag} is not embedded`);
      for (const statement of sql.split("--> statement-breakpoint")) sqlite.run(statement);
      const hash = new Bun.CryptoHasher("sha256").update(sql).digest("hex");
      sqlite.run(`INSERT INTO ${recordTable} (hash, created_at) VALUES (?, ?)`, [hash, when]);
    }
  })();
}

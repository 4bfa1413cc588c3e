/**
 * Tables that another part of the daemon keeps in the database's SQLite file: users and sessions of
 * the HTTP API. They are no part of the OVSDB database: no client of it sees them, its history does
 * not record them, and backups leave them out (`withoutSideTables`), for they hold secrets.
 *
 * Their names begin with `side_`. Changes are durable when `atomically` returns.
 */
import { Database as Sqlite } from "bun:sqlite";
import { chmodSync, existsSync } from "node:fs";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { migrate, type Migrations } from "./migrations.ts";
import { StorageError } from "./storage.ts";

const PREFIX = "side_";

export class SideTables {
  /** For reading, and for writing within `atomically`. */
  readonly db: BunSQLiteDatabase;

  constructor(private readonly sqlite: Sqlite, private readonly file: string) {
    this.db = drizzle({ client: sqlite });
  }

  /** Brings one set of tables to this version. From now on the file is its owner's alone to read. */
  migrate(migrations: Migrations): void {
    for (const path of [this.file, `${this.file}-wal`]) {
      if (existsSync(path)) chmodSync(path, 0o600);
    }
    migrate(this.sqlite, migrations);
  }

  /** All or nothing. Throws what `change` throws, or `StorageError`. */
  atomically<T>(change: () => T): T {
    try {
      this.sqlite.run("BEGIN IMMEDIATE");
    } catch (error) {
      throw new StorageError(`cannot write to ${this.file}`, error);
    }
    try {
      const result = change();
      this.sqlite.run("COMMIT");
      return result;
    } catch (error) {
      if (this.sqlite.inTransaction) this.sqlite.run("ROLLBACK");
      const { code } = error as { readonly code?: unknown };
      if (typeof code !== "string" || !code.startsWith("SQLITE_")) throw error;
      throw new StorageError(`cannot write to ${this.file}`, error);
    }
  }
}

/** A copy of a serialized database file without side tables; nothing of them is left in its pages. */
export function withoutSideTables(file: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(file);
  // A copy in memory cannot have a write-ahead log (file format §1.3.3: read and write version).
  bytes[18] = bytes[19] = 1;
  const copy = Sqlite.deserialize(bytes);
  try {
    const tables = copy.query<{ name: string }, [string]>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 5) = ?",
    ).all(PREFIX);
    if (tables.length === 0) return file;
    for (const { name } of tables) copy.run(`DROP TABLE "${name}"`);
    copy.run("VACUUM");
    return copy.serialize();
  } finally {
    copy.close();
  }
}

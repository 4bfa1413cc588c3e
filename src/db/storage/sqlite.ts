/**
 * A database in an SQLite file, through drizzle.
 *
 * Write-ahead log with a sync at each commit (`synchronous=FULL`): when `write` returns, the commits
 * are on the disk; when the process or the machine dies at any moment, the next open finds the last
 * complete group of commits, by itself. The file is locked for as long as it is open: a second
 * process that opens it is refused and told who has it. A file that is not a database, or that is
 * damaged, is refused too and never written to.
 */
import { Database as Sqlite } from "bun:sqlite";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { and, eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { type Commit, isPersistentDelta, storedColumns } from "../commit.ts";
import type { NewRevision } from "../history/revision.ts";
import { type JsonObject, stringify } from "../json.ts";
import { parseJsonText } from "../rpc/json-stream.ts";
import { SqliteHistory } from "./history-store.ts";
import { databaseMigrations, migrate, type Migrations } from "./migrations.ts";
import { SideTables } from "./side-tables.ts";
import { type Storage, StorageError, type StoredDatabase, type StoredRow } from "./storage.ts";
import { bareStatement, trackStatements } from "./statements.ts";
import { databases, rows } from "./tables.ts";

/** Opens the file, or makes it. Throws `StorageError` that says what to do. */
export function openSqliteStorage(file: string): Storage {
  return openFile(file, databaseMigrations, (sqlite) => new SqliteStorage(file, sqlite));
}

/** A file with side tables alone, for a database whose own file is not SQLite. Throws `StorageError`. */
export function openSideFile(file: string): { readonly tables: SideTables; close(): void } {
  return openFile(file, undefined, (sqlite) => {
    const end = trackStatements(sqlite);
    return {
      tables: new SideTables(sqlite, file),
      close() {
        end();
        release(sqlite);
        removeOwnerFile(file);
      },
    };
  });
}

function openFile<T>(
  file: string,
  migrations: Migrations | undefined,
  use: (sqlite: Sqlite) => T,
): T {
  let sqlite: Sqlite | undefined;
  try {
    sqlite = new Sqlite(file, { create: true, strict: true });
    prepare(sqlite, migrations);
    if (file !== ":memory:") writeFileSync(ownerFile(file), `${process.pid}\n`);
    return use(sqlite);
  } catch (error) {
    if (sqlite !== undefined) closeUntouched(sqlite);
    throw explain(file, error);
  }
}

const ownerFile = (file: string): string => `${file}.pid`;

function removeOwnerFile(file: string): void {
  try {
    rmSync(ownerFile(file), { force: true });
  } catch {
    // A disk that is read-only by now. The name in it is only for messages.
  }
}

function prepare(sqlite: Sqlite, migrations: Migrations | undefined): void {
  sqlite.run("PRAGMA busy_timeout = 500");
  sqlite.run("PRAGMA locking_mode = EXCLUSIVE");
  sqlite.run("PRAGMA journal_mode = WAL");
  sqlite.run("PRAGMA synchronous = FULL");
  sqlite.run("BEGIN EXCLUSIVE");
  sqlite.run("COMMIT");
  const damage = sqlite.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
  if (damage?.quick_check !== "ok") throw new DamagedFile(damage?.quick_check ?? "unreadable");
  if (migrations !== undefined) migrate(sqlite, migrations);
}

class DamagedFile extends Error {}

function explain(file: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { code } = error as { code?: string };
  if (code === "SQLITE_BUSY") {
    return new StorageError(
      `${file} is in use by ${owner(file)}: stop it, or use another file`,
      error,
    );
  }
  if (error instanceof DamagedFile || code === "SQLITE_NOTADB" || code === "SQLITE_CORRUPT") {
    return new StorageError(
      `${file} is damaged or not a solovs database, and was left as it is: restore a backup, or ` +
        "move it away to start with an empty database",
      error,
    );
  }
  if (code === "SQLITE_READONLY" || code === "SQLITE_CANTOPEN" || code === "EROFS") {
    return new StorageError(
      `cannot open ${file} for writing: make sure that its directory exists, that its disk is not ` +
        "read-only, and that this user may write there; or use another file",
      error,
    );
  }
  return new StorageError(`cannot open ${file}`, error);
}

function owner(file: string): string {
  try {
    return `process ${readFileSync(ownerFile(file), "utf8").trim()}`;
  } catch {
    return "another process";
  }
}

/** Closes a file that was not taken: nothing may be written to it. */
function closeUntouched(sqlite: Sqlite): void {
  try {
    sqlite.close();
  } catch {
    // There is nothing to lose in it.
  }
}

/**
 * Closes the file and gives up its lock now, once its statements are ended; and empties the log into
 * the file, so that a stopped database is one file.
 */
function release(sqlite: Sqlite): void {
  try {
    sqlite.run("PRAGMA journal_mode = DELETE");
    sqlite.run("PRAGMA locking_mode = NORMAL");
    sqlite.query("SELECT count(*) FROM sqlite_master").get();
  } catch {
    // A full disk, perhaps: the next open finds everything in the log.
  }
  sqlite.close();
}

/** What we wrote ourselves: SQLite has checked it, and only long integers need more than `JSON.parse`. */
const parseStored = (text: string): JsonObject =>
  (/\d{16}/.test(text) ? parseJsonText(text) : JSON.parse(text)) as JsonObject;

class SqliteStorage implements Storage {
  private readonly endStatements: () => void;
  private readonly db;
  private readonly begin;
  private readonly commit;
  private readonly upsert;
  private readonly remove;
  readonly history: SqliteHistory;
  readonly side: SideTables;

  constructor(private readonly file: string, private readonly sqlite: Sqlite) {
    this.endStatements = trackStatements(sqlite);
    this.db = drizzle({ client: sqlite });
    this.side = new SideTables(sqlite, file);
    this.history = new SqliteHistory(sqlite, (what, change) => this.atomically(what, change));
    this.begin = sqlite.prepare("BEGIN IMMEDIATE");
    this.commit = sqlite.prepare("COMMIT");
    const upsert = this.db.insert(rows).values({
      table: sql.placeholder("table"),
      uuid: sql.placeholder("uuid"),
      columns: sql.placeholder("columns"),
    }).onConflictDoUpdate({
      target: [rows.table, rows.uuid],
      set: { columns: sql`excluded.columns` },
    });
    this.upsert = bareStatement(sqlite, upsert);
    const remove = this.db.delete(rows).where(
      and(eq(rows.table, sql.placeholder("table")), eq(rows.uuid, sql.placeholder("uuid"))),
    );
    this.remove = bareStatement(sqlite, remove);
  }

  load(): StoredDatabase | undefined {
    const database = this.db.select().from(databases).get();
    if (database === undefined) return undefined;
    return { schema: parseJsonText(database.schema), rows: this.storedRows() };
  }

  private *storedRows(): Generator<StoredRow> {
    const { table, uuid, columns } = rows;
    const query = bareStatement(this.sqlite, this.db.select({ table, uuid, columns }).from(rows));
    for (const row of query.values() as [table: string, uuid: string, columns: string][]) {
      yield { table: row[0], uuid: row[1], columns: parseStored(row[2]) };
    }
    query.finalize();
  }

  replace(
    schema: JsonObject,
    stored: Iterable<StoredRow>,
    revisions: readonly NewRevision[] = [],
  ): void {
    this.atomically("cannot store the database", () => {
      this.db.delete(databases).run();
      this.db.delete(rows).run();
      const { name } = schema as { name: string };
      this.db.insert(databases).values({ name, schema: stringify(schema) }).run();
      for (const { table, uuid, columns } of stored) {
        this.upsert.run(table, uuid, stringify(columns));
      }
      this.history.append(revisions);
    });
  }

  write(commits: readonly Commit[], revisions: readonly NewRevision[]): void {
    this.atomically("cannot store the transaction", () => {
      for (const { deltas } of commits) {
        for (const delta of deltas) {
          if (!isPersistentDelta(delta)) continue;
          const { table: { schema }, uuid, after } = delta;
          const table = schema.name;
          if (after === undefined) this.remove.run(table, uuid);
          else this.upsert.run(table, uuid, stringify(storedColumns(schema, after)));
        }
      }
      if (revisions.length > 0) this.history.append(revisions);
    });
  }

  /** All or nothing; durable when it returns. */
  private atomically(what: string, change: () => void): void {
    try {
      this.begin.run();
      change();
      this.commit.run();
    } catch (error) {
      // A failed COMMIT may leave the transaction open, or SQLite may have rolled it back already.
      if (this.sqlite.inTransaction) this.sqlite.run("ROLLBACK");
      this.history.rolledBack();
      throw new StorageError(`${what} in ${this.file}`, error);
    }
  }

  /** SQLite reuses the space of deleted rows. */
  wantsCompaction(): boolean {
    return false;
  }

  close(): void {
    this.endStatements();
    release(this.sqlite);
    removeOwnerFile(this.file);
  }
}

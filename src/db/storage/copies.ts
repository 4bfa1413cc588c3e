/**
 * Whole databases to and from files that nobody serves: backups, exports, and what is to be restored
 * or imported. Reading changes nothing in the file; writing makes a new one, syncs it, and only then
 * gives it its name.
 */
import { Database as Sqlite } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Logger } from "../../log/log.ts";
import { OvsdbError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";
import { parseJsonText } from "../rpc/json-stream.ts";
import { parseSchema } from "../schema/schema.ts";
import { LogReplay } from "./log-replay.ts";
import { OvsdbFileStorage } from "./ovsdb-file.ts";
import { decodeRecords } from "./record.ts";
import { StorageError, type StoredRow } from "./storage.ts";
import { databases, rows as rowsTable } from "./tables.ts";

export interface DatabaseCopy {
  readonly kind: "sqlite" | "ovsdb-file";
  readonly schema: Json;
  readonly rows: readonly StoredRow[];
  /** What is odd about the file, though it could be read. */
  readonly warning: string | undefined;
}

const SQLITE_MAGIC = "SQLite format 3\0";
/** Where the header says that changes go through a write-ahead log (2), or not (1). */
const READ_VERSION = 18;
const WRITE_VERSION = 19;

/** Reads all of a database file of either kind. Throws `StorageError` that says what is wrong. */
export function readDatabaseFile(file: string): DatabaseCopy {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new StorageError(`cannot read ${file}`, error);
  }
  const start = bytes.subarray(0, 16).toString("latin1");
  try {
    if (start === SQLITE_MAGIC) return readSqlite(file, bytes);
    if (start.startsWith("OVSDB CLUSTER")) {
      throw new StorageError(
        `${file} is a clustered database: convert it with ovsdb-tool cluster-to-standalone first`,
        "clusters are not supported",
      );
    }
    return readOvsdb(file, bytes);
  } catch (error) {
    if (error instanceof OvsdbError) throw error;
    throw new StorageError(`${file} is damaged or not a database; nothing was changed`, error);
  }
}

function readOvsdb(file: string, bytes: Uint8Array): DatabaseCopy {
  const { records: [schema, ...transactions], problem, damaged } = decodeRecords(bytes);
  if (schema === undefined || damaged) {
    throw new StorageError(
      `${file} is damaged or not a database; nothing was changed`,
      problem ?? "it is empty",
    );
  }
  const replay = new LogReplay(parseSchema(schema));
  for (const transaction of transactions) replay.apply(transaction);
  return { kind: "ovsdb-file", schema, rows: [...replay.rows()], warning: problem };
}

function readSqlite(file: string, bytes: Buffer): DatabaseCopy {
  const log = `${file}-wal`;
  if (existsSync(log) && statSync(log).size > 0) {
    throw new StorageError(
      `${file} is in use, or was not closed (there is ${log}): make a copy with 'solovs db backup'`,
      "its newest changes are not in the file",
    );
  }
  bytes[READ_VERSION] = 1;
  bytes[WRITE_VERSION] = 1;
  const sqlite = Sqlite.deserialize(bytes, { readonly: true, strict: true });
  try {
    const damage = sqlite.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
    if (damage?.quick_check !== "ok") throw new Error(damage?.quick_check ?? "unreadable");
    const db = drizzle({ client: sqlite });
    const database = db.select().from(databases).get();
    if (database === undefined) throw new Error("it holds no database");
    const stored = db.select().from(rowsTable).all();
    return {
      kind: "sqlite",
      schema: parseJsonText(database.schema),
      rows: stored.map(({ table, uuid, columns }) => ({
        table,
        uuid,
        columns: parseJsonText(columns) as JsonObject,
      })),
      warning: undefined,
    };
  } finally {
    sqlite.close();
  }
}

/** Writes a file that stock `ovsdb-server` serves. It replaces one that is there. */
export function writeOvsdbFile(
  file: string,
  schema: JsonObject,
  rows: Iterable<StoredRow>,
  logger: Logger,
): void {
  const storage = new OvsdbFileStorage(file, logger);
  storage.replace(schema, rows);
  storage.close();
}

/**
 * Writes a backup: an SQLite file as `HistoryStore.snapshot` gives it, checked, closed properly, and
 * without an open commit-confirm window. It replaces one that is there.
 */
export function writeBackup(file: string, snapshot: Uint8Array): void {
  const temporary = `${file}.tmp-${process.pid}`;
  try {
    writeFileSync(temporary, snapshot, { mode: 0o600 });
    const sqlite = new Sqlite(temporary, { readwrite: true, strict: true });
    try {
      sqlite.run("PRAGMA journal_mode = DELETE");
      sqlite.run("DELETE FROM confirmations");
      const damage = sqlite.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
      if (damage?.quick_check !== "ok") throw new Error(damage?.quick_check ?? "unreadable");
    } finally {
      sqlite.close();
    }
    const fd = openSync(temporary, "r");
    fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new StorageError(`cannot write ${file}`, error);
  }
}

/**
 * A database in one of Open vSwitch's own files, as `ovsdb-tool` makes them and stock `ovsdb-server`
 * uses them: a log of transactions behind the schema. It is appended to and synced at each group of
 * commits, and written anew when it has become much longer than what it holds.
 *
 * Invariants: a file is only ever appended to or replaced as a whole (new file, sync, rename). A last
 * record that was cut off by a crash is dropped; a bad record with good ones after it means damage,
 * and the file is refused and left as it is. Clustered databases (`CLUSTER` records) are refused.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "../../log/log.ts";
import { type Commit, isPersistentDelta, storedColumns } from "../commit.ts";
import { OvsdbError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";
import { parseSchema } from "../schema/schema.ts";
import { type Datum, datumToJson } from "../values/datum.ts";
import { LogReplay } from "./log-replay.ts";
import { decodeRecords, encodeRecord } from "./record.ts";
import { type Storage, StorageError, type StoredDatabase, type StoredRow } from "./storage.ts";

/** The file is written anew beyond this size, once it is `GROWTH` times what it was at first. */
const COMPACT_BYTES = 10 << 20;
const GROWTH = 4;

export class OvsdbFileStorage implements Storage {
  private fd: number | undefined;
  /** Where the next record goes. */
  private end = 0;
  private compactAt = COMPACT_BYTES;

  /** A file that does not exist is made by `replace`. `shownAs` names it in the log. */
  constructor(
    private readonly file: string,
    private readonly logger: Logger,
    private readonly shownAs = file,
  ) {}

  load(): StoredDatabase | undefined {
    if (!existsSync(this.file)) return undefined;
    const { records, lastStart, end, problem, damaged } = decodeRecords(this.read());
    const [schema, ...transactions] = records;
    if (schema === undefined || damaged) {
      throw new StorageError(
        `${this.file} is damaged or not a standalone OVSDB file, and was left as it is: restore a ` +
          "backup, or move it away to start with an empty database",
        problem ?? "it is empty",
      );
    }
    if (problem !== undefined) {
      const { message } = new OvsdbError("syntax error", `${this.shownAs}: ${problem}`);
      this.logger.warn(`${message}: dropped what a crash left unfinished`);
    }
    try {
      const rows = replay(schema, transactions);
      this.open(end);
      return { schema, rows };
    } catch (error) {
      if (!(error instanceof OvsdbError) || problem !== undefined) throw error;
      // What was written last may be half of something; what stands before it must be in order.
      const rows = replay(schema, transactions.slice(0, -1));
      this.logger.warn(`${error.message}: dropped the last record of ${this.shownAs}`);
      this.open(lastStart);
      return { schema, rows };
    }
  }

  private read(): Uint8Array {
    try {
      return readFileSync(this.file);
    } catch (error) {
      throw new StorageError(`cannot read ${this.file}`, error);
    }
  }

  private open(end: number): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = openSync(this.file, "r+");
    if (fstatSync(this.fd).size > end) ftruncateSync(this.fd, end);
    this.end = end;
    this.compactAt = Math.max(COMPACT_BYTES, end * GROWTH);
  }

  replace(schema: JsonObject, rows: Iterable<StoredRow>): void {
    const temporary = `${this.file}.tmp`;
    try {
      const mode = this.fd === undefined ? 0o640 : fstatSync(this.fd).mode & 0o777;
      const fd = openSync(temporary, "w", mode);
      let end = 0;
      try {
        end = append(fd, 0, encodeRecord(schema));
        const content = snapshot(rows);
        if (Object.keys(content).length > 0) end = append(fd, end, encodeRecord(content));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, this.file);
      syncDirectory(dirname(this.file));
      this.open(end);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw new StorageError(`cannot write ${this.file}`, error);
    }
  }

  write(commits: readonly Commit[]): void {
    if (this.fd === undefined) throw new StorageError(`${this.file} is not open`, "no database");
    try {
      const records = Buffer.concat(commits.map((commit) => encodeRecord(commitToJson(commit))));
      const end = append(this.fd, this.end, records);
      fdatasyncSync(this.fd);
      this.end = end;
    } catch (error) {
      try {
        ftruncateSync(this.fd, this.end);
      } catch {
        // The next write starts at the same place, and so will the next reader.
      }
      throw new StorageError(`cannot store the transaction in ${this.file}`, error);
    }
  }

  wantsCompaction(): boolean {
    return this.end > this.compactAt;
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}

/** Throws `OvsdbError` if a transaction does not fit the schema. */
function replay(schema: JsonObject, transactions: readonly JsonObject[]): Iterable<StoredRow> {
  const log = new LogReplay(parseSchema(schema));
  for (const transaction of transactions) log.apply(transaction);
  return log.rows();
}

function append(fd: number, at: number, bytes: Uint8Array): number {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, at + written);
  }
  return at + written;
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

type TransactionJson = { [table: string]: { [uuid: string]: Json } };

function commitToJson(commit: Commit): JsonObject {
  const tables: TransactionJson = {};
  for (const delta of commit.deltas) {
    if (!isPersistentDelta(delta)) continue;
    const { table: { schema }, uuid, before, after, changed } = delta;
    const rows = tables[schema.name] ??= {};
    if (after === undefined) rows[uuid] = null;
    else if (before === undefined) rows[uuid] = storedColumns(schema, after);
    else {
      // A column that went back to its default must say so.
      rows[uuid] = Object.fromEntries(
        changed.filter(({ name, persistent }) => persistent && !name.startsWith("_"))
          .map(({ name, index, type }) => [name, datumToJson(after.fields[index] as Datum, type)]),
      );
    }
  }
  return {
    ...tables,
    ...(commit.comment === undefined ? {} : { _comment: commit.comment }),
    _date: commit.timeMs,
  };
}

function snapshot(rows: Iterable<StoredRow>): JsonObject {
  const tables: TransactionJson = {};
  for (const { table, uuid, columns } of rows) (tables[table] ??= {})[uuid] = columns;
  if (Object.keys(tables).length === 0) return {};
  return { ...tables, _comment: "compacting database online", _date: Date.now() };
}

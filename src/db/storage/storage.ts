/**
 * What the engine asks of the disk. A storage holds one database: its schema, and the rows as of
 * the last commit, ephemeral columns left out.
 */
import type { Commit } from "../commit.ts";
import { OvsdbError } from "../error.ts";
import type { NewRevision } from "../history/revision.ts";
import type { Json, JsonObject } from "../json.ts";
import type { HistoryStore } from "./history-store.ts";
import type { SideTables } from "./side-tables.ts";

export interface StoredRow {
  readonly table: string;
  readonly uuid: string;
  /** Columns by name; one that is not here has its default. */
  readonly columns: JsonObject;
}

export interface StoredDatabase {
  readonly schema: Json;
  readonly rows: Iterable<StoredRow>;
}

export interface Storage {
  /** The whole stored database, or undefined if nothing has ever been stored. */
  load(): StoredDatabase | undefined;
  /** Makes this schema and these rows all that is stored, atomically. */
  replace(
    schema: JsonObject,
    rows: Iterable<StoredRow>,
    revisions?: readonly NewRevision[],
  ): void;
  /**
   * Appends commits, in order. When it returns they have reached the disk; when it throws
   * (`StorageError`) none has, and none will. The revisions that the commits make go with them.
   */
  write(commits: readonly Commit[], revisions: readonly NewRevision[]): void;
  /** The record of revisions, in storages that keep one. */
  readonly history?: HistoryStore;
  /** Room for tables of other parts of the daemon, in storages that have it. */
  readonly side?: SideTables;
  /** True if `replace` with the same content would make the storage much smaller. */
  wantsCompaction(): boolean;
  close(): void;
}

/** The disk said no. `details` says what was being done, `ioError` what the system answered. */
export class StorageError extends OvsdbError {
  constructor(details: string, cause: unknown) {
    super("I/O error", details, undefined, cause instanceof Error ? cause.message : String(cause));
  }
}

/** Keeps nothing: for `_Server`, and for tests. */
export const volatileStorage = (): Storage => ({
  load: () => undefined,
  replace: () => {},
  write: () => {},
  wantsCompaction: () => false,
  close: () => {},
});

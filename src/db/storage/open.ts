/** Chooses the storage for a database file by what is in it. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Logger } from "../../log/log.ts";
import { OvsdbFileStorage } from "./ovsdb-file.ts";
import { openSqliteStorage } from "./sqlite.ts";
import { type Storage, StorageError } from "./storage.ts";

export type StorageKind = "sqlite" | "ovsdb-file";

/**
 * Opens a database file of either kind; one that does not exist becomes `kindOfNew`. A file of no
 * known kind is left to SQLite, which refuses it and says so. `shownAs` names it in the log.
 */
export function openStorage(
  file: string,
  logger: Logger,
  kindOfNew: StorageKind,
  shownAs = file,
): Storage {
  const kind = existsSync(file) ? kindOf(file) : kindOfNew;
  switch (kind) {
    case "sqlite":
      return openSqliteStorage(file);
    case "ovsdb-file":
      return new OvsdbFileStorage(file, logger, shownAs);
    default: {
      const never: never = kind;
      return never;
    }
  }
}

function kindOf(file: string): StorageKind {
  const start = Buffer.alloc(16);
  try {
    const fd = openSync(file, "r");
    try {
      readSync(fd, start, 0, start.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new StorageError(`cannot read ${file}`, error);
  }
  const text = start.toString("latin1");
  if (text.startsWith("OVSDB CLUSTER")) {
    throw new StorageError(
      `${file} is a clustered database: convert it with ovsdb-tool cluster-to-standalone first`,
      "clusters are not supported",
    );
  }
  return text.startsWith("OVSDB ") ? "ovsdb-file" : "sqlite";
}

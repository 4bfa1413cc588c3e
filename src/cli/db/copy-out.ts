/** `solovs db export FILE` and `solovs db backup FILE`: the database into a file, while it is used. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { JsonObject } from "../../db/json.ts";
import { writeBackup, writeOvsdbFile } from "../../db/storage/copies.ts";
import { LogSink } from "../../log/log.ts";
import { writeErrorLine } from "../config/connection.ts";
import { backupReply, checked, contentReply } from "../config/replies.ts";
import { CommandError, EXIT, reason } from "../exit.ts";
import { type DatabaseOptions, withTarget } from "./target.ts";

export interface CopyOutOptions extends DatabaseOptions {
  readonly force: boolean;
}

function refuseToOverwrite(file: string, { force, db }: CopyOutOptions): void {
  if (resolve(file) === resolve(db)) {
    throw new CommandError(`${file} is the database itself: choose another file`);
  }
  if (existsSync(file) && !force) {
    throw new CommandError(
      `${file} exists already: choose another file, or overwrite it with --force`,
    );
  }
}

function written(write: () => void): void {
  try {
    write();
  } catch (error) {
    throw new CommandError(reason(error));
  }
}

export async function dbExport(file: string, options: CopyOutOptions): Promise<number> {
  refuseToOverwrite(file, options);
  return await withTarget(options, false, async ({ daemon, where }) => {
    const { schema, rows, revision } = checked(contentReply, await daemon.call("db_content"));
    const logger = new LogSink(writeErrorLine, "warn").logger("db");
    const stored = rows.map(([table, uuid, columns]) => ({ table, uuid, columns }));
    written(() => writeOvsdbFile(file, schema as JsonObject, stored, logger));
    process.stdout.write(
      `exported ${rows.length} rows of ${where}, revision ${revision}, to ${file}, ` +
        "a file for ovsdb-server\n",
    );
    return EXIT.ok;
  });
}

export async function dbBackup(file: string, options: CopyOutOptions): Promise<number> {
  refuseToOverwrite(file, options);
  return await withTarget(options, false, async ({ daemon, where }) => {
    const { revision, zstd } = checked(backupReply, await daemon.call("db_backup"));
    const bytes = await Bun.zstdDecompress(Buffer.from(zstd, "base64"));
    written(() => writeBackup(file, bytes));
    process.stdout.write(`backed up ${where}, revision ${revision} and its history, to ${file}\n`);
    return EXIT.ok;
  });
}

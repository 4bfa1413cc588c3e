/**
 * `solovs db import FILE` and `solovs db restore FILE`: a whole configuration from a file, as one
 * transaction and one revision. The file is read and checked to its end before anything is changed.
 */
import { OvsdbError } from "../../db/error.ts";
import { isObject, type Json, type JsonObject } from "../../db/json.ts";
import { type DatabaseCopy, readDatabaseFile } from "../../db/storage/copies.ts";
import { checked, replaceReply } from "../config/replies.ts";
import { CommandError, EXIT } from "../exit.ts";
import { type DatabaseOptions, withTarget } from "./target.ts";

export interface ImportOptions extends DatabaseOptions {
  readonly force: boolean;
}

function read(file: string, database: string): DatabaseCopy {
  let copy: DatabaseCopy;
  try {
    copy = readDatabaseFile(file);
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    throw new CommandError(error.message.replace(/^I\/O error: /, ""));
  }
  const name = isObject(copy.schema) ? copy.schema["name"] : undefined;
  if (name !== database) {
    throw new CommandError(`${file} holds the database ${String(name)}, not ${database}`);
  }
  if (copy.warning !== undefined) {
    process.stderr.write(`solovs: ${file}: ${copy.warning}: read up to there\n`);
  }
  return copy;
}

const INTERESTING = ["Bridge", "Port", "Interface", "Controller", "Manager"];

function summary({ rows }: DatabaseCopy): string {
  const counts = new Map<string, number>();
  for (const { table } of rows) counts.set(table, (counts.get(table) ?? 0) + 1);
  const parts = INTERESTING.filter((table) => counts.has(table))
    .map((table) => `${counts.get(table)} ${table}`);
  return parts.length === 0 ? `${rows.length} rows` : parts.join(", ");
}

/** What the target does not know of the file's schema: named, not silently lost. */
function warnOfDropped(dropped: readonly string[]): void {
  if (dropped.length === 0) return;
  process.stderr.write(
    `solovs: left out, for this version's schema does not have it: ${dropped.join(", ")}\n`,
  );
}

async function replace(
  copy: DatabaseCopy,
  options: DatabaseOptions,
  done: { readonly verb: string; readonly comment: string; readonly force: boolean },
): Promise<number> {
  const rows: Json[] = copy.rows.map(({ table, uuid, columns }): Json => [
    table,
    uuid,
    columns as JsonObject,
  ]);
  return await withTarget(options, true, async ({ daemon, where }) => {
    let reply;
    try {
      const { comment, force } = done;
      reply = checked(replaceReply, await daemon.call("db_replace", { rows, comment, force }));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const hint = /holds a configuration already/.test(error.message)
        ? ".\nReplace it with --force; 'solovs config rollback' would bring it back"
        : "";
      throw new CommandError(`${where}: ${error.message}${hint}`);
    }
    warnOfDropped(reply.dropped);
    process.stdout.write(
      reply.revision === null
        ? `${where} has this configuration already\n`
        : `${done.verb} ${summary(copy)} into ${where}, as revision ${reply.revision}; ` +
          `to undo this: solovs config rollback ${reply.revision - 1}\n`,
    );
    return EXIT.ok;
  });
}

export async function dbImport(file: string, options: ImportOptions): Promise<number> {
  const copy = read(file, options.database);
  const comment = `solovs: db import ${file}`;
  return await replace(copy, options, { verb: "imported", comment, force: options.force });
}

export async function dbRestore(file: string, options: DatabaseOptions): Promise<number> {
  const copy = read(file, options.database);
  const comment = `solovs: db restore ${file}`;
  return await replace(copy, options, { verb: "restored", comment, force: true });
}

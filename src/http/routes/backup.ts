/** `/api/v1/backup`: the whole configuration with its history as a file, and back from a file. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { OvsdbError } from "../../db/error.ts";
import { isObject, type Json, type JsonObject } from "../../db/json.ts";
import { type DatabaseCopy, readDatabaseFile } from "../../db/storage/copies.ts";
import { HttpProblem } from "../problem.ts";
import { callHistory } from "./history.ts";
import { operation } from "./route.ts";

const tag = "History";
const MOST_BYTES = 15 << 20;

export const downloadBackup = operation({
  tag,
  summary: "Download a backup: an SQLite file, as `solovs db backup` writes",
  description: "Configuration and history; neither users, tokens nor statistics.",
  alsoAnswers: ["application/vnd.sqlite3"],
  async handle(call) {
    const { zstd, revision } = await callHistory(call, "db_backup", {});
    const file = await Bun.zstdDecompress(Buffer.from(String(zstd), "base64"));
    const bytes = new Uint8Array(file);
    return {
      bytes,
      headers: {
        "content-type": "application/vnd.sqlite3",
        "content-disposition": `attachment; filename="solovs-revision-${revision}.db"`,
      },
    };
  },
});

export const restoredSchema = z.object({
  revision: z.number().int().nullable().describe("Null: this was the configuration already."),
  rows: z.number().int(),
  dropped: z.array(z.string()).describe("Tables and columns that this version does not know."),
});

export const restoreBackup = operation({
  tag,
  summary: "Replace the configuration by a backup's, as one revision",
  description:
    "Takes what GET /api/v1/backup and `solovs db backup` give, and Open vSwitch's conf.db. Going " +
    "back to the revision before undoes it.",
  bodyBinary: "An SQLite file, or one of ovsdb-server's.",
  maxBodyBytes: MOST_BYTES,
  response: restoredSchema,
  async handle(call) {
    const bytes = call.body as Uint8Array;
    if (bytes.length === 0) throw new HttpProblem(400, "Send the backup's bytes as the body.");
    const copy = readCopy(bytes, call.source.database.name);
    const rows = copy.rows.map(({ table, uuid, columns }): Json => [
      table,
      uuid,
      columns as JsonObject,
    ]);
    const reply = await callHistory(call, "db_replace", {
      rows,
      comment: "http: a backup restored",
      force: true,
    });
    const { revision, dropped } = reply as { revision: number | null; dropped: string[] };
    return {
      json: { revision, rows: rows.length, dropped },
      audit: `restored a backup of ${rows.length} rows`,
    };
  },
});

/** Files of either kind are read by name: the bytes pass through one that nobody else can open. */
function readCopy(bytes: Uint8Array, wanted: string): DatabaseCopy {
  const directory = mkdtempSync(join(tmpdir(), "solovs-restore-"));
  try {
    const file = join(directory, "backup");
    writeFileSync(file, bytes, { mode: 0o600 });
    const copy = readDatabaseFile(file);
    const name = isObject(copy.schema) ? copy.schema["name"] : undefined;
    if (name === wanted) return copy;
    throw new HttpProblem(400, `The file holds the database ${String(name)}, not ${wanted}.`);
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    const why = (error.details ?? error.message).replaceAll(directory, "").replaceAll(
      "/backup",
      "",
    );
    throw new HttpProblem(400, `This is no backup that can be read: ${why}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

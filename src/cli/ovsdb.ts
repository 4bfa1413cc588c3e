/**
 * `solovs ovsdb`: the database server alone, for any schema, in the foreground (foreground.ts). OVN's
 * northbound and southbound databases and vtep's run on it. Whoever wants `ovsdb-server`'s own command
 * line starts the executable through a link of that name (roles/).
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Json } from "../db/json.ts";
import { startDatabaseService } from "../db/service.ts";
import { unixPeer } from "../linux/peer.ts";
import { CommandError, EXIT, reason } from "./exit.ts";
import { runInForeground } from "./foreground.ts";
import { claimDatabase } from "./instance.ts";
import type { OvsdbOptions } from "./options.ts";
import { tlsSettings } from "./tls-options.ts";

function readSchema(file: string): Json {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(`cannot read the schema ${file}: ${reason(error)}`);
  }
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new CommandError(`the schema ${file} is not JSON: ${reason(error)}`);
  }
}

export async function ovsdb(options: OvsdbOptions): Promise<number> {
  if (options.remote.length === 0) {
    throw new CommandError(
      "nobody could reach the database: give --remote, such as --remote punix:/run/ovn/ovnnb_db.sock",
      EXIT.usage,
    );
  }
  const schema = options.schema === undefined ? {} : { schema: readSchema(options.schema) };
  const lock = claimDatabase(options.db);
  return await runInForeground({
    logLevel: options.logLevel,
    about: `database ${options.db}`,
    start(log) {
      const service = startDatabaseService({
        dbFile: resolve(options.db),
        ...schema,
        sockets: options.remote,
        identifyPeer: unixPeer,
        tls: tlsSettings(options),
        logger: log.logger("db"),
        tlsLogger: log.logger("stream_ssl"),
      });
      return { ready: `serving ${service.database.name}`, stop: () => service.close() };
    },
    release: () => lock.release(),
  });
}

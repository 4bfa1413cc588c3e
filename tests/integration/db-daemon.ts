/** A process that only serves the database, for tests that kill it: `db-daemon.ts DIR`. */
import { startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";

const [dir = "."] = process.argv.slice(2);
startDatabaseService({
  dbFile: `${dir}/conf.sqlite`,
  sockets: [`punix:${dir}/db.sock`],
  logger: new LogSink((line) => console.error(line)).logger("db"),
});
console.log("ready");

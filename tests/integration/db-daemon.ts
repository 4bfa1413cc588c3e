/** A process that only serves the database, for tests that kill it: `db-daemon.ts DIR KIND`. */
import { startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";

const [dir = ".", kind] = process.argv.slice(2);
startDatabaseService({
  dbFile: `${dir}/conf`,
  kindOfNewFile: kind === "ovsdb-file" ? kind : "sqlite",
  sockets: [`punix:${dir}/db.sock`],
  logger: new LogSink((line) => console.error(line)).logger("db"),
});
console.log(`pid ${process.pid}\nready`);

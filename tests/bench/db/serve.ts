/** The database server alone, as `main.ts` here starts it: `serve.ts DB-FILE SOCKET`. */
import { startDatabaseService } from "../../../src/db/service.ts";
import { LogSink } from "../../../src/log/log.ts";

const [dbFile = "", socket = ""] = process.argv.slice(2);
const service = startDatabaseService({
  dbFile,
  sockets: [`punix:${socket}`],
  logger: new LogSink((line) => console.error(line), "warn").logger("db"),
});
process.once("SIGTERM", () => {
  service.close();
  process.exit(0);
});

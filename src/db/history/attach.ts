/** Gives each database whose storage keeps a history its history, and a server the methods for it. */
import type { Logger } from "../../log/log.ts";
import type { Database } from "../database.ts";
import type { OvsdbServer } from "../server.ts";
import type { Retention } from "../storage/history-store.ts";
import { type HistoryClock, systemHistoryClock } from "./clock.ts";
import { ConfirmWindow } from "./confirm.ts";
import { History } from "./history.ts";
import { addHistoryMethods, type WithHistory } from "./methods.ts";

export interface HistoryOptions {
  readonly clock?: HistoryClock;
  /** Where the database itself does not set it. */
  readonly retention?: Retention;
}

export interface Histories {
  /**
   * Starts the history of a database, goes on with a commit-confirm window that is open in its file,
   * or goes back if its time is over: so before anybody is served. One that is added to the server
   * later is attached when somebody first asks for its history.
   */
  attach(database: Database): WithHistory;
  close(): void;
}

export function startHistories(
  server: OvsdbServer,
  logger: Logger,
  options: HistoryOptions = {},
): Histories {
  const clock = options.clock ?? systemHistoryClock();
  const attached = new Map<Database, WithHistory>();
  const attach = (database: Database): WithHistory => {
    const known = attached.get(database);
    if (known !== undefined) return known;
    const store = database.historyStore;
    const history = store && new History(database, store, clock, logger, options.retention);
    const window = history && new ConfirmWindow(history, clock, logger);
    const found = { database, history, window };
    attached.set(database, found);
    return found;
  };
  addHistoryMethods(server, (name) => {
    const database = server.databases.get(name);
    return database === undefined ? undefined : attach(database);
  });
  return {
    attach,
    close() {
      for (const { history, window } of attached.values()) {
        window?.close();
        history?.close();
      }
      attached.clear();
    },
  };
}

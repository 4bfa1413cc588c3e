/**
 * What `ovs-appctl -t ovsdb-server` may ask beyond what the database room itself answers: commands
 * about the process, and about what solovs does not do (replication), which say so.
 */
import { controlCommands, ControlError, type ControlOptions } from "../../../db/control.ts";
import type { OvsdbServer } from "../../../db/server.ts";
import { CommandError, type UnixctlServer } from "../../../slowpath/unixctl.ts";

export interface ServerCommandsOptions extends ControlOptions {
  readonly exit: () => void;
}

type Arity = readonly [minArguments: number, maxArguments: number];

export function registerServerCommands(
  unixctl: UnixctlServer,
  options: ServerCommandsOptions,
): void {
  for (const [name, command] of controlCommands(options)) {
    unixctl.register(name, {
      ...command,
      run: (args) => {
        try {
          return command.run(args);
        } catch (error) {
          if (error instanceof ControlError) throw new CommandError(error.message);
          throw error;
        }
      },
    });
  }
  const { server, exit } = options;
  const add = (
    name: string,
    usage: string,
    [minArguments, maxArguments]: Arity,
    run: (...args: string[]) => string | void,
  ): void =>
    unixctl.register(name, {
      usage,
      minArguments,
      maxArguments,
      run: (args) => run(...args) ?? "",
    });

  add("exit", "", [0, 0], () => {
    // The reply is to arrive before the socket goes.
    setTimeout(exit, 1);
  });
  let trimming: boolean | undefined;
  add("ovsdb-server/memory-trim-on-compaction", "on|off", [1, 1], (word) => {
    if (word !== "on" && word !== "off") throw new CommandError("invalid argument");
    // The collector of the runtime gives memory back by itself: there is nothing to switch.
    const enabled = word === "on";
    if (trimming === enabled) return;
    trimming = enabled;
    server.logger.info(`memory trimming after compaction ${enabled ? "enabled" : "disabled"}.`);
  });
  add(
    "ovsdb-server/perf-counters-show",
    "",
    [0, 0],
    () => "performance counter is not supported on this platform\n",
  );
  add("ovsdb-server/perf-counters-clear", "", [0, 0], () => {});
  registerReplication(add);
  registerTableLogging(add, server);
}

type Add = (
  name: string,
  usage: string,
  arity: Arity,
  run: (...args: string[]) => string | void,
) => void;

function registerReplication(add: Add): void {
  const refuse = (): never => {
    throw new CommandError("replication is not supported by solovs");
  };
  add("ovsdb-server/set-active-ovsdb-server", "", [1, 1], refuse);
  add("ovsdb-server/get-active-ovsdb-server", "", [0, 0], () => {});
  add("ovsdb-server/connect-active-ovsdb-server", "", [0, 0], refuse);
  add("ovsdb-server/disconnect-active-ovsdb-server", "", [0, 0], () => {});
  add("ovsdb-server/set-active-ovsdb-server-probe-interval", "", [1, 1], refuse);
  add("ovsdb-server/set-sync-exclude-tables", "", [0, 1], refuse);
  add("ovsdb-server/get-sync-exclude-tables", "", [0, 0], () => {});
  add("ovsdb-server/sync-status", "", [0, 0], () => "state: active\n");
}

/** Tables whose changes are logged, one line a row. */
function registerTableLogging(add: Add, server: OvsdbServer): void {
  const logged = new Map<string, () => void>();
  add("ovsdb-server/tlog-set", "DB:TABLE on|off", [2, 2], (spec = "", word = "") => {
    const command = word.toLowerCase();
    if (command !== "on" && command !== "off") throw new CommandError("invalid command argument");
    const [name = "", tableName = "", ...rest] = spec.split(":").filter((part) => part !== "");
    if (tableName === "" || rest.length > 0) throw new CommandError("invalid DB:TABLE argument");
    const database = server.databases.get(name);
    if (database === undefined) throw new CommandError("no such database");
    if (!database.tables.has(tableName)) throw new CommandError("no such table");
    const key = `${name}:${tableName}`;
    logged.get(key)?.();
    logged.delete(key);
    if (command === "off") return;
    const stop = database.onCommit(({ deltas }) => {
      for (const { table, uuid, before, after } of deltas) {
        if (table.schema.name !== tableName) continue;
        const what = before === undefined
          ? "inserted"
          : after === undefined
          ? "deleted"
          : "modified";
        server.logger.info(`table ${tableName}: row ${uuid} ${what}`);
      }
    });
    logged.set(key, stop);
  });
  add("ovsdb-server/tlog-list", "", [0, 0], () => {
    const sections = [...server.databases.values()]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, tables }) => {
        const rows = [...tables.keys()].sort().map((table) => {
          const state = logged.has(`${name}:${table}`) ? "ON" : "OFF";
          return `                ${table.padEnd(27)} ${state}\n`;
        });
        return `${name.padEnd(16)} \n${rows.join("")}`;
      });
    return "database        table                       logging\n" +
      "--------        -----                       -------\n" + sections.join("");
  });
}

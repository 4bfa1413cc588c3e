/** `monitor`, `monitor-cond`, `monitor-cond-since`: what is in tables, and then each change. */
import { isArray, isObject, type Json, type JsonObject, member } from "../../../db/json.ts";
import type { Column, DatabaseSchema, TableSchema } from "../../../db/schema/schema.ts";
import { parseCondition } from "../../../db/transaction/condition.ts";
import { compareAtoms, parseUuid, ZERO_UUID } from "../../../db/values/atom.ts";
import { Fatal } from "../fatal.ts";
import { nameOrder } from "../hash-order.ts";
import { toStderr, toStdout } from "../output.ts";
import type { Cell } from "../table.ts";
import type { ClientCommand, Connected } from "./command.ts";
import { ask, beChangeAware, fetchSchema, orFatal, parseJson } from "./requests.ts";

type Method = "monitor" | "monitor_cond" | "monitor_cond_since";

interface MonitoredTable {
  readonly table: TableSchema;
  readonly columns: readonly Column[];
  readonly request: Json;
}

const KINDS = ["initial", "insert", "delete", "modify"] as const;

function complain(problem: string): void {
  toStderr(`ovsdb-client: ${problem}\n`);
}

class Monitored {
  readonly columns: Column[] = [];

  constructor(
    private readonly command: Connected,
    readonly table: TableSchema,
  ) {}

  private add(column: Column): void {
    if (this.columns.includes(column)) {
      throw new Fatal(
        `${this.command.remote}: column "${column.name}" mentioned multiple times`,
      );
    }
    this.columns.push(column);
  }

  /** One `COLUMN,…` argument, in which `!KIND` leaves changes of a kind out. */
  request(arg: string): { readonly [member: string]: Json } {
    const before = this.columns.length;
    const excluded = new Set<string>();
    for (const word of arg.split(",")) {
      if (word === "") continue;
      if (KINDS.some((kind) => word === `!${kind}`)) excluded.add(word.slice(1));
      else this.add(this.column(word));
    }
    if (this.columns.length === before) {
      const all = [...this.table.columns.values()].sort((a, b) => compareAtoms(a.name, b.name));
      for (const column of all) if (!column.name.startsWith("_")) this.add(column);
      this.add(this.column("_version"));
    }
    const columns = this.columns.slice(before).map(({ name }) => name);
    if (excluded.size === 0) return { columns };
    const select = Object.fromEntries(KINDS.map((kind) => [kind, !excluded.has(kind)]));
    return { columns, select };
  }

  private column(name: string): Column {
    const column = this.table.columns.get(name);
    if (column !== undefined) return column;
    const { remote, database } = this.command;
    throw new Fatal(
      `${remote}: table "${this.table.name}" in ${database} does not have a ` +
        `column named "${name}"`,
    );
  }
}

function monitorTable(
  command: Connected,
  table: TableSchema,
  args: readonly string[],
  condition: Json | undefined,
): MonitoredTable {
  const monitored = new Monitored(command, table);
  const requests = (args.length === 0 ? [""] : args).map((arg, i) => {
    const request = monitored.request(arg);
    return i === 0 && condition !== undefined ? { ...request, where: condition } : request;
  });
  return { table, columns: monitored.columns, request: requests };
}

function chosenTables(
  command: Connected,
  schema: DatabaseSchema,
  args: readonly string[],
  condition: Json | undefined,
): MonitoredTable[] {
  const [name = "", ...columns] = args;
  if (name === "ALL") {
    if (condition !== undefined) throw new Fatal("ALL tables are not allowed with condition");
    return [...schema.tables.values()].sort((a, b) => compareAtoms(a.name, b.name))
      .map((table) => monitorTable(command, table, [], undefined));
  }
  const table = schema.tables.get(name);
  if (table === undefined) {
    throw new Fatal(
      `${command.remote}: ${command.database} does not have a table named "${name}"`,
    );
  }
  return [monitorTable(command, table, columns, condition)];
}

/** Prints updates of the tables, of which there may be several kinds. */
class UpdatePrinter {
  constructor(
    private readonly command: Connected,
    private readonly tables: readonly MonitoredTable[],
  ) {}

  /** `<table-updates>` of RFC 7047. */
  first(updates: Json, initial: boolean): void {
    this.print(updates, "<table-updates>", (uuid, update, columns) => {
      const [before, after] = [member(update, "old"), member(update, "new")];
      if (initial) return this.row(after, "initial", uuid, columns);
      if (before === undefined) return this.row(after, "insert", uuid, columns);
      if (after === undefined) return this.row(before, "delete", uuid, columns);
      return [
        ...this.row(before, "old", uuid, columns),
        ...this.row(after, "new", "", columns),
      ];
    });
  }

  /** `<table-updates2>`, which has differences. */
  second(updates: Json): void {
    this.print(updates, "<table-updates2>", (uuid, update, columns) => {
      const kind = ["delete", "initial", "modify", "insert"].find((name) =>
        member(update, name) !== undefined
      );
      if (kind === undefined) return [];
      if (kind === "delete") return [[{ text: uuid }, { text: kind }]];
      return this.row(member(update, kind), kind, uuid, columns);
    });
  }

  private print(
    updates: Json,
    what: string,
    rows: (uuid: string, update: JsonObject, columns: readonly Column[]) => Cell[][],
  ): void {
    if (!isObject(updates)) {
      complain(`${what} is not object`);
      return;
    }
    const { printer, timestamp } = this.command.options;
    for (const { table, columns } of this.tables) {
      const update = member(updates, table.name);
      if (update === undefined) continue;
      if (!isObject(update)) {
        complain(`<table-update> for table ${table.name} is not object`);
        continue;
      }
      toStdout(printer.print({
        ...(this.tables.length > 1 ? { caption: table.name } : {}),
        timestamp,
        headings: ["row", "action", ...columns.map(({ name }) => name)],
        rows: nameOrder(Object.keys(update)).flatMap((uuid) => {
          const row = member(update, uuid);
          if (isObject(row)) return rows(uuid, row, columns);
          complain("<row-update> is not object");
          return [];
        }),
      }));
    }
  }

  private row(
    row: Json | undefined,
    action: string,
    uuid: string,
    columns: readonly Column[],
  ): Cell[][] {
    if (!isObject(row)) {
      complain(row === undefined ? `missing ${action} row` : "<row> is not object");
      return [];
    }
    const cells = columns.map(({ name, type }): Cell => {
      const json = member(row, name);
      return json === undefined ? undefined : { json, type };
    });
    return [[{ text: uuid }, { text: action }, ...cells]];
  }
}

async function monitor(
  command: Connected,
  method: Method,
  args: readonly string[],
  condition: Json | undefined,
  lastId: string,
): Promise<void> {
  const { session, database, remote, options } = command;
  const { schema } = await fetchSchema(session, database);
  const tables = chosenTables(command, schema, args, condition);
  await beChangeAware(session, remote, options);
  const requests = Object.fromEntries(tables.map(({ table, request }) => [table.name, request]));
  const printer = new UpdatePrinter(command, tables);
  const { promise: over, reject } = Promise.withResolvers<never>();
  const updates = new Updates((name, params) => {
    if (name === "monitor_canceled") {
      reject(new Fatal(`${remote}: ${database} database was removed`));
    } else showNotification(printer, method, name, params);
  });
  session.onNotification((name, params) => updates.take(name, params));
  session.onClose(() => reject(new Fatal(`${remote}: receive failed (End of file)`)));
  registerControls(command, updates);
  const since = method === "monitor_cond_since" ? [lastId] : [];
  const content = await Promise.race([
    over,
    ask(session, method, [database, null, requests, ...since]),
  ]);
  showContent(printer, method, content);
  options.ready();
  updates.hold(false);
  await Promise.race([over, options.exiting]);
}

type Notify = (name: string, params: readonly Json[]) => void;

/** Keeps notifications back until what they are updates of is printed, and while told to. */
class Updates {
  private held: Parameters<Notify>[] | undefined = [];

  constructor(private readonly show: Notify) {}

  get holding(): boolean {
    return this.held !== undefined;
  }

  take(name: string, params: readonly Json[]): void {
    if (this.held === undefined) this.show(name, params);
    else this.held.push([name, params]);
  }

  hold(on: boolean): void {
    const { held = [] } = this;
    this.held = on ? held : undefined;
    if (!on) { for (const [name, params] of held) this.show(name, params); }
  }
}

function registerControls({ session, options }: Connected, updates: Updates): void {
  options.control("ovsdb-client/block", "", 0, () => {
    if (updates.holding) return "already blocking";
    updates.hold(true);
    return "";
  });
  options.control("ovsdb-client/unblock", "", 0, () => {
    if (!updates.holding) return "already unblocked";
    updates.hold(false);
    return "";
  });
  options.control("ovsdb-client/cond_change", "TABLE COND", 2, ([table = "", condition = ""]) => {
    const change = { [table]: [{ where: parseJson(condition) }] };
    session.request("monitor_cond_change", [null, null, change]).catch(() => {
      // As with the stock client, only its effect shows.
    });
    return "condition changed";
  });
}

function showContent(printer: UpdatePrinter, method: Method, content: Json): void {
  switch (method) {
    case "monitor":
      printer.first(content, true);
      return;
    case "monitor_cond":
      printer.second(content);
      return;
    case "monitor_cond_since": {
      const [found, lastId, updates] = isArray(content) ? content : [];
      if (updates === undefined) {
        complain("<result> is not array");
        return;
      }
      toStdout(`found: ${String(found)}, last_id: ${String(lastId)}\n`);
      printer.second(updates);
      return;
    }
    default: {
      const never: never = method;
      return never;
    }
  }
}

function showNotification(
  printer: UpdatePrinter,
  method: Method,
  name: string,
  params: readonly Json[],
): void {
  const [id, second, third] = params;
  if (id !== null || second === undefined) return;
  if (name === "update") printer.first(second, false);
  else if (name === "update2" && method === "monitor_cond") printer.second(second);
  else if (name === "update3" && method === "monitor_cond_since" && third !== undefined) {
    toStdout(`\nlast_id: ${String(second)}`);
    printer.second(third);
  }
}

/** CONDITION TABLE [COLUMN,…]: the condition is checked before the server sees it. */
async function monitorCondition(
  command: Connected,
  method: Method,
  args: readonly string[],
  lastId: string,
): Promise<void> {
  const [text = "", name = ""] = args;
  const { schema } = await fetchSchema(command.session, command.database);
  const table = schema.tables.get(name);
  if (table === undefined) {
    throw new Fatal(`${command.database} does not have a table named "${name}"`);
  }
  const condition = parseJson(text);
  if (!isArray(condition)) throw new Fatal("syntax error: array expected");
  orFatal(() => parseCondition(table, condition));
  await monitor(command, method, args.slice(1), condition, lastId);
}

async function monitorSince(command: Connected): Promise<void> {
  const [first = "", ...others] = command.args;
  const lastId = parseUuid(first);
  const args = lastId === undefined ? command.args : others;
  await monitorCondition(command, "monitor_cond_since", args, lastId ?? ZERO_UUID);
}

export const monitorCommands: readonly ClientCommand[] = [
  {
    name: "monitor",
    need: "database",
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    args: "[SERVER] [DATABASE] TABLE|ALL [COLUMN,...]...",
    help: "print what is in a table, and each change",
    run: (command) => monitor(command, "monitor", command.args, undefined, ZERO_UUID),
  },
  {
    name: "monitor-cond",
    need: "database",
    min: 2,
    max: 3,
    args: "[SERVER] [DATABASE] CONDITION TABLE [COLUMN,...]",
    help: "print only rows that match a condition",
    run: (command) => monitorCondition(command, "monitor_cond", command.args, ZERO_UUID),
  },
  {
    name: "monitor-cond-since",
    need: "database",
    min: 2,
    max: 4,
    args: "[SERVER] [DATABASE] [LASTID] CONDITION TABLE [COLUMN,...]",
    help: "print only what changed after a transaction",
    run: monitorSince,
  },
];

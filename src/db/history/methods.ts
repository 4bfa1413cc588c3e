/**
 * The history over the wire: JSON-RPC methods beside OVSDB's own, on the same sockets. Each takes the
 * database's name and, where there is something to say, an object; `docs/history.md` lists them.
 */
import type { Requester } from "../database.ts";
import { OvsdbError, syntaxError } from "../error.ts";
import { isArray, isObject, type Json, type JsonObject } from "../json.ts";
import { Members } from "../members.ts";
import { schemaToJson } from "../schema/schema.ts";
import type { OvsdbServer } from "../server.ts";
import type { Database } from "../database.ts";
import type { StoredRow } from "../storage/storage.ts";
import { parseUuid } from "../values/atom.ts";
import type { ConfirmWindow } from "./confirm.ts";
import { type Difference, type History, summaryToJson } from "./history.ts";
import { namesIn } from "./names.ts";
import type { Author } from "./revision.ts";

const DEFAULT_LOG = 20;
const LONGEST_LOG = 10_000;

/** A database and, if its storage keeps one, its history. */
export interface WithHistory {
  readonly database: Database;
  readonly history: History | undefined;
  readonly window: ConfirmWindow | undefined;
}

interface Call {
  readonly database: Database;
  readonly history: History;
  readonly window: ConfirmWindow;
  readonly caller: Requester;
  readonly author: Author;
  readonly options: Members;
}

/** Runs when all that has been executed is durable, within one turn. */
type Method = (call: Call) => Json | Promise<Json>;

const integer = (options: Members, name: string): number =>
  Number(options.required(name, "integer"));

function mayWrite({ readOnly, role }: Requester): void {
  // What these methods do is not one change of one row that a role's permissions could speak of.
  if (role !== undefined) throw new OvsdbError("not allowed", "not for clients with a role");
  if (readOnly) throw new OvsdbError("not allowed", "this client may only read");
}

function comment(options: Members, unset: string): string {
  return options.optional("comment", "string") ?? unset;
}

const differenceJson = (database: Database, { from, to, changes }: Difference): JsonObject => ({
  from,
  to,
  changes: changes as unknown as JsonObject,
  names: namesIn(changes, database.tables),
});

const methods: { readonly [name: string]: Method } = {
  config_log({ history, options }) {
    const limit = Number(options.optional("limit", "integer") ?? DEFAULT_LOG);
    const before = options.optional("before", "integer");
    options.finish();
    if (limit < 1 || limit > LONGEST_LOG) {
      throw new OvsdbError("bad limit", `give a limit of 1 to ${LONGEST_LOG}`);
    }
    const revisions = history.log(limit, before === undefined ? undefined : Number(before));
    return { ...history.range(), revisions: revisions.map(summaryToJson) };
  },

  config_show({ database, history, options }) {
    const number = integer(options, "revision");
    options.finish();
    const revision = history.show(number);
    const { changes } = revision;
    return {
      ...summaryToJson(revision),
      changes: changes as unknown as JsonObject,
      names: namesIn(changes, database.tables),
    };
  },

  config_diff({ database, history, options }) {
    const from = integer(options, "from");
    const to = options.optional("to", "integer");
    options.finish();
    return differenceJson(database, history.diff(from, Number(to ?? history.newest)));
  },

  config_rollback({ database, history, caller, author, options }) {
    const number = integer(options, "revision");
    const text = comment(options, `solovs: rollback to revision ${number}`);
    const dryRun = options.optional("dry_run", "boolean") ?? false;
    options.finish();
    mayWrite(caller);
    const difference = differenceJson(database, history.diff(history.newest, number));
    if (dryRun) return { ...difference, revision: null };
    const { readOnly } = caller;
    const revision = history.rollback(number, { author, readOnly, comment: text });
    return { ...difference, revision: revision ?? null };
  },

  config_confirm_within({ window, caller, author, options }) {
    const seconds = integer(options, "seconds");
    const extend = options.optional("extend", "boolean") ?? false;
    options.finish();
    mayWrite(caller);
    window.start(seconds, extend, author);
    return window.status();
  },

  config_confirm({ window, caller, options }) {
    options.finish();
    mayWrite(caller);
    window.confirm();
    return window.status();
  },

  config_cancel({ window, caller, author, options }) {
    options.finish();
    mayWrite(caller);
    return { ...window.status(), revision: window.cancel(author, caller.readOnly) ?? null };
  },

  config_status({ window, options }) {
    options.finish();
    return window.status();
  },

  db_content({ database, history, options }) {
    options.finish();
    const rows = [...database.storedRows()].map(({ table, uuid, columns }) => [
      table,
      uuid,
      columns,
    ]);
    return { schema: schemaToJson(database.schema), revision: history.newest, rows };
  },

  db_replace({ database, history, caller, author, options }) {
    const rows = parseRows(options.required("rows", "array"));
    const text = comment(options, "solovs: all configuration replaced");
    const force = options.optional("force", "boolean") ?? false;
    options.finish();
    mayWrite(caller);
    const { readOnly } = caller;
    const { kept, dropped } = knownColumns(rows, database);
    if (!force && history.isConfigured() && history.differsFrom(kept)) {
      throw new OvsdbError("not empty", "the database holds a configuration already");
    }
    const revision = history.replace(kept, { author, readOnly, comment: text });
    return { revision: revision ?? null, dropped };
  },

  async db_backup({ history, options }) {
    options.finish();
    const revision = history.newest;
    const file = await Bun.zstdCompress(history.snapshot(), { level: 3 });
    return { revision, zstd: Buffer.from(file).toString("base64") };
  },
};

function parseRows(json: readonly Json[]): StoredRow[] {
  return json.map((element) => {
    const [table, id, columns] = isArray(element) ? element : [];
    const uuid = typeof id === "string" ? parseUuid(id) : undefined;
    if (typeof table !== "string" || uuid === undefined || !isObject(columns)) {
      throw syntaxError(element, "[table, UUID, columns] expected");
    }
    return { table, uuid, columns };
  });
}

/** Rows of a newer or older schema, without what this one does not know; says what that was. */
function knownColumns(
  rows: readonly StoredRow[],
  { tables }: Database,
): { kept: StoredRow[]; dropped: string[] } {
  const dropped = new Set<string>();
  const kept = rows.flatMap(({ table, uuid, columns }) => {
    const schema = tables.get(table)?.schema;
    if (schema === undefined) {
      dropped.add(table);
      return [];
    }
    const known = Object.entries(columns).filter(([column]) => {
      if (schema.columns.has(column)) return true;
      dropped.add(`${table}.${column}`);
      return false;
    });
    return [{ table, uuid, columns: Object.fromEntries(known) }];
  });
  return { kept, dropped: [...dropped] };
}

function call(found: WithHistory, caller: Requester, options: Members): Call {
  const { database, history, window } = found;
  if (history === undefined || window === undefined) {
    throw new OvsdbError(
      "no history",
      `${database.name} is in a file of Open vSwitch's own kind, which keeps no history; move to an ` +
        "SQLite file with 'solovs db import'",
    );
  }
  const author = caller.author ?? { who: caller.who };
  return { database, history, window, caller, author, options };
}

/** Adds the methods to a server; `find` gives a database by its name. */
export function addHistoryMethods(
  server: OvsdbServer,
  find: (name: string) => WithHistory | undefined,
): void {
  for (const [name, method] of Object.entries(methods)) {
    const fullName = `solovs.${name}`;
    server.extensions.set(fullName, (params, caller, reply) => {
      const [databaseName, json = {}, ...rest] = params;
      const found = typeof databaseName === "string" ? find(databaseName) : undefined;
      if (found === undefined || rest.length > 0) {
        throw syntaxError(params, `${fullName}: [database, options] expected`, "unknown database");
      }
      const options = new Members(json, fullName);
      const fail = (error: unknown): void => {
        if (error instanceof OvsdbError) return reply({ error: error.toJson() });
        server.logger.err(`${fullName}: ${(error as Error).stack ?? String(error)}`);
        reply({ error: new OvsdbError("internal error", String(error)).toJson() });
      };
      found.database.settled(() => {
        try {
          const result = method(call(found, caller, options));
          if (result instanceof Promise) result.then((json) => reply({ result: json }), fail);
          else reply({ result });
        } catch (error) {
          fail(error);
        }
      });
    });
  }
}

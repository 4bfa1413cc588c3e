/** Requests to the server, with the messages that `ovsdb-client` has for what goes wrong. */
import { OvsdbError } from "../../../db/error.ts";
import { isArray, isObject, type Json, type JsonObject, member } from "../../../db/json.ts";
import { type DatabaseSchema, parseSchema } from "../../../db/schema/schema.ts";
import type { TlsSettings } from "../../../db/tls/settings.ts";
import type { OvsdbSession } from "../../../db/session.ts";
import { compareAtoms } from "../../../db/values/atom.ts";
import { connect, ConnectionFailed, defaultRemote } from "../connect.ts";
import { Fatal } from "../fatal.ts";
import { JsonArgumentError, parseJsonArgument } from "../json-argument.ts";
import { jsonText, unsortedJsonText } from "../json-text.ts";
import { type ClientOptions, errorJson, type Unconnected } from "./command.ts";

const PROGRAM = "ovsdb-client";

/** Resolves with the result. Throws `Fatal`. */
export async function ask(
  session: OvsdbSession,
  method: string,
  params: readonly Json[],
  { pretty = false }: { readonly pretty?: boolean } = {},
): Promise<Json> {
  try {
    return await session.request(method, params);
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    if (error.tag === "connection closed") throw new Fatal("transaction failed (End of file)");
    throw new Fatal(`transaction returned error: ${jsonText(errorJson(error), pretty)}`);
  }
}

/** Sorted. */
export async function databases(session: OvsdbSession): Promise<string[]> {
  const list = await ask(session, "list_dbs", []);
  if (!isArray(list)) throw new Fatal("list_dbs response is not array");
  return list.map((name, i) => {
    if (typeof name === "string") return name;
    throw new Fatal(`list_dbs response ${i} is not string`);
  }).sort(compareAtoms);
}

export interface FetchedSchema {
  readonly json: JsonObject;
  readonly schema: DatabaseSchema;
}

export async function fetchSchema(session: OvsdbSession, name: string): Promise<FetchedSchema> {
  return readSchema(await ask(session, "get_schema", [name]));
}

/** Throws `Fatal`. */
export function readSchema(json: Json): FetchedSchema {
  const schema = orFatal(() => parseSchema(json));
  return { json: json as JsonObject, schema };
}

/** What an `OvsdbError` says, as the message that ends the program. */
export function orFatal<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof OvsdbError) throw new Fatal(error.message);
    throw error;
  }
}

/** JSON from the command line. Throws `Fatal`. */
export function parseJson(text: string): Json {
  try {
    return parseJsonArgument(text);
  } catch (error) {
    if (error instanceof JsonArgumentError) throw new Fatal(`"${text}": ${error.message}`);
    throw error;
  }
}

export interface Opened {
  readonly session: OvsdbSession;
  readonly remote: string;
  readonly database: string;
  /** How many arguments named the server and the database. */
  readonly used: number;
}

const looksLikeRemote = (word: string): boolean => /^[A-Za-z].*:/s.test(word);

/**
 * Connects to the server that the first argument names, if it can be spared and looks like one, and
 * finds out which database is meant. Throws `Fatal`.
 */
export async function open(
  args: readonly string[],
  { tls }: Pick<ClientOptions, "tls">,
  min: number,
  need: "connection" | "database",
  known?: string,
): Promise<Opened> {
  const [first = ""] = args;
  const named = args.length > min && looksLikeRemote(first);
  const remote = named ? first : defaultRemote(process.env);
  const session = await openSession(remote, tls);
  let used = named ? 1 : 0;
  if (need === "connection" || known !== undefined) {
    return { session, remote, database: known ?? "", used };
  }
  const names = await databases(session).catch((error: unknown) => {
    session.close();
    throw error;
  });
  const next = args[used];
  if (args.length - used > min && next !== undefined && names.includes(next)) {
    return { session, remote, database: next, used: ++used };
  }
  const database = defaultDatabase(names);
  if (database !== undefined) return { session, remote, database, used };
  session.close();
  throw new Fatal("could not find a default database, please specify a database name");
}

/** Does something with the server that the first of two arguments names, or the default one. */
export async function withServer<T>(
  { args, options }: Unconnected,
  database: string,
  action: (opened: Opened) => Promise<T>,
): Promise<T> {
  const opened = await open(args, options, 1, "database", database);
  try {
    return await action(opened);
  } finally {
    opened.session.close();
  }
}

function defaultDatabase(names: readonly string[]): string | undefined {
  if (names.includes("Open_vSwitch")) return "Open_vSwitch";
  const [only, ...others] = names.filter((name) => !name.startsWith("_"));
  return others.length === 0 ? only : undefined;
}

async function openSession(remote: string, tls: TlsSettings): Promise<OvsdbSession> {
  try {
    return await connect(remote, PROGRAM, tls);
  } catch (error) {
    if (!(error instanceof ConnectionFailed)) throw error;
    const how = error.why.startsWith("Address family") ? "connect or listen" : "connect";
    throw new Fatal(`failed to ${how} to "${remote}" (${error.why})`);
  }
}

/** Keeps the connection when databases come and go, where the server offers that. */
export async function beChangeAware(
  session: OvsdbSession,
  remote: string,
  { changeAware }: ClientOptions,
): Promise<void> {
  if (changeAware === false) return;
  try {
    await session.request("set_db_change_aware", [true]);
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    if (error.tag === "connection closed") {
      throw new Fatal(`${remote}: error setting db_change_aware (End of file)`);
    }
    if (changeAware === true) {
      throw new Fatal(
        `${remote}: set_db_change_aware failed (${unsortedJsonText(errorJson(error))})`,
      );
    }
  }
}

/** The row that `_Server` has about a database, if any. */
export async function databaseInfo(
  session: OvsdbSession,
  name: string,
): Promise<JsonObject | undefined> {
  const select = { op: "select", table: "Database", where: [["name", "==", name]] };
  const results = await ask(session, "transact", ["_Server", select]);
  const [result] = isArray(results) ? results : [];
  const rows = isObject(result) ? member(result, "rows") : undefined;
  const [row] = isArray(rows) ? rows : [];
  return isObject(row) ? row : undefined;
}

/** Throws `Fatal` unless all operations of a transaction succeeded. */
export function checkResults(results: Json): void {
  if (!isArray(results)) throw new Fatal("result is not array");
  for (const result of results) {
    if (!isObject(result)) throw new Fatal("result array element is not object");
    if (member(result, "error") !== undefined) {
      throw new Fatal(`server returned error reply: ${jsonText(result)}`);
    }
  }
}

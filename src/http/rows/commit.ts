/**
 * Running a draft: one OVSDB transaction with the caller as its author, and then waiting until the
 * switch has acted on it.
 *
 * Each such transaction counts `next_cfg` up, as `ovs-vsctl` does; the switch writes what became of
 * interfaces together with `cur_cfg`. So when `cur_cfg` has reached it, errors of the interfaces that
 * the transaction touched are its outcome. With `atomic` a transaction with such an outcome is taken
 * back by another one; both are in the history.
 */
import type { Commit } from "../../db/commit.ts";
import type { Database } from "../../db/database.ts";
import { OvsdbError } from "../../db/error.ts";
import type { Author } from "../../db/history/revision.ts";
import { isObject, type Json, type JsonObject } from "../../db/json.ts";
import type { Row, Table } from "../../db/table.ts";
import type { Datum } from "../../db/values/datum.ts";
import { HttpProblem } from "../problem.ts";
import type { Draft } from "./draft.ts";
import { nameOf } from "./find.ts";
import { undoing } from "./undo.ts";

/** An interface that the switch could not set up. */
export interface InterfaceError {
  readonly interface: string;
  readonly error: string;
}

export interface Outcome {
  /** The switch has acted on the change. False when it did not within the time given. */
  readonly inForce: boolean;
  readonly nextCfg: number;
  readonly curCfg: number;
  readonly errors: readonly InterfaceError[];
}

export interface CommitOptions {
  readonly user: string;
  readonly address: string;
  /** 0: do not wait. */
  readonly waitSeconds: number;
  /** Take it back if the switch cannot do it. */
  readonly atomic: boolean;
  readonly signal: AbortSignal;
}

/** What was committed; `commit` is undefined where nothing but `next_cfg` changed. */
interface Done {
  readonly commit: Commit | undefined;
  readonly nextCfg: number;
}

const COUNT: readonly JsonObject[] = [
  { op: "mutate", table: "Open_vSwitch", where: [], mutations: [["next_cfg", "+=", 1]] },
  { op: "select", table: "Open_vSwitch", where: [], columns: ["next_cfg"] },
];

/** Commits the draft, durably, and waits. Throws `HttpProblem`; then nothing has changed. */
export async function commitDraft(draft: Draft, options: CommitOptions): Promise<Outcome> {
  draft.finish();
  const { database } = draft;
  const author: Author = { who: `http:${options.address}`, user: options.user };
  const run = (operations: readonly JsonObject[], words: string): Promise<Done> =>
    transact(database, operations, author, words);
  const done = await run(draft.operations, `http: ${draft.words.join("; ")}`.slice(0, 1000));
  const outcome = await outcomeOf(database, done, options);
  const bad = outcome.errors.length > 0 || (!outcome.inForce && options.waitSeconds > 0);
  if (!options.atomic || !bad) return outcome;
  const { errors } = outcome;
  const why = errors.length > 0
    ? errors.map((one) => `${one.interface}: ${one.error}`).join("; ")
    : `the switch did not act within ${options.waitSeconds} s`;
  const undo = done.commit === undefined ? [] : undoing(database, done.commit);
  if (undo === undefined) {
    throw new HttpProblem(
      409,
      `The switch could not do this (${why}), and it could not be undone either: somebody has ` +
        "changed the same configuration since. It stays as it is.",
      { members: { errors, undone: false } },
    );
  }
  const undone = await run(undo, `http: undone, because ${why}`.slice(0, 1000));
  await outcomeOf(database, undone, options);
  throw new HttpProblem(422, `The switch could not do this, and it was undone: ${why}.`, {
    members: { errors, undone: true },
  });
}

function transact(
  database: Database,
  operations: readonly JsonObject[],
  author: Author,
  words: string,
): Promise<Done> {
  return new Promise((resolve, reject) => {
    let commit: Commit | undefined;
    // The commit is told right before the reply, and the author is this call's alone.
    const stop = database.onCommit((each) => {
      if (each.author === author) commit = each;
    });
    const requester = { who: author.who, author, readOnly: false, holdsLock: () => false };
    const all: Json[] = [...operations, ...COUNT, { op: "comment", comment: words }];
    database.transact(all, requester, (results) => {
      stop();
      const failed = results.find((result) => isObject(result) && "error" in result);
      if (failed !== undefined) return reject(refusal(OvsdbError.fromJson(failed)));
      const counted = results[operations.length + 1] as JsonObject;
      const [row] = counted["rows"] as readonly JsonObject[];
      resolve({ commit, nextCfg: Number(row?.["next_cfg"] ?? 0) });
    });
  });
}

function refusal(error: OvsdbError): Error {
  const detail = error.details ?? error.message;
  switch (error.tag) {
    case "constraint violation":
    case "referential integrity violation":
      return new HttpProblem(409, detail);
    case "timed out":
      return new HttpProblem(409, "Somebody changed the same rows meanwhile: try again.");
    case "I/O error":
      return error;
    default:
      return new HttpProblem(400, detail);
  }
}

const numberOf = (table: Table | undefined, column: string): number => {
  const index = table?.schema.columns.get(column)?.index;
  const [root] = table?.rows.values() ?? [];
  return Number(root && index !== undefined ? (root.fields[index] as Datum).keys[0] ?? 0 : 0);
};

async function outcomeOf(database: Database, done: Done, options: CommitOptions): Promise<Outcome> {
  const curCfg = (): number => numberOf(database.tables.get("Open_vSwitch"), "cur_cfg");
  const inForce = await untilInForce(database, () => curCfg() >= done.nextCfg, options);
  const touched = done.commit === undefined ? [] : touchedInterfaces(database, done.commit);
  const errors = inForce ? touched.flatMap((row) => errorOf(database, row)) : [];
  return { inForce, nextCfg: done.nextCfg, curCfg: curCfg(), errors };
}

function untilInForce(
  database: Database,
  isInForce: () => boolean,
  { waitSeconds, signal }: CommitOptions,
): Promise<boolean> {
  if (isInForce() || waitSeconds === 0 || signal.aborted) return Promise.resolve(isInForce());
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      stop();
      signal.removeEventListener("abort", end);
      resolve(isInForce());
    };
    const timer = setTimeout(end, waitSeconds * 1000);
    const stop = database.onCommit(() => {
      if (isInForce()) end();
    });
    signal.addEventListener("abort", end);
  });
}

/** Interfaces that the commit made or changed, themselves or through their port or bridge. */
function touchedInterfaces(database: Database, { deltas }: Commit): Row[] {
  const uuids = new Set<string>();
  const addPort = (uuid: string): void => {
    const table = database.tables.get("Port");
    for (const one of uuidsIn(table, table?.rows.get(uuid), "interfaces")) uuids.add(one);
  };
  for (const { table: { schema }, uuid, after, changed } of deltas) {
    if (after === undefined) continue;
    if (schema.name === "Interface") uuids.add(uuid);
    else if (schema.name === "Port") addPort(uuid);
    else if (schema.name === "Bridge" && changed.some(({ name }) => name !== "ports")) {
      const table = database.tables.get("Bridge");
      for (const port of uuidsIn(table, table?.rows.get(uuid), "ports")) addPort(port);
    }
  }
  const rows = database.tables.get("Interface")?.rows;
  return [...uuids].flatMap((uuid) => rows?.get(uuid) ?? []);
}

function uuidsIn(table: Table | undefined, row: Row | undefined, column: string): string[] {
  const index = table?.schema.columns.get(column)?.index;
  if (row === undefined || index === undefined) return [];
  return (row.fields[index] as Datum).keys as string[];
}

function errorOf(database: Database, row: Row): InterfaceError[] {
  const table = database.tables.get("Interface") as Table;
  const index = table.schema.columns.get("error")?.index;
  const error = index === undefined ? undefined : (row.fields[index] as Datum).keys[0];
  if (typeof error !== "string") return [];
  return [{ interface: nameOf(table, row), error }];
}

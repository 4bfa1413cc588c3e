/**
 * `/api/v1/history` and `/api/v1/confirm`: what changed, when and by whom; the way back; changes that
 * take themselves back unless they are confirmed (docs/history.md). The same methods answer that
 * `solovs config` calls over the database's socket.
 */
import { z } from "zod";
import { OvsdbError } from "../../db/error.ts";
import type { Json, JsonObject } from "../../db/json.ts";
import { HttpProblem } from "../problem.ts";
import { collection, enoughFor } from "./collection.ts";
import { type Call, caller, operation, queryInteger } from "./route.ts";

const tag = "History";
/** As many as `config_log` tells at once. */
const MOST_REVISIONS = 10_000;

/** Calls one of the daemon's history methods as the request's user. */
export function callHistory(
  { source, principal, address }: Pick<Call, "source" | "principal" | "address">,
  method: string,
  options: JsonObject,
): Promise<JsonObject> {
  const { server, database } = source;
  const extension = server?.extensions.get(`solovs.${method}`);
  if (extension === undefined) throw new HttpProblem(404, "This database keeps no history.");
  const who = `http:${address}`;
  const author = { who, user: caller({ principal }).user };
  const requester = { who, author, readOnly: false, holdsLock: () => false };
  return new Promise((resolve, reject) => {
    extension([database.name, options], requester, (reply) => {
      if ("result" in reply) return resolve(reply.result as JsonObject);
      reject(refusal(OvsdbError.fromJson(reply.error as JsonObject)));
    });
  });
}

function refusal(error: OvsdbError): Error {
  const detail = error.details ?? error.message;
  switch (error.tag) {
    case "no history":
      return new HttpProblem(404, detail);
    case "not pending":
    case "already pending":
    case "cannot go back":
    case "not empty":
    case "constraint violation":
    case "referential integrity violation":
      return new HttpProblem(409, detail);
    case "I/O error":
    case "internal error":
      return error;
    default:
      return new HttpProblem(/revision/.test(error.tag) ? 404 : 400, detail);
  }
}

const json = z.custom<Json>(() => true);
const columns = z.record(z.string(), json);
const authorSchema = z.object({
  who: z.string(),
  pid: z.number().optional(),
  uid: z.number().optional(),
  user: z.string().optional(),
  command: z.string().optional(),
});
const summarySchema = z.object({
  revision: z.number().int(),
  time_ms: z.number(),
  kind: z.string(),
  author: authorSchema,
  comment: z.string().nullable(),
  inserted: z.number().int(),
  modified: z.number().int(),
  deleted: z.number().int(),
});
const changesSchema = z.record(
  z.string(),
  z.record(
    z.string(),
    z.object({
      name: z.string().optional(),
      old: columns.optional(),
      new: columns.optional(),
      members: z.record(z.string(), z.object({ removed: json, added: json })).optional(),
    }),
  ),
).describe("Table → UUID → the row's old and new columns, in OVSDB's notation.");
const namesSchema = z.record(z.string(), z.string()).describe("UUID → what people call the row.");

export const historySchema = z.object({
  oldest: z.number().int(),
  newest: z.number().int(),
  revisions: z.array(summarySchema),
});
export const revisionSchema = summarySchema.extend({ changes: changesSchema, names: namesSchema });
export const differenceSchema = z.object({
  from: z.number().int(),
  to: z.number().int(),
  changes: changesSchema,
  names: namesSchema,
});
export type HistoryJson = z.infer<typeof historySchema>;
export type RevisionJson = z.infer<typeof revisionSchema>;
export type DifferenceJson = z.infer<typeof differenceSchema>;

/** The revision that a path names. */
function numbered(params: Call["params"]): number {
  const { revision = "" } = params;
  if (/^\d{1,15}$/.test(revision)) return Number(revision);
  throw new HttpProblem(404, `${JSON.stringify(revision)} is no revision: they are numbers.`);
}

const before = queryInteger(1, Number.MAX_SAFE_INTEGER).optional()
  .describe("Only revisions below this number.");

const LIST = { query: { before }, limit: 50 };

export const listHistory = collection("revisions", {
  tag,
  summary: "Revisions of the configuration, newest first",
  response: historySchema,
  async handle(call) {
    const { before } = call.query as { before?: number };
    const enough = enoughFor(call.query, LIST);
    const limit = Math.min(enough ?? MOST_REVISIONS, MOST_REVISIONS);
    const json = await callHistory(call, "config_log", {
      limit,
      ...(before !== undefined && { before }),
    });
    if (enough === undefined) return { json };
    // Their numbers have no gaps.
    const [oldest, newest] = [Number(json["oldest"]), Number(json["newest"])];
    const last = Math.min(newest, (before ?? Infinity) - 1);
    return { json: { ...json, total: Math.max(0, last - oldest + 1) } };
  },
}, LIST);

export const showRevision = operation({
  tag,
  summary: "One revision, with what it changed",
  response: revisionSchema,
  async handle(call) {
    return { json: await callHistory(call, "config_show", { revision: numbered(call.params) }) };
  },
});

export const showDifference = operation({
  tag,
  summary: "What turns one revision's configuration into another's",
  query: z.strictObject({
    to: queryInteger(0, Number.MAX_SAFE_INTEGER).optional().describe("The newest unless set."),
  }),
  response: differenceSchema,
  async handle(call) {
    const { to } = call.query;
    const options = { from: numbered(call.params), ...(to !== undefined && { to }) };
    return { json: await callHistory(call, "config_diff", options) };
  },
});

export const rolledBackSchema = differenceSchema.extend({
  revision: z.number().int().nullable().describe("The revision that went back; null: no need to."),
});

export const rollBack = operation({
  tag,
  summary: "Go back to a revision",
  description: "That is a change like any other, and can itself be gone back from.",
  body: z.strictObject({
    comment: z.string().max(500).optional(),
    dryRun: z.boolean().default(false).describe("Only show what would change."),
  }),
  response: rolledBackSchema,
  async handle(call) {
    const { comment, dryRun } = call.body;
    const revision = numbered(call.params);
    const json = await callHistory(call, "config_rollback", {
      revision,
      dry_run: dryRun,
      ...(comment !== undefined && { comment }),
    });
    return { json, audit: `${dryRun ? "looked at going" : "went"} back to revision ${revision}` };
  },
});

export const confirmSchema = z.looseObject({
  pending: z.boolean(),
  base: z.number().int().optional().describe("The revision that is gone back to."),
  newest: z.number().int().optional(),
  remaining_ms: z.number().optional(),
  deadline_ms: z.number().optional(),
  author: authorSchema.optional(),
  last: z.looseObject({ state: z.string() }).nullable().optional()
    .describe("How the last window ended."),
});
export type ConfirmJson = z.infer<typeof confirmSchema>;

export const showConfirm = operation({
  tag,
  summary: "Whether changes wait for confirmation",
  response: confirmSchema,
  handle: async (call) => ({ json: await callHistory(call, "config_status", {}) }),
});

export const startConfirm = operation({
  tag,
  summary: "From now on, changes take themselves back unless confirmed in time",
  body: z.strictObject({
    seconds: z.number().int().min(1).max(7 * 24 * 3600),
    extend: z.boolean().default(false).describe("Move the deadline of the open window."),
  }),
  response: confirmSchema,
  async handle(call) {
    const { seconds } = call.body;
    return {
      json: await callHistory(call, "config_confirm_within", { ...call.body }),
      audit: `changes go back unless confirmed within ${seconds} s`,
    };
  },
});

export const keepChanges = operation({
  tag,
  summary: "Confirm: the changes stay",
  response: confirmSchema,
  handle: async (call) => ({
    json: await callHistory(call, "config_confirm", {}),
    audit: "confirmed",
  }),
});

export const cancelChanges = operation({
  tag,
  summary: "Take the changes back now",
  response: confirmSchema,
  async handle(call) {
    await callHistory(call, "config_cancel", {});
    return { json: await callHistory(call, "config_status", {}), audit: "cancelled, went back" };
  },
});

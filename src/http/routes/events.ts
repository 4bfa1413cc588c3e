/**
 * `/api/v1/events`: changes of the database as they are committed. `/api/v1/logs`: what is logged.
 * Both as server-sent events that can be gone on with after a break (`Last-Event-ID`).
 */
import { z } from "zod";
import type { Commit } from "../../db/commit.ts";
import type { Database } from "../../db/database.ts";
import type { Json } from "../../db/json.ts";
import type { Column } from "../../db/schema/schema.ts";
import type { RowDelta } from "../../db/table.ts";
import type { Datum } from "../../db/values/datum.ts";
import { nameOf, tableOf } from "../rows/find.ts";
import { shownRow, shownValue } from "../rows/values.ts";
import type { StreamEvent } from "../event-text.ts";
import type { LogLine } from "../log-tail.ts";
import type { SeenPacketIn } from "../packet-ins.ts";
import { toInstant } from "./names.ts";
import { bridgeOf } from "./running.ts";
import { type Call, operation, queryFlag, queryInteger } from "./route.ts";

const tag = "Live";
const EVENT_STREAM = ["text/event-stream"] as const;
const headers = { "Last-Event-ID": "The last event seen: those after it come first." } as const;

/** `reset`: what came after `Last-Event-ID` is not known any more; read everything anew. */
const RESET: StreamEvent = { event: "reset", data: {} };

const lastEventId = ({ header }: Call): string | undefined => header("last-event-id");

/** What a client that comes back has missed; `reset` first if that is not known any more. */
function missedOf<T>(
  call: Call,
  since: (id: string) => readonly T[] | undefined,
): (StreamEvent | { readonly missed: T })[] {
  const from = lastEventId(call);
  const missed = from === undefined ? [] : since(from);
  return missed === undefined ? [RESET] : missed.map((each) => ({ missed: each }));
}

type Wanted = (delta: RowDelta, column: Column) => boolean;

function changeOf(delta: RowDelta, wanted: Wanted): Record<string, unknown> | undefined {
  const { table, uuid, before, after, changed } = delta;
  const columns = changed.filter((column) => !column.name.startsWith("_") && wanted(delta, column));
  const row = after ?? before;
  if (row === undefined || columns.length === 0) return undefined;
  const label = { table: table.schema.name, uuid, name: nameOf(table, row) };
  if (after === undefined) return { ...label, change: "delete" };
  if (before === undefined) {
    return { ...label, change: "insert", values: shownRow(table.schema, after) };
  }
  const values = Object.fromEntries(
    columns.map(({ name, index, type }): [string, Json] => [
      name,
      shownValue(after.fields[index] as Datum, type),
    ]),
  );
  return { ...label, change: "modify", values };
}

function eventOf(commit: Commit, wanted: Wanted): StreamEvent | undefined {
  const rows = commit.deltas.flatMap((delta) => changeOf(delta, wanted) ?? []);
  if (rows.length === 0) return undefined;
  const { id, timeMs, author, comment = null } = commit;
  return { event: "change", id, data: { time: toInstant(timeMs), author, comment, rows } };
}

export const streamChanges = operation({
  tag,
  summary: "Changes of the database, as server-sent events",
  description:
    "`change` events: `time`, `author`, `comment`, and `rows` with `table`, `uuid`, `name`, `change` " +
    "(insert, modify, delete) and new `values`. `reset`: too much was missed, read anew.",
  headers,
  query: z.strictObject({
    tables: z.string().max(1000).optional().describe("Only these, separated by commas."),
    configuration: queryFlag.default(false)
      .describe("Without what the switch writes: status and statistics."),
  }),
  alsoAnswers: EVENT_STREAM,
  handle(call) {
    const { database, streams } = call.source;
    const { tables = "", configuration } = call.query;
    const wanted = wantedOf(database, call.query);
    const { signal, keepOpen, stillAllowed } = call;
    const stream = streams.open({
      signal,
      keepOpen,
      stillAllowed,
      // So that a client that saw nothing yet can go on from here too.
      first: () => [
        ...missedOf(call, (id) => database.commitsSince(id)),
        { event: "ready", id: database.lastTransactionId, data: {} },
      ],
      key: `changes ${configuration} ${tables}`,
      channel: {
        listen: (tell) => database.onCommit(tell),
        eventOf: (commit) => eventOf(commit, wanted),
      },
    });
    return { stream };
  },
});

function wantedOf(
  database: Database,
  query: { readonly tables?: string | undefined; readonly configuration: boolean },
): Wanted {
  const names = query.tables?.split(",").map((name) => tableOf(database, name).schema.name);
  const tables = names === undefined ? undefined : new Set(names);
  return ({ table: { schema } }, column) =>
    (tables === undefined || tables.has(schema.name)) &&
    (!query.configuration || database.isConfiguration(schema, column));
}

export const logSchema = z.object({
  lines: z.array(z.object({ id: z.string(), line: z.string() })),
  total: z.number().int().describe("How many of those that are kept have the text in them."),
  offset: z.number().int(),
});

export const listLog = operation({
  tag,
  summary: "The last lines of the log, oldest first",
  headers: { Accept: "`text/plain` for the lines alone." },
  query: z.strictObject({
    contains: z.string().max(1000).optional().describe("Only lines with this text in them."),
    sort: z.enum(["id", "-id"]).default("id").describe("`-id`: the newest first."),
    limit: queryInteger(1, 1000).default(100),
    offset: queryInteger(0, 1e9).default(0).describe("So many of the newest are left out."),
  }),
  response: logSchema,
  alsoAnswers: ["text/plain"],
  handle({ source, query: { contains = "", sort, limit, offset }, header }) {
    const found = source.logTail.last(Infinity).filter(({ line }) => line.includes(contains));
    const end = Math.max(0, found.length - offset);
    const lines = found.slice(Math.max(0, end - limit), end);
    if (sort === "-id") lines.reverse();
    if (header("accept")?.includes("text/plain") !== true) {
      return { json: { lines, total: found.length, offset } };
    }
    return { text: lines.map(({ line }) => `${line}\n`).join("") };
  },
});

export const streamLog = operation({
  tag,
  summary: "What is logged, as server-sent events",
  description: "`log` events with `line`. `reset`: too much was missed.",
  headers,
  query: z.strictObject({}),
  alsoAnswers: EVENT_STREAM,
  handle(call) {
    const { logTail, streams } = call.source;
    const { signal, keepOpen, stillAllowed } = call;
    const stream = streams.open({
      signal,
      keepOpen,
      stillAllowed,
      first: () => [...missedOf(call, (id) => logTail.since(id)), { event: "ready", data: {} }],
      key: "logs",
      channel: {
        listen: (tell) => logTail.listen(tell),
        eventOf: ({ id, line }: LogLine) => ({ event: "log", id, data: { line } }),
      },
    });
    return { stream };
  },
});

export const streamPacketIns = operation({
  tag,
  summary: "Packets that a bridge sends to controllers, as server-sent events",
  description:
    "`packet-in` events: `reason`, `table`, `cookie`, `inPort`, `inPortName`, `bytes` and " +
    "`data`, the first 512 bytes in base64. `reset`: too much was missed.",
  headers,
  query: z.strictObject({}),
  alsoAnswers: EVENT_STREAM,
  handle(call) {
    const { packetIns, streams } = call.source;
    const name = bridgeOf(call);
    const { signal, keepOpen, stillAllowed } = call;
    const stream = streams.open({
      signal,
      keepOpen,
      stillAllowed,
      first: () => [
        ...missedOf(call, (id) => packetIns.since(name, id)),
        { event: "ready", data: {} },
      ],
      key: `packet-ins ${name}`,
      channel: {
        listen: (tell) => packetIns.listen(name, tell),
        eventOf: ({ id, timeMs, view: { data, ...view } }: SeenPacketIn) => ({
          event: "packet-in",
          id,
          data: { time: toInstant(timeMs), ...view, data: Buffer.from(data).toString("base64") },
        }),
      },
    });
    return { stream };
  },
});

/** What the daemon's history methods answer, checked: another version may be at the other end. */
import { z } from "zod";
import type { Json } from "../../db/json.ts";
import { CommandError } from "../exit.ts";

const json = z.custom<Json>(() => true);
const columns = z.record(z.string(), json);
const rowChange = z.object({
  name: z.string().optional(),
  old: columns.optional(),
  new: columns.optional(),
  members: z.record(z.string(), z.object({ removed: json, added: json })).optional(),
});
const changes = z.record(z.string(), z.record(z.string(), rowChange));
const names = z.record(z.string(), z.string());
const author = z.object({
  who: z.string(),
  pid: z.number().optional(),
  uid: z.number().optional(),
  user: z.string().optional(),
  command: z.string().optional(),
});

const summary = z.object({
  revision: z.number(),
  time_ms: z.number(),
  kind: z.string(),
  author,
  comment: z.string().nullable(),
  inserted: z.number(),
  modified: z.number(),
  deleted: z.number(),
});
export const logReply = z.object({
  oldest: z.number(),
  newest: z.number(),
  revisions: z.array(summary),
});
export const showReply = summary.extend({ changes, names });
export const diffReply = z.object({ from: z.number(), to: z.number(), changes, names });
export const rollbackReply = diffReply.extend({ revision: z.number().nullable() });
export const statusReply = z.discriminatedUnion("pending", [
  z.object({
    pending: z.literal(true),
    base: z.number(),
    newest: z.number(),
    remaining_ms: z.number(),
    deadline_ms: z.number(),
    author,
    problem: z.string().optional(),
  }),
  z.object({
    pending: z.literal(false),
    last: z.object({
      state: z.enum(["confirmed", "cancelled", "expired", "failed"]),
      base: z.number(),
      endedMs: z.number(),
      revision: z.number().nullable(),
      problem: z.string().optional(),
    }).nullable(),
  }),
]);
export const cancelReply = z.object({ base: z.number(), revision: z.number().nullable() });
export const replaceReply = z.object({
  revision: z.number().nullable(),
  dropped: z.array(z.string()),
});
export const backupReply = z.object({ revision: z.number(), zstd: z.string() });
export const contentReply = z.object({
  revision: z.number(),
  schema: z.custom<Json>((value) => typeof value === "object" && value !== null),
  rows: z.array(z.tuple([z.string(), z.string(), columns])),
});

export type Author = z.infer<typeof author>;
export type Summary = z.infer<typeof summary>;
export type Shown = z.infer<typeof showReply>;
export type Difference = z.infer<typeof diffReply>;
export type RowChange = z.infer<typeof rowChange>;
export type Status = z.infer<typeof statusReply>;

export function checked<T>(schema: z.ZodType<T>, json: Json): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new CommandError(`the daemon's answer makes no sense: ${z.prettifyError(result.error)}`);
}

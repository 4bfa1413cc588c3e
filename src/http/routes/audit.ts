/** `/api/v1/audit`: every request that changed something or tried to. */
import { z } from "zod";
import { LIMITS } from "../auth/store.ts";
import { collection, enoughFor } from "./collection.ts";
import { instant, toInstant } from "./names.ts";
import { queryInteger } from "./route.ts";

export const auditSchema = z.object({
  entries: z.array(z.object({
    id: z.number().int(),
    time: instant,
    user: z.string(),
    via: z.string().describe("`session`, `token NAME`, or `none`."),
    address: z.string(),
    method: z.string(),
    path: z.string(),
    status: z.number().int(),
    detail: z.string(),
  })),
});

const before = queryInteger(1, Number.MAX_SAFE_INTEGER).optional()
  .describe("Only entries below this id.");

const LIST = { query: { before }, limit: 100 };

export const readAudit = collection("entries", {
  tag: "Users",
  summary: "The audit log, newest first",
  response: auditSchema,
  handle({ access, query }) {
    const { before } = query as { before?: number };
    const enough = enoughFor(query, LIST);
    const entries = access.audit.read(enough ?? LIMITS.auditEntries, before)
      .map(({ timeMs, ...entry }) => ({ ...entry, time: toInstant(timeMs) }));
    return {
      json: { entries, ...(enough !== undefined && { total: access.audit.count(before) }) },
    };
  },
}, LIST);

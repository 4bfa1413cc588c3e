/** `/api/v1/audit`: every request that changed something or tried to. */
import { z } from "zod";
import { LIMITS } from "../auth/store.ts";
import { collection } from "./collection.ts";
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

export const readAudit = collection("entries", {
  tag: "Users",
  summary: "The audit log, newest first",
  response: auditSchema,
  handle({ access, query }) {
    const entries = access.audit.read(LIMITS.auditEntries, (query as { before?: number }).before)
      .map(({ timeMs, ...entry }) => ({ ...entry, time: toInstant(timeMs) }));
    return { json: { entries } };
  },
}, { query: { before }, limit: 100 });

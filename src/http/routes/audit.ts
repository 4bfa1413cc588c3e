/** `/api/v1/audit`: every request that changed something or tried to. */
import { z } from "zod";
import { instant, toInstant } from "./names.ts";
import { operation, queryInteger } from "./route.ts";

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

export const readAudit = operation({
  tag: "Users",
  summary: "The audit log, newest first",
  query: z.strictObject({
    limit: queryInteger(1, 1000).default(100),
    before: queryInteger(1, Number.MAX_SAFE_INTEGER).optional().describe(
      "Only entries below this id.",
    ),
  }),
  response: auditSchema,
  handle({ access, query: { limit, before } }) {
    const entries = access.audit.read(limit, before)
      .map(({ timeMs, ...entry }) => ({ ...entry, time: toInstant(timeMs) }));
    return { json: { entries } };
  },
});

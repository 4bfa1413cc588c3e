/** What all routes share that change the configuration: query, outcome, running a draft. */
import { z } from "zod";
import { ifMatchHeader } from "../entity-tag.ts";
import { commitDraft, type CommitOptions, type Outcome } from "../rows/commit.ts";
import type { Draft } from "../rows/draft.ts";
import { type Call, caller, queryFlag, queryInteger } from "./route.ts";

export const changeQuery = z.strictObject({
  wait: queryInteger(0, 60).default(10)
    .describe("Seconds to wait until the switch has acted, 0 to 60; 10 unless set."),
  atomic: queryFlag.default(false)
    .describe("Undo the change if the switch cannot do it, and answer 422."),
});
export type ChangeQuery = z.infer<typeof changeQuery>;

export const outcomeSchema = z.object({
  inForce: z.boolean().describe("The switch has acted on the change."),
  nextCfg: z.number().int(),
  curCfg: z.number().int(),
  errors: z.array(z.object({ interface: z.string(), error: z.string() }))
    .describe("Interfaces that the switch could not set up, and why. They stay configured."),
});

/** A row: `_uuid`, and columns by name. */
export const rowSchema = z.looseObject({ _uuid: z.string() });
/** Columns to set: any JSON, checked against the column's type. */
export const valuesSchema = z.record(z.string(), z.unknown());

export const ifMatchRow = ifMatchHeader("the row");

export function run(draft: Draft, call: Call<ChangeQuery, unknown>): Promise<Outcome> {
  const { query, address, signal } = call;
  const options: CommitOptions = {
    user: caller(call).user,
    address,
    waitSeconds: query.wait,
    atomic: query.atomic,
    signal,
  };
  return commitDraft(draft, options);
}

/** For the audit log. */
export const auditText = (draft: Draft, { errors }: Outcome): string =>
  draft.words.join("; ") + (errors.length > 0 ? ` (${errors.length} interfaces failed)` : "");

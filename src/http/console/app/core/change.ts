/** Changes of the configuration as pages make them: with their outcome, and a way back. */
import type { z } from "zod";
import type { HistoryJson } from "../../../routes/history.ts";
import type { outcomeSchema } from "../../../routes/configure.ts";
import { Refused } from "./api.ts";
import type { App } from "./app.ts";
import type { Translate } from "./translate.ts";

export type Outcome = z.infer<typeof outcomeSchema>;
export interface Changed {
  readonly outcome: Outcome;
}

export interface Change {
  readonly method: "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  /** Of what is changed, as it was read. */
  readonly etag?: string | null;
  /** What to say when it is done. */
  readonly said: string;
  /** Take it back unless it is confirmed within so many seconds. */
  readonly confirmWithin?: number | undefined;
}

/** Tells the banner that a window was opened. */
const announce = (): void => void dispatchEvent(new Event("solovs-confirm"));

/** Throws `Refused`. Interfaces that could not be set up are in the outcome, and said. */
export async function applyChange(app: App, t: Translate, change: Change): Promise<Outcome> {
  const { api, toasts } = app;
  const { method, path, body, etag, said, confirmWithin } = change;
  if (confirmWithin !== undefined) {
    await api.ask("POST", "/confirm", { body: { seconds: confirmWithin, extend: true } });
    announce();
  }
  const { outcome } = await api.ask<Changed>(method, path, {
    ...(body !== undefined && { body }),
    ...(etag && { headers: { "if-match": etag } }),
  });
  const undo = await undoing(app, t);
  for (const { interface: name, error } of outcome.errors) toasts.bad(`${name}: ${error}`);
  if (!outcome.inForce) toasts.bad(t("It is stored, but the switch has not acted on it yet."));
  toasts.good(said, undo);
  return outcome;
}

/** What takes the newest revision back; undefined where there is no history. */
async function undoing(app: App, t: Translate) {
  const { api, toasts, router } = app;
  const newest = (): Promise<number> =>
    api.get<HistoryJson>("/history?limit=1").then(({ newest }) => newest);
  const made = await newest().catch(() => undefined);
  if (made === undefined) return undefined;
  const run = async (): Promise<void> => {
    try {
      if (await newest() !== made) {
        toasts.bad(
          t("Something else was changed since: choose in the history what to go back to."),
        );
        return router.go(["history"]);
      }
      await api.ask("POST", `/history/${made - 1}/rollback`, { body: {} });
      toasts.good(t("Undone."));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toasts.bad(error.message);
    }
  };
  return { label: t("Undo"), run: () => void run() };
}

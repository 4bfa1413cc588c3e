/** `solovs status`: the switch on one page. */
import type { Bridges } from "../../http/routes/bridges.ts";
import type { ReadingJson } from "../../http/routes/statistics.ts";
import type { Status } from "../../http/routes/status.ts";
import { EXIT } from "../exit.ts";
import { ApiClient, type ApiOptions } from "./client.ts";
import { problemsOf, statusText } from "./text.ts";

export interface StatusOptions extends ApiOptions {
  readonly json: boolean;
}

/** Exit code 1 when something ought to be looked at. */
export async function status(options: StatusOptions): Promise<number> {
  const api = new ApiClient(options);
  const [whole, { bridges }, reading] = await Promise.all([
    api.get<Status>("/status"),
    api.get<Bridges>("/bridges"),
    api.get<ReadingJson>("/statistics"),
  ]);
  const problems = problemsOf(bridges);
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ status: whole, bridges, statistics: reading, problems })}\n`
      : statusText(whole, bridges, reading),
  );
  return problems.length === 0 && whole.configuration.inForce ? EXIT.ok : EXIT.failure;
}

/** How `status` and `top` ask the switch: its HTTP API, by the socket in its run directory. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CommandError } from "../exit.ts";

export interface ApiOptions {
  readonly runDir: string;
  /** Another switch: `https://192.0.2.1:8080`. */
  readonly url?: string;
  /** For it; else $SOLOVS_TOKEN. */
  readonly token?: string;
}

export class ApiClient {
  private readonly base: string;
  private readonly init: { readonly unix?: string; readonly headers: Record<string, string> };

  constructor({ runDir, url, token = process.env["SOLOVS_TOKEN"] }: ApiOptions) {
    const headers: Record<string, string> = { accept: "application/json" };
    if (url !== undefined) {
      if (token === undefined || token === "") {
        throw new CommandError("another switch wants a token: --token TOKEN, or $SOLOVS_TOKEN");
      }
      headers["authorization"] = `Bearer ${token}`;
      this.base = url.replace(/\/$/, "");
      this.init = { headers };
      return;
    }
    const unix = join(runDir, "http.sock");
    if (!existsSync(unix)) {
      throw new CommandError(
        `there is no ${unix}: is 'solovs run' running? Say where with --run-dir DIR, or ask ` +
          "another switch with --url URL --token TOKEN",
      );
    }
    this.base = "http://localhost";
    this.init = { unix, headers };
  }

  async open(path: string, signal?: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.base}/api/v1${path}`, {
        ...this.init,
        ...(signal && { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new CommandError(
        `the switch at ${this.init.unix ?? this.base} does not answer: ${why}`,
      );
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({})) as { detail?: unknown };
    throw new CommandError(String(problem.detail ?? `the switch answered ${response.status}`));
  }

  async get<T>(path: string): Promise<T> {
    return await (await this.open(path)).json() as T;
  }
}

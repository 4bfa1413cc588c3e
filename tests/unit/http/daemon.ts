/** A whole daemon without devices in this process, with its HTTP API on a free port. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Daemon, startDaemon } from "../../../src/cli/daemon.ts";
import type { RunOptions } from "../../../src/cli/options.ts";
import { LogSink } from "../../../src/log/log.ts";

export class TestDaemon {
  private constructor(
    readonly daemon: Daemon,
    private readonly directory: string,
    readonly token: string,
    readonly lines: readonly string[],
  ) {}

  static async start(): Promise<TestDaemon> {
    const directory = mkdtempSync(join(tmpdir(), "solovs-http-"));
    const lines: string[] = [];
    const options: RunOptions = {
      runDir: directory,
      db: join(directory, "solovs.db"),
      http: { host: "127.0.0.1", port: 0 },
      remote: [],
      logLevel: [],
      dummy: true,
      datapath: "userspace",
    };
    const daemon = await startDaemon(options, new LogSink((line) => lines.push(line)), () => {});
    const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${daemon.httpUrl}/api/v1${path}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers,
      });
    const token = new URL(daemon.setupUrl!).hash.slice("#setup=".length);
    const made = await post("/setup", { token, name: "root", password: "a long password" });
    const { csrfToken } = await made.json() as { csrfToken: string };
    const cookie = made.headers.get("set-cookie")!.split(";")[0]!;
    const answer = await post("/tokens", { name: "test", role: "admin" }, {
      cookie,
      "x-csrf-token": csrfToken,
    });
    const { token: bearer } = await answer.json() as { token: string };
    return new TestDaemon(daemon, directory, bearer, lines);
  }

  fetch(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${this.token}`, ...init.headers };
    return fetch(`${this.daemon.httpUrl}${path}`, { ...init, method, headers });
  }

  /** `body`: a text as it is, anything else as JSON. */
  async ask(method: string, path: string, body?: unknown, headers = {}) {
    const response = await this.fetch(method, `/api/v1${path}`, {
      headers,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    // deno-lint-ignore no-explicit-any
    const json: any = /json/.test(type) ? JSON.parse(text) : undefined;
    return { status: response.status, type, text, json };
  }

  async stop(): Promise<void> {
    await this.daemon.stop();
    rmSync(this.directory, { recursive: true });
  }
}

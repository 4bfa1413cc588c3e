/** The HTTP API of a running solovs as a script uses it: set up by the link in the log, then a token. */
import { eventually } from "./eventually.ts";
import { type HttpAnswer, httpFetch } from "./http.ts";
import type { Namespace } from "./netns.ts";

export const ADMIN = { name: "root", password: "a password for tests" } as const;

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A text as it is, anything else as JSON. */
  readonly body?: unknown;
}

export class HttpApi {
  private constructor(readonly ns: Namespace, readonly url: string, readonly token: string) {}

  /** Makes the first user and a token of it. `log` gives what solovs has logged so far. */
  static async setUp(
    ns: Namespace,
    log: () => string,
    url = "http://127.0.0.1:8080",
  ): Promise<HttpApi> {
    await eventually("the set-up link is in the log", () => log().includes("/#setup="));
    const token = /#setup=([\w-]+)/.exec(log())![1];
    const made = await httpFetch(ns, `${url}/api/v1/setup`, {
      method: "POST",
      body: JSON.stringify({ token, ...ADMIN }),
    });
    if (made.status !== 201) throw new Error(`set-up: ${made.status} ${made.body}`);
    const answer = await httpFetch(ns, `${url}/api/v1/tokens`, {
      method: "POST",
      body: JSON.stringify({ name: "tests", role: "admin", days: 1 }),
      headers: {
        cookie: made.headers["set-cookie"]!.split(";")[0]!,
        "x-csrf-token": JSON.parse(made.body).csrfToken,
      },
    });
    if (answer.status !== 201) throw new Error(`token: ${answer.status} ${answer.body}`);
    return new HttpApi(ns, url, JSON.parse(answer.body).token);
  }

  request(method: string, path: string, options: RequestOptions = {}): Promise<HttpAnswer> {
    const { headers = {}, body } = options;
    return httpFetch(this.ns, `${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...headers },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }
}

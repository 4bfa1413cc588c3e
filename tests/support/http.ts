/** HTTP requests from inside a namespace: a child process does them, for fetch has threads of its own. */
import type { Namespace } from "./netns.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const SCRIPT = `
const [url, init] = JSON.parse(process.argv.at(-1));
const response = await fetch(url, init);
const headers = Object.fromEntries(response.headers);
console.log(JSON.stringify({ status: response.status, headers, body: await response.text() }));
`;

export async function httpFetch(
  from: Namespace,
  url: string,
  init: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<HttpAnswer> {
  // The compiled test runner or Bun itself: both run a script given with -e.
  const argv = [process.execPath, "-e", SCRIPT, "--", JSON.stringify([url, init])];
  return JSON.parse(await from.must(argv, { timeoutMs: 10_000 })) as HttpAnswer;
}

/** `solovs top`: the busiest ports, live in the terminal; or so many readings, one after the other. */
import type { ReadingJson } from "../../http/routes/statistics.ts";
import { EXIT } from "../exit.ts";
import { ApiClient, type ApiOptions } from "../status/client.ts";
import { topText } from "../status/text.ts";

export interface TopOptions extends ApiOptions {
  /** End after so many readings. */
  readonly count?: number;
}

/** The alternate screen without a cursor, and back (ECMA-48, xterm). */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
/** q, Ctrl-C, Escape. */
const ENDING_KEYS: ReadonlySet<number> = new Set([0x71, 0x03, 0x1b]);
const HOME = "\x1b[H\x1b[2J";

export async function top(options: TopOptions): Promise<number> {
  const api = new ApiClient(options);
  const stop = new AbortController();
  const response = await api.open("/statistics/stream", stop.signal);
  const { stdout, stdin } = process;
  const screen = stdout.isTTY === true;
  const end = (): void => stop.abort();
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  if (screen) stdout.write(ENTER);
  if (screen && stdin.isTTY === true) {
    stdin.setRawMode(true);
    stdin.on("data", (keys: Buffer) => {
      if (keys.some((key) => ENDING_KEYS.has(key))) end();
    });
  }
  try {
    let shown = 0;
    for await (const reading of readings(response)) {
      const [height, width] = screen ? [stdout.rows ?? 24, stdout.columns ?? 80] : [1e6, 1e6];
      const text = topText(reading, height - 1, width);
      stdout.write(screen ? HOME + text.replaceAll("\n", "\r\n") : `${text}\n\n`);
      if (++shown === options.count) break;
    }
    return EXIT.ok;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return EXIT.ok;
  } finally {
    stop.abort();
    process.off("SIGINT", end);
    process.off("SIGTERM", end);
    if (screen) stdout.write(LEAVE);
    if (screen && stdin.isTTY === true) {
      stdin.setRawMode(false);
      stdin.pause();
    }
  }
}

/** The `statistics` events of a stream (HTML Standard §9.2.6). */
async function* readings(response: Response): AsyncGenerator<ReadingJson> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) {
      if (!/^event: statistics$/m.test(event)) continue;
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data !== undefined) yield JSON.parse(data) as ReadingJson;
    }
  }
}

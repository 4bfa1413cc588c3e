/**
 * Server-sent events (HTML Standard §9.2). A stream ends when its client goes, may no longer read it,
 * or does not read: then it comes back with `Last-Event-ID` and gets what it missed.
 *
 * Limits: MOST_STREAMS at once; MOST_UNREAD_BYTES that a client has not taken.
 */
import { HttpProblem } from "./problem.ts";

export const MOST_STREAMS = 256;
const MOST_UNREAD_BYTES = 1 << 20;
/** A comment is sent this often, so that nobody on the way takes the connection for dead. */
const SIGN_OF_LIFE_MS = 15_000;

export interface StreamEvent {
  readonly event: string;
  readonly id?: string;
  readonly data: unknown;
}

export type Send = (event: StreamEvent) => void;

export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly keepOpen: () => void;
  readonly stillAllowed: () => boolean;
  /** Begins to send; returns what ends it. */
  readonly start: (send: Send) => () => void;
}

export class Streams {
  private readonly open_ = new Set<() => void>();

  get size(): number {
    return this.open_.size;
  }

  /** Throws `HttpProblem` when there are too many. */
  open({ signal, keepOpen, stillAllowed, start }: StreamOptions): ReadableStream<Uint8Array> {
    if (this.open_.size >= MOST_STREAMS) {
      throw new HttpProblem(503, `${MOST_STREAMS} event streams are open: close one.`, {
        headers: { "retry-after": "10" },
      });
    }
    keepOpen();
    const encoder = new TextEncoder();
    let stop = (): void => {};
    let timer: ReturnType<typeof setInterval> | undefined;
    let ended = false;
    let end = (): void => {};
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        end = (): void => {
          if (ended) return;
          ended = true;
          clearInterval(timer);
          signal.removeEventListener("abort", end);
          this.open_.delete(end);
          stop();
          try {
            controller.close();
          } catch {
            // The client closed it.
          }
        };
        const put = (text: string): void => {
          if (ended) return;
          if ((controller.desiredSize ?? 0) <= 0) return end();
          controller.enqueue(encoder.encode(text));
        };
        this.open_.add(end);
        signal.addEventListener("abort", end);
        put(": solovs\n\n");
        timer = setInterval(() => (stillAllowed() ? put(":\n\n") : end()), SIGN_OF_LIFE_MS);
        stop = start((event) => put(eventText(event)));
        // It may have ended while it was started.
        if (ended) stop();
      },
      cancel: () => end(),
    }, new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD_BYTES }));
  }

  close(): void {
    for (const end of [...this.open_]) end();
  }
}

function eventText({ event, id, data }: StreamEvent): string {
  const head = id === undefined ? "" : `id: ${id}\n`;
  return `${head}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

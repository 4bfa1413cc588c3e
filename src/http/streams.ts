/**
 * Server-sent events (HTML Standard §9.2). A stream ends when its client goes, may no longer read it,
 * or does not read: then it comes back with `Last-Event-ID` and gets what it missed.
 *
 * Limits: MOST_STREAMS at once; MOST_UNREAD_BYTES that a client has not taken.
 */
import { type ChannelOptions, Channels } from "./channel.ts";
import { encodeComment, encodeEvent, type StreamEvent } from "./event-text.ts";
import { HttpProblem } from "./problem.ts";

export const MOST_STREAMS = 256;
const MOST_UNREAD_BYTES = 1 << 20;
/** A comment is sent this often, so that nobody on the way takes the connection for dead. */
const SIGN_OF_LIFE_MS = 15_000;

export interface StreamOptions<T> {
  readonly signal: AbortSignal;
  readonly keepOpen: () => void;
  readonly stillAllowed: () => boolean;
  /** What comes first. `missed` is something that `channel` makes an event of. */
  readonly first: () => readonly (StreamEvent | { readonly missed: T })[];
  /** What comes then. Streams of one key share its events: the key says all that they depend on. */
  readonly channel: ChannelOptions<T>;
  readonly key: string;
}

export class Streams {
  private readonly open_ = new Set<() => void>();
  private readonly channels = new Channels();

  get size(): number {
    return this.open_.size;
  }

  /** Throws `HttpProblem` when there are too many. */
  open<T>(options: StreamOptions<T>): ReadableStream<Uint8Array> {
    const { signal, keepOpen, stillAllowed, first, channel, key } = options;
    if (this.open_.size >= MOST_STREAMS) {
      throw new HttpProblem(503, `${MOST_STREAMS} event streams are open: close one.`, {
        headers: { "retry-after": "10" },
      });
    }
    keepOpen();
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
        const put = (bytes: Uint8Array): void => {
          if (ended) return;
          if ((controller.desiredSize ?? 0) <= 0) return end();
          controller.enqueue(bytes);
        };
        this.open_.add(end);
        signal.addEventListener("abort", end);
        put(encodeComment(" solovs"));
        timer = setInterval(
          () => (stillAllowed() ? put(encodeComment("")) : end()),
          SIGN_OF_LIFE_MS,
        );
        for (const each of first()) {
          const event = "missed" in each ? channel.eventOf(each.missed) : each;
          if (event !== undefined) put(encodeEvent(event));
        }
        // Asked anew for each: what happens after a token is revoked is not for its holder.
        const tell = (bytes: Uint8Array): void => stillAllowed() ? put(bytes) : end();
        stop = this.channels.join(key, channel, tell);
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

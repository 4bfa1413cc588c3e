/**
 * Events that many streams want alike: each is made and encoded once, and all get the same bytes.
 *
 *     source ──tell──> eventOf ──> encoded ──(GATHER_MS)──> every stream that has joined
 *
 * The first event after a quiet time goes out at once; those that come within GATHER_MS after it go
 * out together, in order, as one piece: a hundred streams cost a hundred writes for it, not for each.
 * Nobody who joins gets an event twice or misses one: what waits goes to the earlier ones first.
 */
import { encodeEvent, type StreamEvent } from "./event-text.ts";

const GATHER_MS = 100;
/** Events that wait at most. */
const MOST_WAITING = 200;

/** Takes encoded events. */
export type Sink = (bytes: Uint8Array) => void;

export interface ChannelOptions<T> {
  /** Begins to tell; returns what ends it. */
  readonly listen: (tell: (what: T) => void) => () => void;
  /** Undefined: nothing that these streams want. */
  readonly eventOf: (what: T) => StreamEvent | undefined;
}

class Channel<T> {
  private readonly sinks = new Set<Sink>();
  private waiting: Uint8Array[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stop: () => void;

  constructor({ listen, eventOf }: ChannelOptions<T>) {
    this.stop = listen((what) => {
      const event = eventOf(what);
      if (event === undefined) return;
      this.waiting.push(encodeEvent(event));
      if (this.timer !== undefined) {
        if (this.waiting.length >= MOST_WAITING) this.flush();
        return;
      }
      this.flush();
      this.timer = setTimeout(() => this.gathered(), GATHER_MS);
    });
  }

  get isEmpty(): boolean {
    return this.sinks.size === 0;
  }

  join(sink: Sink): void {
    this.flush();
    this.sinks.add(sink);
  }

  leave(sink: Sink): void {
    this.sinks.delete(sink);
  }

  close(): void {
    clearTimeout(this.timer);
    this.stop();
  }

  private gathered(): void {
    this.timer = undefined;
    if (this.waiting.length === 0) return;
    this.flush();
    this.timer = setTimeout(() => this.gathered(), GATHER_MS);
  }

  private flush(): void {
    const [first, ...more] = this.waiting;
    if (first === undefined) return;
    this.waiting = [];
    const bytes = more.length === 0 ? first : Buffer.concat([first, ...more]);
    for (const sink of this.sinks) sink(bytes);
  }
}

/** The channels that somebody listens to, by what they bring. */
export class Channels {
  private readonly open = new Map<string, Channel<never>>();

  /** `key` says all that `options` depend on. Returns what leaves. */
  join<T>(key: string, options: ChannelOptions<T>, sink: Sink): () => void {
    const known = this.open.get(key) as Channel<T> | undefined;
    const channel = known ?? new Channel(options);
    if (known === undefined) this.open.set(key, channel as Channel<never>);
    channel.join(sink);
    return () => {
      channel.leave(sink);
      if (!channel.isEmpty || this.open.get(key) !== channel) return;
      this.open.delete(key);
      channel.close();
    };
  }
}

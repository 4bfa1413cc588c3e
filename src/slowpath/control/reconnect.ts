/**
 * Keeps one connection to an active target (`tcp:`, `unix:`) alive: connects at once, and after
 * each failure or loss waits 1 s, doubled each time up to `maxBackoffMs`. A connection that lasted
 * longer than its last wait starts again at 1 s (Open vSwitch `lib/rconn.c`).
 */
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import { type Stream, type StreamEvents, systemText } from "./streams.ts";

const FIRST_BACKOFF_MS = 1000;

/** As `Controller.status:state` shows it; IDLE and ACTIVE are the connection's own. */
export type ReconnectState = "VOID" | "BACKOFF" | "CONNECTING" | "CONNECTED";

export interface ReconnectOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** For logs: `br0<->tcp:127.0.0.1:6653`. */
  readonly name: string;
  readonly maxBackoffMs: number;
  readonly open: (makeEvents: (stream: Stream) => StreamEvents) => Promise<Stream>;
  /** Makes the protocol of a new stream. `established` is to be called when it is usable. */
  readonly start: (stream: Stream, established: () => void) => StreamEvents;
}

export class Reconnector {
  state: ReconnectState = "VOID";
  lastError: string | undefined;
  /** Clock times; undefined: never. */
  connectedAt: number | undefined;
  disconnectedAt: number | undefined;
  private readonly createdAt: number;
  private backoffMs = 0;
  private backoffDeadline = Number.NEGATIVE_INFINITY;
  private quiet = false;
  private stream: Stream | undefined;
  private attempt = 0;
  private cancelTimer: () => void = () => {};

  constructor(private readonly options: ReconnectOptions) {
    this.createdAt = options.clock.now();
    this.connect();
  }

  /** How long there has been no usable connection, in ms; 0 while there is one. */
  get downMs(): number {
    if (this.state === "CONNECTED") return 0;
    return this.options.clock.now() - (this.disconnectedAt ?? this.createdAt);
  }

  setMaxBackoff(maxBackoffMs: number): void {
    Object.assign(this.options, { maxBackoffMs });
    this.backoffMs = Math.min(this.backoffMs, Math.max(FIRST_BACKOFF_MS, maxBackoffMs));
  }

  /** Drops the connection, if any, and connects again at once (`bridge/reconnect`). */
  reconnect(reason: string): void {
    if (this.state === "BACKOFF") this.connect();
    else this.stream?.abort(reason);
  }

  close(): void {
    this.state = "VOID";
    this.attempt++;
    this.cancelTimer();
    this.stream?.abort("closed by configuration");
    this.stream = undefined;
  }

  private connect(): void {
    this.cancelTimer();
    this.state = "CONNECTING";
    const attempt = ++this.attempt;
    const { clock, log, name, open, start } = this.options;
    this.backoffDeadline = clock.now() + this.backoffMs;
    if (!this.quiet) log.info(`${name}: connecting...`);
    const lost = (reason: string): void => {
      if (attempt === this.attempt) this.disconnected(reason);
    };
    this.cancelTimer = clock.after(Math.max(FIRST_BACKOFF_MS, this.backoffMs), () => {
      this.backoffDeadline = Number.POSITIVE_INFINITY;
      this.stream?.abort("connection timed out");
      lost("connection timed out");
    });
    const wrap = (stream: Stream): StreamEvents => {
      if (attempt !== this.attempt) {
        stream.abort("superseded");
        return { data: () => {}, closed: () => {} };
      }
      this.stream = stream;
      const events = start(stream, () => {
        if (attempt === this.attempt && this.state === "CONNECTING") this.established();
      });
      return {
        data: (bytes) => events.data(bytes),
        drained: () => events.drained?.(),
        closed: (reason) => {
          events.closed(reason);
          lost(reason);
        },
      };
    };
    open(wrap).catch((error: unknown) => {
      lost(systemText(error));
    });
  }

  private established(): void {
    this.cancelTimer();
    this.state = "CONNECTED";
    this.connectedAt = this.options.clock.now();
    this.quiet = false;
    this.options.log.info(`${this.options.name}: connected`);
  }

  private disconnected(reason: string): void {
    const { clock, log, name, maxBackoffMs } = this.options;
    const wasConnected = this.state === "CONNECTED";
    this.attempt++;
    this.stream = undefined;
    this.cancelTimer();
    this.lastError = reason;
    const now = clock.now();
    this.disconnectedAt = now;
    if (wasConnected) log.info(`${name}: connection dropped (${reason})`);
    else if (!this.quiet) log.info(`${name}: connection failed (${reason})`);
    if (now >= this.backoffDeadline) {
      this.backoffMs = FIRST_BACKOFF_MS;
    } else if (this.backoffMs < maxBackoffMs / 2) {
      this.backoffMs = Math.max(FIRST_BACKOFF_MS, 2 * this.backoffMs);
      log.info(`${name}: waiting ${this.backoffMs / 1000} seconds before reconnect`);
    } else {
      if (!this.quiet) {
        log.info(`${name}: still trying to connect in the background, without further log lines`);
      }
      this.quiet = true;
      this.backoffMs = Math.max(FIRST_BACKOFF_MS, maxBackoffMs);
    }
    this.state = "BACKOFF";
    this.cancelTimer = clock.after(this.backoffMs, () => this.connect());
  }

  /** `Controller.status`, as Open vSwitch fills it. */
  status(): ReadonlyMap<string, string> {
    const now = this.options.clock.now();
    const seconds = (since: number) => String(Math.floor((now - since) / 1000));
    const status = new Map<string, string>();
    if (this.lastError !== undefined) status.set("last_error", this.lastError);
    status.set("state", this.state === "CONNECTED" ? "ACTIVE" : this.state);
    if (this.connectedAt !== undefined) status.set("sec_since_connect", seconds(this.connectedAt));
    if (this.disconnectedAt !== undefined) {
      status.set("sec_since_disconnect", seconds(this.disconnectedAt));
    }
    return status;
  }
}

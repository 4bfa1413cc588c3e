/**
 * One OpenFlow connection over one stream: hello negotiation, framing, liveness, back-pressure.
 * What the messages mean is the agent's business; who makes connections again is reconnect.ts's.
 *
 *     hello ──both hellos seen──> active ──silence for probeMs──> idle
 *       │                           ^  │                            │
 *       │ no version in common,     │  └────── any message ─────────┤
 *       │ not a hello, 10 s         └────── any message ────────────┘
 *       v                                                           │ silence for probeMs more
 *     closed <──────────────────────────────────────────────────────┘
 *
 * Invariants and limits
 * - `events.opened` comes once, before any message; `events.closed` once, after everything else.
 * - Messages are handled one at a time in order: while a handler's promise is pending (a barrier),
 *   later ones wait, and so does the peer, because reading stops.
 * - Nothing a peer does makes this side's memory grow without bound. While more than
 *   READ_PAUSE_BYTES of replies wait to be sent, no request is read; a peer that lets MAX_QUEUE_BYTES
 *   pile up is dropped.
 * - A message that cannot be decoded is answered with its OFPT_ERROR and costs the peer nothing else,
 *   nor does one of a version that was not negotiated: its error is in that version.
 *
 * References: OpenFlow 1.3.5 §6.3.1 (hello), §6.4 (echo), §7.5.4.1; Open vSwitch `lib/vconn.c`,
 * `lib/rconn.c`.
 */
import type { Logger } from "../../log/log.ts";
import { decode, encode, encodeParts, isList } from "../../openflow/codec.ts";
import { CodecCache } from "../../openflow/codec-cache.ts";
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Decoded, OfMessage } from "../../openflow/messages/types.ts";
import { MessageStream } from "../../openflow/stream.ts";
import type { TunnelFields } from "../../openflow/tunnel-fields.ts";
import { negotiate, type OfVersion, VERSION_NAMES } from "../../openflow/version.ts";
import { Writer } from "../../openflow/wire.ts";
import { FlowKey } from "../../packet/key.ts";
import type { Clock } from "../clock.ts";
import { ErrorLog } from "./error-log.ts";
import type { MessageLog } from "./message-log.ts";
import type { Stream, StreamEvents } from "./streams.ts";

/** Time to complete the hello exchange. */
export const HELLO_TIMEOUT_MS = 10_000;
export const READ_PAUSE_BYTES = 256 * 1024;
export const MAX_QUEUE_BYTES = 64 * 1024 * 1024;
/** Bytes of an offending message that go back with its error: all, as far as the header leaves room. */
const ERROR_DATA_BYTES = 65535 - 12;

export interface ConnectionEvents {
  opened(version: OfVersion): void;
  /**
   * `bytes` is the whole message, the handler's to keep; a flow-mod's match is not, when this returns.
   * A promise holds later messages back.
   */
  message(decoded: Decoded, bytes: Uint8Array): void | Promise<void>;
  closed(reason: string): void;
  /** The peer has taken everything after it had not. */
  drained?(): void;
  /** Each message in either direction, for snooping. */
  snoop?(bytes: Uint8Array): void;
}

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Bitmap of wire versions that may be negotiated. */
  readonly versions: number;
  /** Silence after which the peer is asked for a sign of life; 0: never. */
  readonly probeMs: number;
  /** Where messages are told in words. */
  readonly messages?: MessageLog | undefined;
  /** What the `tun_metadata` fields are. */
  readonly tunnelFields?: TunnelFields | undefined;
}

type State = "hello" | "active" | "idle" | "closed";

const versionList = (bitmap: number): string =>
  Object.entries(VERSION_NAMES).filter(([wire]) => bitmap & (1 << Number(wire)))
    .map(([, name]) => name).join(", ") || "none known";

export class Connection implements StreamEvents {
  state: State = "hello";
  /** Undefined until negotiated. */
  version: OfVersion | undefined;
  /** OpenFlow 1.0 flow-mods name their table (NXT_FLOW_MOD_TABLE_ID). */
  flowModTableId = false;
  readonly counters = { received: 0, sent: 0, badMessages: 0, packetInsDropped: 0 };
  private readonly frames = new MessageStream();
  private waiting: Uint8Array[] = [];
  /** Those of `waiting` before it were taken. */
  private taken = 0;
  /** What this connection's messages have in common. */
  private cache: CodecCache | undefined;
  private readonly writer = new Writer();
  /** Called when the peer has taken everything, or is gone. */
  private wake: (() => void) | undefined;
  private busy = false;
  private paused = false;
  private nextXid = 1;
  private lastActivity: number;
  private lastQueued = 0;
  private cancelTimer: () => void = () => {};
  private readonly errors: ErrorLog;

  constructor(
    private readonly stream: Stream,
    private readonly options: ConnectionOptions,
    private readonly events: ConnectionEvents,
  ) {
    this.lastActivity = options.clock.now();
    this.errors = new ErrorLog(options.clock);
    const highest = 31 - Math.clz32(options.versions);
    this.sendAs(highest as OfVersion, { type: "hello", versions: options.versions }, this.xid());
    this.cancelTimer = options.clock.after(HELLO_TIMEOUT_MS, () => {
      this.stream.abort("no OpenFlow hello within 10 seconds");
    });
  }

  get peer(): string {
    return this.stream.peer;
  }

  get isOpen(): boolean {
    return this.state === "active" || this.state === "idle";
  }

  /** Messages that the peer has not taken yet. */
  get backlog(): number {
    return this.stream.queuedWrites;
  }

  get queuedBytes(): number {
    return this.stream.queuedBytes;
  }

  /** Changes what silence means, when the database changes it. */
  setProbe(probeMs: number): void {
    if (probeMs === this.options.probeMs) return;
    Object.assign(this.options, { probeMs });
    if (this.isOpen) this.armProbe();
  }

  xid(): number {
    this.nextXid = this.nextXid >= 0xffffffff ? 1 : this.nextXid + 1;
    return this.nextXid;
  }

  /**
   * Sends a message; `xid` is the request's for a reply. Dropped when the connection is not open.
   * Throws OfError if the connection's version cannot say it.
   */
  send(message: OfMessage, xid: number = this.xid()): void {
    if (!this.isOpen || this.version === undefined) return;
    this.sendAs(this.version, message, xid);
  }

  /**
   * Sends a list that may be long, made while it is sent: no more of it than a peer takes waits here.
   * Settles when all of it is with the peer or on its way, or the connection is closed.
   */
  sendList(message: OfMessage, items: Iterable<unknown>, xid: number): void | Promise<void> {
    if (!this.isOpen || this.version === undefined) return;
    const { tunnelFields } = this.options;
    const { dropped, cache } = this;
    const options = { dropped, tunnelFields, cache };
    const parts = encodeParts(this.version, xid, message, options, items);
    return this.sendParts(parts);
  }

  private sendParts(parts: Iterator<Uint8Array>): void | Promise<void> {
    for (let part = parts.next(); !part.done && this.isOpen; part = parts.next()) {
      this.writeOut(part.value);
      if (this.stream.queuedBytes <= READ_PAUSE_BYTES) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      return promise.then(() => {
        this.wake = undefined;
        return this.sendParts(parts);
      });
    }
  }

  /** Sends a message as it stands, whatever its version (for snoopers). */
  sendRaw(bytes: Uint8Array): void {
    if (this.isOpen) this.stream.write(bytes);
  }

  /** Answers the message `request` with an error (OpenFlow 1.3.5 §7.5.4). */
  sendError(request: Uint8Array, error: ErrorName): void {
    const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
    const xid = request.length >= 8 ? view.getUint32(4) : 0;
    this.send({ type: "error", error, data: request.slice(0, ERROR_DATA_BYTES) }, xid);
  }

  /** As an error of the version that the message has, for its sender must understand it. */
  private sendBadVersion(request: Uint8Array, version: OfVersion): void {
    const xid = new DataView(request.buffer, request.byteOffset).getUint32(4);
    this.sendAs(version, {
      type: "error",
      error: "OFPBRC_BAD_VERSION",
      data: request.slice(0, ERROR_DATA_BYTES),
    }, xid);
  }

  close(reason: string): void {
    this.stream.abort(reason);
  }

  data(bytes: Uint8Array): void {
    this.lastActivity = this.options.clock.now();
    if (this.state === "idle") {
      this.state = "active";
      this.armProbe();
    }
    try {
      this.frames.push(bytes, (frame) => this.waiting.push(frame));
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.options.log.warn(`${this.peer}: ${error.message}; closing the connection`);
      return this.stream.abort(error.message);
    }
    this.work();
  }

  drained(): void {
    this.wake?.();
    this.events.drained?.();
    this.work();
  }

  closed(reason: string): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.cancelTimer();
    this.waiting = [];
    this.taken = 0;
    this.wake?.();
    this.events.closed(reason);
  }

  /** Handles waiting messages until one takes time or the peer must read first. */
  private work(): void {
    while (!this.busy && this.taken < this.waiting.length && this.state !== "closed") {
      if (this.stream.queuedBytes > READ_PAUSE_BYTES) break;
      const handled = this.receive(this.waiting[this.taken++]!);
      if (!handled) continue;
      this.busy = true;
      handled.catch((error: unknown) => this.fault(error)).finally(() => {
        this.busy = false;
        this.work();
      });
    }
    // Taking them off the front one by one would move all others each time.
    if (this.taken * 2 >= this.waiting.length) {
      this.waiting = this.waiting.slice(this.taken);
      this.taken = 0;
    }
    const pause = this.waiting.length > this.taken && this.state !== "closed";
    if (pause !== this.paused) {
      this.paused = pause;
      if (pause) this.stream.pause();
      else this.stream.resume();
    }
  }

  private receive(frame: Uint8Array): void | Promise<void> {
    this.counters.received++;
    this.events.snoop?.(frame);
    this.options.messages?.received(this.peer, frame);
    if (this.state === "hello") return this.receiveHello(frame);
    let decoded: Decoded;
    try {
      const { tunnelFields } = this.options;
      decoded = decode(frame, {
        flowModTableId: this.flowModTableId,
        tunnelFields,
        cache: this.cache,
      });
      if (decoded.version !== this.version && !isVersionless(decoded.message)) {
        this.counters.badMessages++;
        this.options.log.warn(
          `${this.peer}: received OpenFlow version 0x${wireVersion(decoded.version)} != expected ` +
            wireVersion(this.version!),
        );
        return this.sendBadVersion(frame, decoded.version);
      }
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.counters.badMessages++;
      this.errors.tell((behind) =>
        this.options.log.warn(
          `${this.peer}: bad message at byte ${error.offset}: ${error.message}; answered with an ` +
            `error${behind}`,
        )
      );
      return this.sendError(frame, error.error);
    }
    if (decoded.message.type === "echo_request") {
      return this.send({ type: "echo_reply", data: decoded.message.data }, decoded.xid);
    }
    if (decoded.message.type === "echo_reply" || decoded.message.type === "hello") return;
    try {
      return this.events.message(decoded, frame);
    } catch (error) {
      this.fault(error);
    }
  }

  /** A fault of this program in handling one message ends its connection, nothing else. */
  private fault(error: unknown): void {
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    this.options.log.err(`${this.peer}: internal error, closing the connection: ${text}`);
    this.stream.abort("internal error");
  }

  private receiveHello(frame: Uint8Array): void {
    let decoded: Decoded | undefined;
    try {
      decoded = decode(frame);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.options.log.warn(`${this.peer}: bad hello: ${error.message}`);
    }
    if (decoded?.message.type !== "hello") {
      return this.stream.abort("first message was not an OpenFlow hello");
    }
    const theirs = decoded.message.versions;
    const version = negotiate(this.options.versions, theirs);
    if (version === undefined) {
      const ours = versionList(this.options.versions);
      const text = `We support ${ours}, you support ${versionList(theirs)}, no common versions.`;
      this.options.log.warn(
        `${this.peer}: version negotiation failed: we support ${ours}, ` +
          `peer supports ${versionList(theirs)}`,
      );
      const data = new TextEncoder().encode(text);
      this.sendAs(1, { type: "error", error: "OFPHFC_INCOMPATIBLE", data }, decoded.xid);
      return this.stream.end();
    }
    this.cancelTimer();
    this.options.messages?.negotiated(this.peer, version, this.options.versions, theirs);
    this.version = version;
    this.cache = new CodecCache(version);
    this.cache.key = new FlowKey();
    this.state = "active";
    this.armProbe();
    this.events.opened(version);
  }

  private sendAs(version: OfVersion, message: OfMessage, xid: number): void {
    const { tunnelFields } = this.options;
    const { dropped, cache, writer } = this;
    if (isList(message)) {
      const options = { dropped, tunnelFields, cache, writer };
      for (const bytes of encodeParts(version, xid, message, options)) {
        this.writeOut(bytes);
      }
    } else {
      this.writeOut(encode(version, xid, message, false, { tunnelFields, cache, writer }));
    }
    if (this.stream.queuedBytes > MAX_QUEUE_BYTES) {
      this.options.log.warn(
        `${this.peer}: ${this.stream.queuedBytes} bytes wait to be read; dropping the connection`,
      );
      this.stream.abort("peer does not read");
    }
  }

  private readonly dropped = (what: string): void => {
    this.options.log.warn(`${this.peer}: left an item out of a ${what}: it fits no message`);
  };

  private writeOut(bytes: Uint8Array): void {
    this.counters.sent++;
    this.events.snoop?.(bytes);
    this.options.messages?.sent(this.peer, bytes);
    this.stream.write(bytes);
  }

  private armProbe(): void {
    this.cancelTimer();
    this.cancelTimer = () => {};
    const { probeMs, clock } = this.options;
    if (probeMs <= 0) return;
    const silentMs = clock.now() - this.lastActivity;
    this.cancelTimer = clock.after(Math.max(1, probeMs - silentMs), () => this.probe());
  }

  private probe(): void {
    const { probeMs, clock, log } = this.options;
    const { queuedBytes } = this.stream;
    // While we do not read, what the peer takes of our replies is its sign of life.
    if (this.busy || queuedBytes < this.lastQueued) this.lastActivity = clock.now();
    this.lastQueued = queuedBytes;
    if (clock.now() - this.lastActivity < probeMs) return this.armProbe();
    log.dbg(`${this.peer}: idle ${probeMs / 1000} seconds, sending inactivity probe`);
    this.state = "idle";
    this.send({ type: "echo_request", data: new Uint8Array(0) }, 0);
    this.cancelTimer = clock.after(probeMs, () => {
      if (this.stream.queuedBytes < this.lastQueued) return this.probe();
      log.err(
        `${this.peer}: no response to inactivity probe after ${
          probeMs / 1000
        } seconds, disconnecting`,
      );
      this.stream.abort("no response to inactivity probe");
    });
  }
}

const wireVersion = (version: number): string => version.toString(16).padStart(2, "0");

/** Messages that any version's header may carry (OpenFlow 1.3.5 §6.3.1, §7.5.4.1). */
function isVersionless(message: OfMessage): boolean {
  return message.type === "hello" || message.type === "error" ||
    message.type === "echo_request" || message.type === "echo_reply";
}

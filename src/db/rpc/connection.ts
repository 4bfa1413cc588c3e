/**
 * One JSON-RPC connection, either end: messages in, messages out, a bounded queue between us and a
 * peer that reads slowly, and probes of one that says nothing.
 *
 * Back pressure: while more than `RESUME_BYTES` wait to be sent, nothing more is read from the peer,
 * so that its requests cannot pile up answers. Notifications cannot be held back in that way: when
 * more than `backlogBytes` of them wait, the peer is dropped.
 */
import type { Socket } from "bun";
import type { Logger } from "../../log/log.ts";
import { stringify } from "../json.ts";
import {
  defaultStreamLimits,
  JsonStream,
  JsonStreamError,
  type StreamLimits,
} from "./json-stream.ts";
import { type Message, MessageError, messageToJson, parseMessage } from "./message.ts";

export interface ConnectionLimits extends StreamLimits {
  /** Notifications that may wait for a peer to read them, in bytes. */
  readonly backlogBytes: number;
  /** Silence after which the peer is asked for a sign of life; 0: never. */
  readonly probeMs: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  ...defaultStreamLimits,
  backlogBytes: 64 << 20,
  probeMs: 0,
};

const RESUME_BYTES = 1 << 20;

export interface ConnectionHandlers {
  message(message: Message): void;
  /** Called once. */
  closed(reason: string): void;
}

export type ByteSocket = Pick<Socket<unknown>, "write" | "end" | "terminate" | "pause" | "resume">;

export class Connection {
  private readonly stream: JsonStream;
  /** Texts not yet handed to the socket: one turn's messages go out in one write. */
  private texts: string[] = [];
  private flushScheduled = false;
  /** Bytes that the socket would not take yet. */
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private queuedNotificationBytes = 0;
  private paused = false;
  /** Messages that came while paused. */
  private readonly held: Message[] = [];
  private closedBecause: string | undefined;
  private lastHeardMs = performance.now();
  private probeSent = false;
  private probeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly name: string,
    private readonly socket: ByteSocket,
    private readonly handlers: ConnectionHandlers,
    private readonly logger: Logger,
    private readonly limits: ConnectionLimits = defaultConnectionLimits,
  ) {
    this.stream = new JsonStream(limits);
    if (limits.probeMs > 0) this.scheduleProbe(limits.probeMs);
  }

  /** Bytes came from the socket. */
  received(bytes: Uint8Array): void {
    if (this.closedBecause !== undefined) return;
    this.lastHeardMs = performance.now();
    this.probeSent = false;
    try {
      for (const json of this.stream.feed(bytes)) {
        this.dispatch(parseMessage(json));
        if (this.closedBecause !== undefined) return;
      }
    } catch (error) {
      if (error instanceof JsonStreamError) {
        this.fail(`error parsing stream: ${error.message}`);
      } else if (error instanceof MessageError) {
        this.fail(`received bad JSON-RPC message: ${error.message}`);
      } else throw error;
    }
  }

  private dispatch(message: Message): void {
    if (this.paused) this.held.push(message);
    else this.handlers.message(message);
  }

  private fail(problem: string): void {
    this.logger.warn(`${this.name}: ${problem}`);
    this.close(problem);
  }

  send(message: Message): void {
    if (this.closedBecause !== undefined) return;
    this.sendText(stringify(messageToJson(message)), message.kind === "notification");
  }

  /** As `send`, for a message that is text already. */
  sendText(text: string, isNotification: boolean): void {
    if (this.closedBecause !== undefined) return;
    this.texts.push(text);
    if (isNotification && this.queuedBytes > 0) {
      this.queuedNotificationBytes += text.length;
      if (this.queuedNotificationBytes > this.limits.backlogBytes) {
        this.fail(
          `does not read: over ${this.limits.backlogBytes} bytes of updates wait, disconnecting`,
        );
        return;
      }
    }
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    queueMicrotask(() => this.flush());
  }

  private flush(): void {
    this.flushScheduled = false;
    if (this.closedBecause !== undefined || this.texts.length === 0) return;
    const text = this.texts.length === 1 ? this.texts[0] as string : this.texts.join("");
    this.texts = [];
    let bytes = Buffer.from(text);
    if (this.queue.length === 0) {
      // Mostly the socket takes it all at once.
      const written = Math.max(0, this.socket.write(bytes));
      if (written === bytes.length) return;
      bytes = bytes.subarray(written);
    }
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    if (!this.paused && this.queuedBytes > RESUME_BYTES) {
      this.paused = true;
      this.socket.pause();
    }
  }

  /** The socket takes bytes again. */
  drain(): void {
    if (this.closedBecause !== undefined) return;
    while (this.queue[0] !== undefined) {
      const bytes = this.queue[0];
      const written = this.socket.write(bytes);
      if (written < 0) return;
      this.queuedBytes -= written;
      if (written < bytes.length) {
        this.queue[0] = bytes.subarray(written);
        return;
      }
      this.queue.shift();
    }
    this.queuedNotificationBytes = 0;
    this.resume();
  }

  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.socket.resume();
    while (!this.paused) {
      const message = this.held.shift();
      if (message === undefined) return;
      this.handlers.message(message);
    }
  }

  private scheduleProbe(delayMs: number): void {
    this.probeTimer = setTimeout(() => this.probe(), delayMs);
    this.probeTimer.unref();
  }

  private probe(): void {
    const { probeMs } = this.limits;
    const silentMs = performance.now() - this.lastHeardMs;
    // A peer that we do not listen to cannot be blamed for silence.
    if (silentMs < probeMs || this.paused) {
      this.scheduleProbe(this.paused ? probeMs : probeMs - silentMs);
    } else if (this.probeSent) {
      this.fail(`no response to inactivity probe after ${probeMs / 1000} seconds, disconnecting`);
    } else {
      this.probeSent = true;
      this.lastHeardMs = performance.now();
      this.send({ kind: "request", method: "echo", params: [], id: "echo" });
      this.scheduleProbe(probeMs);
    }
  }

  /** Ends the connection from this side; what is queued is sent first if the socket takes it. */
  close(reason: string): void {
    if (this.closedBecause !== undefined) return;
    this.flush();
    const unsent = this.queue.length > 0;
    this.ended(reason);
    if (unsent) this.socket.terminate();
    else this.socket.end();
  }

  /** The connection is over, from whichever side. */
  ended(reason: string): void {
    if (this.closedBecause !== undefined) return;
    this.closedBecause = reason;
    clearTimeout(this.probeTimer);
    this.queue = [];
    this.texts = [];
    this.handlers.closed(reason);
  }
}

/**
 * Byte streams over TCP and Unix sockets: what OpenFlow connections and the unixctl server stand on.
 * tls-streams.ts makes those over TLS.
 *
 * A stream queues what the peer does not take at once. Nobody here limits that queue: its length is
 * `queuedBytes`, and whoever writes decides when a peer is too slow and closes. `closed` is told
 * exactly once, with a reason fit for a log line, whoever closed; never from inside `close`'s or
 * `write`'s caller.
 */
import { chmodSync, rmSync } from "node:fs";
import type { Socket } from "bun";
import type { ActiveTarget, PassiveTarget } from "./targets.ts";

export interface StreamEvents {
  /** Valid only during the call: copy what is to be kept. */
  data(bytes: Uint8Array): void;
  closed(reason: string): void;
  /** The queue is empty again after it was not. */
  drained?(): void;
}

export interface Stream {
  /** Who is at the other end, for logs: `tcp:10.0.0.1:6653`, `unix#3`. */
  readonly peer: string;
  readonly queuedBytes: number;
  /** Writes that wait in the queue, whole or in part. */
  readonly queuedWrites: number;
  /** Queues `bytes` as they are: they must not be changed afterwards. */
  write(bytes: Uint8Array): void;
  /** Stops and restarts `data`; the kernel holds the peer back meanwhile. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes; `closed` follows. */
  end(): void;
  /** Drops what is queued and closes at once; `closed` follows. */
  abort(reason: string): void;
}

export interface StreamListener {
  /** Port in use, for TCP (the one the system chose when it was 0). */
  readonly port: number | undefined;
  close(): void;
}

/** What is written in one turn goes out together, in pieces of about this many bytes … */
const PIECE_BYTES = 65_536;
/** … or writes: what waits here counts as waiting, and much of that is not meant to. */
const PIECE_WRITES = 64;

export class SocketStream implements Stream {
  private queue: Uint8Array[] = [];
  /** Those of the queue before it have gone. */
  private head = 0;
  /** The socket takes no more until it says so. */
  private blocked = false;
  private scheduled = false;
  private ending = false;
  private done = false;
  private reason: string | undefined;
  queuedBytes = 0;
  events: StreamEvents | undefined;

  constructor(readonly peer: string, private readonly socket: Socket<StreamHolder>) {}

  get queuedWrites(): number {
    return this.queue.length - this.head;
  }

  pause(): void {
    if (!this.done) this.socket.pause();
  }

  resume(): void {
    if (!this.done) this.socket.resume();
  }

  write(bytes: Uint8Array): void {
    if (this.done || this.ending || bytes.length === 0) return;
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    if (this.blocked) return;
    if (this.queuedBytes >= PIECE_BYTES || this.queuedWrites >= PIECE_WRITES) return this.flush();
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      if (!this.blocked) this.flush();
    });
  }

  /** Hands over what the socket takes. */
  private flush(): void {
    while (this.queuedBytes > 0 && !this.done) {
      const piece = this.piece();
      const sent = Math.max(0, this.socket.write(piece));
      this.advance(sent);
      if (sent < piece.length) {
        this.blocked = true;
        return;
      }
    }
  }

  private piece(): Uint8Array {
    const first = this.queue[this.head]!;
    let length = first.length;
    let end = this.head + 1;
    for (; end < this.queue.length && length < PIECE_BYTES; end++) {
      length += this.queue[end]!.length;
    }
    if (end === this.head + 1) return first;
    const piece = new Uint8Array(length);
    let at = 0;
    for (let i = this.head; i < end; i++) {
      piece.set(this.queue[i]!, at);
      at += this.queue[i]!.length;
    }
    return piece;
  }

  private advance(sent: number): void {
    this.queuedBytes -= sent;
    for (let rest = sent; rest > 0;) {
      const first = this.queue[this.head]!;
      if (first.length > rest) {
        this.queue[this.head] = first.subarray(rest);
        break;
      }
      rest -= first.length;
      this.head++;
    }
    // Taking them off the front one by one would move all others each time.
    if (this.head * 2 < this.queue.length) return;
    this.queue = this.queue.slice(this.head);
    this.head = 0;
  }

  drain(): void {
    if (!this.blocked) return;
    this.blocked = false;
    this.flush();
    if (this.queuedBytes > 0) return;
    if (this.ending) this.socket.end();
    else this.events?.drained?.();
  }

  end(): void {
    if (this.done || this.ending) return;
    this.ending = true;
    this.reason ??= "closed by this side";
    if (!this.blocked) this.flush();
    if (this.queuedBytes === 0) this.socket.end();
  }

  abort(reason: string): void {
    if (this.done) return;
    this.reason = reason;
    if (!this.blocked) this.flush();
    this.queue = [];
    this.head = 0;
    this.queuedBytes = 0;
    this.socket.terminate();
    queueMicrotask(() => this.finish(reason));
  }

  finish(reason: string): void {
    if (this.done) return;
    this.done = true;
    this.queue = [];
    this.head = 0;
    this.queuedBytes = 0;
    this.events?.closed(this.reason ?? reason);
  }
}

export interface StreamHolder {
  stream: SocketStream | undefined;
}

export const HANDLER = {
  data(socket: Socket<StreamHolder>, bytes: Uint8Array): void {
    socket.data.stream?.events?.data(bytes);
  },
  drain(socket: Socket<StreamHolder>): void {
    socket.data.stream?.drain();
  },
  end(socket: Socket<StreamHolder>): void {
    socket.data.stream?.finish("connection closed by peer");
    socket.end();
  },
  close(socket: Socket<StreamHolder>): void {
    socket.data.stream?.finish("connection closed by peer");
  },
  error(socket: Socket<StreamHolder>, error: Error): void {
    socket.data.stream?.finish(error.message);
    socket.terminate();
  },
};

/** What the system says of an error number, in the words that people search for. */
const SYSTEM_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  ETIMEDOUT: "Connection timed out",
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
};

export function systemText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as Error & { readonly code?: unknown }).code;
  return (typeof code === "string" ? SYSTEM_TEXTS[code] : undefined) ?? error.message;
}

/** Connects to an active target. Rejects with an Error whose message fits a log line. */
export async function openStream(
  target: ActiveTarget & { kind: "tcp" | "unix" },
  makeEvents: (stream: Stream) => StreamEvents,
): Promise<Stream> {
  const holder: StreamHolder = { stream: undefined };
  const socket = target.kind === "unix"
    ? await Bun.connect<StreamHolder>({ unix: target.path, data: holder, socket: HANDLER })
    : await Bun.connect<StreamHolder>({
      hostname: target.host,
      port: target.port,
      data: holder,
      socket: HANDLER,
    });
  if (target.kind === "tcp") socket.setNoDelay(true);
  const peer = target.kind === "unix" ? `unix:${target.path}` : `tcp:${target.host}:${target.port}`;
  const stream = new SocketStream(peer, socket);
  holder.stream = stream;
  stream.events = makeEvents(stream);
  return stream;
}

/**
 * Listens on a passive target; `accept` gets each new stream and returns its events, or undefined to
 * refuse it. A left-over socket file of a Unix target is replaced; the new one is for its owner only.
 * Throws an Error whose message says what could not be bound.
 */
export function listenStreams(
  target: PassiveTarget & { kind: "ptcp" | "punix" },
  accept: (stream: Stream) => StreamEvents | undefined,
): StreamListener {
  let sequence = 0;
  const open = (socket: Socket<StreamHolder>): void => {
    const peer = target.kind === "punix"
      ? `unix#${sequence++}`
      : `tcp:${socket.remoteAddress}:${socket.remotePort}`;
    const stream = new SocketStream(peer, socket);
    socket.data = { stream };
    if (target.kind === "ptcp") socket.setNoDelay(true);
    const events = accept(stream);
    if (events) stream.events = events;
    else socket.terminate();
  };
  const socket = { ...HANDLER, open };
  const data: StreamHolder = { stream: undefined };
  if (target.kind === "punix") {
    rmSync(target.path, { force: true });
    const listener = Bun.listen<StreamHolder>({ unix: target.path, data, socket });
    chmodSync(target.path, 0o700);
    return {
      port: undefined,
      close: () => {
        listener.stop(true);
        rmSync(target.path, { force: true });
      },
    };
  }
  const listener = Bun.listen<StreamHolder>({
    hostname: target.host,
    port: target.port,
    data,
    socket,
  });
  return { port: listener.port, close: () => listener.stop(true) };
}

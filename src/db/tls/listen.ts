/**
 * The server's side of TLS: a listener that hands over clients that proved who they are, and takes
 * up changed files without letting go of its port or of anybody.
 */
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import type { TlsContext } from "./context.ts";
import {
  type AnySocket,
  HANDSHAKE_TIMEOUT_MS,
  handshakeProblem,
  peerOf,
  peerText,
  serverNameOf,
  socketOptions,
} from "./handshake.ts";
import { TlsError } from "./settings.ts";
import type { Tls } from "./tls.ts";

export interface ListenTlsOptions<T> {
  /** Names the listener in the log: the remote as it was given. */
  readonly name: string;
  readonly hostname: string;
  readonly port: number;
  /** The listener's: `open` must give each socket its own. */
  readonly data: T;
  /** As for a plain socket; `open` is called after the handshake, nothing before. */
  readonly socket: SocketHandler<T>;
  readonly timeoutMs?: number;
  readonly maxUnfinished?: number;
  /** How often files and settings are looked at. */
  readonly refreshMs?: number;
}

export interface TlsListener {
  readonly port: number;
  close(abortive: boolean): void;
}

const MAX_UNFINISHED = 256;
const REFRESH_MS = 1000;
/** Lines about failed handshakes in `QUIET_MS`: whoever can connect could fill the disk. */
const MAX_LINES = 20;
const QUIET_MS = 60_000;

/** Throws `TlsError`, or the error of the TCP socket. */
export function listenTls<T>(tls: Tls, options: ListenTlsOptions<T>): TlsListener {
  return new SecureListener(tls, options);
}

class SecureListener<T> implements TlsListener {
  /** Unfinished handshakes, oldest first, with what ends each. */
  private readonly unfinished = new Map<Socket<T>, ReturnType<typeof setTimeout>>();
  private readonly open = new Set<Socket<T>>();
  readonly port: number;
  private context: TlsContext;
  private listener: TCPSocketListener<T>;
  private readonly timer: ReturnType<typeof setInterval>;
  private lines = 0;
  private linesSinceMs = 0;

  constructor(private readonly tls: Tls, private readonly options: ListenTlsOptions<T>) {
    this.context = usable(tls);
    this.listener = this.listen(options.port, this.context);
    this.port = this.listener.port;
    this.timer = setInterval(() => this.refresh(), options.refreshMs ?? REFRESH_MS);
    this.timer.unref();
  }

  private listen(port: number, context: TlsContext): TCPSocketListener<T> {
    const { hostname, data, socket: handlers } = this.options;
    return Bun.listen<T>({
      hostname,
      port,
      data,
      tls: socketOptions(context, "server"),
      socket: {
        ...handlers,
        open: (socket) => this.begun(socket),
        handshake: (socket, success, error) => this.shaken(socket, success, error, context),
        // Before the handshake is over nothing of a socket is anybody else's.
        data: (socket, bytes) => {
          if (this.open.has(socket)) void handlers.data?.(socket, bytes);
        },
        drain: (socket) => {
          if (this.open.has(socket)) void handlers.drain?.(socket);
        },
        end: (socket) => {
          if (this.open.has(socket)) void handlers.end?.(socket);
          else this.forget(socket);
        },
        error: (socket, error) => {
          if (this.open.has(socket)) void handlers.error?.(socket, error);
          else this.forget(socket);
        },
        close: (socket, error) => {
          this.forget(socket);
          if (this.open.delete(socket)) void handlers.close?.(socket, error);
        },
      },
    });
  }

  private begun(socket: Socket<T>): void {
    const { timeoutMs = HANDSHAKE_TIMEOUT_MS, maxUnfinished = MAX_UNFINISHED } = this.options;
    if (this.unfinished.size >= maxUnfinished) {
      const [oldest] = this.unfinished.keys();
      if (oldest !== undefined) {
        this.refuse(oldest, `${maxUnfinished} handshakes are unfinished, this is the oldest`);
      }
    }
    const late = (): void => this.refuse(socket, `not finished after ${timeoutMs / 1000} s`);
    const timer = setTimeout(late, timeoutMs);
    timer.unref();
    this.unfinished.set(socket, timer);
  }

  private shaken(
    socket: Socket<T>,
    success: boolean,
    error: Error | null,
    context: TlsContext,
  ): void {
    if (!this.unfinished.has(socket)) return;
    const checked = context.trust.kind === "ca";
    if (!success || (checked && (error || !socket.authorized))) {
      this.refuse(socket, handshakeProblem(error, context));
      return;
    }
    this.forget(socket);
    const serverName = serverNameOf(socket);
    if (serverName) this.tls.logger.dbg(`connection indicated server name ${serverName}`);
    this.tls.logger.info(`${nameOf(socket)}: ${peerText(peerOf(socket))}`);
    this.open.add(socket);
    void this.options.socket.open?.(socket);
  }

  private refuse(socket: Socket<T>, problem: string): void {
    this.warn(`${this.options.name}: ${nameOf(socket)}: TLS handshake failed: ${problem}`);
    this.forget(socket);
    socket.terminate();
  }

  private forget(socket: Socket<T>): void {
    clearTimeout(this.unfinished.get(socket));
    this.unfinished.delete(socket);
  }

  private warn(line: string): void {
    const now = performance.now();
    if (now - this.linesSinceMs > QUIET_MS) {
      const dropped = this.lines - MAX_LINES;
      if (dropped > 0) this.tls.logger.warn(`${this.options.name}: ${dropped} more were refused`);
      this.lines = 0;
      this.linesSinceMs = now;
    }
    if (++this.lines <= MAX_LINES) this.tls.logger.warn(line);
  }

  /** A context that cannot be had is an error in the log already; the one in use stays. */
  private refresh(): void {
    let context: TlsContext;
    try {
      context = usable(this.tls);
      if (context === this.context) return;
    } catch (error) {
      if (error instanceof TlsError) return;
      throw error;
    }
    this.listener.stop(false);
    try {
      this.listener = this.listen(this.port, context);
      this.context = context;
      this.tls.logger.info(`${this.options.name}: keys and certificates were read again`);
    } catch (error) {
      this.tls.logger.err(`${this.options.name}: cannot listen again: ${(error as Error).message}`);
    }
  }

  close(abortive: boolean): void {
    clearInterval(this.timer);
    for (const socket of [...this.unfinished.keys()]) {
      this.forget(socket);
      socket.terminate();
    }
    this.listener.stop(abortive);
    // Clients that an earlier listener took are not this one's.
    if (abortive) { for (const socket of [...this.open]) socket.terminate(); }
  }
}

/** `ssl:HOST:PORT` of the peer. */
export function nameOf({ remoteAddress: host, remotePort }: AnySocket) {
  return `ssl:${host.includes(":") ? `[${host}]` : host}:${remotePort}`;
}

/** To listen takes a CA: nobody can be believed before there is one. */
function usable(tls: Tls): TlsContext {
  const context = tls.context();
  if (context.trust.kind === "bootstrap") {
    throw new TlsError(
      `the CA certificate ${context.trust.file} is not there yet: an ssl: connection must bootstrap ` +
        "it, or you must put it there, before clients can be taken",
    );
  }
  return context;
}

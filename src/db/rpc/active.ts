/**
 * An active remote: the server connects to a manager, serves it like any client, and connects again,
 * with growing pauses, whenever the connection is lost (ovsdb-server(1), `--remote=tcp:…`).
 */
import type { Socket } from "bun";
import type { Logger } from "../../log/log.ts";
import { OvsdbError } from "../error.ts";
import type { OvsdbServer } from "../server.ts";
import { peerOf } from "../tls/handshake.ts";
import type { Tls } from "../tls/tls.ts";
import type { ConnectionLimits } from "./connection.ts";
import { openSocket } from "./open-socket.ts";
import { parseRemote } from "./remote.ts";
import { type Access, fullAccess, serve, type Served } from "./serve.ts";

const MIN_BACKOFF_MS = 1000;
const STEADY_MS = 30_000;

/** The states that `status:state` of a Manager row shows. */
export type ActiveState = "BACKOFF" | "CONNECTING" | "ACTIVE" | "VOID";

export class ActiveRemote {
  private served: Served | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private backoffMs = 0;
  private closed = false;
  private stateNow: ActiveState = "VOID";
  private connectedAtMs: number | undefined;
  private disconnectedAtMs: number | undefined;
  private lastErrorText: string | undefined;

  constructor(
    private readonly server: OvsdbServer,
    readonly target: string,
    private readonly logger: Logger,
    private readonly limits: ConnectionLimits,
    private readonly maxBackoffMs: number,
    private readonly tls?: Tls,
    private readonly access: Access = fullAccess,
  ) {
    if (parseRemote(target).passive) {
      throw new OvsdbError("bad remote", `${target}: not an active remote`);
    }
    this.attempt();
  }

  get state(): ActiveState {
    return this.stateNow;
  }

  get session(): Served["session"] | undefined {
    return this.served?.session;
  }

  get lastError(): string | undefined {
    return this.lastErrorText;
  }

  /** Whole seconds since the last time that it came up, or went down. */
  get secondsSinceConnect(): number | undefined {
    return secondsSince(this.connectedAtMs);
  }

  get secondsSinceDisconnect(): number | undefined {
    return secondsSince(this.disconnectedAtMs);
  }

  private attempt(): void {
    if (this.closed) return;
    this.stateNow = "CONNECTING";
    const address = parseRemote(this.target, this.server.socketDirectory);
    let over = false;
    const lost = (reason: string): void => {
      if (over) return;
      over = true;
      this.lost(reason);
    };
    const socket = {
      open: (socket: Socket<undefined>) => this.opened(socket, lost),
      data: (_: Socket<undefined>, bytes: Uint8Array) => this.served?.connection.received(bytes),
      drain: () => this.served?.connection.drain(),
      close: () => {
        this.served?.connection.ended("connection closed by peer");
        lost("connection closed by peer");
      },
      end: () => this.served?.connection.close("connection closed by peer"),
      error: (_: Socket<undefined>, error: Error) => this.served?.connection.ended(error.message),
      connectError: (_: Socket<undefined>, error: Error) => lost(error.message),
    };
    openSocket(address, socket, this.tls).catch((error: unknown) =>
      lost(error instanceof Error ? error.message : "failed")
    );
  }

  private opened(socket: Socket<undefined>, lost: (reason: string) => void): void {
    if (this.closed) {
      socket.end();
      return;
    }
    this.stateNow = "ACTIVE";
    this.connectedAtMs = performance.now();
    this.lastErrorText = undefined;
    this.logger.info(`${this.target}: connected`);
    const { logger, limits, access } = this;
    const id = this.target.startsWith("ssl:") ? peerOf(socket).commonName : undefined;
    const options = { name: this.target, id, access, logger, limits };
    this.served = serve(this.server, socket, options, lost);
  }

  private lost(reason: string): void {
    const now = performance.now();
    const wasActive = this.served !== undefined;
    this.served = undefined;
    this.lastErrorText = reason;
    if (wasActive) this.disconnectedAtMs = now;
    if (this.closed) return;
    const steady = wasActive && now - (this.connectedAtMs ?? now) > STEADY_MS;
    this.backoffMs = steady || this.backoffMs === 0
      ? MIN_BACKOFF_MS
      : Math.min(this.backoffMs * 2, this.maxBackoffMs);
    this.stateNow = "BACKOFF";
    this.logger.info(`${this.target}: ${reason}; trying again in ${this.backoffMs / 1000} s`);
    this.timer = setTimeout(() => this.attempt(), this.backoffMs);
    this.timer.unref();
  }

  close(): void {
    this.closed = true;
    this.stateNow = "VOID";
    clearTimeout(this.timer);
    this.served?.connection.close("remote deconfigured");
  }
}

const secondsSince = (timeMs: number | undefined): number | undefined =>
  timeMs === undefined ? undefined : Math.floor((performance.now() - timeMs) / 1000);

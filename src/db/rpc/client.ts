/**
 * A session with an OVSDB server over a socket. It ends when the connection does; whoever wants to
 * go on opens another.
 */
import type { Socket } from "bun";
import type { Logger } from "../../log/log.ts";
import { OvsdbError } from "../error.ts";
import { canonical, type Json } from "../json.ts";
import type { OvsdbSession } from "../session.ts";
import { Connection, type ConnectionLimits, defaultConnectionLimits } from "./connection.ts";
import type { Tls } from "../tls/tls.ts";
import type { Message } from "./message.ts";
import { openSocket } from "./open-socket.ts";
import { parseRemote } from "./remote.ts";

export interface ConnectOptions {
  /** Names this end in logs; the server names it itself. */
  readonly who: string;
  readonly logger: Logger;
  readonly limits?: Partial<ConnectionLimits>;
  /** For `ssl:` remotes. */
  readonly tls?: Tls | undefined;
}

interface Unanswered {
  resolve(result: Json): void;
  reject(error: OvsdbError): void;
}

/** Connects to `unix:FILE`, `tcp:HOST[:PORT]` or `ssl:HOST[:PORT]`; rejects with `OvsdbError`. */
export async function connectSession(
  remote: string,
  options: ConnectOptions,
): Promise<OvsdbSession> {
  const address = parseRemote(remote);
  if (address.passive) {
    throw new OvsdbError("bad remote", `${remote}: cannot connect to a passive remote`);
  }
  let session: ClientSession | undefined;
  const socket = {
    data: (_: Socket<undefined>, bytes: Uint8Array) => session?.connection.received(bytes),
    drain: () => session?.connection.drain(),
    close: () => session?.connection.ended("connection closed by peer"),
    end: () => session?.connection.close("connection closed by peer"),
    error: (_: Socket<undefined>, error: Error) => session?.connection.ended(error.message),
    connectError: () => {},
  };
  try {
    const connected = await openSocket(address, socket, options.tls);
    session = new ClientSession(remote, connected, options);
    return session;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const failure = new OvsdbError("I/O error", `${remote}: cannot connect`, undefined, reason);
    failure.cause = error;
    throw failure;
  }
}

class ClientSession implements OvsdbSession {
  readonly who: string;
  readonly connection: Connection;
  private readonly unanswered = new Map<string, Unanswered>();
  private readonly listeners = new Set<(method: string, params: readonly Json[]) => void>();
  private readonly closeListeners = new Set<(reason: string) => void>();
  private closedBecause: string | undefined;
  private nextId = 0;

  constructor(
    private readonly remote: string,
    socket: Socket<undefined>,
    private readonly options: ConnectOptions,
  ) {
    this.who = options.who;
    const handlers = {
      message: (message: Message) => this.received(message),
      closed: (reason: string) => this.ended(reason),
    };
    const limits = { ...defaultConnectionLimits, ...options.limits };
    this.connection = new Connection(remote, socket, handlers, options.logger, limits);
  }

  private received(message: Message): void {
    switch (message.kind) {
      case "request": {
        const { id } = message;
        this.connection.send(
          message.method === "echo"
            ? { kind: "reply", result: message.params, id }
            : { kind: "error", error: "unknown method", id },
        );
        return;
      }
      case "notification":
        this.tell(message.method, message.params);
        return;
      case "reply":
        this.take(message.id)?.resolve(message.result);
        return;
      case "error":
        this.take(message.id)?.reject(OvsdbError.fromJson(message.error));
        return;
      default: {
        const never: never = message;
        return never;
      }
    }
  }

  private tell(method: string, params: readonly Json[]): void {
    for (const listener of [...this.listeners]) {
      try {
        listener(method, params);
      } catch (error) {
        const { stack } = error as Error;
        this.options.logger.err(`${this.remote}: a listener failed: ${stack ?? String(error)}`);
      }
    }
  }

  private take(id: Json): Unanswered | undefined {
    const key = canonical(id);
    const unanswered = this.unanswered.get(key);
    this.unanswered.delete(key);
    // "echo" answers this end's own probe.
    if (unanswered === undefined && id !== "echo") {
      this.options.logger.warn(`${this.remote}: reply to a request never made: ${key}`);
    }
    return unanswered;
  }

  request(method: string, params: readonly Json[]): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.closedBecause !== undefined) {
        reject(new OvsdbError("connection closed", this.closedBecause));
        return;
      }
      const id = this.nextId++;
      this.unanswered.set(String(id), { resolve, reject });
      this.connection.send({ kind: "request", method, params, id });
    });
  }

  notify(method: string, params: readonly Json[]): void {
    this.connection.send({ kind: "notification", method, params });
  }

  onNotification(listener: (method: string, params: readonly Json[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onClose(listener: (reason: string) => void): () => void {
    if (this.closedBecause !== undefined) listener(this.closedBecause);
    else this.closeListeners.add(listener);
    return () => this.closeListeners.delete(listener);
  }

  close(): void {
    this.connection.close("closed by its user");
  }

  private ended(reason: string): void {
    this.closedBecause = reason;
    for (const { reject } of this.unanswered.values()) {
      reject(new OvsdbError("connection closed", reason));
    }
    this.unanswered.clear();
    for (const listener of this.closeListeners) listener(reason);
    this.closeListeners.clear();
  }
}

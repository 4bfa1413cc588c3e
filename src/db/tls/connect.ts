/** The client's side of TLS: a socket that is handed over once the server has proved who it is. */
import { isIP } from "node:net";
import type { Socket, SocketHandler } from "bun";
import { bootstrap } from "./bootstrap.ts";
import type { TlsContext } from "./context.ts";
import {
  type AnySocket,
  HANDSHAKE_TIMEOUT_MS,
  handshakeProblem,
  peerOf,
  peerText,
  socketOptions,
} from "./handshake.ts";
import { TlsError } from "./settings.ts";
import type { Tls } from "./tls.ts";

export interface ConnectTlsOptions<T> {
  readonly hostname: string;
  readonly port: number;
  readonly data: T;
  /** As for a plain socket; `open` is called after the handshake, nothing before. */
  readonly socket: SocketHandler<T>;
  readonly timeoutMs?: number;
}

/** The certificate is in order and only lacks the name of the host: Open vSwitch's all do. */
const NAME_DIFFERS = "ERR_TLS_CERT_ALTNAME_INVALID";

/** Resolves once `open` was called. Rejects with `TlsError`, or the error of the TCP connection. */
export async function connectTls<T>(tls: Tls, options: ConnectTlsOptions<T>): Promise<Socket<T>> {
  const { hostname, port, data, socket: handlers, timeoutMs = HANDSHAKE_TIMEOUT_MS } = options;
  const context = tls.context();
  const name = `ssl:${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket<T>>();
  let open = false;
  let raw: Socket<T> | undefined;
  const fail = (error: Error): void => {
    clearTimeout(timer);
    // First the reason: `close` may follow within `terminate`.
    reject(error);
    raw?.terminate();
  };
  const late = (): void => fail(new TlsError(`${name}: no TLS connection`, "timed out"));
  const timer = setTimeout(late, timeoutMs);
  const connecting = Bun.connect<T>({
    hostname,
    port,
    data,
    // An empty name is not sent: only names of hosts may be (RFC 6066 §3).
    tls: { ...socketOptions(context, "client"), serverName: isIP(hostname) ? "" : hostname },
    socket: {
      ...handlers,
      open: (socket) => {
        raw = socket;
      },
      handshake: (socket, _, error) => {
        if (open) return;
        try {
          checkServer(socket, error, context, name, tls);
        } catch (problem) {
          fail(problem as Error);
          return;
        }
        clearTimeout(timer);
        open = true;
        handlers.open?.(socket);
        resolve(socket);
      },
      close: (socket, error) => {
        if (open) void handlers.close?.(socket, error);
        else fail(new TlsError(`${name}: handshake failed`, "the server closed the connection"));
      },
      error: (socket, error) => {
        if (open) void handlers.error?.(socket, error);
        else fail(error);
      },
      end: (socket) => {
        if (open) void handlers.end?.(socket);
      },
    },
  });
  connecting.catch(fail);
  return await promise;
}

function checkServer(
  socket: AnySocket,
  error: Error | null | undefined,
  context: TlsContext,
  name: string,
  tls: Tls,
): void {
  const code = (error as { code?: string } | null | undefined)?.code;
  const isComplete = code !== "EPROTO" && code !== "ECONNRESET";
  const { trust } = context;
  if (isComplete && trust.kind === "bootstrap") bootstrap(socket, trust.file, tls.logger);
  // What is wrong with the chain of signatures comes before the name: then the chain is in order.
  const trusted = !error || code === NAME_DIFFERS || trust.kind === "none";
  if (!isComplete || !trusted) {
    throw new TlsError(`${name}: handshake failed`, handshakeProblem(error, context));
  }
  tls.logger.info(`${name}: ${peerText(peerOf(socket))}`);
}

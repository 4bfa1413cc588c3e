/**
 * Passive remotes: listens on `punix:`, `ptcp:` and `pssl:`, and gives each client that connects a
 * session on the server.
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import type { Socket, SocketHandler } from "bun";
import type { Logger } from "../../log/log.ts";
import { OvsdbError } from "../error.ts";
import type { OvsdbServer } from "../server.ts";
import { peerOf, peerText } from "../tls/handshake.ts";
import { listenTls } from "../tls/listen.ts";
import { TlsError } from "../tls/settings.ts";
import type { Tls } from "../tls/tls.ts";
import { type Connection, type ConnectionLimits, defaultConnectionLimits } from "./connection.ts";
import { parseRemote } from "./remote.ts";
import { type Access, fullAccess, serve } from "./serve.ts";

export interface ListenerLimits extends ConnectionLimits {
  /** Clients at one time; one more is turned away at once. */
  readonly connections: number;
}

/** 2,000 clients; TCP clients are probed after 5 s of silence, Unix ones never. */
export const defaultListenerLimits: ListenerLimits = {
  ...defaultConnectionLimits,
  connections: 2000,
};

const TCP_PROBE_MS = 5000;

interface Client {
  readonly connection: Connection | undefined;
}

export interface Listener {
  /** The remote, as it was given. */
  readonly remote: string;
  /** The TCP port listened on (that the system chose, if asked for 0). */
  readonly port: number | undefined;
  readonly connections: number;
  close(): void;
}

/** Throws `OvsdbError` if it cannot listen there. */
export function listen(
  server: OvsdbServer,
  remote: string,
  logger: Logger,
  limits: ListenerLimits = defaultListenerLimits,
  tls?: Tls,
  access: Access = fullAccess,
): Listener {
  const address = parseRemote(remote, server.socketDirectory);
  if (!address.passive) {
    throw new OvsdbError("bad remote", `${remote}: cannot listen on an active remote`);
  }
  const clients = new Set<Connection>();
  let count = 0;
  const socket = {
    open(socket: Socket<Client>): void {
      const name = address.kind === "unix"
        ? `unix#${count++}`
        : `${address.kind}:${socket.remoteAddress}:${socket.remotePort}`;
      if (clients.size >= limits.connections) {
        logger.warn(`${remote}: already ${limits.connections} clients, turned ${name} away`);
        socket.end();
        return;
      }
      const probeMs = limits.probeMs || (address.kind === "unix" ? 0 : TCP_PROBE_MS);
      // The listener's own `data` is one object for all: each socket needs its own.
      const peer = address.kind === "unix"
        ? server.identifyPeer?.(descriptorOf(socket))
        : undefined;
      const tlsPeer = address.kind === "ssl" ? peerOf(socket) : undefined;
      const author = peer !== undefined
        ? { who: "unix", ...peer }
        : tlsPeer && { who: `${name} ${peerText(tlsPeer)}` };
      const id = tlsPeer?.commonName;
      const options = { name, author, id, access, logger, limits: { ...limits, probeMs } };
      const { connection } = serve(server, socket, options, () => clients.delete(connection));
      clients.add(connection);
      socket.data = { connection };
    },
    data(socket: Socket<Client>, bytes: Uint8Array): void {
      socket.data.connection?.received(bytes);
    },
    drain(socket: Socket<Client>): void {
      socket.data.connection?.drain();
    },
    close(socket: Socket<Client>): void {
      socket.data.connection?.ended("connection closed by peer");
    },
    end(socket: Socket<Client>): void {
      socket.data.connection?.close("connection closed by peer");
    },
    error(socket: Socket<Client>, error: Error): void {
      socket.data.connection?.ended(error.message);
    },
  };
  const listener = open(address, remote, socket, tls);
  return {
    remote,
    port: listener.port,
    get connections() {
      return clients.size;
    },
    close() {
      listener.close();
      for (const connection of [...clients]) connection.close("server stops");
      if (address.kind === "unix") removeSocket(address.path);
    },
  };
}

/** Bun's sockets have their descriptor, though its types do not say so. */
const descriptorOf = (socket: Socket<Client>): number =>
  (socket as Socket<Client> & { readonly fd: number }).fd;

interface Open {
  readonly port: number | undefined;
  /** Stops listening; clients stay. */
  close(): void;
}

function open(
  address: ReturnType<typeof parseRemote>,
  remote: string,
  socket: SocketHandler<Client>,
  tls: Tls | undefined,
): Open {
  try {
    const data: Client = { connection: undefined };
    if (address.kind !== "unix") {
      const { host: hostname, port } = address;
      if (address.kind === "ssl") {
        if (tls === undefined) throw new TlsError("this program was not set up for TLS");
        const listener = listenTls(tls, { name: remote, hostname, port, socket, data });
        return { port: listener.port, close: () => listener.close(false) };
      }
      const listener = Bun.listen<Client>({ hostname, port, socket, data });
      return { port: listener.port, close: () => listener.stop(false) };
    }
    removeSocket(address.path);
    const listener = Bun.listen<Client>({ unix: address.path, socket, data });
    chmodSync(address.path, 0o770);
    return { port: undefined, close: () => listener.stop(false) };
  } catch (error) {
    if (error instanceof TlsError) {
      throw new TlsError(`${remote}: ${error.details}`, error.ioError);
    }
    if (error instanceof OvsdbError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OvsdbError("I/O error", `${remote}: listen failed`, undefined, reason);
  }
}

/** Removes a socket that someone left behind; nothing else that has this name. */
function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new OvsdbError("I/O error", `${path} exists and is no socket`);
  unlinkSync(path);
}

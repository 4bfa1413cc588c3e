/** The HTTP server: the app of app.ts on a socket. */
import { rmSync } from "node:fs";
import type { Logger } from "../log/log.ts";
import type { SideTables } from "../db/storage/side-tables.ts";
import { createApp } from "./app.ts";
import { Access, SETUP_LIFE_MS } from "./auth/access.ts";
import { AccessStore } from "./auth/store.ts";
import {
  CertificateError,
  type CertificateFiles,
  keptCertificate,
  readCertificate,
  type ServerCertificate,
} from "./certificate.ts";
import { type HttpParts, HttpSource } from "./source.ts";
import { Rings } from "./statistics/ring.ts";

export interface HttpOptions {
  /** An IP address, or a name that resolves to one. */
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  readonly parts: HttpParts;
  /** Where users, sessions, tokens, the audit log and statistics are kept. */
  readonly sideTables: SideTables;
  readonly logger: Logger;
  /** The same API on a Unix socket, without login: for its owner alone. */
  readonly socketPath?: string;
  /** HTTPS; plain HTTP unless given. `own`: the administrator's, else one is made and kept there. */
  readonly tls?: CertificateFiles & { readonly own: boolean };
  /** Names, besides localhost, under which browsers may reach the server. */
  readonly hostNames?: readonly string[];
}

export interface HttpServer {
  /** As a browser writes it, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Where the first user is made; undefined if there are users. It is a secret. */
  readonly setupUrl: string | undefined;
  close(): Promise<void>;
}

/** The server could not start: `message` says what to do. */
export class HttpStartError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "HttpStartError";
  }
}

const IDLE_SECONDS = 30;
/** Far above what any route takes: those refuse with a problem document. */
const MAX_REQUEST_BYTES = 16 << 20;

/**
 * Starts listening. Throws HttpStartError when the address cannot be had, `StorageError` when the
 * tables cannot.
 */
export function startHttp(options: HttpOptions): HttpServer {
  const { address, port, parts, logger, hostNames = [] } = options;
  const certificate = certificateOf(options);
  const access = new Access({ store: new AccessStore(options.sideTables), logger });
  const source = new HttpSource(parts, new Rings(options.sideTables));
  const app = createApp({
    source,
    access,
    logger,
    hostNames,
    secure: certificate !== undefined,
  });
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      hostname: address,
      port,
      fetch: (request, connection) =>
        app.fetch(request, {
          get address() {
            return connection.requestIP(request)?.address ?? "unknown";
          },
          keepOpen: () => connection.timeout(request, 0),
        }),
      maxRequestBodySize: MAX_REQUEST_BYTES,
      idleTimeout: IDLE_SECONDS,
      ...(certificate && {
        tls: { cert: certificate.certificate, key: certificate.privateKey },
      }),
      development: false,
      // Outside development mode Bun would share the port with another instance.
      reusePort: false,
    });
  } catch (error) {
    source.close();
    throw new HttpStartError(startMessage(address, port, error));
  }
  const bound = server.port ?? port;
  let local: Local | undefined;
  try {
    local = options.socketPath === undefined ? undefined : listenLocal(options.socketPath, app);
  } catch (error) {
    logger.warn(`${options.socketPath}: ${error instanceof Error ? error.message : error}`);
  }
  const scheme = certificate === undefined ? "http" : "https";
  const url = `${scheme}://${address.includes(":") ? `[${address}]` : address}:${bound}`;
  logger.info(`listening on ${url}`);
  if (certificate !== undefined) {
    logger.info(`the certificate's SHA-256 fingerprint is ${certificate.fingerprint}`);
  }
  const setup = access.offerSetUp();
  const setupUrl = setup === undefined ? undefined : `${url}/#setup=${setup}`;
  if (setupUrl !== undefined) {
    const minutes = SETUP_LIFE_MS / 60_000;
    logger.warn(
      `there is no user yet: make the first one at ${setupUrl} (once, within ${minutes} minutes)`,
    );
  }
  return {
    url,
    port: bound,
    setupUrl,
    close: async () => {
      source.close();
      await local?.close();
      await server.stop(true);
      access.audit.close();
    },
  };
}

interface Local {
  close(): Promise<void>;
}

/** `curl --unix-socket PATH http://localhost/api/v1/status`. */
function listenLocal(path: string, app: ReturnType<typeof createApp>): Local {
  rmSync(path, { force: true });
  // It is made for its owner from the start: a moment in which others may open it would be enough.
  const umask = process.umask(0o177);
  try {
    const server = Bun.serve({
      unix: path,
      fetch: (request) => app.fetch(request, { address: "unix", local: true }),
      maxRequestBodySize: MAX_REQUEST_BYTES,
      development: false,
    });
    return {
      async close() {
        await server.stop(true);
        rmSync(path, { force: true });
      },
    };
  } finally {
    process.umask(umask);
  }
}

function certificateOf({ address, tls }: HttpOptions): ServerCertificate | undefined {
  if (tls === undefined) return undefined;
  try {
    if (tls.own) return readCertificate(tls);
    const unspecified = address === "0.0.0.0" || address === "::";
    return keptCertificate(tls, unspecified ? [] : [address]);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new HttpStartError(`HTTP: ${error.message}`);
  }
}

function startMessage(address: string, port: number, error: unknown): string {
  const code = (error as { readonly code?: unknown }).code;
  const place = `${address}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return `HTTP: ${place} is in use by another program; choose another with --http ADDR:PORT`;
    case "EACCES":
      return `HTTP: no permission to listen on ${place}; choose a port above 1023 with --http`;
    case "EADDRNOTAVAIL":
      return `HTTP: ${address} is no address of this host; choose another with --http ADDR:PORT`;
    default:
      return `HTTP: cannot listen on ${place}: ${error instanceof Error ? error.message : error}`;
  }
}

/** The HTTP server: the app of app.ts on a socket. */
import type { Logger } from "../log/log.ts";
import { createApp, MAX_BODY_BYTES } from "./app.ts";
import type { HttpSource } from "./source.ts";

export type { HttpSource } from "./source.ts";

export interface HttpOptions {
  /** An IP address, or a name that resolves to one. */
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  readonly source: HttpSource;
  readonly logger: Logger;
  /** Names, besides localhost, under which browsers may reach the server. */
  readonly hostNames?: readonly string[];
}

export interface HttpServer {
  /** As a browser writes it, without a trailing slash. */
  readonly url: string;
  readonly port: number;
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

/** Starts listening. Throws HttpStartError when the address cannot be had. */
export function startHttp(options: HttpOptions): HttpServer {
  const { address, port, source, logger, hostNames = [] } = options;
  const app = createApp({ source, logger, hostNames });
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      hostname: address,
      port,
      fetch: (request) => app.fetch(request),
      maxRequestBodySize: MAX_BODY_BYTES,
      idleTimeout: IDLE_SECONDS,
      development: false,
      // Outside development mode Bun would share the port with another instance.
      reusePort: false,
    });
  } catch (error) {
    throw new HttpStartError(startMessage(address, port, error));
  }
  const bound = server.port ?? port;
  const url = `http://${address.includes(":") ? `[${address}]` : address}:${bound}`;
  logger.info(`listening on ${url}`);
  return {
    url,
    port: bound,
    close: async () => {
      await server.stop(true);
    },
  };
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

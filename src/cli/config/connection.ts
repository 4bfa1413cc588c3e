/** How the `config` and `db` commands reach the daemon: its database socket, as every client does. */
import { join } from "node:path";
import { OvsdbError } from "../../db/error.ts";
import type { Json } from "../../db/json.ts";
import { connectSession } from "../../db/rpc/client.ts";
import type { OvsdbSession } from "../../db/session.ts";
import { LogSink } from "../../log/log.ts";
import { CommandError, reason } from "../exit.ts";

/** What a command has to say beside its output. */
export const writeErrorLine = (line: string): void => void process.stderr.write(`${line}\n`);

export interface ConnectionOptions {
  readonly runDir: string;
  /** `unix:FILE` or `tcp:HOST:PORT` instead of the socket in the run directory. */
  readonly remote?: string;
  readonly database: string;
}

export const remoteOf = ({ runDir, remote }: ConnectionOptions): string =>
  remote ?? `unix:${join(runDir, "db.sock")}`;

export class DaemonConnection {
  constructor(private readonly session: OvsdbSession, private readonly database: string) {}

  /** Calls one of the daemon's own methods (docs/history.md). */
  async call(method: string, options: { readonly [name: string]: Json } = {}): Promise<Json> {
    try {
      return await this.session.request(`solovs.${method}`, [this.database, options]);
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      throw new CommandError(explain(error));
    }
  }

  close(): void {
    this.session.close();
  }
}

function explain(error: OvsdbError): string {
  if (error.tag === "unknown method") {
    return "the database server there is not solovs: it keeps no history";
  }
  return error.details === undefined
    ? error.message
    : `${error.details}${error.ioError === undefined ? "" : ` (${error.ioError})`}`;
}

/** Undefined if nobody listens there. */
export async function tryConnect(
  options: ConnectionOptions,
): Promise<DaemonConnection | undefined> {
  const logger = new LogSink(writeErrorLine, "warn").logger("cli");
  try {
    const session = await connectSession(remoteOf(options), { who: "solovs", logger });
    return new DaemonConnection(session, options.database);
  } catch (error) {
    if (error instanceof OvsdbError && error.tag === "I/O error") return undefined;
    throw new CommandError(reason(error));
  }
}

export async function connect(options: ConnectionOptions): Promise<DaemonConnection> {
  const connection = await tryConnect(options);
  if (connection !== undefined) return connection;
  throw new CommandError(
    `cannot reach the switch at ${remoteOf(options)}.\n` +
      "Is 'solovs run' running? Say where with --run-dir DIR or --remote unix:FILE, and run this as " +
      "a user who may open that socket.",
  );
}

/** Connects, does something, and lets go. */
export async function withDaemon<T>(
  options: ConnectionOptions,
  use: (connection: DaemonConnection) => Promise<T>,
): Promise<T> {
  const connection = await connect(options);
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

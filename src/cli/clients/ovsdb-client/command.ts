/** What a command of `ovsdb-client` is, declared as data, and what it runs with. */
import type { OvsdbError } from "../../../db/error.ts";
import type { Json } from "../../../db/json.ts";
import type { TlsSettings } from "../../../db/tls/settings.ts";
import type { OvsdbSession } from "../../../db/session.ts";
import type { ClientLog } from "../client-log.ts";
import type { TablePrinter } from "../table.ts";

export interface ClientOptions {
  readonly printer: TablePrinter;
  readonly log: ClientLog;
  readonly timestamp: boolean;
  /** Of `restore`: also when the schemas differ. */
  readonly force: boolean;
  /** Undefined: if the server can. */
  readonly changeAware: boolean | undefined;
  readonly tls: TlsSettings;
  /** Tells whoever waits for the program in the background that it is at work. */
  ready(): void;
  /** Makes a command known to `ovs-appctl`; only a program in the background takes commands. */
  control(
    name: string,
    usage: string,
    args: number,
    run: (args: readonly string[]) => string,
  ): void;
  /** Resolves when the program in the background is told to exit. */
  readonly exiting: Promise<void>;
}

/** What a command needs before it runs: nothing, a connection, or a database's name as well. */
export type Need = "nothing" | "connection" | "database";

export interface Connected {
  /** Without the server and the database. */
  readonly args: readonly string[];
  readonly options: ClientOptions;
  readonly session: OvsdbSession;
  readonly remote: string;
  /** Empty where the command needs none. */
  readonly database: string;
}

export interface Unconnected {
  readonly args: readonly string[];
  readonly options: ClientOptions;
}

interface Common {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly args: string;
  readonly help: string;
}

export type ClientCommand =
  | Common & { readonly need: "nothing"; run(command: Unconnected): Promise<void> }
  | Common & { readonly need: "connection" | "database"; run(command: Connected): Promise<void> };

/** The server's error as it was received: an object, or only its short string. */
export const errorJson = (error: OvsdbError): Json =>
  error.details === undefined && error.syntax === undefined ? error.tag : error.toJson();

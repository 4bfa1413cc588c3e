/**
 * The unixctl server: RUNDIR/ovs-vswitchd.PID.ctl, by which `ovs-appctl` asks the daemon for things.
 *
 * JSON-RPC 1.0 (as RFC 7047 §4 uses it) over a Unix socket: a request's method is a command, its
 * params are the arguments, all strings; the reply is one text, or one text as error. A connection
 * that sends anything else is closed; other connections do not notice.
 *
 * Limits: 16 connections, 1 MiB a request. Commands run one at a time on each connection, in order.
 */
import type { Json } from "../db/json.ts";
import { isArray, isObject, member, stringify } from "../db/json.ts";
import { JsonStream, JsonStreamError } from "../db/rpc/json-stream.ts";
import type { Logger } from "../log/log.ts";
import { listenStreams, type Stream, type StreamEvents } from "./control/streams.ts";

const MAX_CONNECTIONS = 16;
const LIMITS = { messageBytes: 1 << 20, depth: 16 };

export interface Command {
  /** As `list-commands` shows it: `[bridge]`. */
  readonly usage: string;
  readonly minArguments: number;
  readonly maxArguments: number;
  /** Returns the text to print; a `CommandError` is the command's error. */
  readonly run: (args: readonly string[]) => string | Promise<string>;
}

/** A command cannot be done; `message` is what the user sees. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** A command in the form that lists of them are written in. */
export type AddCommand = (
  name: string,
  usage: string,
  argumentCount: readonly [least: number, most: number],
  run: Command["run"],
) => void;

/** Registers what it is called with. */
export const commandAdder =
  (server: Pick<UnixctlServer, "register">): AddCommand =>
  (name, usage, [minArguments, maxArguments], run) =>
    server.register(name, { usage, minArguments, maxArguments, run });

export class UnixctlServer {
  private readonly commands = new Map<string, Command>();
  private readonly listener: { close(): void };
  private readonly streams = new Set<Stream>();

  /** Throws if the socket cannot be made. */
  constructor(path: string, private readonly log: Logger) {
    this.listener = listenStreams({ kind: "punix", path }, (stream) => this.accept(stream));
    this.register("list-commands", {
      usage: "",
      minArguments: 0,
      maxArguments: 0,
      run: () => this.list(),
    });
  }

  register(name: string, command: Command): void {
    if (this.commands.has(name)) throw new Error(`unixctl: ${name} is registered twice`);
    this.commands.set(name, command);
  }

  has(name: string): boolean {
    return this.commands.has(name);
  }

  close(): void {
    this.listener.close();
    for (const stream of this.streams) stream.end();
  }

  private list(): string {
    const lines = [...this.commands].sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { usage }]) => `  ${name.padEnd(23)} ${usage}\n`);
    return `The available commands are:\n${lines.join("")}`;
  }

  private accept(stream: Stream): StreamEvents | undefined {
    if (this.streams.size >= MAX_CONNECTIONS) {
      this.log.warn(`refusing a connection: ${MAX_CONNECTIONS} are open`);
      return undefined;
    }
    this.streams.add(stream);
    const messages = new JsonStream(LIMITS);
    let last: Promise<void> = Promise.resolve();
    return {
      data: (bytes) => {
        try {
          for (const message of messages.feed(bytes)) {
            last = last.then(() => this.answer(stream, message));
          }
        } catch (error) {
          if (!(error instanceof JsonStreamError)) throw error;
          this.log.warn(`${stream.peer}: not JSON: ${error.message}; closing the connection`);
          stream.abort("not JSON");
        }
      },
      closed: () => void this.streams.delete(stream),
    };
  }

  private async answer(stream: Stream, message: Json): Promise<void> {
    const method = isObject(message) ? member(message, "method") : undefined;
    const params = isObject(message) ? member(message, "params") : undefined;
    const id = isObject(message) ? member(message, "id") : undefined;
    if (typeof method !== "string" || !isArray(params) || id === undefined || id === null) {
      this.log.warn(`${stream.peer}: received something that is no request; closing`);
      return stream.abort("not a request");
    }
    const debugging = this.log.enabled("dbg");
    if (debugging) this.log.dbg(`received request ${method}${stringify(params)}`);
    const reply = (result: string | null, error: string | null): void => {
      const outcome = error === null ? "success" : "error";
      if (debugging) this.log.dbg(`replying with ${outcome}: "${error ?? result ?? ""}"`);
      stream.write(new TextEncoder().encode(stringify({ id, result, error })));
    };
    try {
      reply(wholeLines(await this.execute(method, params)), null);
    } catch (error) {
      if (error instanceof CommandError) return reply(null, wholeLines(error.message));
      const text = error instanceof Error ? error.stack ?? error.message : String(error);
      this.log.err(`command ${method} failed: ${text}`);
      reply(null, `internal error in ${method}: see the log\n`);
    }
  }

  /** Runs a command as if it had come by the socket. Throws `CommandError`. */
  async execute(method: string, params: readonly Json[]): Promise<string> {
    const command = this.commands.get(method);
    if (!command) {
      throw new CommandError(
        `"${method}" is not a valid command (use "list-commands" to see a list of valid commands)`,
      );
    }
    if (params.length < command.minArguments) {
      throw new CommandError(
        `"${method}" command requires at least ${command.minArguments} arguments`,
      );
    }
    if (params.length > command.maxArguments) {
      throw new CommandError(`"${method}" command takes at most ${command.maxArguments} arguments`);
    }
    const args = params.filter((param): param is string => typeof param === "string");
    if (args.length !== params.length) {
      throw new CommandError(`"${method}" command has non-string argument`);
    }
    return await command.run(args);
  }
}

/** `ovs-appctl` prints a reply as it is: one that is not empty ends in a newline. */
const wholeLines = (text: string): string =>
  text === "" || text.endsWith("\n") ? text : `${text}\n`;

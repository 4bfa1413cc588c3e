/**
 * `vsctl`: from the command line to the exit code.
 *
 * Commands are tried on a copy of the columns that they need, as one transaction. When another
 * client was faster, or something that is waited for is not so yet, all is tried again after the next
 * update. Output appears only once the transaction is committed. Then, unless told otherwise, vsctl
 * waits until the switch has taken the change in, and reports interfaces that could not be set up.
 *
 * Reference: ovs-vsctl(8) of Open vSwitch 3.1, and of 3.6 for the exit code of such interfaces.
 */
import { readFileSync } from "node:fs";
import { DatabaseCopy, type WantedColumns } from "../../../db/client/copy.ts";
import { type CommitOutcome, Draft, type DraftRow } from "../../../db/client/draft.ts";
import { OvsdbError } from "../../../db/error.ts";
import type { Uuid } from "../../../db/schema/declare.ts";
import { openVSwitchSchema } from "../../../db/schema/openvswitch.ts";
import { type DatabaseSchema, parseSchema } from "../../../db/schema/schema.ts";
import { ClientLog } from "../client-log.ts";
import { connect, ConnectionFailed, defaultRemote, logDir } from "../connect.ts";
import { Exit, Fatal } from "../fatal.ts";
import { arrangeRows, nameOrder } from "../hash-order.ts";
import { jsonText } from "../json-text.ts";
import { toStderr, toStdout } from "../output.ts";
import { type Table, TablePrinter } from "../table.ts";
import { watchEndings } from "../endings.ts";
import { type RowSymbol, Symbols } from "../value-text.ts";
import { escapeArguments, parseCommands, type ParsedCommand } from "./arguments.ts";
import { type Running, Wanted } from "./command.ts";
import { commandsByName } from "./commands.ts";
import { BridgeModel } from "./model.ts";
import { InformationAsked, parseOptions, type VsctlOptions } from "./options.ts";

const PROGRAM = "ovs-vsctl";

/** `EX_DATAERR`: the change is made, but the switch could not set up what it asks for. */
const EXIT_NOT_SET_UP = 65;

const RETRY_MS = 1000;

/** `calledAs`: how the program was started, for the log of changes. Resolves with the exit code. */
export async function runVsctl(calledAs: string, words: readonly string[]): Promise<number> {
  const log = new ClientLog(PROGRAM, toStderr, "warn");
  try {
    const commands = commandsByName();
    const parsed = parseOptions(words, commands.values(), log);
    const called = escapeArguments([calledAs, ...words]);
    const list = parseCommands(parsed.words, parsed.options.local, commands);
    const writes = list.some(({ declaration }) => declaration.writes);
    log.log("vsctl", writes ? "info" : "dbg", `Called as ${called}`);
    const unwatch = watchEndings(parsed.options.timeoutSeconds, log);
    try {
      return await new Vsctl(parsed.options, list, called, log).run();
    } finally {
      unwatch();
    }
  } catch (error) {
    return await ending(error, log);
  }
}

async function ending(error: unknown, log: ClientLog): Promise<number> {
  if (error instanceof Exit) return error.exitCode;
  if (error instanceof InformationAsked) {
    const { information } = await import("./information.ts");
    toStdout(information(error.about));
    return 0;
  }
  const message = error instanceof ConnectionFailed
    ? `${error.remote}: database connection failed (${error.why})`
    : error instanceof Fatal
    ? error.message
    : undefined;
  if (message === undefined) throw error;
  // Said once on the console.
  log.setLevel("db_ctl_base", "console", "off");
  log.log("db_ctl_base", "err", message);
  toStderr(`${PROGRAM}: ${message}\n`);
  return error instanceof Fatal ? error.exitCode : 1;
}

/** What one command said. */
interface Said {
  text: string;
  table: Table | undefined;
}

interface Attempt {
  readonly draft: Draft;
  readonly root: DraftRow<"Open_vSwitch">;
  readonly said: readonly Said[];
  readonly symbols: Symbols;
  /** Interfaces that the commands made. */
  readonly interfaces: readonly Uuid[];
}

class Vsctl {
  private readonly schema: DatabaseSchema = parseSchema(openVSwitchSchema);
  private readonly wanted = new Wanted();
  private readonly remote: string;

  constructor(
    private readonly options: VsctlOptions,
    private readonly commands: readonly ParsedCommand[],
    private readonly called: string,
    private readonly log: ClientLog,
  ) {
    this.remote = options.db ?? defaultRemote(process.env);
  }

  async run(): Promise<number> {
    this.prepare();
    let copy = await this.open(this.options.retry);
    for (;;) {
      const { updates } = copy;
      try {
        const attempt = this.attempt(copy);
        const exitCode = attempt === undefined ? undefined : await this.commit(attempt);
        if (exitCode !== undefined) {
          copy.session.close();
          return exitCode;
        }
        await copy.updated(updates);
      } catch (error) {
        if (!isConnectionLost(error)) {
          copy.session.close();
          throw error;
        }
        if (!this.options.retry) throw new ConnectionFailed(this.remote, "End of file");
        copy = await this.open(true);
      }
    }
  }

  private prepare(): void {
    this.wanted.add("Open_vSwitch", ...(this.options.waitForSwitch ? ["cur_cfg"] : []));
    for (const { declaration, args, options } of this.commands) {
      const { schema, wanted, log } = this;
      declaration.prepare?.({ args, options, schema, wanted, log });
    }
  }

  private async open(retry: boolean): Promise<DatabaseCopy> {
    for (;;) {
      try {
        const session = await connect(this.remote, PROGRAM, this.options.tls);
        const copy = await DatabaseCopy.open(session, this.schema, inStockOrder(this.wanted));
        arrangeRows(copy);
        return copy;
      } catch (error) {
        const lost = isConnectionLost(error);
        if (!lost && !(error instanceof ConnectionFailed)) throw error;
        if (!retry) throw lost ? new ConnectionFailed(this.remote, "End of file") : error;
        await Bun.sleep(RETRY_MS);
      }
    }
  }

  /** Runs the commands on a new draft; undefined if they have to wait for an update. */
  private attempt(copy: DatabaseCopy): Attempt | undefined {
    const draft = new Draft(copy);
    const root = draft.rows("Open_vSwitch")[0] ?? draft.insert("Open_vSwitch");
    const model = new BridgeModel(draft, root, this.log);
    const symbols = new Symbols();
    const interfaces: Uuid[] = [];
    const said: Said[] = [];
    for (const [index, { declaration, args, options }] of this.commands.entries()) {
      const own: Said = { text: "", table: undefined };
      let again = false;
      const running: Running = {
        args,
        options,
        name: declaration.name,
        schema: this.schema,
        draft,
        symbols,
        root,
        model,
        log: this.log,
        last: index === this.commands.length - 1,
        expectInterface: ({ uuid }) => interfaces.push(uuid),
        print: (text) => own.text += text,
        printTable: (table) => own.table = table,
        tryAgain: () => again = true,
      };
      declaration.run?.(running);
      if (again) return undefined;
      said.push(own);
    }
    this.checkSymbols(symbols);
    return { draft, root, said, symbols, interfaces };
  }

  private checkSymbols({ table }: Symbols): void {
    for (const name of nameOrder(table.keys())) {
      const { created, strongRef, weakRef } = table.get(name) as RowSymbol;
      if (!created) {
        throw new Fatal(
          `row id "${name}" is referenced but never created ` +
            `(e.g. with "-- --id=${name} create ...")`,
        );
      }
      if (strongRef) continue;
      const what = weakRef ? "only a weak reference to it" : "no reference to it";
      this.log.log(
        "vsctl",
        "warn",
        `row id "${name}" was created but ${what} was inserted, ` +
          "so it will not actually appear in the database",
      );
    }
  }

  /** Resolves with the exit code; undefined if the database was changed meanwhile. */
  private async commit(attempt: Attempt): Promise<number | undefined> {
    const { dryRun, waitForSwitch } = this.options;
    const outcome = await attempt.draft.commit({
      comment: `${PROGRAM} (invoked by ${parentProcess()}): ${this.called}`,
      dryRun,
      ...(waitForSwitch ? { increment: { row: attempt.root, column: "next_cfg" } } : {}),
    });
    switch (outcome.kind) {
      case "stale":
        return undefined;
      case "failed": {
        const problem = `transaction error: ${jsonText(outcome.error)}`;
        if (outcome.ofOperation) this.log.log("ovsdb_idl", "warn", problem);
        throw new Fatal(problem);
      }
      case "unchanged":
        this.print(attempt, new Map());
        return 0;
      case "committed":
        this.print(attempt, outcome.inserted);
        // What was not really changed would be waited for in vain.
        if (!waitForSwitch || dryRun) return 0;
        return await this.waitForSwitch(attempt, outcome);
      default: {
        const never: never = outcome;
        return never;
      }
    }
  }

  private print({ said }: Attempt, inserted: ReadonlyMap<Uuid, Uuid>): void {
    const printer = new TablePrinter(this.options.table);
    const output = said.map(({ text, table }, i) => {
      if (table !== undefined) return printer.print(table);
      const finish = this.commands[i]?.declaration.finish;
      const finished = finish?.(text, (uuid) => inserted.get(uuid) ?? uuid) ?? text;
      return this.options.oneline ? oneLine(finished) : finished;
    });
    toStdout(output.join(""));
  }

  private async waitForSwitch(
    attempt: Attempt,
    { inserted, incremented }: CommitOutcome & { kind: "committed" },
  ): Promise<number> {
    const made = attempt.interfaces.map((uuid) => inserted.get(uuid) ?? uuid);
    let { copy } = attempt.draft;
    for (;;) {
      const { updates } = copy;
      const draft = new Draft(copy);
      const done = draft.rows("Open_vSwitch")
        .some((row) => BigInt(row.get("cur_cfg")) >= BigInt(incremented ?? 0));
      if (done) {
        copy.session.close();
        return reportInterfaces(draft.resolve("Interface", made));
      }
      try {
        await copy.updated(updates);
      } catch (error) {
        if (!isConnectionLost(error)) throw error;
        // The change is made: what is left is to see what becomes of it.
        copy = await this.open(true);
      }
    }
  }
}

/** Servers answer in the order of the question, and rows are arranged by the order of the answer. */
function inStockOrder({ columns }: Wanted): WantedColumns {
  const order = nameOrder([...columns.keys()].sort());
  return new Map(order.map((table) => [table, columns.get(table) ?? new Set()]));
}

const isConnectionLost = (error: unknown): boolean =>
  error instanceof OvsdbError && error.tag === "connection closed";

function reportInterfaces(interfaces: readonly DraftRow<"Interface">[]): number {
  const failed = interfaces.filter((row) => (row.get("ofport") ?? -1) === -1);
  for (const row of failed) {
    const error = row.get("error") ?? "";
    const why = error === "" ? "" : `: ${error}`;
    toStderr(
      `${PROGRAM}: Error detected while setting up '${row.get("name")}'${why}.  ` +
        "See ovs-vswitchd log for details.\n",
    );
  }
  if (failed.length === 0) return 0;
  toStderr(`${PROGRAM}: The default log directory is "${logDir(process.env)}".\n`);
  return EXIT_NOT_SET_UP;
}

function oneLine(text: string): string {
  const escaped = text.replace(/\n$/, "").replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `${escaped}\n`;
}

/** Who called: the log of changes is to tell a person's from a script's. */
function parentProcess(): string {
  const pid = process.ppid;
  let name = "init";
  if (pid !== 0) {
    try {
      name = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0]?.split("\n")[0] ?? "";
    } catch {
      name = "";
    }
  }
  return `${name} (pid ${pid})`;
}

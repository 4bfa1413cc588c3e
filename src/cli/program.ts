/**
 * The command line: argv in, exit code out.
 *
 * The name under which the executable was started, or else the first word, chooses the command; with
 * neither, the command is `run`. Each command's code is imported only when the command runs, so that
 * `--version` and `--help` answer at once (the budget is 50 ms).
 *
 * Invariants: a wrong command line changes nothing, prints to stderr what to do, and exits 2.
 */
import { Command, CommanderError, Option } from "commander";
import { DATAPATH_CHOICES } from "../fastpath/datapath-choice.ts";
import { declareCompletion } from "./clients/completion/declare.ts";
import { clients, runClient } from "./clients/dispatch.ts";
import { parseListenAddress, parseLogLevel, parsePassiveRemote } from "./arguments.ts";
import { declareConfig } from "./config/declare.ts";
import { declareDb } from "./db/declare.ts";
import { CommandError, EXIT, reason } from "./exit.ts";
import { stockProgram } from "./names.ts";
import { defaultDatabase, defaultDatapath, defaultRunDir } from "./options.ts";
import type { OvsdbOptions, RunOptions } from "./options.ts";
import { runRole } from "./roles/role.ts";
import { declareStatus } from "./status/declare.ts";
import { OVS_VERSION, SOLOVS_VERSION } from "./version.ts";

/** Where the command's action leaves its exit code. */
interface Outcome {
  exitCode: number;
}

/** Makes an option repeatable: its values gather in an array. */
function gather<T>(parse: (text: string) => T): (text: string, previous: readonly T[]) => T[] {
  return (text, previous) => [...previous, parse(text)];
}

/** `--remote`, TLS and the log: the same for every command that serves a database. */
function serverOptions(command: Command, remote: string): Command {
  return command
    .option("--remote <remote>", remote, gather(parsePassiveRemote), [])
    .option("--private-key <file>", "TLS for remotes and controllers: the private key, PEM")
    .option("--certificate <file>", "TLS: the certificate that belongs to it")
    .option("--ca-cert <file>", "TLS: the CA that must have signed the peers' certificates")
    .option("--bootstrap-ca-cert <file>", "TLS: as --ca-cert; learnt from the first server")
    .option("--peer-ca-cert <file>", "TLS: the CA of our certificate, for peers that learn it")
    .option("--ssl-protocols <list>", "TLS: TLSv1.2, TLSv1.3 or both (default: both)")
    .option("--ssl-ciphers <list>", "TLS: ciphers for TLS 1.2, as OpenSSL writes them")
    .option(
      "--log-level <[module:]level>",
      "off, emer, err, warn, info or dbg, for one module or for all (repeatable)",
      gather(parseLogLevel),
      [],
    );
}

function declareRun(program: Command, outcome: Outcome): void {
  const command = program
    .command("run", { isDefault: true })
    .description("run the switch in the foreground (what 'solovs' alone does)")
    .option("--run-dir <dir>", "directory of the sockets", defaultRunDir(process.env))
    .option("--db <file>", "configuration database, SQLite", defaultDatabase(process.env))
    .option(
      "--http <address:port>",
      "where the HTTP API listens, or 'none'",
      parseListenAddress,
      parseListenAddress("127.0.0.1:8080"),
    )
    .option("--http-tls", "HTTPS, with a certificate made at the first start", false)
    .option("--http-certificate <file>", "HTTPS, with this certificate, PEM")
    .option("--http-private-key <file>", "the key that belongs to it")
    .option(
      "--http-name <name>",
      "a host name under which browsers may reach the HTTP API (repeatable)",
      gather(String),
      [],
    );
  serverOptions(
    command,
    "serve the database there too: ptcp:PORT[:ADDRESS], pssl:… or punix:FILE (repeatable)",
  )
    .showHelpAfterError("Run 'solovs run --help' to see the options.")
    .option("--dummy", "no devices, no packets, no root: for trying out and for tests", false)
    .addOption(
      new Option("--datapath <where>", "where flows are: in the kernel (ebpf), or not")
        .choices([...DATAPATH_CHOICES])
        .default(defaultDatapath(process.env)),
    )
    .action(async (options: RunOptions) => {
      const { run } = await import("./run.ts");
      outcome.exitCode = await run(options);
    });
}

function declareOvsdb(program: Command, outcome: Outcome): void {
  const command = program
    .command("ovsdb")
    .description("a database server alone, for any schema (OVN's, vtep's), without a switch")
    .requiredOption("--db <file>", "the database; a new one is SQLite")
    .option("--schema <file>", "its schema (JSON); Open_vSwitch's unless given");
  serverOptions(
    command,
    "serve the database there: punix:FILE, ptcp:PORT[:ADDRESS] or pssl:… (at least one; repeatable)",
  )
    .showHelpAfterError("Run 'solovs ovsdb --help' to see the options.")
    .action(async (options: OvsdbOptions) => {
      const { ovsdb } = await import("./ovsdb.ts");
      outcome.exitCode = await ovsdb(options);
    });
}

function declareEnds(program: Command, outcome: Outcome): void {
  const runDir = ["directory of its sockets", defaultRunDir(process.env)] as const;
  program
    .command("stop")
    .description(
      "end the running switch; what the kernel forwards goes on until it is started again",
    )
    .option("--run-dir <dir>", ...runDir)
    .option("--cleanup", "nothing is to stay in the kernel", false)
    .action(async (options: { runDir: string; cleanup: boolean }) => {
      const { stop } = await import("./stop.ts");
      outcome.exitCode = await stop(options);
    });
  program
    .command("probe")
    .description("what this kernel offers for flows in it, and what is done without")
    .option("--json", "as JSON", false)
    .action(async (options: { json: boolean }) => {
      const { probe } = await import("./probe.ts");
      outcome.exitCode = probe(options);
    });
  program
    .command("cleanup")
    .description("remove what a switch that has ended or crashed left in the kernel")
    .option("--run-dir <dir>", ...runDir)
    .action(async (options: { runDir: string }) => {
      const { cleanup } = await import("./stop.ts");
      outcome.exitCode = cleanup(options);
    });
}

function declareLab(program: Command, outcome: Outcome): void {
  program
    .command("lab")
    .description("a switch with two hosts in namespaces of their own, to look at and to try")
    .option(
      "--http <address:port>",
      "where the HTTP API listens, or 'none' (default: 127.0.0.1:8080, or a free port)",
      parseListenAddress,
    )
    .showHelpAfterError("Run 'solovs lab --help' to see the options.")
    .option("--once", "end after the demonstration instead of waiting for Ctrl-C", false)
    .action(async (options: { http?: ReturnType<typeof parseListenAddress>; once: boolean }) => {
      const { lab } = await import("./lab/lab.ts");
      outcome.exitCode = await lab(options);
    });
  program
    .command("lab-host", { hidden: true })
    .description("one host of the lab; started by it, takes requests on standard input")
    .action(async () => {
      const { labHost } = await import("./lab/host.ts");
      outcome.exitCode = await labHost();
    });
}

function declareProgram(outcome: Outcome): Command {
  const program = new Command("solovs")
    .description("Open vSwitch in one executable: database, OpenFlow switch, fast path, HTTP API.")
    .version(
      `solovs ${SOLOVS_VERSION} (behaves as Open vSwitch ${OVS_VERSION})`,
      "-V, --version",
      "print the version",
    )
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", "\nThe options of the switch itself: solovs run --help")
    .showSuggestionAfterError(true)
    .showHelpAfterError("Run 'solovs --help' to see commands and options.")
    // What follows `config confirm-within TIME --` is that command's own.
    .enablePositionalOptions()
    .exitOverride();
  // Set on the parent before the commands are declared: they inherit it.
  declareRun(program, outcome);
  declareLab(program, outcome);
  declareOvsdb(program, outcome);
  declareEnds(program, outcome);
  // For the help only: these read their own command lines.
  for (const { word, help } of clients) program.command(word).description(help);
  declareStatus(program, outcome);
  declareConfig(program, outcome);
  declareDb(program, outcome);
  declareCompletion(program);
  program.command("manual", { hidden: true })
    .description("the manual page, solovs(8), for who makes packages")
    .action(async () => {
      const { manualPage } = await import("./manual.ts");
      process.stdout.write(manualPage(program, new Date().toISOString().slice(0, 10)));
    });
  return program;
}

/**
 * With a default command, commander takes a first word that names no command for an argument of that
 * one, and would complain about it in its name.
 */
function refuseUnknownCommand(program: Command, words: readonly string[]): void {
  const [first] = words;
  if (first === undefined || first.startsWith("-") || first === "help") return;
  if (program.commands.some((command) => command.name() === first)) return;
  const listed = program.createHelp().visibleCommands(program).map((command) => command.name());
  program.error(`error: unknown command '${first}'; the commands are: ${listed.join(", ")}`);
}

/**
 * Runs the command that `words` ask for and resolves to the exit code. `argv0` is the name under
 * which the executable was started.
 */
export async function runCommandLine(argv0: string, words: readonly string[]): Promise<number> {
  const exitCode = await runClient(argv0, words) ?? await runRole(argv0, words);
  if (exitCode !== undefined) return exitCode;
  const stock = stockProgram(argv0);
  if (stock !== undefined) {
    process.stderr.write(
      `${stock.name}: solovs ${SOLOVS_VERSION} does not play this role yet; ${stock.instead}.\n`,
    );
    return EXIT.usage;
  }
  const outcome: Outcome = { exitCode: EXIT.ok };
  try {
    const program = declareProgram(outcome);
    refuseUnknownCommand(program, words);
    await program.parseAsync(words, { from: "user" });
    return outcome.exitCode;
  } catch (error) {
    // commander has printed its message already; its code 0 stands for --help and --version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    process.stderr.write(`solovs: ${reason(error)}\n`);
    if (!(error instanceof CommandError) && error instanceof Error) {
      process.stderr.write(`${error.stack ?? ""}\n`);
    }
    return error instanceof CommandError ? error.exitCode : EXIT.failure;
  }
}

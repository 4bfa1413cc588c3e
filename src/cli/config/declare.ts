/** The command line of `solovs config`. */
import { type Command, InvalidArgumentError } from "commander";
import { defaultRunDir } from "../options.ts";
import type { ConfirmWithinOptions } from "./confirm.ts";
import type { LogOptions, OutputOptions, RollbackOptions } from "./history.ts";

interface Outcome {
  exitCode: number;
}

/** Options by which a command finds the daemon. */
export function connectionOptions(command: Command): Command {
  return command
    .option("--run-dir <dir>", "directory of the switch's sockets", defaultRunDir(process.env))
    .option("--remote <remote>", "unix:FILE or tcp:HOST:PORT instead of RUN-DIR/db.sock")
    .option("--database <name>", "which database", "Open_vSwitch");
}

const output = (command: Command): Command =>
  connectionOptions(command).option("--json", "for programs", false);

export function parseRevision(text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw new InvalidArgumentError("Give a revision's number, as 'solovs config log' shows them.");
  }
  return Number(text);
}

export function parseCount(text: string): number {
  const count = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > 10_000) throw new InvalidArgumentError("Give a number from 1 to 10000.");
  return count;
}

/** `60s`, `5m`, `2h`, `1d`, or a number of seconds. */
export function parseDuration(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,6})(s|m|min|h|d)?$/.exec(text) ?? [];
  const seconds = Number(number) * ({ "": 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 }[unit] ?? 0);
  if (number === "" || seconds < 1 || seconds > 7 * 86_400) {
    throw new InvalidArgumentError("Give a time such as 60s, 5m or 1h, of at most 7 days.");
  }
  return seconds;
}

export function declareConfig(program: Command, outcome: Outcome): void {
  const config = program
    .command("config")
    .description("the configuration's history: what changed, by whom, and the way back")
    .showHelpAfterError("Run 'solovs config --help' to see the commands.");

  output(config.command("log").description("list revisions, newest first"))
    .option("-n, --limit <count>", "how many", parseCount, 20)
    .option("--before <revision>", "only older ones", parseRevision)
    .action(async (options: LogOptions) => {
      const { configLog } = await import("./history.ts");
      outcome.exitCode = await configLog(options);
    });

  output(config.command("show").description("show what a revision changed"))
    .argument("<revision>", "its number", parseRevision)
    .action(async (revision: number, options: OutputOptions) => {
      const { configShow } = await import("./history.ts");
      outcome.exitCode = await configShow(revision, options);
    });

  output(config.command("diff").description("compare two revisions, or one with now"))
    .argument("<from>", "a revision", parseRevision)
    .argument("[to]", "another; the newest unless given", parseRevision)
    .action(async (from: number, to: number | undefined, options: OutputOptions) => {
      const { configDiff } = await import("./history.ts");
      outcome.exitCode = await configDiff(from, to, options);
    });

  output(config.command("rollback").description("make the configuration what a revision left"))
    .argument("<revision>", "its number", parseRevision)
    .option("--dry-run", "only show what would change", false)
    .option("--comment <text>", "recorded with the new revision")
    .action(async (revision: number, options: RollbackOptions) => {
      const { configRollback } = await import("./history.ts");
      outcome.exitCode = await configRollback(revision, options);
    });

  declareConfirm(program, config, outcome);
}

function declareConfirm(program: Command, config: Command, outcome: Outcome): void {
  const isOwnCommand = (word: string): boolean =>
    program.commands.some((command) => command.name() === word);

  connectionOptions(
    config.command("confirm-within")
      .description("run a command whose changes take themselves back unless they are confirmed"),
  )
    .argument("<time>", "such as 60s or 5m", parseDuration)
    .argument("[command...]", "after --, such as: vsctl add-port br0 eth1")
    .option("--extend", "the window that is open: move its deadline", false)
    .usage("[options] TIME -- COMMAND...")
    .action(
      async (
        seconds: number,
        words: string[],
        options: Omit<ConfirmWithinOptions, "isOwnCommand">,
      ) => {
        const { confirmWithin } = await import("./confirm.ts");
        outcome.exitCode = await confirmWithin(seconds, words, { ...options, isOwnCommand });
      },
    );

  output(config.command("confirm").description("keep the changes that wait for confirmation"))
    .action(async (options: OutputOptions) => {
      const { configConfirm } = await import("./confirm.ts");
      outcome.exitCode = await configConfirm(options);
    });

  output(config.command("cancel").description("take the changes back now"))
    .action(async (options: OutputOptions) => {
      const { configCancel } = await import("./confirm.ts");
      outcome.exitCode = await configCancel(options);
    });

  output(config.command("status").description("what waits for confirmation, and until when"))
    .action(async (options: OutputOptions) => {
      const { configStatus } = await import("./confirm.ts");
      outcome.exitCode = await configStatus(options);
    });
}

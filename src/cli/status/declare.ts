/** The command lines of `solovs status` and `solovs top`. */
import { type Command, InvalidArgumentError } from "commander";
import { defaultRunDir } from "../options.ts";
import type { TopOptions } from "../top/top.ts";
import type { StatusOptions } from "./status.ts";

interface Outcome {
  exitCode: number;
}

const apiOptions = (command: Command): Command =>
  command
    .option("--run-dir <dir>", "directory of the switch's sockets", defaultRunDir(process.env))
    .option("--url <url>", "another switch's HTTP API")
    .option("--token <token>", "a token for it (or $SOLOVS_TOKEN)");

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("Give a number from 1 on.");
  return Number(text);
}

export function declareStatus(program: Command, outcome: Outcome): void {
  apiOptions(program.command("status"))
    .description("the switch on one page; exit code 1 when something ought to be looked at")
    .option("--json", "for programs", false)
    .action(async (options: StatusOptions) => {
      const { status } = await import("./status.ts");
      outcome.exitCode = await status(options);
    });
  apiOptions(program.command("top"))
    .description("the busiest ports, live; q ends it")
    .option("-n, --count <n>", "end after so many readings, one every two seconds", parseCount)
    .action(async (options: TopOptions) => {
      const { top } = await import("../top/top.ts");
      outcome.exitCode = await top(options);
    });
}

/** `solovs completion`: a script for the shell, and the candidates that the script asks for. */
import { Argument, type Command } from "commander";
import { CommandError, EXIT } from "../../exit.ts";
import type { OwnCommand } from "./candidates.ts";
import { completionScript, SHELLS } from "./scripts.ts";

function ownCommands(program: Command): OwnCommand[] {
  return program.createHelp().visibleCommands(program).map((command) => ({
    name: command.name(),
    options: command.createHelp().visibleOptions(command)
      .map(({ long, short }) => long ?? short ?? "").filter((option) => option !== ""),
    values: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    subcommands: ownCommands(command),
  }));
}

export function declareCompletion(program: Command): void {
  const completion = program
    .command("completion")
    .description("print a script that completes solovs' command lines in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText("after", "\nTo load it: source <(solovs completion bash)")
    .action((name: string) => {
      const shell = SHELLS.find((candidate) => candidate === name);
      if (shell === undefined) {
        throw new CommandError(`give one of ${SHELLS.join(", ")}`, EXIT.usage);
      }
      process.stdout.write(completionScript(shell));
    });
  completion
    .command("words", { hidden: true })
    .description("print what could stand at the end of a command line")
    .argument("<line>", "the command line up to the cursor")
    .action(async (line: string) => {
      const { candidates, splitLine } = await import("./candidates.ts");
      const found = await candidates(splitLine(line), ownCommands(program));
      process.stdout.write(found.map((word) => `${word}\n`).join(""));
    });
}

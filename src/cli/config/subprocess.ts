/** Runs the command of `confirm-within`: one of this program's own, or any other. */
import { CommandError, reason } from "../exit.ts";
import type { ConfirmWithinOptions } from "./confirm.ts";

/** The command line that starts this very program again: compiled, or from its sources. */
const ownCommandLine = (): string[] =>
  Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];

/**
 * `vsctl …` means this program's own, else `ovs-vsctl` of the path; anything else is run as it is.
 * `OVS_RUNDIR` tells it which switch is meant.
 */
export async function runWords(
  words: readonly string[],
  options: ConfirmWithinOptions,
): Promise<number> {
  const [first = "", ...rest] = words;
  const stock = Bun.which(`ovs-${first}`);
  const elsewhere = first === "vsctl" && options.remote !== undefined;
  const argv = options.isOwnCommand(first)
    ? [...ownCommandLine(), first, ...(elsewhere ? [`--db=${options.remote}`] : []), ...rest]
    : Bun.which(first) === null && stock !== null
    ? [stock, ...rest]
    : [...words];
  const env = { ...process.env, OVS_RUNDIR: options.runDir };
  try {
    const child = Bun.spawn(argv, { env, stdin: "inherit", stdout: "inherit", stderr: "inherit" });
    // Ctrl-C reaches the command too; what waits for confirmation is still to be reported.
    const ignore = (): void => {};
    process.on("SIGINT", ignore);
    const code = await child.exited;
    process.off("SIGINT", ignore);
    return code;
  } catch (error) {
    throw new CommandError(`cannot run ${first}: ${reason(error)}`);
  }
}

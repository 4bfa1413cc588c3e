/**
 * `ofctl`: asks OpenFlow switches for things and tells them what to do, as ovs-ofctl(8) of Open
 * vSwitch 3.1 does: same commands, options, texts and exit codes.
 *
 * Through a link named `ovs-ofctl` it speaks OpenFlow 1.0 unless told (`-O`), as that tool does, and
 * says what to add when the switch does not. As `solovs ofctl` it finds the version: 1.0 where the switch
 * and the command have it, for the sake of equal answers, else the highest that both know.
 *
 * `options.ts` the command line · `session.ts` connections, names, requests · `*-commands.ts` the
 * commands by what they are about · `bundle.ts` · `src/openflow/text` all texts, both ways.
 *
 * Where this differs on purpose: flows and groups of a file are sent in batches with a barrier after
 * each, and not with a barrier after each of them; when one fails, some behind it may have been sent.
 * Names of ports and tables are asked for only when a text is not understood without them.
 */
import { ClientLog } from "../client-log.ts";
import { watchEndings } from "../endings.ts";
import { Exit, Fatal } from "../fatal.ts";
import { toStderr, toStdout } from "../output.ts";
import { InformationAsked } from "../vsctl/options.ts";
import { ofctlCommands } from "./commands.ts";
import { parseOptions, PROGRAM } from "./options.ts";
import { Session } from "./session.ts";

/** `isStock`: called as ovs-ofctl. Resolves with the exit code. */
export async function runOfctl(isStock: boolean, words: readonly string[]): Promise<number> {
  const log = new ClientLog(PROGRAM, toStderr, "info");
  try {
    const parsed = parseOptions(words, log, isStock);
    const session = new Session(parsed.options, log);
    const unwatch = watchEndings(parsed.options.timeoutSeconds, log);
    try {
      return await runCommand(session, parsed.words);
    } finally {
      session.close();
      unwatch();
    }
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    if (error instanceof InformationAsked) {
      const { information } = await import("./information.ts");
      toStdout(information(error.about));
      return 0;
    }
    if (!(error instanceof Fatal)) throw error;
    toStderr(`${PROGRAM}: ${error.message}\n`);
    return error.exitCode;
  }
}

async function runCommand(session: Session, words: readonly string[]): Promise<number> {
  const [name, ...args] = words;
  if (name === undefined) throw new Fatal("missing command name; use --help for help");
  const command = ofctlCommands.find((candidate) => candidate.name === name);
  if (!command) throw new Fatal(`unknown command '${name}'; use --help for help`);
  const { minimum, maximum, writes } = command;
  if (session.options.readOnly && writes) {
    throw new Fatal(`'${name}' command does not work in read only mode`);
  }
  if (args.length < minimum) {
    throw new Fatal(`'${name}' command requires at least ${minimum} arguments`);
  }
  if (args.length > maximum) {
    throw new Fatal(`'${name}' command takes at most ${maximum} arguments`);
  }
  return await command.run(session, args) ?? 0;
}

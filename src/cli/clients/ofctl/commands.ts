/** All commands, in the order in which they are listed. */
import { toStdout } from "../output.ts";
import { InformationAsked } from "../vsctl/options.ts";
import { command, MANY, type OfctlCommand } from "./command.ts";
import { diffCommands } from "./diff-commands.ts";
import { flowCommands } from "./flow-commands.ts";
import { groupCommands, meterCommands } from "./group-commands.ts";
import { monitorCommands } from "./monitor-commands.ts";
import { packetCommands } from "./packet-commands.ts";
import { parseCommands } from "./parse-commands.ts";
import { switchCommands } from "./switch-commands.ts";

const help = command("help", undefined, [0, MANY], "ro", () => {
  throw new InformationAsked("help");
});

const list = command("list-commands", undefined, [0, MANY], "ro", () => {
  toStdout(commandList());
  return Promise.resolve();
});

export const ofctlCommands: readonly OfctlCommand[] = [
  ...switchCommands,
  ...monitorCommands,
  ...flowCommands,
  ...diffCommands,
  ...meterCommands,
  ...groupCommands,
  ...packetCommands,
  ...parseCommands,
  help,
  list,
];

/** For people and for completion. */
export function commandList(): string {
  const lines = ofctlCommands.map(({ name, usage = "" }) => `  ${name.padEnd(23)} ${usage}\n`);
  return `The available commands are:\n${lines.join("")}`;
}

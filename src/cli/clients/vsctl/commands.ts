/** All commands of `vsctl`. */
import { bridgeCommands } from "./bridge-commands.ts";
import type { CommandDeclaration } from "./command.ts";
import { controllerCommands, managerCommands, sslCommands } from "./controller-commands.ts";
import { databaseCommands } from "./database-commands.ts";
import { portCommands } from "./port-commands.ts";
import { autoAttachCommands, datapathCommands, switchCommands } from "./switch-commands.ts";

export interface CommandGroup {
  readonly title: string;
  readonly commands: readonly CommandDeclaration[];
}

export const commandGroups: readonly CommandGroup[] = [
  { title: "Switch", commands: switchCommands },
  { title: "Bridges", commands: bridgeCommands },
  { title: "Ports and interfaces", commands: portCommands },
  { title: "Controllers", commands: controllerCommands },
  { title: "Managers", commands: managerCommands },
  { title: "TLS", commands: sslCommands },
  { title: "Auto Attach", commands: autoAttachCommands },
  { title: "Datapaths", commands: datapathCommands },
  { title: "Any table", commands: databaseCommands },
];

const [init, show, reset] = switchCommands;

/** In the order in which `ovs-vsctl` makes them known, from which follows that of `--commands`. */
export const commandsByName = (): ReadonlyMap<string, CommandDeclaration> =>
  new Map(
    [
      ...databaseCommands,
      show,
      init,
      ...[bridgeCommands, portCommands, controllerCommands, managerCommands].flat(),
      ...[sslCommands, autoAttachCommands].flat(),
      reset,
      ...datapathCommands,
    ].map((command) => [command.name, command]),
  );

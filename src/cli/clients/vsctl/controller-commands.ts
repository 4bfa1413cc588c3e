/** The commands about controllers, managers and TLS. */
import type { DraftRow } from "../../../db/client/draft.ts";
import { Fatal } from "../fatal.ts";
import { leadingInteger, printSorted } from "./bridge-commands.ts";
import { type CommandDeclaration, type Prepared, type Running, UNLIMITED_ARGS } from "./command.ts";
import { realRow, wantModel } from "./model.ts";

const CONNECTION_METHOD = /^(?:p?tcp|p?ssl|p?unix):/;

function checkTarget({ log }: Running, target: string): void {
  if (CONNECTION_METHOD.test(target)) return;
  log.log("vsctl", "warn", `target type "${target}" is possibly erroneous`);
}

function inactivityProbe({ options }: Running): number | undefined {
  const text = options.get("--inactivity-probe");
  return text === undefined ? undefined : leadingInteger(text);
}

function controllersOf(command: Running, bridge: DraftRow<"Bridge">): DraftRow<"Controller">[] {
  bridge.verifyColumns("controller");
  const controllers = command.draft.resolve("Controller", bridge.get("controller"));
  for (const controller of controllers) controller.verifyColumns("target");
  return controllers;
}

function getController(command: Running): void {
  const bridge = realRow(command.model.populate().theBridge(command.args[0] as string));
  printSorted(command, controllersOf(command, bridge).map((row) => row.get("target")));
}

function deleteController(command: Running): void {
  const bridge = command.model.populate().theRealBridge(command.args[0] as string);
  const controllers = controllersOf(command, bridge);
  if (controllers.length === 0) return;
  for (const controller of controllers) controller.delete();
  bridge.set("controller", []);
}

function setController(command: Running): void {
  const [name = "", ...targets] = command.args;
  const bridge = command.model.populate().theRealBridge(name);
  for (const controller of controllersOf(command, bridge)) controller.delete();
  const probe = inactivityProbe(command);
  const controllers = targets.map((target) => {
    checkTarget(command, target);
    const controller = command.draft.insert("Controller");
    controller.set("target", target);
    if (probe !== undefined) controller.set("inactivity_probe", probe);
    return controller.uuid;
  });
  bridge.set("controller", controllers);
}

function getFailMode(command: Running): void {
  const bridge = realRow(command.model.populate().theBridge(command.args[0] as string));
  bridge.verifyColumns("fail_mode");
  const mode: string | undefined = bridge.get("fail_mode");
  if (mode !== undefined && mode !== "") command.print(`${mode}\n`);
}

function setFailMode({ args: [name = "", mode = ""], model }: Running): void {
  const bridge = model.populate().theRealBridge(name);
  if (mode !== "standalone" && mode !== "secure") {
    throw new Fatal('fail-mode must be "standalone" or "secure"');
  }
  bridge.set("fail_mode", mode);
}

function managers({ draft, root }: Running): DraftRow<"Manager">[] {
  root.verifyColumns("manager_options");
  const rows = draft.resolve("Manager", root.get("manager_options"));
  for (const row of rows) row.verifyColumns("target");
  return rows;
}

function setManagers(command: Running, targets: readonly string[]): void {
  for (const manager of managers(command)) manager.delete();
  const probe = inactivityProbe(command);
  const rows = targets.map((target) => {
    checkTarget(command, target);
    const manager = command.draft.insert("Manager");
    manager.set("target", target);
    if (probe !== undefined) manager.set("inactivity_probe", probe);
    return manager.uuid;
  });
  command.root.set("manager_options", rows);
}

function ssl({ draft, root }: Running): DraftRow<"SSL"> | undefined {
  const uuid = root.get("ssl");
  return uuid === undefined ? undefined : draft.row("SSL", uuid);
}

function getSsl(command: Running): void {
  command.root.verifyColumns("ssl");
  const row = ssl(command);
  if (row === undefined) return;
  row.verifyColumns("private_key", "certificate", "ca_cert", "bootstrap_ca_cert");
  command.print(
    `Private key: ${row.get("private_key")}\n` +
      `Certificate: ${row.get("certificate")}\n` +
      `CA Certificate: ${row.get("ca_cert")}\n` +
      `Bootstrap: ${row.get("bootstrap_ca_cert")}\n`,
  );
}

function deleteSsl(command: Running): void {
  const row = ssl(command);
  if (row === undefined) return;
  command.root.verifyColumns("ssl");
  row.delete();
  command.root.set("ssl", undefined);
}

function setSsl(command: Running): void {
  const { args: [privateKey = "", certificate = "", caCert = ""], draft, root, options } = command;
  root.verifyColumns("ssl");
  ssl(command)?.delete();
  const row = draft.insert("SSL");
  row.set("private_key", privateKey);
  row.set("certificate", certificate);
  row.set("ca_cert", caCert);
  row.set("bootstrap_ca_cert", options.has("--bootstrap"));
  root.set("ssl", row.uuid);
}

const prepareBridges = ({ wanted }: Prepared): void => wantModel(wanted);

function prepareControllers({ wanted }: Prepared): void {
  wantModel(wanted);
  wanted.add("Controller", "target", "inactivity_probe");
}

function prepareManagers({ wanted }: Prepared): void {
  wanted.add("Open_vSwitch", "manager_options");
  wanted.add("Manager", "target", "inactivity_probe");
}

function prepareSsl({ wanted }: Prepared): void {
  wanted.add("Open_vSwitch", "ssl");
  wanted.add("SSL", "private_key", "certificate", "ca_cert", "bootstrap_ca_cert");
}

const ofBridge = { min: 1, max: 1, args: "BRIDGE", options: [] } as const;
const withoutArgs = { min: 0, max: 0, args: "", options: [] } as const;

export const controllerCommands: readonly CommandDeclaration[] = [
  {
    ...ofBridge,
    name: "get-controller",
    writes: false,
    help: "print the controllers of a bridge",
    prepare: prepareControllers,
    run: getController,
  },
  {
    ...ofBridge,
    name: "del-controller",
    writes: true,
    help: "delete the controllers of a bridge",
    prepare: prepareControllers,
    run: deleteController,
  },
  {
    name: "set-controller",
    min: 1,
    max: UNLIMITED_ARGS,
    args: "BRIDGE TARGET...",
    options: ["--inactivity-probe="],
    writes: true,
    help: "set the controllers of a bridge",
    prepare: prepareControllers,
    run: setController,
  },
  {
    ...ofBridge,
    name: "get-fail-mode",
    writes: false,
    help: "print what a bridge does without its controllers",
    prepare: prepareBridges,
    run: getFailMode,
  },
  {
    ...ofBridge,
    name: "del-fail-mode",
    writes: true,
    help: "unset the fail mode of a bridge",
    prepare: prepareBridges,
    run: ({ args: [name = ""], model }) =>
      model.populate().theRealBridge(name).set("fail_mode", undefined),
  },
  {
    name: "set-fail-mode",
    min: 2,
    max: 2,
    args: "BRIDGE MODE",
    options: [],
    writes: true,
    help: "set it to standalone or secure",
    prepare: prepareBridges,
    run: setFailMode,
  },
];

export const managerCommands: readonly CommandDeclaration[] = [
  {
    ...withoutArgs,
    name: "get-manager",
    writes: false,
    help: "print the managers",
    prepare: prepareManagers,
    run: (command) =>
      printSorted(command, new Set(managers(command).map((row) => row.get("target")))),
  },
  {
    ...withoutArgs,
    name: "del-manager",
    writes: true,
    help: "delete the managers",
    prepare: prepareManagers,
    run: (command) => setManagers(command, []),
  },
  {
    name: "set-manager",
    min: 1,
    max: UNLIMITED_ARGS,
    args: "TARGET...",
    options: ["--inactivity-probe="],
    writes: true,
    help: "set the managers",
    prepare: prepareManagers,
    run: (command) => setManagers(command, command.args),
  },
];

export const sslCommands: readonly CommandDeclaration[] = [
  {
    ...withoutArgs,
    name: "get-ssl",
    writes: false,
    help: "print the TLS configuration",
    prepare: prepareSsl,
    run: getSsl,
  },
  {
    ...withoutArgs,
    name: "del-ssl",
    writes: true,
    help: "delete the TLS configuration",
    prepare: prepareSsl,
    run: deleteSsl,
  },
  {
    name: "set-ssl",
    min: 3,
    max: 3,
    args: "PRIVATE-KEY CERTIFICATE CA-CERT",
    options: ["--bootstrap"],
    writes: true,
    help: "set the TLS configuration",
    prepare: prepareSsl,
    run: setSsl,
  },
];

/** The commands about ports, bonds and interfaces. */
import { compareAtoms } from "../../../db/values/atom.ts";
import { Fatal } from "../fatal.ts";
import { nameOrder } from "../hash-order.ts";
import { escapeArguments } from "./arguments.ts";
import { printSorted } from "./bridge-commands.ts";
import { type CommandDeclaration, type Prepared, type Running, UNLIMITED_ARGS } from "./command.ts";
import { assign } from "./conditions.ts";
import { type ModelPort, realRow, wantModel } from "./model.ts";

function listPorts(command: Running): void {
  const bridge = command.model.populate().theBridge(command.args[0] as string);
  realRow(bridge).verifyColumns("ports");
  const names = [...bridge.ports].map(({ row }) => row.get("name"));
  printSorted(command, names.filter((name) => name !== bridge.name));
}

function listInterfaces(command: Running): void {
  const bridge = command.model.populate().theBridge(command.args[0] as string);
  command.model.verifyPorts();
  const names = [...bridge.ports]
    .flatMap(({ interfaces }) => [...interfaces].map(({ row }) => row.get("name")));
  printSorted(command, names.filter((name) => name !== bridge.name));
}

/** The command as it was given, for messages. */
const asGiven = ({ options, name, args }: Running): string =>
  escapeArguments([...nameOrder(options.keys()), name, ...args]);

interface NewPort {
  readonly bridge: string;
  readonly port: string;
  readonly interfaces: readonly string[];
  /** `COLUMN[:KEY]=VALUE` for the port's row. */
  readonly settings: readonly string[];
  readonly fakeInterface: boolean;
}

function addPort(command: Running, wanted: NewPort): void {
  const { model, draft, options } = command;
  if (wanted.port === "") throw new Fatal("port name must not be empty string");
  if (wanted.interfaces.includes("")) throw new Fatal("interface name must not be empty string");
  model.populate();
  if (options.has("--may-exist")) {
    const port = model.port(wanted.port);
    if (port !== undefined) {
      checkExisting(command, port, wanted);
      return;
    }
  }
  model.checkConflicts(wanted.port, `cannot create a port named ${wanted.port}`);
  for (const name of wanted.interfaces) {
    model.checkConflicts(name, `cannot create an interface named ${name}`);
  }
  const bridge = model.theBridge(wanted.bridge);
  const interfaces = wanted.interfaces.map((name) => {
    const iface = draft.insert("Interface");
    iface.set("name", name);
    command.expectInterface(iface);
    return iface;
  });
  const port = draft.insert("Port");
  port.set("name", wanted.port);
  port.set("interfaces", interfaces.map(({ uuid }) => uuid));
  port.set("bond_fake_iface", wanted.fakeInterface);
  if (bridge.parent !== undefined) port.set("tag", bridge.vlan);
  for (const setting of wanted.settings) assign(port, setting, command.symbols, false);
  const row = realRow(bridge);
  row.set("ports", [...row.get("ports"), port.uuid]);
  const added = model.addPort(bridge, port);
  for (const iface of interfaces) model.addInterface(added, iface);
}

/** `--may-exist`: the port that is there must be the one that is asked for. */
function checkExisting(command: Running, port: ModelPort, wanted: NewPort): void {
  if (port.bridge.name !== wanted.bridge) {
    throw new Fatal(
      `"${asGiven(command)}" but ${wanted.port} is actually attached to bridge ` +
        port.bridge.name,
    );
  }
  const have = command.draft.resolve("Interface", port.row.get("interfaces"))
    .map((row) => row.get("name")).sort(compareAtoms);
  const want = [...wanted.interfaces].sort(compareAtoms);
  if (want.length === have.length && want.every((name, i) => name === have[i])) return;
  throw new Fatal(
    `"${asGiven(command)}" but ${wanted.port} actually has interface(s) ${have.join(", ")}`,
  );
}

function addPlainPort(command: Running): void {
  const [bridge = "", port = "", ...settings] = command.args;
  addPort(command, { bridge, port, interfaces: [port], settings, fakeInterface: false });
}

const FEWEST_IN_A_BOND = 2;

function addBond(command: Running): void {
  const [bridge = "", port = "", ...others] = command.args;
  const setting = others.findIndex((arg) => arg.includes("="));
  const count = setting < 0 ? others.length : setting;
  if (count < FEWEST_IN_A_BOND) {
    throw new Fatal(
      `add-bond requires at least ${FEWEST_IN_A_BOND} interfaces, ` +
        `but only ${count} were specified`,
    );
  }
  addPort(command, {
    bridge,
    port,
    interfaces: others.slice(0, count),
    settings: others.slice(count),
    fakeInterface: command.options.has("--fake-iface"),
  });
}

function addBondInterface(command: Running): void {
  const { args: [bond = "", name = ""], model, draft, options } = command;
  const port = model.populate().thePort(bond);
  const known = options.has("--may-exist") ? model.interface(name) : undefined;
  if (known?.port === port) return;
  if (known !== undefined) {
    throw new Fatal(
      `"${asGiven(command)}" but ${name} is actually attached to port ` +
        known.port.row.get("name"),
    );
  }
  model.checkConflicts(name, `cannot create an interface named ${name}`);
  const iface = draft.insert("Interface");
  iface.set("name", name);
  port.row.insertInto("interfaces", iface.uuid);
  command.expectInterface(iface);
  model.addInterface(port, iface);
}

function deleteBondInterface({ args, model, options }: Running): void {
  const name = args.at(-1) as string;
  model.populate();
  const iface = options.has("--if-exists") ? model.interface(name) : model.theInterface(name);
  if (iface === undefined) return;
  const { port } = iface;
  const [bond] = args;
  if (args.length > 1 && bond !== undefined && model.thePort(bond) !== port) {
    throw new Fatal(`port ${bond} does not have an interface ${name}`);
  }
  if (port.interfaces.size < 2) {
    throw new Fatal(`cannot delete last interface from port ${port.row.get("name")}`);
  }
  port.row.removeFrom("interfaces", iface.row.uuid);
  model.removeInterface(iface);
}

function portToDelete({ args, model, options }: Running): ModelPort | undefined {
  const target = args.at(-1) as string;
  const mustExist = !options.has("--if-exists");
  if (model.bridge(target) !== undefined) {
    if (!mustExist) return undefined;
    throw new Fatal(
      `cannot delete port ${target} because it is the local port for bridge ${target} ` +
        "(deleting this port requires deleting the entire bridge)",
    );
  }
  if (!options.has("--with-iface")) {
    return mustExist ? model.thePort(target) : model.port(target);
  }
  const port = model.port(target) ?? model.interface(target)?.port;
  if (port === undefined && mustExist) {
    throw new Fatal(`no port or interface named ${target}`);
  }
  return port;
}

function deletePort(command: Running): void {
  const { args: [bridgeName = "", portName], model } = command;
  model.populate();
  const port = portToDelete(command);
  if (port === undefined) return;
  if (portName !== undefined) {
    const bridge = model.theBridge(bridgeName);
    if (port.bridge !== bridge) {
      const child = port.bridge.parent === bridge
        ? ` (although its child bridge ${port.bridge.name} does)`
        : "";
      throw new Fatal(`bridge ${bridgeName} does not have a port ${portName}${child}`);
    }
  }
  model.removePort(port);
}

const prepare = ({ wanted }: Prepared): void => wantModel(wanted);

export const portCommands: readonly CommandDeclaration[] = [
  {
    name: "list-ports",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "print the names of a bridge's ports",
    prepare,
    run: listPorts,
  },
  {
    name: "add-port",
    min: 2,
    max: UNLIMITED_ARGS,
    args: "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...",
    options: ["--may-exist"],
    writes: true,
    help: "add a network device to a bridge",
    prepare,
    run: addPlainPort,
  },
  {
    name: "del-port",
    min: 1,
    max: 2,
    args: "[BRIDGE] PORT|IFACE",
    options: ["--if-exists", "--with-iface"],
    writes: true,
    help: "delete a port, which may be a bond",
    prepare,
    run: deletePort,
  },
  {
    name: "port-to-br",
    min: 1,
    max: 1,
    args: "PORT",
    options: [],
    writes: false,
    help: "print the bridge that has the port",
    prepare,
    run: ({ args: [name = ""], model, print }) =>
      print(`${model.populate().thePort(name).bridge.name}\n`),
  },
  {
    name: "add-bond",
    min: 4,
    max: UNLIMITED_ARGS,
    args: "BRIDGE BOND IFACE... [COLUMN[:KEY]=VALUE]...",
    options: ["--may-exist", "--fake-iface"],
    writes: true,
    help: "add a port that bonds several interfaces",
    prepare,
    run: addBond,
  },
  {
    name: "add-bond-iface",
    min: 2,
    max: 2,
    args: "BOND IFACE",
    options: ["--may-exist"],
    writes: true,
    help: "add an interface to a bond",
    prepare,
    run: addBondInterface,
  },
  {
    name: "del-bond-iface",
    min: 1,
    max: 2,
    args: "[BOND] IFACE",
    options: ["--if-exists"],
    writes: true,
    help: "delete an interface from a bond",
    prepare,
    run: deleteBondInterface,
  },
  {
    name: "list-ifaces",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "print the names of a bridge's interfaces",
    prepare,
    run: listInterfaces,
  },
  {
    name: "iface-to-br",
    min: 1,
    max: 1,
    args: "IFACE",
    options: [],
    writes: false,
    help: "print the bridge that has the interface",
    prepare,
    run: ({ args: [name = ""], model, print }) =>
      print(`${model.populate().theInterface(name).port.bridge.name}\n`),
  },
];

/** The commands about bridges. */
import { compareAtoms } from "../../../db/values/atom.ts";
import { Exit, Fatal } from "../fatal.ts";
import type { CommandDeclaration, Prepared, Running } from "./command.ts";
import { type ModelBridge, realRow, wantModel } from "./model.ts";

/** The number at the beginning of the text, or 0, as C's `atoi`. */
export function leadingInteger(text: string): number {
  const [digits = "0"] = /^\s*[+-]?\d+/.exec(text) ?? [];
  return Number(digits);
}

export function printSorted(command: Running, names: Iterable<string>): void {
  for (const name of [...names].sort(compareAtoms)) command.print(`${name}\n`);
}

function addBridge(command: Running): void {
  const { args, draft, model, options, root, name: commandName } = command;
  const [name = "", parentName, vlanText = ""] = args;
  if (name === "") throw new Fatal("bridge name must not be empty string");
  if (args.length === 2) {
    throw new Fatal(`'${commandName}' command takes exactly 1 or 3 arguments`);
  }
  const vlan = parentName === undefined ? 0 : leadingInteger(vlanText);
  if (vlan < 0 || vlan > 4095) {
    throw new Fatal(`${commandName}: vlan must be between 0 and 4095`);
  }
  model.populate();
  if (options.has("--may-exist")) {
    const bridge = model.bridge(name);
    if (bridge !== undefined) {
      checkExisting(bridge, parentName, vlan);
      return;
    }
  }
  model.checkConflicts(name, `cannot create a bridge named ${name}`);
  const parent = parentName === undefined ? undefined : parentOf(command, parentName, vlan);

  const iface = draft.insert("Interface");
  iface.set("name", name);
  iface.set("type", "internal");
  const port = draft.insert("Port");
  port.set("name", name);
  port.set("interfaces", [iface.uuid]);
  if (parent === undefined) {
    const bridge = draft.insert("Bridge");
    bridge.set("name", name);
    bridge.set("ports", [port.uuid]);
    root.set("bridges", [...root.get("bridges"), bridge.uuid]);
  } else {
    port.set("fake_bridge", true);
    port.set("tag", vlan);
    const row = realRow(parent);
    row.set("ports", [...row.get("ports"), port.uuid]);
  }
  command.expectInterface(iface);
  model.invalidate();
}

/** `--may-exist`: the bridge that is there must be the one that is asked for. */
function checkExisting(bridge: ModelBridge, parent: string | undefined, vlan: number): void {
  const { name } = bridge;
  const asked = parent === undefined ? name : `${name} ${parent} ${vlan}`;
  const refuse = (problem: string): never => {
    throw new Fatal(`"--may-exist add-br ${asked}" but ${name} ${problem}`);
  };
  if (parent === undefined) {
    if (bridge.parent !== undefined) refuse(`is a VLAN bridge for VLAN ${bridge.vlan}`);
  } else if (bridge.parent === undefined) refuse("is not a VLAN bridge");
  else if (bridge.parent.name !== parent) refuse(`has the wrong parent ${bridge.parent.name}`);
  else if (bridge.vlan !== vlan) refuse(`is a VLAN bridge for the wrong VLAN ${bridge.vlan}`);
}

function parentOf({ model }: Running, name: string, vlan: number): ModelBridge {
  const parent = model.bridge(name);
  if (parent?.parent !== undefined) {
    throw new Fatal("cannot create bridge with fake bridge as parent");
  }
  if (parent === undefined) throw new Fatal(`parent bridge ${name} does not exist`);
  const conflict = parent.children.get(vlan);
  if (conflict === undefined) return parent;
  throw new Fatal(
    `bridge ${name} already has a child VLAN bridge ${conflict.name} on VLAN ${vlan}`,
  );
}

function deleteBridge({ args: [name = ""], model, options }: Running): void {
  model.populate();
  const bridge = options.has("--if-exists") ? model.bridge(name) : model.theBridge(name);
  if (bridge !== undefined) model.removeBridge(bridge);
}

function listBridges(command: Running): void {
  const { model, options } = command;
  const all = !options.has("--real") && !options.has("--fake");
  const wanted = [...model.populate().bridges.values()].filter((bridge) =>
    all || options.has(bridge.parent === undefined ? "--real" : "--fake")
  );
  printSorted(command, wanted.map(({ name }) => name));
}

/** The exit code for a bridge that is not there. */
const NO_BRIDGE = 2;

function bridgeExists({ args: [name = ""], model }: Running): void {
  if (model.populate().bridge(name) === undefined) throw new Exit(NO_BRIDGE);
}

/** A fake bridge's ids are its port's, with this before their names. */
const FAKE_PREFIX = "fake-bridge-";

interface ExternalIds {
  readonly prefix: string;
  readonly ids: ReadonlyMap<string, string>;
  set(ids: ReadonlyMap<string, string>): void;
}

function externalIds({ args: [name = ""], model }: Running): ExternalIds {
  const bridge = model.populate().theBridge(name);
  const { row } = bridge;
  if (row !== undefined) {
    row.verifyColumns("external_ids");
    return {
      prefix: "",
      ids: row.get("external_ids"),
      set: (ids) => row.set("external_ids", ids),
    };
  }
  const port = model.ports.get(name)?.row;
  if (port === undefined) throw new Fatal(`no port named ${name}`);
  port.verifyColumns("external_ids");
  return {
    prefix: FAKE_PREFIX,
    ids: port.get("external_ids"),
    set: (ids) => port.set("external_ids", ids),
  };
}

function setExternalId(command: Running): void {
  const [, key = "", value] = command.args;
  const { prefix, ids, set } = externalIds(command);
  const changed = new Map(ids);
  if (value === undefined) changed.delete(prefix + key);
  else changed.set(prefix + key, value);
  set(changed);
}

function getExternalId(command: Running): void {
  const [, key] = command.args;
  const { prefix, ids } = externalIds(command);
  if (key !== undefined) {
    const value = ids.get(prefix + key);
    if (value !== undefined) command.print(`${value}\n`);
    return;
  }
  for (const [name, value] of [...ids].sort(([a], [b]) => compareAtoms(a, b))) {
    if (name.startsWith(prefix)) command.print(`${name.slice(prefix.length)}=${value}\n`);
  }
}

function prepareExternalIds({ wanted }: Prepared): void {
  wantModel(wanted);
  wanted.add("Bridge", "external_ids");
  wanted.add("Port", "external_ids");
}

const prepare = ({ wanted }: Prepared): void => wantModel(wanted);

export const bridgeCommands: readonly CommandDeclaration[] = [
  {
    name: "add-br",
    min: 1,
    max: 3,
    args: "NEW-BRIDGE [PARENT] [NEW-VLAN]",
    options: ["--may-exist"],
    writes: true,
    help: "make a bridge, or a fake one in PARENT on a VLAN",
    prepare,
    run: addBridge,
  },
  {
    name: "del-br",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: ["--if-exists"],
    writes: true,
    help: "delete a bridge and all its ports",
    prepare,
    run: deleteBridge,
  },
  {
    name: "list-br",
    min: 0,
    max: 0,
    args: "",
    options: ["--real", "--fake"],
    writes: false,
    help: "print the names of the bridges",
    prepare,
    run: listBridges,
  },
  {
    name: "br-exists",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "exit with 2 if the bridge is not there",
    prepare,
    run: bridgeExists,
  },
  {
    name: "br-to-vlan",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "print the VLAN that a fake bridge is on",
    prepare,
    run: (command) =>
      command.print(`${command.model.populate().theBridge(command.args[0] as string).vlan}\n`),
  },
  {
    name: "br-to-parent",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "print the bridge that a fake bridge is part of",
    prepare,
    run(command) {
      const bridge = command.model.populate().theBridge(command.args[0] as string);
      command.print(`${(bridge.parent ?? bridge).name}\n`);
    },
  },
  {
    name: "br-set-external-id",
    min: 2,
    max: 3,
    args: "BRIDGE KEY [VALUE]",
    options: [],
    writes: true,
    help: "set an external id of a bridge, or remove it",
    prepare: prepareExternalIds,
    run: setExternalId,
  },
  {
    name: "br-get-external-id",
    min: 1,
    max: 2,
    args: "BRIDGE [KEY]",
    options: [],
    writes: false,
    help: "print an external id of a bridge, or all",
    prepare: prepareExternalIds,
    run: getExternalId,
  },
];

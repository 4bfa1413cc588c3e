/** The commands about the switch as a whole, Auto Attach, and connection-tracking zones. */
import type { DraftRow } from "../../../db/client/draft.ts";
import type { TableName } from "../../../db/replica.ts";
import { Fatal } from "../fatal.ts";
import { leadingInteger } from "./bridge-commands.ts";
import { type CommandDeclaration, type Prepared, type Running, UNLIMITED_ARGS } from "./command.ts";
import { realRow, wantModel } from "./model.ts";
import { prepareShow, show } from "./show.ts";

/** Rows that go when the configuration is reset; only those of root tables need deleting. */
const RESET_TABLES = [
  "Mirror",
  "Controller",
  "Manager",
  "NetFlow",
  "SSL",
  "sFlow",
  "IPFIX",
] as const satisfies readonly TableName[];

function prepareReset({ wanted }: Prepared): void {
  wanted.add("Open_vSwitch", "manager_options", "ssl");
  wanted.add(
    "Bridge",
    "controller",
    "fail_mode",
    "mirrors",
    "netflow",
    "sflow",
    "ipfix",
    "flood_vlans",
    "other_config",
  );
  wanted.add("Port", "other_config");
  wanted.add("Interface", "ingress_policing_rate", "ingress_policing_burst");
  for (const table of RESET_TABLES) wanted.add(table);
}

function reset({ draft, root, model }: Running): void {
  root.set("manager_options", []);
  root.set("ssl", undefined);
  for (const bridge of draft.rows("Bridge")) {
    bridge.set("controller", []);
    bridge.set("fail_mode", undefined);
    bridge.set("mirrors", []);
    bridge.set("netflow", undefined);
    bridge.set("sflow", undefined);
    bridge.set("ipfix", undefined);
    bridge.set("flood_vlans", []);
    // The address stays: others know the switch by it.
    const address = bridge.get("other_config").get("hwaddr");
    bridge.set("other_config", new Map(address === undefined ? [] : [["hwaddr", address]]));
  }
  for (const port of draft.rows("Port")) port.set("other_config", new Map());
  for (const iface of draft.rows("Interface")) {
    iface.set("ingress_policing_rate", 0);
    iface.set("ingress_policing_burst", 0);
  }
  for (const table of RESET_TABLES) for (const row of draft.rows(table)) row.delete();
  model.invalidate();
}

function prepareMappings({ wanted }: Prepared): void {
  wantModel(wanted);
  wanted.add("Bridge", "auto_attach");
  wanted.add("AutoAttach", "mappings");
}

function mappingArguments({ args: [, isid = "", vlan = ""] }: Running): [number, number] {
  for (const text of [isid, vlan]) {
    if (!/^\s*[+-]?\d/.test(text)) throw new Fatal(`Invalid argument ${text}`);
  }
  return [leadingInteger(isid), leadingInteger(vlan)];
}

const theBridge = ({ args: [name = ""], model }: Running): DraftRow<"Bridge"> =>
  realRow(model.populate().theBridge(name));

function autoAttach(
  { draft }: Running,
  bridge: DraftRow<"Bridge">,
): DraftRow<"AutoAttach"> | undefined {
  const uuid = bridge.get("auto_attach");
  return uuid === undefined ? undefined : draft.row("AutoAttach", uuid);
}

function addMapping(command: Running): void {
  const [isid, vlan] = mappingArguments(command);
  const bridge = theBridge(command);
  let row = autoAttach(command, bridge);
  if (row === undefined) {
    row = command.draft.insert("AutoAttach");
    bridge.set("auto_attach", row.uuid);
  }
  const mappings = new Map(row.get("mappings"));
  // Of two for one service the lower VLAN counts, as with ovs-vsctl.
  mappings.set(isid, Math.min(vlan, mappings.get(isid) ?? vlan));
  row.set("mappings", mappings);
}

function deleteMapping(command: Running): void {
  const [isid, vlan] = mappingArguments(command);
  const row = autoAttach(command, theBridge(command));
  if (row === undefined || row.get("mappings").get(isid) !== vlan) return;
  // ovs-vsctl takes all with this VLAN away, too.
  const others = [...row.get("mappings")].filter(([key, value]) => key !== isid && value !== vlan);
  row.set("mappings", new Map(others));
}

function getMappings(command: Running): void {
  const bridge = theBridge(command);
  bridge.verifyColumns("auto_attach");
  const row = autoAttach(command, bridge);
  row?.verifyColumns("mappings");
  for (const [isid, vlan] of row?.get("mappings") ?? []) command.print(`${isid} ${vlan}\n`);
}

function datapath({ draft, root }: Running, name: string): DraftRow<"Datapath"> | undefined {
  const uuid = root.get("datapaths").get(name);
  return uuid === undefined ? undefined : draft.row("Datapath", uuid);
}

interface ZoneArguments {
  readonly row: DraftRow<"Datapath">;
  readonly zone: number;
  readonly known: DraftRow<"CT_Zone"> | undefined;
}

function zoneArguments(command: Running): ZoneArguments {
  const [name = "", zoneText = ""] = command.args;
  const [, digits] = /^zone=\s*([+-]?\d+)/.exec(zoneText) ?? [];
  const row = datapath(command, name);
  if (row === undefined) throw new Fatal(`datapath ${name} does not exist`);
  if (digits === undefined) throw new Fatal(`${zoneText}: zone=ZONE expected`);
  const zone = Number(digits);
  const uuid = row.get("ct_zones").get(zone);
  const known = uuid === undefined ? undefined : command.draft.row("CT_Zone", uuid);
  return { row, zone, known };
}

type Timeouts = ReturnType<typeof timeoutsOf>;
const timeoutsOf = (row: DraftRow<"CT_Timeout_Policy">) => row.get("timeouts");

/** An existing policy with these timeouts, or a new one. */
function timeoutPolicy(
  { draft }: Running,
  words: readonly string[],
): DraftRow<"CT_Timeout_Policy"> {
  const wanted = new Map(words.map((word) => {
    const [, name = "", value = ""] = /^[,\s]*([^=,\s]*)=?(.*)$/s.exec(word) ?? [];
    return [name, leadingInteger(value)];
  })) as unknown as Timeouts;
  const same = draft.rows("CT_Timeout_Policy").find((row) => {
    const timeouts = timeoutsOf(row);
    return timeouts.size === wanted.size &&
      [...wanted].every(([name, value]) => timeouts.get(name) === value);
  });
  if (same !== undefined) return same;
  const policy = draft.insert("CT_Timeout_Policy");
  policy.set("timeouts", wanted);
  return policy;
}

function addZone(command: Running): void {
  const { row, zone, known } = zoneArguments(command);
  if (known !== undefined && !command.options.has("--may-exist")) {
    throw new Fatal(`zone id ${zone} already exists`);
  }
  const policy = timeoutPolicy(command, command.args.slice(2));
  const target = known ?? command.draft.insert("CT_Zone");
  target.set("timeout_policy", policy.uuid);
  if (known === undefined) row.insertInto("ct_zones", zone, target.uuid);
}

function deleteZone(command: Running): void {
  const { row, zone, known } = zoneArguments(command);
  if (known !== undefined) row.removeFrom("ct_zones", zone);
  else if (!command.options.has("--if-exists")) {
    throw new Fatal(`zone id ${zone} does not exist`);
  }
}

function listZones(command: Running): void {
  const [name = ""] = command.args;
  const row = datapath(command, name);
  if (row === undefined) throw new Fatal(`datapath: ${name} record not found`);
  for (const [zone, uuid] of row.get("ct_zones")) {
    const policyUuid = command.draft.row("CT_Zone", uuid)?.get("timeout_policy");
    const policy = policyUuid === undefined
      ? undefined
      : command.draft.row("CT_Timeout_Policy", policyUuid);
    const timeouts = policy === undefined
      ? "system default"
      : [...policy.get("timeouts")].map(([key, value]) => `${key}=${value}`).join(" ");
    command.print(`Zone:${zone}, Timeout Policies: ${timeouts}`.replace(/ $/, "") + "\n");
  }
}

function listCapabilities(command: Running): void {
  const [name = ""] = command.args;
  const row = datapath(command, name);
  if (row === undefined) throw new Fatal(`datapath "${name}" record not found`);
  const words = [...row.get("capabilities")].map(([key, value]) => `${key}=${value}`);
  command.print(`${words.join(" ")}\n`);
}

function prepareZones({ wanted }: Prepared): void {
  wanted.add("Open_vSwitch", "datapaths");
  wanted.add("Datapath", "ct_zones");
  wanted.add("CT_Zone", "timeout_policy");
  wanted.add("CT_Timeout_Policy", "timeouts");
}

function prepareCapabilities({ wanted }: Prepared): void {
  wanted.add("Open_vSwitch", "datapaths");
  wanted.add("Datapath", "capabilities");
}

type Three<T> = readonly [T, T, T];

export const switchCommands: Three<CommandDeclaration> = [
  {
    name: "init",
    min: 0,
    max: 0,
    args: "",
    options: [],
    writes: true,
    help: "make the database's one global record, if it is not there",
  },
  {
    name: "show",
    min: 0,
    max: 0,
    args: "",
    options: [],
    writes: false,
    help: "print an overview of the database",
    prepare: prepareShow,
    run: show,
  },
  {
    name: "emer-reset",
    min: 0,
    max: 0,
    args: "",
    options: [],
    writes: true,
    help: "reset the configuration to a clean state",
    prepare: prepareReset,
    run: reset,
  },
];

export const autoAttachCommands: readonly CommandDeclaration[] = [
  {
    name: "add-aa-mapping",
    min: 3,
    max: 3,
    args: "BRIDGE ARG ARG",
    options: [],
    writes: true,
    help: "map a service (I-SID) to a VLAN on a bridge",
    prepare: prepareMappings,
    run: addMapping,
  },
  {
    name: "del-aa-mapping",
    min: 3,
    max: 3,
    args: "BRIDGE ARG ARG",
    options: [],
    writes: true,
    help: "delete the mapping of a service (I-SID) to a VLAN",
    prepare: prepareMappings,
    run: deleteMapping,
  },
  {
    name: "get-aa-mapping",
    min: 1,
    max: 1,
    args: "BRIDGE",
    options: [],
    writes: false,
    help: "print the mappings of a bridge",
    prepare: prepareMappings,
    run: getMappings,
  },
];

export const datapathCommands: readonly CommandDeclaration[] = [
  {
    name: "add-zone-tp",
    min: 3,
    max: UNLIMITED_ARGS,
    args: "",
    options: ["--may-exist"],
    writes: true,
    help: "DATAPATH zone=ZONE TIMEOUT=SECONDS...: set a zone's timeouts",
    prepare: prepareZones,
    run: addZone,
  },
  {
    name: "del-zone-tp",
    min: 2,
    max: 2,
    args: "",
    options: ["--if-exists"],
    writes: true,
    help: "DATAPATH zone=ZONE: delete a zone's timeouts",
    prepare: prepareZones,
    run: deleteZone,
  },
  {
    name: "list-zone-tp",
    min: 1,
    max: 1,
    args: "",
    options: [],
    writes: false,
    help: "DATAPATH: print the timeouts of its zones",
    prepare: prepareZones,
    run: listZones,
  },
  {
    name: "list-dp-cap",
    min: 1,
    max: 1,
    args: "",
    options: [],
    writes: false,
    help: "DATAPATH: print what it can do",
    prepare: prepareCapabilities,
    run: listCapabilities,
  },
];

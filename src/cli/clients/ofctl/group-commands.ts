/** Commands about groups, meters, tunnel options, bundles, packets and connections. */
import type { GroupMod, MeterMod, OfMessage } from "../../../openflow/messages/types.ts";
import { parseActions } from "../../../openflow/text/actions-parse.ts";
import {
  type GroupCommand,
  type ParsedGroup,
  parseGroup,
  withBucketIds,
} from "../../../openflow/text/group-parse.ts";
import { METER_ALL, parseMeter } from "../../../openflow/text/meter-parse.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import { PROTOCOLS, type Protocols, protocolsOfActions } from "../../../openflow/text/protocols.ts";
import {
  parseCtFlush,
  parseFrame,
  parsePacketOut,
  parseTlvMappings,
} from "../../../openflow/text/request-parse.ts";
import { parseU16 } from "../../../openflow/text/scan.ts";
import { setMatchExact } from "../../../openflow/match-set.ts";
import { GROUP_ALL, GROUP_ANY, OF10, OF15, type OfVersion } from "../../../openflow/version.ts";
import { anyMatch } from "../../../packet/key.ts";
import { FIELDS } from "../../../packet/layout.ts";
import { parsePort, TextError } from "../../../packet/text.ts";
import { Fatal } from "../fatal.ts";
import { sendBundle } from "./bundle.ts";
import { command, MANY } from "./command.ts";
import { parseAndTell } from "./flow-commands.ts";
import { parseLines, readText } from "./parsing.ts";
import type { Session, Vconn } from "./session.ts";

/** Open vSwitch's own groups of OpenFlow 1.0 are an extension. */
export function groupModFor(message: GroupMod, version: OfVersion): GroupMod {
  if (version > OF10 && version < OF15) return message;
  const buckets = withBucketIds(message.buckets);
  return { ...message, buckets, ...(version === OF10 ? { form: "nicira" } : {}) };
}

const common = (list: readonly { readonly protocols: Protocols }[]): Protocols =>
  list.reduce((set, { protocols }) => set & protocols, PROTOCOLS.ANY as Protocols);

async function sendGroupMods(
  session: Session,
  target: string,
  groups: readonly ParsedGroup[],
): Promise<void> {
  const { bundle } = session.options;
  const usable = common(groups) & (bundle ? PROTOCOLS.OF13_UP : PROTOCOLS.ANY);
  const vconn = await session.openFor(target, usable);
  const messages = groups.map(({ message }) => groupModFor(message, vconn.client.version));
  if (bundle) await sendBundle(session, vconn, target, messages);
  else await session.transact(vconn, target, messages);
  vconn.client.close();
}

async function modGroupsFrom(
  session: Session,
  target: string,
  path: string,
  groupCommand: GroupCommand,
): Promise<void> {
  const text = readText(path);
  const given = groupCommand === "add" ? {} : { command: groupCommand };
  const groups = await session.parse(
    target,
    (names) => parseLines(path, text, (line) => parseGroup(line, { ...given, names })),
  );
  await sendGroupMods(session, target, groups);
}

const modGroup =
  (which: (session: Session) => GroupCommand) =>
  async (session: Session, [target = "", text = ""]: readonly string[]): Promise<void> => {
    const groupCommand = which(session);
    if (text === "-") return await modGroupsFrom(session, target, text, groupCommand);
    const group = await session.parse(
      target,
      (names) => parseGroup(text, { command: groupCommand, names }),
    );
    await sendGroupMods(session, target, [group]);
  };

/** On OpenFlow 1.0, groups are Open vSwitch's extension. */
const groupForm = ({ client }: Vconn): { form?: "nicira" } =>
  client.version === OF10 ? { form: "nicira" } : {};

async function dumpGroupStats(session: Session, [target = "", text = ""]: readonly string[]) {
  const { message } = await session.parse(
    target,
    (names) => parseGroup(text, { command: "delete", names }),
  );
  const vconn = await session.open(target);
  await session.dump(vconn, target, {
    type: "group_stats_request",
    group: message.group,
    ...groupForm(vconn),
  });
  vconn.client.close();
}

function groupNumber(session: Session, text: string | undefined): number {
  if (text === undefined) return GROUP_ALL;
  const lower = text.toLowerCase();
  if (lower === "all") return GROUP_ALL;
  if (lower === "any") return GROUP_ANY;
  if (/^\s*\+?\d+$/.test(text) && Number(text) <= 0xffffffff) return Number(text);
  session.log.log(
    "ofp_group",
    "warn",
    `${text} is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or the ` +
      "keywords ANY or ALL.)",
  );
  return GROUP_ALL;
}

async function dumpGroups(session: Session, [target = "", text]: readonly string[]) {
  const vconn = await session.open(target);
  await session.dump(vconn, target, {
    type: "group_desc_request",
    group: groupNumber(session, text),
    ...groupForm(vconn),
  });
  vconn.client.close();
}

async function dumpGroupFeatures(session: Session, [target = ""]: readonly string[]) {
  await session.dumpFrom(target, { type: "group_features_request" });
}

const modMeter =
  (meterCommand: MeterMod["command"]) =>
  async (session: Session, [target = "", text]: readonly string[]): Promise<void> => {
    const message = await session.parse(target, () =>
      text === undefined
        ? {
          type: "meter_mod" as const,
          command: meterCommand,
          meter: METER_ALL,
          flags: 0,
          bands: [],
        }
        : parseMeter(text, meterCommand));
    const vconn = await session.openFor(target, PROTOCOLS.OF13_UP);
    await session.transact(vconn, target, [message]);
    vconn.client.close();
  };

const dumpMeter =
  (type: "meter_config_request" | "meter_stats_request") =>
  async (session: Session, [target = "", text]: readonly string[]): Promise<void> => {
    const meter = text === undefined
      ? METER_ALL
      : (await session.parse(target, () => parseMeter(text, "delete"))).meter;
    const vconn = await session.openFor(target, PROTOCOLS.OF13_UP);
    await session.dump(vconn, target, { type, meter });
    vconn.client.close();
  };

async function meterFeatures(session: Session, [target = ""]: readonly string[]): Promise<void> {
  const vconn = await session.openFor(target, PROTOCOLS.OF13_UP);
  await session.dump(vconn, target, { type: "meter_features_request" });
  vconn.client.close();
}

async function packetOut(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", first = "", actionText, ...frames] = args;
  if (args.length === 2) {
    const parsed = await session.parse(target, (names) => parsePacketOut(first, names));
    const vconn = await session.openFor(target, parsed.protocols);
    await session.transact(vconn, target, [parsed.message]);
    vconn.client.close();
    return;
  }
  if (actionText === undefined || frames.length === 0) {
    throw new Fatal(`Too many arguments (${args.length + 1})`);
  }
  const { actions, inPort } = await session.parse(target, (names) => {
    const port = parsePort(first, names);
    if (port === undefined) throw new TextError(`${target}: unknown port \`${first}'`);
    return { actions: parseActions(actionText, names, false), inPort: port };
  });
  const packets = await session.parse(target, () => frames.map(parseFrame));
  const metadata = anyMatch();
  setMatchExact(metadata, FIELDS.in_port_oxm, inPort);
  const vconn = await session.openFor(target, protocolsOfActions(actions, false));
  const messages = packets.map((packet): OfMessage => ({
    type: "packet_out",
    inPort,
    metadata,
    actions,
    packet,
  }));
  await session.transact(vconn, target, messages);
  vconn.client.close();
}

interface BundleLine {
  readonly kind: "flow" | "group" | "packet";
  readonly message: OfMessage;
  readonly protocols: Protocols;
}

function parseBundleLine(session: Session, line: string, names?: TextNames): BundleLine {
  const text = line.trimStart();
  const word = /^[^, \t\r\n]*/.exec(text)![0];
  const rest = text.slice(word.length);
  if ("flow".startsWith(word)) {
    return { kind: "flow", ...parseAndTell(session, rest, { names }) };
  }
  if ("group".startsWith(word)) return { kind: "group", ...parseGroup(rest, { names }) };
  if ("packet-out".startsWith(word)) return { kind: "packet", ...parsePacketOut(rest, names) };
  throw new TextError(`Unsupported bundle message type: ${word}`);
}

async function bundle(session: Session, [target = "", path = ""]: readonly string[]) {
  const text = readText(path);
  const lines = await session.parse(
    target,
    (names) => parseLines(path, text, (line) => parseBundleLine(session, line, names)),
  );
  session.allowBundles();
  const vconn = await session.openFor(target, common(lines) & PROTOCOLS.OF13_UP);
  const messages = lines.map(({ message }) =>
    message.type === "group_mod" ? groupModFor(message, vconn.client.version) : message
  );
  await sendBundle(session, vconn, target, messages);
  vconn.client.close();
}

const modTlv =
  (add: boolean) =>
  async (session: Session, [target = "", text]: readonly string[]): Promise<void> => {
    const mappings = await session.parse(target, () => parseTlvMappings(text ?? ""));
    const vconn = await session.openFor(target, PROTOCOLS.NXM_OXM);
    const command = add ? "add" : text === undefined ? "clear" : "delete";
    await session.transact(vconn, target, [{ type: "tlv_table_mod", command, mappings }]);
    vconn.client.close();
  };

async function ctFlushZone(session: Session, [target = "", zoneText = ""]: readonly string[]) {
  const zone = await session.parse(target, () => parseU16(zoneText, "zone_id"));
  const vconn = await session.open(target);
  await session.transact(vconn, target, [{ type: "ct_flush_zone", zone }]);
  vconn.client.close();
}

async function ctFlush(session: Session, [target = "", ...rest]: readonly string[]) {
  let tuples = rest;
  let zone: number | undefined;
  if (rest[0]?.startsWith("zone=")) {
    const digits = /^zone=(\d+)/.exec(rest[0])?.[1];
    if (digits === undefined) throw new Fatal("Failed to parse zone");
    zone = Number(digits) & 0xffff;
    tuples = rest.slice(1);
  }
  const message = await session.parse(target, () => parseCtFlush(tuples, zone));
  const vconn = await session.open(target);
  await session.transact(vconn, target, [message]);
  vconn.client.close();
}

export const groupCommands = [
  command("add-group", "switch group", [1, 2], "rw", modGroup(() => "add")),
  command(
    "add-groups",
    "switch file",
    [2, 2],
    "rw",
    (session, [target = "", path = ""]) => modGroupsFrom(session, target, path, "add"),
  ),
  command(
    "mod-group",
    "switch group",
    [1, 2],
    "rw",
    modGroup(({ options }) => options.mayCreate ? "add_or_mod" : "modify"),
  ),
  command("del-groups", "switch [group]", [1, 2], "rw", modGroup(() => "delete")),
  command("insert-buckets", "switch [group]", [1, 2], "rw", modGroup(() => "insert_bucket")),
  command("remove-buckets", "switch [group]", [1, 2], "rw", modGroup(() => "remove_bucket")),
  command("dump-groups", "switch [group]", [1, 2], "ro", dumpGroups),
  command("dump-group-stats", "switch [group]", [1, 2], "ro", dumpGroupStats),
  command("dump-group-features", "switch", [1, 1], "ro", dumpGroupFeatures),
  command("bundle", "switch file", [2, 2], "rw", bundle),
  command("add-tlv-map", "switch map", [2, 2], "ro", modTlv(true)),
  command("del-tlv-map", "switch [map]", [1, 2], "ro", modTlv(false)),
];

export const meterCommands = [
  command("add-meter", "switch meter", [2, 2], "rw", modMeter("add")),
  command("mod-meter", "switch meter", [2, 2], "rw", modMeter("modify")),
  command("del-meter", "switch meter", [1, 2], "rw", modMeter("delete")),
  command("del-meters", "switch", [1, 2], "rw", modMeter("delete")),
  command("dump-meter", "switch meter", [1, 2], "ro", dumpMeter("meter_config_request")),
  command("dump-meters", "switch", [1, 2], "ro", dumpMeter("meter_config_request")),
  command("meter-stats", "switch [meter]", [1, 2], "ro", dumpMeter("meter_stats_request")),
  command("meter-features", "switch", [1, 1], "ro", meterFeatures),
  command(
    "packet-out",
    'switch "in_port=<port> packet=<hex data> actions=..."',
    [2, MANY],
    "rw",
    packetOut,
  ),
  command("ct-flush-zone", "switch zone", [2, 2], "ro", ctFlushZone),
  command("ct-flush", "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]", [1, 4], "ro", ctFlush),
];

/**
 * Flow monitors, in Nicira's form (OpenFlow 1.0 to 1.2), in ONF's for 1.3, which is Nicira's with
 * that version's matches and instructions, and in that of OpenFlow 1.4.
 */
import { readActions, writeActions } from "../actions/codec.ts";
import { readInstructions, writeInstructions } from "../actions/instructions.ts";
import type { Match } from "../../packet/key.ts";
import type { Action, ActionType } from "../actions/types.ts";
import { OfError } from "../errors.ts";
import { readMatch, readNxMatch, writeMatch, writeNxMatch } from "../match.ts";
import { readPort, writePort } from "../ports.ts";
import { GROUP_ANY, OF10, OF13, OF14, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import {
  isNicira,
  isOnf,
  isStandard,
  list,
  type MessageContext,
  type MessageRow,
  row,
} from "./rows.ts";
import { FLOW_MONITOR_FLAGS } from "./types.ts";
import type {
  FlowMonitorPause,
  FlowMonitorReply,
  FlowMonitorRequest,
  FlowUpdate,
  FullFlowUpdate,
  WireForm,
} from "./types.ts";

type Monitor = FlowMonitorRequest["monitors"][number];
type Full = FullFlowUpdate;

const REASONS: readonly Full["reason"][] = [
  "idle_timeout",
  "hard_timeout",
  "delete",
  "group_delete",
  "meter_delete",
  "eviction",
];
const COMMANDS: readonly Monitor["command"][] = ["add", "modify", "delete"];
/** NXFME_ADDED, _DELETED, _MODIFIED, _ABBREV; OFPFME_INITIAL … _ABBREV. */
const NX_EVENTS = ["added", "deleted", "modified", "abbrev"] as const;
const EVENTS = [
  "initial",
  "added",
  "deleted",
  "modified",
  "abbrev",
  "paused",
  "resumed",
] as const;

/** Bits that ask for some kind of change; at least one must be set. */
const CHANGES = FLOW_MONITOR_FLAGS.ADD | FLOW_MONITOR_FLAGS.DELETE | FLOW_MONITOR_FLAGS.MODIFY;
const KNOWN_FLAGS = 0x7f;
const KNOWN_NX_FLAGS = 0x3f;

function checkFlags(flags: number, known: number, at: number): number {
  if ((flags & CHANGES) === 0 || flags & ~known) {
    throw new OfError("OFPMOFC_BAD_FLAGS", at, `flags 0x${flags.toString(16)}`);
  }
  return flags;
}

function readRequest(reader: Reader, { version }: MessageContext): Monitor {
  if (version < OF14) {
    const id = reader.u32();
    const at = reader.offset;
    const flags = checkFlags(reader.u16(), KNOWN_NX_FLAGS, at);
    if (version === OF13) {
      reader.skip(2);
      const outPort = readPort(reader, version);
      const table = reader.u8();
      reader.zeros(3, "NXBRC_MUST_BE_ZERO");
      const match = readMatch(reader, version);
      return { id, command: "add", flags, outPort, outGroup: GROUP_ANY, table, match };
    }
    const outPort = reader.u16();
    const matchLength = reader.u16();
    const table = reader.u8();
    reader.zeros(5, "NXBRC_MUST_BE_ZERO");
    const { match } = readNxMatch(reader, matchLength);
    return { id, command: "add", flags, outPort, outGroup: GROUP_ANY, table, match };
  }
  const id = reader.u32();
  const outPort = readPort(reader, version);
  const outGroup = reader.u32();
  const flags = reader.u16();
  const table = reader.u8();
  const at = reader.offset;
  const command = COMMANDS[reader.u8()];
  if (!command) throw new OfError("OFPMOFC_BAD_COMMAND", at, "monitor command is unknown");
  if (command !== "delete") checkFlags(flags, KNOWN_FLAGS, at);
  return { id, command, flags, outPort, outGroup, table, match: readMatch(reader, version) };
}

function writeRequest(writer: Writer, monitor: Monitor, { version }: MessageContext): void {
  if (version === OF13) {
    writer.u32(monitor.id).u16(monitor.flags);
    const lengthAt = writer.length;
    writer.u16(0);
    writePort(writer, version, monitor.outPort);
    writer.u8(monitor.table).zeros(3);
    writer.patch16(lengthAt, writeOxm(writer, version, monitor.match));
    return;
  }
  if (version < OF14) {
    writer.u32(monitor.id).u16(monitor.flags).u16(monitor.outPort);
    const lengthAt = writer.length;
    writer.u16(0).u8(monitor.table).zeros(5);
    writer.patch16(lengthAt, writeNxMatch(writer, monitor.match));
    return;
  }
  writer.u32(monitor.id);
  writePort(writer, version, monitor.outPort);
  writer.u32(monitor.outGroup).u16(monitor.flags).u8(monitor.table);
  writer.u8(COMMANDS.indexOf(monitor.command));
  writeMatch(writer, version, monitor.match);
}

function readReason(number: number, at: number): Full["reason"] {
  const reason = REASONS[number];
  if (!reason) throw new OfError("NXBRC_BAD_REASON", at, `reason ${number} is unknown`);
  return reason;
}

function readUpdate(reader: Reader, { version, loose }: MessageContext): FlowUpdate {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < 8 || length % 8 !== 0) {
    throw new OfError("OFPBRC_BAD_LEN", at, `update of ${length} bytes`);
  }
  const body = reader.sub(length);
  body.skip(2);
  const nicira = version < OF14;
  const number = body.u16();
  const event = (nicira ? NX_EVENTS : EVENTS)[number];
  if (!event) throw new OfError("NXBRC_FM_BAD_EVENT", at, `event ${number} is unknown`);
  if (event === "abbrev") return { event, xid: body.u32() };
  if (event === "paused" || event === "resumed") return { event };
  if (nicira) {
    const reason = event === "deleted" ? readReason(body.u16(), at) : (body.skip(2), "delete");
    const priority = body.u16();
    const idleTimeout = body.u16();
    const hardTimeout = body.u16();
    const matchLength = body.u16();
    const table = body.u8();
    body.skip(1);
    const cookie = body.u64();
    const match = version === OF13
      ? readMatch(body, version, { loose })
      : readNxMatch(body, matchLength, { loose }).match;
    const actions = readUpdateActions(body, version);
    const common = { priority, idleTimeout, hardTimeout, table, cookie, match, actions };
    return { event, reason: reason as Full["reason"], ...common };
  }
  const table = body.u8();
  const reason = event === "deleted" ? readReason(body.u8(), at) : (body.skip(1), "delete");
  const idleTimeout = body.u16();
  const hardTimeout = body.u16();
  const priority = body.u16();
  body.skip(4);
  const cookie = body.u64();
  const match = readMatch(body, version, { loose });
  const actions = readInstructions(body, version);
  const common = { priority, idleTimeout, hardTimeout, table, cookie, match, actions };
  return { event, reason: reason as Full["reason"], ...common };
}

function writeUpdate(writer: Writer, update: FlowUpdate, { version }: MessageContext): void {
  const open = writer.open(0);
  const nicira = version < OF14;
  // Nicira's form has no event for what was there already: it was added.
  const event = nicira && update.event === "initial" ? "added" : update.event;
  const events: readonly string[] = nicira ? NX_EVENTS : EVENTS;
  writer.u16(0).u16(events.indexOf(event));
  switch (update.event) {
    case "paused":
    case "resumed":
      writer.zeros(4);
      writer.end(open);
      return;
    case "abbrev":
      writer.u32(update.xid);
      writer.end(open);
      return;
    default:
  }
  const reason = event === "deleted" ? REASONS.indexOf(update.reason) : 0;
  if (nicira) {
    writer.u16(reason).u16(update.priority).u16(update.idleTimeout).u16(update.hardTimeout);
    const lengthAt = writer.length;
    writer.u16(0).u8(update.table).zeros(1).u64(update.cookie);
    const written = version === OF13
      ? writeOxm(writer, version, update.match)
      : writeNxMatch(writer, update.match);
    writer.patch16(lengthAt, written);
  } else {
    writer.u8(update.table).u8(reason).u16(update.idleTimeout).u16(update.hardTimeout);
    writer.u16(update.priority).zeros(4).u64(update.cookie);
    writeMatch(writer, version, update.match);
  }
  writeUpdateActions(writer, version, update);
  writer.end(open);
}

/** Writes a match and tells how long it is. */
function writeOxm(writer: Writer, version: OfVersion, match: Match): number {
  const start = writer.length;
  writeMatch(writer, version, match);
  return writer.length - start;
}

/** Nicira's form has no instructions, though OpenFlow 1.1 and 1.2 do. */
const isActionsOnly = (version: OfVersion): boolean => version > OF10 && version < OF13;
const INSTRUCTIONS: ReadonlySet<ActionType> = new Set<ActionType>([
  "meter",
  "clear_actions",
  "write_actions",
  "write_metadata",
  "goto_table",
]);

function readUpdateActions(reader: Reader, version: OfVersion): Action[] {
  return isActionsOnly(version) ? readActions(reader, version) : readInstructions(reader, version);
}

function writeUpdateActions(writer: Writer, version: OfVersion, { actions, match }: Full): void {
  if (!isActionsOnly(version)) return writeInstructions(writer, version, actions, match.key);
  writeActions(writer, version, actions.filter(({ type }) => !INSTRUCTIONS.has(type)));
}

const FORMS: readonly (readonly [string, number, WireForm | undefined, typeof isNicira])[] = [
  ["NXST", 2, "nicira", isNicira],
  ["ONFST", 1870, "onf", isOnf],
  ["OFPST", 16, undefined, isStandard],
];
const VERSIONS: Readonly<Record<string, string>> = {
  NXST: "1.0-1.2",
  ONFST: "1.3",
  OFPST: "1.4+",
};

const cancel = (id: string, form: WireForm, when: typeof isNicira): MessageRow =>
  row<"flow_monitor_cancel">({
    type: "flow_monitor_cancel",
    ids: [id],
    when,
    read: (reader) => ({ type: "flow_monitor_cancel", form, id: reader.u32() }),
    write: (writer, message) => {
      writer.u32(message.id);
    },
  });

/** OpenFlow 1.4 and later say it as an event among the updates. */
function pause(
  type: FlowMonitorPause["type"],
  id: string,
  form: WireForm,
  when: typeof isNicira,
): MessageRow {
  return row<typeof type>({
    type,
    ids: [id],
    when,
    read: (reader) => {
      reader.finish(type);
      return { type, form } as never;
    },
    write: () => {},
  });
}

export const MONITOR_ROWS: readonly MessageRow[] = [
  ...FORMS.flatMap(([kind, number, form, when]) => [
    list<"flow_monitor_request", Monitor>(
      "flow_monitor_request",
      [`${kind}_REQUEST ${VERSIONS[kind]}(${number})`],
      {
        when,
        make: (monitors): FlowMonitorRequest => ({
          type: "flow_monitor_request",
          ...(form ? { form } : {}),
          monitors,
        }),
        items: (message) => message.monitors,
        readItem: readRequest,
        writeItem: writeRequest,
      },
    ),
    list<"flow_monitor_reply", FlowUpdate>(
      "flow_monitor_reply",
      [`${kind}_REPLY ${VERSIONS[kind]}(${number})`],
      {
        when,
        make: (updates): FlowMonitorReply => ({
          type: "flow_monitor_reply",
          ...(form ? { form } : {}),
          updates,
        }),
        items: (message) => message.updates,
        readItem: readUpdate,
        writeItem: writeUpdate,
      },
    ),
  ]),
  cancel("NXT 1.0-1.2(21)", "nicira", isNicira),
  pause("flow_monitor_paused", "ONFT 1.3(1871)", "onf", isOnf),
  pause("flow_monitor_paused", "NXT 1.0-1.2(22)", "nicira", isNicira),
  pause("flow_monitor_resumed", "ONFT 1.3(1872)", "onf", isOnf),
  pause("flow_monitor_resumed", "NXT 1.0-1.2(23)", "nicira", isNicira),
  cancel("ONFT 1.3(1870)", "onf", isOnf),
];

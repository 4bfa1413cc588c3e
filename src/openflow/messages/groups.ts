/**
 * Groups: modification, description, statistics, features; in the structures of 1.1 to 1.4, and in
 * those of 1.5, which Nicira's extensions use on OpenFlow 1.0 connections too.
 */
import { readActions, writeActions } from "../actions/codec.ts";
import { OfError } from "../errors.ts";
import { readOxmHeader, writeOxmHeader } from "../oxm.ts";
import { portFromWide, portToWide } from "../ports.ts";
import { GROUP_ALL, GROUP_ANY, OF10, OF13, type OfVersion, PORTS } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, unknownProperty, writeProperty, writeProperty16 } from "./properties.ts";
import {
  bare,
  isNicira,
  isStandard,
  list,
  type MessageContext,
  type MessageRow,
  row,
} from "./rows.ts";
import type {
  Bucket,
  GroupDesc,
  GroupFeaturesReply,
  GroupMod,
  GroupRequest,
  GroupSelection,
  GroupStats,
  GroupType,
} from "./types.ts";

const TYPES: readonly GroupType[] = ["all", "select", "indirect", "ff"];
const COMMANDS: readonly (readonly [number, GroupMod["command"]])[] = [
  [0, "add"],
  [1, "modify"],
  [2, "delete"],
  [3, "insert_bucket"],
  [5, "remove_bucket"],
  [0x8000, "add_or_mod"],
];
const NTR_VENDOR = 0x0000154d;
/** What Open vSwitch 2.4 took for it. */
const NTR_VENDOR_24 = 0x00001540;
const METHODS: ReadonlySet<string> = new Set(["hash", "dp_hash"]);
const SELECTION_METHOD = 1;
const METHOD_BYTES = 16;
const WEIGHT = 0;
const WATCH_PORT = 1;
const WATCH_GROUP = 2;
const EXPERIMENTER = 0xffff;
/** "No bucket in particular" of 1.5, and the number given to buckets of versions without. */
const BUCKET_ALL = 0xffffffff;

const nicira = { form: "nicira" } as const;

function readType(reader: Reader): GroupType {
  const at = reader.offset;
  const number = reader.u8();
  const type = TYPES[number];
  if (!type) throw new OfError("OFPGMFC_BAD_TYPE", at, `group type ${number} is unknown`);
  return type;
}

function readWatchPort(reader: Reader): number {
  const at = reader.offset;
  const port = portFromWide(reader.u32());
  if (port === undefined) throw new OfError("OFPGMFC_BAD_WATCH", at, "there is no such port");
  return port;
}

function bucketLength(reader: Reader, minimum: number): number {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < minimum || length % 8 !== 0 || length > reader.left) {
    throw new OfError("OFPGMFC_BAD_BUCKET", at, `bucket of ${length} bytes`);
  }
  return length;
}

function readBucket11(reader: Reader, version: OfVersion, id: number): Bucket {
  const body = reader.sub(bucketLength(reader, 16), "OFPGMFC_BAD_BUCKET");
  body.skip(2);
  const weight = body.u16();
  const watchPort = readWatchPort(body);
  const watchGroup = body.u32();
  body.skip(4);
  return { id, weight, watchPort, watchGroup, actions: readActions(body, version) };
}

function writeBucket11(writer: Writer, bucket: Bucket, version: OfVersion): void {
  const open = writer.open(0);
  writer.u16(0).u16(bucket.weight).u32(portToWide(bucket.watchPort));
  writer.u32(bucket.watchGroup).zeros(4);
  writeActions(writer, version, bucket.actions);
  writer.end(open);
}

/** A bucket of a select group that says no weight has one. */
function readBucket15(reader: Reader, version: OfVersion, type: GroupType): Bucket {
  const body = reader.sub(bucketLength(reader, 8), "OFPGMFC_BAD_BUCKET");
  body.skip(2);
  const actionBytes = body.u16();
  const id = body.u32();
  const actions = readActions(body, version, actionBytes);
  let weight = type === "select" ? 1 : 0;
  let watchPort: number = PORTS.ANY;
  let watchGroup: number = GROUP_ANY;
  readProperties(body, (type, value, at) => {
    if (type === WEIGHT) weight = value.u16();
    else if (type === WATCH_PORT) watchPort = readWatchPort(value);
    else if (type === WATCH_GROUP) watchGroup = value.u32();
    else unknownProperty(type, at);
  });
  return { id, weight, watchPort, watchGroup, actions };
}

function writeBucket15(writer: Writer, bucket: Bucket, type: GroupType, version: OfVersion): void {
  const open = writer.open(0);
  writer.u16(0);
  const lengthAt = writer.length;
  writer.u16(0).u32(bucket.id);
  const start = writer.length;
  writeActions(writer, version, bucket.actions);
  writer.patch16(lengthAt, writer.length - start);
  if (type === "select" || bucket.weight !== 0) {
    writeProperty16(writer, WEIGHT, bucket.weight);
  }
  if (bucket.watchPort !== PORTS.ANY) {
    writeProperty(writer, WATCH_PORT, (w) => w.u32(portToWide(bucket.watchPort)));
  }
  if (bucket.watchGroup !== GROUP_ANY) {
    writeProperty(writer, WATCH_GROUP, (w) => w.u32(bucket.watchGroup));
  }
  writer.end(open);
}

/** The bits to hash by: entries without masks whose values are the masks. */
function readFieldArray(reader: Reader): GroupSelection["fields"] {
  const fields: GroupSelection["fields"][number][] = [];
  while (reader.left > 0) {
    const at = reader.offset;
    const { field, masked, payload, text } = readOxmHeader(reader, false);
    if (!field || masked) throw new OfError("OFPBMC_BAD_FIELD", at, text);
    fields.push({ field, mask: reader.sub(payload).big(field.bytes) });
  }
  return fields;
}

/** Commands that say how a group selects. */
const SELECTING: ReadonlySet<GroupMod["command"]> = new Set(["add", "modify", "add_or_mod"]);

function readSelection(
  reader: Reader,
  groupType: GroupType,
  command: GroupMod["command"] = "add",
): GroupSelection | undefined {
  let selection: GroupSelection | undefined;
  readProperties(reader, (type, value, at) => {
    if (type !== EXPERIMENTER) unknownProperty(type, at);
    const vendor = value.u32();
    if (vendor !== NTR_VENDOR && vendor !== NTR_VENDOR_24) {
      throw new OfError("OFPBPC_BAD_EXPERIMENTER", at, "group property of an unknown vendor");
    }
    if (value.u32() !== SELECTION_METHOD) {
      throw new OfError("OFPBPC_BAD_EXP_TYPE", at, "group property is unknown");
    }
    const refuse = (why: string): never => {
      throw new OfError("OFPBPC_BAD_VALUE", at, why);
    };
    if (groupType !== "select") refuse(`a group of type ${groupType} has no selection method`);
    if (!SELECTING.has(command)) refuse(`${command} takes no selection method`);
    value.skip(4);
    const method = value.text(METHOD_BYTES);
    if (!METHODS.has(method)) refuse(`there is no selection method ${method}`);
    const parameter = value.u64();
    if (value.left > 0 && method !== "hash") refuse(`${method} takes no fields`);
    selection = { method, parameter, fields: readFieldArray(value) };
  });
  return selection;
}

function writeSelection(writer: Writer, selection: GroupSelection, version: OfVersion): void {
  writeProperty(writer, EXPERIMENTER, (w) => {
    w.u32(NTR_VENDOR).u32(SELECTION_METHOD).zeros(4).text(selection.method, METHOD_BYTES);
    w.u64(selection.parameter);
    for (const { field, mask } of selection.fields) {
      writeOxmHeader(w, field, version, false);
      w.big(mask, field.bytes);
    }
  });
}

function readCommand(reader: Reader): GroupMod["command"] {
  const at = reader.offset;
  const number = reader.u16();
  const found = COMMANDS.find(([wire]) => wire === number)?.[1];
  if (!found) throw new OfError("OFPGMFC_BAD_COMMAND", at, `group command ${number} is unknown`);
  return found;
}

const commandNumber = (command: GroupMod["command"]): number =>
  COMMANDS.find(([, name]) => name === command)![0];

function readGroupMod11(reader: Reader, { version }: MessageContext): GroupMod {
  const at = reader.offset;
  const command = readCommand(reader);
  if (command === "insert_bucket" || command === "remove_bucket") {
    throw new OfError("OFPGMFC_BAD_COMMAND", at, `${command} needs OpenFlow 1.5`);
  }
  const groupType = readType(reader);
  reader.skip(1);
  const group = reader.u32();
  const buckets: Bucket[] = [];
  while (reader.left > 0) buckets.push(readBucket11(reader, version, buckets.length));
  return { type: "group_mod", command, groupType, group, buckets };
}

function readGroupMod15(reader: Reader, { version }: MessageContext): GroupMod {
  const command = readCommand(reader);
  const groupType = readType(reader);
  reader.skip(1);
  const group = reader.u32();
  const bucketBytes = reader.u16();
  reader.skip(2);
  const commandBucket = reader.u32();
  const list = reader.sub(bucketBytes, "OFPGMFC_BAD_BUCKET");
  const buckets: Bucket[] = [];
  while (list.left > 0) buckets.push(readBucket15(list, version, groupType));
  const selection = readSelection(reader, groupType, command);
  return {
    type: "group_mod",
    command,
    groupType,
    group,
    buckets,
    commandBucket,
    ...(selection ? { selection } : {}),
  };
}

function writeGroupMod15(writer: Writer, message: GroupMod, { version }: MessageContext): void {
  writer.u16(commandNumber(message.command)).u8(TYPES.indexOf(message.groupType)).zeros(1);
  writer.u32(message.group);
  const lengthAt = writer.length;
  writer.u16(0).zeros(2).u32(message.commandBucket ?? BUCKET_ALL);
  const start = writer.length;
  for (const bucket of message.buckets) writeBucket15(writer, bucket, message.groupType, version);
  writer.patch16(lengthAt, writer.length - start);
  if (message.selection) writeSelection(writer, message.selection, version);
}

function entry(reader: Reader, minimum: number): Reader {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < minimum || length > reader.left) {
    throw new OfError("OFPBRC_BAD_LEN", at, `group of ${length} bytes, ${reader.left} are left`);
  }
  const body = reader.sub(length);
  body.skip(2);
  return body;
}

function readDesc(reader: Reader, version: OfVersion, modern: boolean): GroupDesc {
  const body = entry(reader, modern ? 16 : 8);
  const groupType = readType(body);
  body.skip(1);
  const group = body.u32();
  const buckets: Bucket[] = [];
  if (!modern) {
    while (body.left > 0) buckets.push(readBucket11(body, version, buckets.length));
    return { group, groupType, buckets };
  }
  const bucketBytes = body.u16();
  body.skip(6);
  const inner = body.sub(bucketBytes);
  while (inner.left > 0) buckets.push(readBucket15(inner, version, groupType));
  const selection = readSelection(body, groupType);
  return { group, groupType, buckets, ...(selection ? { selection } : {}) };
}

function writeDesc(writer: Writer, desc: GroupDesc, version: OfVersion, modern: boolean): void {
  const open = writer.open(0);
  writer.u16(0).u8(TYPES.indexOf(desc.groupType)).zeros(1).u32(desc.group);
  if (!modern) { for (const bucket of desc.buckets) writeBucket11(writer, bucket, version); }
  else {
    const lengthAt = writer.length;
    writer.u16(0).zeros(6);
    const start = writer.length;
    for (const bucket of desc.buckets) writeBucket15(writer, bucket, desc.groupType, version);
    writer.patch16(lengthAt, writer.length - start);
    if (desc.selection) writeSelection(writer, desc.selection, version);
  }
  writer.end(open);
}

/** Durations came with 1.3; Nicira's form on 1.0 is that of 1.3. */
const isTimed = (version: OfVersion): boolean => version >= OF13 || version === OF10;

function readStats(reader: Reader, { version }: MessageContext): GroupStats {
  const timed = isTimed(version);
  const body = entry(reader, timed ? 40 : 32);
  body.skip(2);
  const group = body.u32();
  const references = body.u32();
  body.skip(4);
  const packets = body.counter();
  const bytes = body.counter();
  const durationSeconds = timed ? body.u32() : 0;
  const durationNanoseconds = timed ? body.u32() : 0;
  const buckets: GroupStats["buckets"][number][] = [];
  while (body.left > 0) buckets.push({ packets: body.counter(), bytes: body.counter() });
  return { group, references, packets, bytes, durationSeconds, durationNanoseconds, buckets };
}

function writeStats(writer: Writer, stats: GroupStats, { version }: MessageContext): void {
  const open = writer.open(0);
  writer.u16(0).zeros(2).u32(stats.group).u32(stats.references).zeros(4);
  writer.counter(stats.packets).counter(stats.bytes);
  if (isTimed(version)) writer.u32(stats.durationSeconds).u32(stats.durationNanoseconds);
  for (const bucket of stats.buckets) writer.counter(bucket.packets).counter(bucket.bytes);
  writer.end(open);
}

function request(
  type: GroupRequest["type"],
  id: string,
  form: { form?: "nicira" },
): MessageRow {
  return row<typeof type>({
    type,
    ids: [id],
    when: form.form ? isNicira : isStandard,
    read: (reader) => {
      const group = reader.u32();
      reader.skip(4);
      return { type, ...form, group } as never;
    },
    write: (writer, message: GroupRequest) => {
      writer.u32(message.group).zeros(4);
    },
  });
}

function features(id: string, form: { form?: "nicira" }): MessageRow {
  return row<"group_features_reply">({
    type: "group_features_reply",
    ids: [id],
    when: form.form ? isNicira : isStandard,
    read: (reader): GroupFeaturesReply => {
      const types = reader.u32();
      const capabilities = reader.u32();
      const four = (): number[] => Array.from({ length: 4 }, () => reader.u32());
      return {
        type: "group_features_reply",
        ...form,
        types,
        capabilities,
        maxGroups: four(),
        actions: four(),
      };
    },
    write: (writer, message) => {
      writer.u32(message.types).u32(message.capabilities);
      for (let i = 0; i < 4; i++) writer.u32(message.maxGroups[i] ?? 0);
      for (let i = 0; i < 4; i++) writer.u32(message.actions[i] ?? 0);
    },
  });
}

const descReply = (id: string, modern: boolean, form: { form?: "nicira" }): MessageRow =>
  list<"group_desc_reply", GroupDesc>("group_desc_reply", [id], {
    when: form.form ? isNicira : isStandard,
    make: (groups) => ({ type: "group_desc_reply", ...form, groups }),
    items: (message) => message.groups,
    readItem: (reader, { version }) => readDesc(reader, version, modern),
    writeItem: (writer, desc, { version }) => writeDesc(writer, desc, version, modern),
  });

const statsReply = (id: string, form: { form?: "nicira" }): MessageRow =>
  list<"group_stats_reply", GroupStats>("group_stats_reply", [id], {
    when: form.form ? isNicira : isStandard,
    make: (groups) => ({ type: "group_stats_reply", ...form, groups }),
    items: (message) => message.groups,
    readItem: readStats,
    writeItem: writeStats,
  });

export const GROUP_ROWS: readonly MessageRow[] = [
  row<"group_mod">({
    type: "group_mod",
    ids: ["OFPT 1.1-1.4(15)"],
    read: readGroupMod11,
    write: (writer, message, { version }) => {
      writer.u16(commandNumber(message.command)).u8(TYPES.indexOf(message.groupType)).zeros(1);
      writer.u32(message.group);
      for (const bucket of message.buckets) writeBucket11(writer, bucket, version);
    },
  }),
  row<"group_mod">({
    type: "group_mod",
    ids: ["OFPT 1.5(15)"],
    read: readGroupMod15,
    write: writeGroupMod15,
  }),
  row<"group_mod">({
    type: "group_mod",
    ids: ["NXT 1.0(31)"],
    read: (reader, context) => ({ ...readGroupMod15(reader, context), ...nicira }),
    write: writeGroupMod15,
  }),
  request("group_stats_request", "OFPST_REQUEST 1.1+(6)", {}),
  request("group_stats_request", "NXST_REQUEST 1.0(7)", nicira),
  statsReply("OFPST_REPLY 1.1+(6)", {}),
  statsReply("NXST_REPLY 1.0(7)", nicira),
  row<"group_desc_request">({
    type: "group_desc_request",
    ids: ["OFPST_REQUEST 1.1-1.4(7)"],
    when: isStandard,
    read: (reader) => {
      reader.finish("group description request");
      return { type: "group_desc_request", group: GROUP_ALL } as never;
    },
    write: () => {},
  }),
  request("group_desc_request", "OFPST_REQUEST 1.5(7)", {}),
  request("group_desc_request", "NXST_REQUEST 1.0(8)", nicira),
  descReply("OFPST_REPLY 1.1-1.4(7)", false, {}),
  descReply("OFPST_REPLY 1.5(7)", true, {}),
  descReply("NXST_REPLY 1.0(8)", true, nicira),
  bare("group_features_request", "OFPST_REQUEST 1.2+(8)", "NXST_REQUEST 1.0-1.1(9)"),
  features("OFPST_REPLY 1.2+(8)", {}),
  features("NXST_REPLY 1.0-1.1(9)", nicira),
];

/** Groups in ovs-ofctl(8)'s "Group Syntax". Messages of errors are like Open vSwitch's. */
import { findField } from "./oxm-names.ts";
import { parseField, parsePort, TextError } from "../../packet/text.ts";
import type { Field } from "../../packet/layout.ts";
import { fullMask } from "../field-bits.ts";
import type { Bucket, GroupMod, GroupSelection, GroupType } from "../messages/types.ts";
import { GROUP_ALL, GROUP_ANY, PORTS } from "../version.ts";
import { parseActions } from "./actions-parse.ts";
import type { TextNames } from "./names.ts";
import { PROTOCOLS, type Protocols, protocolsOfActions, protocolsOfField } from "./protocols.ts";
import { keyValues, parseU16, parseU32, parseU64 } from "./scan.ts";

export type GroupCommand = GroupMod["command"];

export interface ParsedGroup {
  readonly message: GroupMod;
  readonly protocols: Protocols;
}

export const GROUP_MAX = 0xffffff00;
const BUCKET_MAX = 0xffffff00;
const BUCKET_FIRST = 0xfffffffd;
const BUCKET_LAST = 0xfffffffe;
export const BUCKET_ALL = 0xffffffff;
const LONGEST_METHOD = 15;
const WITH_BUCKET_IDS = PROTOCOLS.OF10 | PROTOCOLS.OF15_UP;

const COMMANDS: readonly (readonly [string, GroupCommand])[] = [
  ["add", "add"],
  ["delete", "delete"],
  ["modify", "modify"],
  ["add_or_mod", "add_or_mod"],
  ["insert_bucket", "insert_bucket"],
  ["remove_bucket", "remove_bucket"],
];

const TYPES: ReadonlyMap<string, GroupType> = new Map([
  ["all", "all"],
  ["select", "select"],
  ["indirect", "indirect"],
  ["ff", "ff"],
  ["fast_failover", "ff"],
]);

const BUCKET_WORDS: ReadonlyMap<string, number> = new Map([
  ["all", BUCKET_ALL],
  ["first", BUCKET_FIRST],
  ["last", BUCKET_LAST],
]);

/** The command that a line begins with; abbreviations count, and nothing means add. */
export function takeGroupCommand(text: string): { command: GroupCommand; rest: string } {
  const trimmed = text.trimStart();
  const word = /^[^, \t\r\n]*/.exec(trimmed)![0];
  const found = COMMANDS.find(([name]) => name.startsWith(word));
  if (word === "" || !found) return { command: "add", rest: trimmed };
  return { command: found[1], rest: trimmed.slice(word.length) };
}

/** Mutable while it is read. */
interface Draft {
  group: number;
  groupType: GroupType | undefined;
  commandBucket: number | undefined;
  method: string;
  parameter: bigint;
  fields: { field: Field; mask: bigint }[];
  protocols: Protocols;
}

/** Without `command` the text may begin with one. Throws `TextError`. */
export function parseGroup(
  text: string,
  options: { readonly command?: GroupCommand; readonly names?: TextNames | undefined } = {},
): ParsedGroup {
  const { command, rest } = options.command
    ? { command: options.command, rest: text }
    : takeGroupCommand(text);
  const aboutBuckets = command === "insert_bucket" || command === "remove_bucket";
  const draft: Draft = {
    group: GROUP_ANY,
    groupType: undefined,
    commandBucket: undefined,
    method: "",
    parameter: 0n,
    fields: [],
    protocols: aboutBuckets ? WITH_BUCKET_IDS : PROTOCOLS.ANY,
  };
  if (command === "delete" && rest === "") {
    return finish(command, { ...draft, group: GROUP_ALL }, []);
  }
  const at = rest.indexOf("bucket=");
  if (at >= 0 && (command === "delete" || command === "remove_bucket")) {
    throw new TextError("bucket is not needed");
  }
  for (const { key, value } of keyValues(at < 0 ? rest : rest.slice(0, at))) {
    parseSetting(draft, command, key, value, options.names);
  }
  checkSettings(draft, command);
  const buckets = at < 0 ? [] : parseBuckets(draft, command, rest.slice(at), options.names);
  if (draft.groupType === "indirect" && buckets.length > 1) {
    throw new TextError("Indirect groups can have at most one bucket.");
  }
  return finish(command, draft, buckets);
}

function finish(command: GroupCommand, draft: Draft, buckets: Bucket[]): ParsedGroup {
  const { method, parameter, fields } = draft;
  const selection: GroupSelection | undefined = method === ""
    ? undefined
    : { method, parameter, fields };
  return {
    message: {
      type: "group_mod",
      command,
      groupType: draft.groupType ?? "all",
      group: draft.group,
      buckets,
      commandBucket: draft.commandBucket ?? BUCKET_ALL,
      ...(selection ? { selection } : {}),
    },
    protocols: draft.protocols,
  };
}

/** Gives the buckets without an id the lowest that are free, as versions with ids need them. */
export function withBucketIds(buckets: readonly Bucket[]): Bucket[] {
  const taken = new Set(buckets.map(({ id }) => id));
  let next = 0;
  return buckets.map((bucket) => {
    if (bucket.id !== BUCKET_ALL) return bucket;
    while (taken.has(next)) next++;
    taken.add(next);
    return { ...bucket, id: next };
  });
}

/** Whether the command says what kind of group it is. */
const hasType = (command: GroupCommand): boolean =>
  command === "add" || command === "modify" || command === "add_or_mod";

function parseSetting(
  draft: Draft,
  command: GroupCommand,
  key: string,
  value: string,
  names: TextNames | undefined,
): void {
  const withType = (what: string): void => {
    if (!hasType(command)) throw new TextError(`${what} not needed`);
  };
  switch (key) {
    case "command_bucket_id":
      draft.commandBucket = parseCommandBucket(command, value);
      return;
    case "group_id":
      draft.group = value === "all" ? GROUP_ALL : parseU32(value);
      if (draft.group !== GROUP_ALL && draft.group > GROUP_MAX) {
        throw new TextError(`invalid group id ${draft.group}`);
      }
      return;
    case "type":
      withType("type is");
      draft.groupType = TYPES.get(value);
      if (!draft.groupType) throw new TextError(`invalid group type ${value}`);
      return;
    case "selection_method":
      withType("selection method is");
      if (value.length > LONGEST_METHOD) {
        throw new TextError(`selection method is longer than ${LONGEST_METHOD} bytes long`);
      }
      draft.method = value;
      break;
    case "selection_method_param":
      withType("selection method param is");
      draft.parameter = parseU64(value);
      break;
    case "fields":
      withType("fields are");
      parseFields(draft, value, names);
      break;
    default:
      throw new TextError(`unknown keyword ${key}`);
  }
  draft.protocols &= WITH_BUCKET_IDS;
}

function parseCommandBucket(command: GroupCommand, value: string): number {
  const isRemoval = command === "remove_bucket";
  if (command !== "insert_bucket" && !isRemoval) {
    throw new TextError("command bucket id is not needed");
  }
  const id = BUCKET_WORDS.get(value) ?? parseU32(value);
  if (id > BUCKET_MAX && id < BUCKET_FIRST) throw new TextError(`invalid command bucket id ${id}`);
  if (id === BUCKET_ALL && !isRemoval) {
    throw new TextError("command_bucket_id=all is not permitted");
  }
  return id;
}

/** Fields to choose a bucket by; a value is a mask of their bits. */
function parseFields(draft: Draft, text: string, names: TextNames | undefined): void {
  for (const { key, value } of keyValues(text)) {
    const field = findField(key);
    if (!field) throw new TextError(`${text}: unknown field ${key}`);
    if (draft.fields.some((other) => other.field === field)) {
      throw new TextError(`${key}: duplicate field`);
    }
    const mask = value === "" ? fullMask(field) : parseField(field, value, names).value;
    if (mask === 0n && !field.variable) {
      throw new TextError(`${text}: values are wildcards here and must not be all-zeros`);
    }
    if (mask !== fullMask(field) && field.maskable !== true) {
      throw new TextError(`${value}: invalid mask for field ${field.name}`);
    }
    draft.fields.push({ field, mask });
    draft.protocols &= protocolsOfField(field, mask);
  }
  draft.fields.sort((a, b) => a.field.id - b.field.id);
}

function checkSettings(draft: Draft, command: GroupCommand): void {
  if (draft.group === GROUP_ANY) throw new TextError("must specify a group_id");
  if (hasType(command) && draft.groupType === undefined) {
    throw new TextError("must specify a type");
  }
  if (draft.method !== "hash" && draft.fields.length > 0) {
    throw new TextError('fields may only be specified with "selection_method=hash"');
  }
  if (draft.method === "" && draft.parameter !== 0n) {
    throw new TextError('selection_method_param is only allowed with "selection_method"');
  }
  if (command === "insert_bucket" && draft.commandBucket === undefined) {
    throw new TextError("must specify a command bucket id");
  }
}

function parseBuckets(
  draft: Draft,
  command: GroupCommand,
  text: string,
  names: TextNames | undefined,
): Bucket[] {
  return text.split("bucket=").slice(1).map((content) => {
    const bucket = parseBucket(draft, content, names);
    const weighed = draft.groupType === "select" || command === "insert_bucket";
    if (!weighed && bucket.weight !== 0) {
      throw new TextError("Only select groups can have bucket weights.");
    }
    return bucket;
  });
}

function parseBucket(draft: Draft, text: string, names: TextNames | undefined): Bucket {
  let weight = draft.groupType === "select" ? 1 : 0;
  let id = BUCKET_ALL;
  let watchPort: number = PORTS.ANY;
  let watchGroup = GROUP_ANY;
  const actionTexts: string[] = [];
  for (const { key, value } of keyValues(text)) {
    switch (key.toLowerCase()) {
      case "weight":
        weight = parseU16(value, "weight");
        break;
      case "watch_port": {
        const port = parsePort(value, names);
        const special = port === PORTS.ANY || port === PORTS.CONTROLLER;
        if (port === undefined || (port >= PORTS.MAX && !special)) {
          throw new TextError(`${value}: invalid watch_port`);
        }
        watchPort = port;
        break;
      }
      case "watch_group":
        watchGroup = parseU32(value);
        if (watchGroup > GROUP_MAX) {
          throw new TextError(`invalid watch_group id ${watchGroup}`);
        }
        break;
      case "bucket_id":
        id = parseU32(value);
        if (id > BUCKET_MAX) throw new TextError(`invalid bucket_id id ${id}`);
        break;
      case "action":
      case "actions":
        actionTexts.push(value);
        break;
      default:
        actionTexts.push(`${key}(${value})`);
    }
  }
  if (actionTexts.length === 0) throw new TextError("bucket must specify actions");
  if (draft.groupType === "ff" && watchPort === PORTS.ANY && watchGroup === GROUP_ANY) {
    throw new TextError("fast failover bucket requires watch_port or watch_group");
  }
  const actions = parseActions(actionTexts.join(","), names, false);
  // As in Open vSwitch, where what the last bucket's actions need is all that counts.
  draft.protocols = protocolsOfActions(actions, false);
  return { id, weight, watchPort, watchGroup, actions };
}

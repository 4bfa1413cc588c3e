/** Text of groups and meters. */
import { formatPort } from "../../packet/text.ts";
import type { Bucket, GroupDesc, MessageOf, MeterBand, MeterConfig } from "../messages/types.ts";
import { METER_FLAGS } from "../messages/types.ts";
import { GROUP_ALL, GROUP_ANY, OF10, OF13, OF15, type OfVersion, PORTS } from "../version.ts";
import { actionNamesOf } from "./action-names.ts";
import { formatActions } from "./actions-format.ts";
import { formatDuration } from "./flow.ts";
import { bitNames } from "./hex-dump.ts";
import type { TextNames } from "./names.ts";
import { alternateHex, hex } from "./scan.ts";
import { formatMaskedFields } from "./subfield.ts";

export function formatGroupId(group: number): string {
  return group === GROUP_ALL ? "ALL" : group === GROUP_ANY ? "ANY" : String(group);
}

/** OFPG_BUCKET_* of OpenFlow 1.5. */
const BUCKET_WORDS: ReadonlyMap<number, string> = new Map([
  [0xfffffffd, "first"],
  [0xfffffffe, "last"],
  [0xffffffff, "all"],
]);

/** Versions from 1.1 to 1.4 have no bucket ids. */
function formatBucketId(label: string, id: number, version: OfVersion): string {
  if (version > OF10 && version < OF15) return "";
  return `${label}:${BUCKET_WORDS.get(id) ?? id},`;
}

function formatBucket(
  bucket: Bucket,
  isSelect: boolean,
  version: OfVersion,
  names?: TextNames,
): string {
  const { id, weight, watchPort, watchGroup, actions } = bucket;
  let text = `bucket=${formatBucketId("bucket_id", id, version)}`;
  if (weight !== (isSelect ? 1 : 0)) text += `weight:${weight},`;
  if (watchPort !== PORTS.NONE) text += `watch_port:${formatPort(watchPort, names)},`;
  if (watchGroup !== GROUP_ANY) text += `watch_group:${watchGroup},`;
  return `${text}actions=${formatActions(actions, names)}`;
}

interface Told {
  readonly version: OfVersion;
  /** Commands about buckets leave the group's type alone. */
  readonly withType: boolean;
  readonly names?: TextNames | undefined;
}

function formatGroup(group: GroupDesc, { version, withType, names }: Told): string {
  let text = `group_id=${group.group}`;
  if (withType) text += `,type=${group.groupType}`;
  const { selection } = group;
  if (selection && selection.method !== "") {
    text += `,selection_method=${selection.method}`;
    if (selection.parameter !== 0n) text += `,selection_method_param=${selection.parameter}`;
    const fields = formatMaskedFields(selection.fields);
    if (selection.fields.length === 1) text += `,fields=${fields}`;
    else if (selection.fields.length > 1) text += `,fields(${fields})`;
  }
  const isSelect = group.groupType === "select";
  const buckets = group.buckets.map((bucket) => formatBucket(bucket, isSelect, version, names));
  return [text, ...buckets].join(",");
}

const COMMANDS = {
  add: "ADD",
  modify: "MOD",
  add_or_mod: "ADD_OR_MOD",
  delete: "DEL",
  insert_bucket: "INSERT_BUCKET",
  remove_bucket: "REMOVE_BUCKET",
} as const;

export function formatGroupMod(
  message: MessageOf<"group_mod">,
  version: OfVersion,
  names?: TextNames,
): string {
  const { command } = message;
  const aboutBuckets = command === "insert_bucket" || command === "remove_bucket";
  const id = message.commandBucket ?? 0xffffffff;
  const which = aboutBuckets ? formatBucketId("command_bucket_id", id, version) : "";
  const group = formatGroup(message, { version, withType: !aboutBuckets, names });
  return `\n ${COMMANDS[command]} ${which}${group}`;
}

export const formatGroupDescs = (
  { groups }: MessageOf<"group_desc_reply">,
  version: OfVersion,
  names?: TextNames,
): string =>
  groups.map((group) => `\n ${formatGroup(group, { version, withType: true, names })}`).join("");

const count = (value: bigint | undefined): string => String(value ?? 0xffff_ffff_ffff_ffffn);

/** OpenFlow 1.1 and 1.2 do not tell how old a group is. */
const hasDuration = (version: OfVersion): boolean => version === OF10 || version >= OF13;

export function formatGroupStats(
  { groups }: MessageOf<"group_stats_reply">,
  version: OfVersion,
): string {
  return groups.map((group) => {
    let text = `\n group_id=${group.group},`;
    if (group.durationSeconds !== 0xffffffff && hasDuration(version)) {
      text += `duration=${formatDuration(group.durationSeconds, group.durationNanoseconds)},`;
    }
    text += `ref_count=${group.references},packet_count=${count(group.packets)},` +
      `byte_count=${count(group.bytes)}`;
    group.buckets.forEach(({ packets, bytes }, i) => {
      if (packets === undefined) return;
      text += `,bucket${i}:packet_count=${packets},byte_count=${count(bytes)}`;
    });
    return text;
  }).join("");
}

const TYPE_NAMES = ["all", "select", "indirect", "fast failover"] as const;

export function formatGroupFeatures(
  message: MessageOf<"group_features_reply">,
  version: OfVersion,
): string {
  const { types, capabilities, maxGroups, actions } = message;
  let text = `\n Group table:\n    Types:  ${hex(types)}\n    Capabilities:  ${
    hex(capabilities)
  }\n`;
  TYPE_NAMES.forEach((name, i) => {
    if (((types >>> i) & 1) === 0) return;
    const known = actionNamesOf(actions[i] ?? 0, version);
    text += `    ${name} group:\n       max_groups=${alternateHex(maxGroups[i] ?? 0)}\n` +
      `       actions: ${known === "" ? "<none>" : known}\n`;
  });
  return text;
}

const METER_WORDS: ReadonlyMap<number, string> = new Map([
  [0xfffffffd, "slowpath"],
  [0xfffffffe, "controller"],
  [0xffffffff, "all"],
]);
const METER_MAX = 0xffff0000;

export const formatMeterId = (meter: number, separator = "="): string =>
  `meter${separator}${meter <= METER_MAX ? meter : METER_WORDS.get(meter) ?? "unknown"}`;

const METER_FLAG_NAMES = [
  [METER_FLAGS.KBPS, "kbps"],
  [METER_FLAGS.PKTPS, "pktps"],
  [METER_FLAGS.BURST, "burst"],
  [METER_FLAGS.STATS, "stats"],
] as const;

function formatBand(band: MeterBand, flags: number): string {
  let text = `\ntype=${band.type} rate=${band.rate}`;
  if (flags & METER_FLAGS.BURST) text += ` burst_size=${band.burst}`;
  return band.type === "dscp_remark" ? `${text} prec_level=${band.level}` : text;
}

function formatMeter({ meter, flags, bands }: MeterConfig): string {
  let text = `${formatMeterId(meter)} `;
  for (const [flag, name] of METER_FLAG_NAMES) if (flags & flag) text += `${name} `;
  const unknown = flags & ~0xf;
  if (unknown !== 0) text += `flags:${hex(unknown)} `;
  return `${text}bands=${bands.map((band) => formatBand(band, flags)).join("")}\n`;
}

const METER_COMMANDS = { add: "ADD", modify: "MOD", delete: "DEL" } as const;

export const formatMeterMod = (message: MessageOf<"meter_mod">): string =>
  ` ${METER_COMMANDS[message.command]} ${formatMeter(message)}`;

export const formatMeterConfigs = ({ meters }: MessageOf<"meter_config_reply">): string =>
  meters.map((meter) => `\n${formatMeter(meter)}`).join("");

export function formatMeterStats({ meters }: MessageOf<"meter_stats_reply">): string {
  return meters.map((meter) => {
    const duration = formatDuration(meter.durationSeconds, meter.durationNanoseconds);
    const bands = meter.bands.map(({ packets, bytes }, i) =>
      `${i}: packet_count:${count(packets)} byte_count:${count(bytes)}\n`
    );
    return `\n${formatMeterId(meter.meter, ":")} flow_count:${meter.flows} ` +
      `packet_in_count:${count(meter.packets)} byte_in_count:${count(meter.bytes)} ` +
      `duration:${duration} bands:\n${bands.join("")}`;
  }).join("");
}

const BAND_NAMES = [[1 << 1, "drop"], [1 << 2, "dscp_remark"]] as const;

export function formatMeterFeatures(message: MessageOf<"meter_features_reply">): string {
  const { maxMeters, bandTypes, capabilities, maxBands, maxColor } = message;
  return `\nmax_meter:${maxMeters} max_bands:${maxBands} max_color:${maxColor}\n` +
    `band_types: ${bitNames(bandTypes, BAND_NAMES)}\n` +
    `capabilities: ${bitNames(capabilities, METER_FLAG_NAMES)}\n`;
}

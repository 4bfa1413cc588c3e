/**
 * Groups and meters of a bridge, as the HTTP API shows and changes them: plain values, and the texts
 * of `ovs-ofctl dump-groups` and `dump-meters`. The rules of operate.ts hold.
 */
import type { Bucket } from "../openflow/messages/types.ts";
import { formatGroupDescs, formatMeterConfigs } from "../openflow/text/message-groups.ts";
import { BUCKET_ALL, type GroupCommand, parseGroup } from "../openflow/text/group-parse.ts";
import { parseMeter } from "../openflow/text/meter-parse.ts";
import { OF10, OF13 } from "../openflow/version.ts";
import type { PortNames } from "../packet/text.ts";
import type { Bridge } from "./bridge/bridge.ts";

export interface GroupView {
  readonly group: number;
  readonly type: string;
  /** As `ovs-ofctl` takes it. */
  readonly text: string;
  readonly packets: number;
  readonly bytes: number;
  /** How many flows and groups use it. */
  readonly references: number;
  readonly durationSeconds: number;
  readonly buckets: readonly { readonly packets: number; readonly bytes: number }[];
}

export interface MeterView {
  readonly meter: number;
  readonly text: string;
  readonly packets: number;
  readonly bytes: number;
  readonly flows: number;
  readonly durationSeconds: number;
  readonly bands: readonly { readonly packets: number; readonly bytes: number }[];
}

export type MeterCommand = "add" | "modify" | "delete";
export type { GroupCommand };

const GROUP_ALL = 0xfffffffc;
const METER_ALL = 0xffffffff;

const describeGroups = (bridge: Bridge) =>
  bridge.tables.groups.select(GROUP_ALL).map(({ id, type, buckets, selection }) => ({
    group: id,
    groupType: type,
    buckets,
    ...(selection && { selection }),
  }));

const ageOf = (bridge: Bridge, createdMs: number): number =>
  Math.max(0, Math.floor((bridge.clock.now() - createdMs) / 1000));

export function groupViews(bridge: Bridge): GroupView[] {
  const { groups } = bridge.tables;
  const described = describeGroups(bridge);
  return groups.select(GROUP_ALL).map((group, i) => ({
    group: group.id,
    type: group.type,
    text: formatGroupDescs({ type: "group_desc_reply", groups: [described[i]!] }, OF13).trim(),
    packets: group.packets,
    bytes: group.bytes,
    references: groups.references(group.id),
    durationSeconds: ageOf(bridge, group.createdMs),
    buckets: group.counts.map(({ packets, bytes }) => ({ packets, bytes })),
  }));
}

export function groupsText(bridge: Bridge): string {
  const groups = describeGroups(bridge);
  const lines = formatGroupDescs({ type: "group_desc_reply", groups }, OF10);
  return `NXST_GROUP_DESC reply (xid=0x2):${lines}\n`;
}

/** Throws what the parser and the tables throw. */
export function changeGroup(
  bridge: Bridge,
  command: GroupCommand,
  text: string,
  names: PortNames,
): void {
  const { message } = parseGroup(text, { command, names });
  bridge.tables.groups.apply({ ...message, buckets: numbered(message.buckets) });
}

/** Buckets without a number of their own get the next that is free, as messages without them do. */
function numbered(buckets: readonly Bucket[]): Bucket[] {
  const taken = new Set(buckets.map(({ id }) => id));
  let next = 0;
  return buckets.map((bucket) => {
    if (bucket.id !== BUCKET_ALL) return bucket;
    while (taken.has(next)) next++;
    taken.add(next);
    return { ...bucket, id: next };
  });
}

export function meterViews(bridge: Bridge): MeterView[] {
  const { meters } = bridge.tables;
  return meters.select(METER_ALL).map((meter) => ({
    meter: meter.config.meter,
    text: formatMeterConfigs({ type: "meter_config_reply", meters: [meter.config] }).trim(),
    packets: meter.packets,
    bytes: meter.bytes,
    flows: meters.references(meter.config.meter),
    durationSeconds: ageOf(bridge, meter.createdMs),
    bands: meter.buckets.map(({ packets, bytes }) => ({ packets, bytes })),
  }));
}

export function metersText(bridge: Bridge): string {
  const meters = bridge.tables.meters.select(METER_ALL).map(({ config }) => config);
  const lines = formatMeterConfigs({ type: "meter_config_reply", meters });
  return `OFPST_METER_CONFIG reply (OF1.3) (xid=0x2):${lines}\n`;
}

export function changeMeter(bridge: Bridge, command: MeterCommand, text: string): void {
  const { meters } = bridge.tables;
  const { meter, flags, bands } = parseMeter(text, command);
  switch (command) {
    case "add":
      return meters.add({ meter, flags, bands });
    case "modify":
      return meters.modify({ meter, flags, bands });
    case "delete":
      return meters.delete(meter);
    default: {
      const never: never = command;
      throw new Error(`meter command ${never}`);
    }
  }
}

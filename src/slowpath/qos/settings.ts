/**
 * What a QoS row and its queues ask of a device (ovs-vswitchd.conf.db(5), "QoS TABLE"), in bytes and
 * with Open vSwitch's bounds: a queue gets at least a frame a second, no more than the port has, and a
 * burst of at least a frame.
 */
import type { Replica, Row } from "../../db/replica.ts";
import type { Device } from "../../fastpath/devices.ts";
import { type HtbClass, MAX_QUEUE, type Shape } from "../../fastpath/shaping.ts";

/** Types that are in force here, in the order in which they are listed. */
export const QOS_TYPES = ["linux-htb", "linux-noop"] as const;

export interface QosSettings {
  readonly type: (typeof QOS_TYPES)[number];
  /** Of linux-htb. */
  readonly shape: Shape | undefined;
  /** Queues that cannot be. */
  readonly problems: readonly string[];
}

const DEFAULT_BPS = 100e6;
const BITS = 8;
/** A frame is that much longer than the MTU at most, whatever is put in front of it. */
const FRAME_SLACK = 64;
const MAX_PRIORITY = 7;

export class QosError extends Error {}

/** Throws a QosError for a type that is not there. Undefined: the row asks for nothing. */
export function qosSettings(
  replica: Replica,
  uuid: string | undefined,
  device: Device,
): QosSettings | undefined {
  const row = uuid === undefined ? undefined : replica.rows("QoS").get(uuid);
  if (!row || row.type === "") return undefined;
  const type = QOS_TYPES.find((each) => each === row.type);
  if (!type) {
    const types = QOS_TYPES.join(" and ");
    throw new QosError(`QoS type "${row.type}" is not supported: there are ${types}`);
  }
  if (type === "linux-noop") return { type, shape: undefined, problems: [] };
  const all = whole(row, device);
  const queues = new Map<number, HtbClass>();
  const problems: string[] = [];
  for (const [number, queue] of [...row.queues].sort(([a], [b]) => a - b)) {
    const config = replica.rows("Queue").get(queue)?.other_config ?? new Map<string, string>();
    if (number > MAX_QUEUE) {
      problems.push(`there can be no queue ${number}: ${MAX_QUEUE} is the last`);
    } else queues.set(number, part(config, all));
  }
  // What belongs to no queue has one, too.
  if (!queues.has(0)) queues.set(0, part(new Map(), all));
  return { type, shape: { all, queues }, problems };
}

function whole({ other_config }: Row<"QoS">, { linkSpeedBps, mtu }: Device): HtbClass {
  const rate = number(other_config, "max-rate") || (linkSpeedBps ?? DEFAULT_BPS);
  const bytes = Math.max(1, Math.floor(rate / BITS));
  const burst = mtu + FRAME_SLACK;
  return { minBytesPerSec: bytes, maxBytesPerSec: bytes, burst, priority: 0, mtu };
}

function part(
  config: ReadonlyMap<string, string>,
  { maxBytesPerSec: most, mtu }: HtbClass,
): HtbClass {
  const bytes = (name: string): number => Math.floor(number(config, name) / BITS);
  const minBytesPerSec = Math.min(Math.max(bytes("min-rate"), mtu), most);
  const wanted = number(config, "max-rate") > 0 ? bytes("max-rate") : most;
  return {
    minBytesPerSec,
    maxBytesPerSec: Math.min(Math.max(wanted, minBytesPerSec), most),
    burst: Math.max(bytes("burst"), mtu + FRAME_SLACK),
    priority: Math.min(number(config, "priority"), MAX_PRIORITY),
    mtu,
  };
}

/** 0 for what is no number. */
function number(config: ReadonlyMap<string, string>, name: string): number {
  const text = config.get(name) ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** As `qos/show` tells it, in bits. */
export function classDetails(
  { minBytesPerSec, maxBytesPerSec, burst, priority }: HtbClass,
): readonly (readonly [string, number])[] {
  return [
    ["min-rate", minBytesPerSec * BITS],
    ...(minBytesPerSec === maxBytesPerSec ? [] : [["max-rate", maxBytesPerSec * BITS] as const]),
    ["burst", burst * BITS],
    ...(priority === 0 ? [] : [["priority", priority] as const]),
  ];
}

/** Text of what is said about ports and their queues. */
import { formatMac } from "../../packet/address.ts";
import { formatPort } from "../../packet/text.ts";
import type {
  MessageOf,
  PortDescription,
  PortStats,
  QueueConfig,
  Rfc2819,
} from "../messages/types.ts";
import { PORT_CONFIG, PORT_FEATURES, PORT_STATE } from "../messages/types.ts";
import { QUEUE_ALL } from "../version.ts";
import { formatDuration } from "./flow.ts";
import { bitNames } from "./hex-dump.ts";
import type { TextNames } from "./names.ts";

const CONFIG_NAMES = Object.entries(PORT_CONFIG).map(([name, bit]) => [bit, name] as const);
const STATE_NAMES = [
  [PORT_STATE.LINK_DOWN, "LINK_DOWN"],
  [PORT_STATE.BLOCKED, "BLOCKED"],
  [PORT_STATE.LIVE, "LIVE"],
] as const;
const FEATURE_NAMES = Object.entries(PORT_FEATURES).map(([name, bit]) => [bit, name] as const);
const STP_NAMES: ReadonlyMap<number, string> = new Map([
  [PORT_STATE.STP_LEARN, "STP_LEARN"],
  [PORT_STATE.STP_FORWARD, "STP_FORWARD"],
  [PORT_STATE.STP_BLOCK, "STP_BLOCK"],
]);

function formatState(state: number): string {
  const stp = STP_NAMES.get(state & PORT_STATE.STP_MASK);
  if (stp === undefined) return bitNames(state, STATE_NAMES);
  const rest = state & ~PORT_STATE.STP_MASK;
  return rest === 0 ? stp : stp + bitNames(rest, STATE_NAMES);
}

export const formatFeatures = (features: number): string => bitNames(features, FEATURE_NAMES);

export function formatPortDescription(port: PortDescription): string {
  const name = /^[\x20-\x7e]*/.exec(port.name)![0];
  let text = ` ${formatPort(port.port)}(${name}): addr:${formatMac(port.hwAddr)}\n`;
  text += `     config:     ${bitNames(port.config, CONFIG_NAMES)}\n`;
  text += `     state:      ${formatState(port.state)}\n`;
  if (port.current !== 0) text += `     current:    ${formatFeatures(port.current)}\n`;
  if (port.advertised !== 0) text += `     advertised: ${formatFeatures(port.advertised)}\n`;
  if (port.supported !== 0) text += `     supported:  ${formatFeatures(port.supported)}\n`;
  if (port.peer !== 0) text += `     peer:       ${formatFeatures(port.peer)}\n`;
  const megabits = (speed: number): number => Math.floor(speed / 1000);
  return `${text}     speed: ${megabits(port.currentSpeed)} Mbps now, ` +
    `${megabits(port.maxSpeed)} Mbps max\n`;
}

/** In the order of their numbers. */
export const formatPortDescriptions = (ports: readonly PortDescription[]): string =>
  [...ports].sort((a, b) => a.port - b.port).map(formatPortDescription).join("");

const REASONS = { add: "ADD", delete: "DEL", modify: "MOD" } as const;

export const formatPortStatus = ({ reason, description }: MessageOf<"port_status">): string =>
  ` ${REASONS[reason]}:${formatPortDescription(description)}`;

export function formatPortMod(message: MessageOf<"port_mod">, names?: TextNames): string {
  const { port, hwAddr, config, mask, advertise } = message;
  return ` port: ${formatPort(port, names)}: addr:${formatMac(hwAddr)}\n` +
    `     config: ${bitNames(config, CONFIG_NAMES)}\n` +
    `     mask:   ${bitNames(mask, CONFIG_NAMES)}\n` +
    `     advertise: ${advertise === 0 ? "UNCHANGED" : formatFeatures(advertise)}\n`;
}

const count = (value: bigint | undefined): string => value === undefined ? "?" : String(value);

function formatStats(stats: PortStats, names?: TextNames): string {
  const pad = stats.port < 10 ? " " : "";
  let text = `  port ${pad}${formatPort(stats.port, names)}: rx pkts=${count(stats.rxPackets)}, ` +
    `bytes=${count(stats.rxBytes)}, drop=${count(stats.rxDropped)}, ` +
    `errs=${count(stats.rxErrors)}, frame=${count(stats.rxFrameErrors)}, ` +
    `over=${count(stats.rxOverErrors)}, crc=${count(stats.rxCrcErrors)}\n` +
    `           tx pkts=${count(stats.txPackets)}, bytes=${count(stats.txBytes)}, ` +
    `drop=${count(stats.txDropped)}, errs=${count(stats.txErrors)}, ` +
    `coll=${count(stats.collisions)}\n`;
  if (stats.durationSeconds !== undefined) {
    const duration = formatDuration(stats.durationSeconds, stats.durationNanoseconds ?? 0);
    text += `           duration=${duration}\n`;
  }
  if (stats.rfc2819) {
    text += formatRfc2819(stats.rfc2819, "rx") + formatRfc2819(stats.rfc2819, "tx");
  }
  return text + formatCustom(stats.custom ?? []);
}

/** In the order in which they are told. */
const RFC2819_TOLD = {
  rx: [
    "1_to_64_packets",
    "65_to_127_packets",
    "128_to_255_packets",
    "256_to_511_packets",
    "512_to_1023_packets",
    "1024_to_1522_packets",
    "1523_to_max_packets",
    "broadcast_packets",
    "undersized_errors",
    "oversize_errors",
    "fragmented_errors",
    "jabber_errors",
  ],
  tx: [
    "1_to_64_packets",
    "65_to_127_packets",
    "128_to_255_packets",
    "256_to_511_packets",
    "512_to_1023_packets",
    "1024_to_1522_packets",
    "1523_to_max_packets",
    "multicast_packets",
    "broadcast_packets",
  ],
} as const;

function formatRfc2819(counters: Rfc2819, direction: "rx" | "tx"): string {
  const parts = RFC2819_TOLD[direction].flatMap((name) => {
    const value = counters[`${direction}_${name}` as keyof Rfc2819];
    // Two of them are told with their direction.
    const label = /^(fragmented|jabber)/.test(name) ? `rx_${name}` : name;
    return value === undefined ? [] : [`${label}=${value}, `];
  });
  return parts.length === 0 ? "" : `           ${direction} rfc2819 ${parts.join("")}\n`;
}

function formatCustom(counters: NonNullable<PortStats["custom"]>): string {
  if (counters.length === 0) return "";
  const parts = counters.map(({ name, value }, i) => {
    if (name === "") return "";
    const gap = i % 3 === 0 ? `\n${" ".repeat(22)}` : " ";
    return `${gap}${name}=${value ?? 0xffff_ffff_ffff_ffffn},`;
  });
  return `           CUSTOM Statistics${parts.join("")}\n`;
}

export function formatPortStats(
  { ports }: MessageOf<"port_stats_reply">,
  verbosity: number,
  names?: TextNames,
): string {
  const text = ` ${ports.length} ports\n`;
  return verbosity < 1 ? text : text + ports.map((port) => formatStats(port, names)).join("");
}

export const formatQueueId = (queue: number): string => queue === QUEUE_ALL ? "ALL" : String(queue);

export function formatQueueStats(
  { queues }: MessageOf<"queue_stats_reply">,
  verbosity: number,
  names?: TextNames,
): string {
  const head = ` ${queues.length} queues\n`;
  if (verbosity < 1) return head;
  return head + queues.map((queue) => {
    const { durationSeconds, durationNanoseconds } = queue;
    const duration = durationSeconds === undefined
      ? "?"
      : formatDuration(durationSeconds, durationNanoseconds ?? 0);
    return `  port ${formatPort(queue.port, names)} queue ${formatQueueId(queue.queue)}: ` +
      `bytes=${count(queue.txBytes)}, pkts=${count(queue.txPackets)}, ` +
      `errors=${count(queue.txErrors)}, duration=${duration}\n`;
  }).join("");
}

function formatRate(name: string, rate: number | undefined): string {
  if (rate === undefined) return "";
  return rate <= 1000 ? ` ${name}:${Math.floor(rate / 10)}.${rate % 10}%` : ` ${name}:(disabled)`;
}

export function formatQueueConfigs(
  { queues }: MessageOf<"queue_get_config_reply">,
  names?: TextNames,
): string {
  let text = " ";
  let port = 0;
  const order = (a: QueueConfig, b: QueueConfig): number => a.port - b.port || a.queue - b.queue;
  for (const queue of [...queues].sort(order)) {
    if (queue.port !== port) {
      port = queue.port;
      text += `port=${formatPort(port, names)}\n`;
    }
    text += `queue ${queue.queue}:${formatRate("min_rate", queue.minRate)}` +
      `${formatRate("max_rate", queue.maxRate)}\n`;
  }
  return text;
}

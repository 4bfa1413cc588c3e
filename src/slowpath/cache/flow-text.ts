/**
 * Installed datapath flows, one a line, as `ovs-appctl dpctl/dump-flows` prints them:
 *
 *     recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth(src=…,dst=…),eth_type(0x0800),ipv4(frag=no),
 *     packets:3, bytes:294, used:0.512s, actions:1
 *
 * Matches and actions are printed by src/fastpath/text; this adds counters and the flow's name. That
 * is 128 bits of a hash of its match, written like a UUID: the same for the same flow, at any time.
 */
import { createHash } from "node:crypto";
import { formatDpActions } from "../../fastpath/text/actions-format.ts";
import { formatDpMatch, type PortNamer } from "../../fastpath/text/flow-format.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import { DP_KEY_BYTES } from "../../packet/layout.ts";
import type { Megaflow } from "./megaflows.ts";

export interface FlowTextOptions {
  /** All of the match (`-m`). */
  readonly verbose?: boolean;
  readonly portName?: PortNamer | undefined;
  /** `ufid:…` in front, and what stands behind it. */
  readonly ufid?: string;
  /** What forwards its packets: `dp:…`. */
  readonly layer?: string | undefined;
  /** Values of what the mask does not look at, of the packet that brought the flow. */
  readonly seen?: FlowKey | undefined;
}

export type FlowCounts = Pick<Megaflow, "packets" | "bytes" | "usedMs" | "tcpFlags">;

/** Bits of the TCP header's flags with the letters that tcpdump gave them, in the order of print. */
const TCP_FLAG_LETTERS = [
  [0x002, "S"],
  [0x001, "F"],
  [0x008, "P"],
  [0x004, "R"],
  [0x020, "U"],
  [0x010, "."],
  [0x040, "E"],
  [0x080, "C"],
  [0x100, "N"],
] as const;

/** `packets:3, bytes:294, used:0.512s, flags:S.`; `nowMs` on the clock of the flow's counters. */
export function formatFlowCounts(flow: FlowCounts, nowMs: number): string {
  const idleMs = Math.max(0, nowMs - flow.usedMs);
  const used = flow.packets === 0 ? "never" : `${(idleMs / 1000).toFixed(3)}s`;
  const letters = TCP_FLAG_LETTERS.map(([bit, letter]) => (flow.tcpFlags & bit) ? letter : "");
  const flags = flow.tcpFlags === 0 ? "" : `, flags:${letters.join("")}`;
  return `packets:${flow.packets}, bytes:${flow.bytes}, used:${used}${flags}`;
}

/** One line: match, counters, actions. */
export function formatMegaflow(
  flow: FlowCounts & Pick<Megaflow, "actions" | "slow">,
  match: Match,
  nowMs: number,
  options: FlowTextOptions = {},
): string {
  const { verbose = false, portName, ufid = "", seen, layer } = options;
  const shown = seen ? { key: seen, mask: match.mask } : match;
  const actions = actionsOf(flow, shown, portName);
  return `${ufid}${formatDpMatch(shown, { verbose, portName })}, ` +
    `${formatFlowCounts(flow, nowMs)}${layer ? `, dp:${layer}` : ""}, actions:${actions}`;
}

/** What Open vSwitch's datapath logs of a flow that is put into it. `seen`: the packet's key. */
export function formatPutFlow(
  flow: Pick<Megaflow, "actions" | "slow">,
  match: Match,
  seen: FlowKey,
): string {
  const id = flowId(match);
  const shown = { key: seen, mask: match.mask };
  return `flow_add: ${id} mega_${id} ${formatDpMatch(shown)}, actions:${actionsOf(flow, shown)}`;
}

/** Open vSwitch's datapath would leave some flows to the slow path, and says only so. */
function actionsOf(
  { actions, slow }: Pick<Megaflow, "actions" | "slow">,
  { key }: Match,
  portName?: PortNamer,
): string {
  return slow.length > 0
    ? `userspace(pid=0,slow_path(${slow.join(",")}))`
    : formatDpActions(actions, { key, portName });
}

/** The flow's name: `ufid:01234567-89ab-…`. */
export function flowId({ key, mask }: Match): string {
  const hash = createHash("sha1")
    .update(key.bytes.subarray(0, DP_KEY_BYTES))
    .update(mask.bytes.subarray(0, DP_KEY_BYTES))
    .digest("hex");
  const parts = [8, 4, 4, 4, 12];
  let at = 0;
  return `ufid:${parts.map((length) => hash.slice(at, at += length)).join("-")}`;
}

/**
 * `ofproto/trace`: what happens to a packet, told step by step.
 *
 *     Flow: tcp,in_port=1,…                          the packet, as the pipeline sees it
 *
 *     bridge("br0")                                  what translation did (tree.ts)
 *     -------------
 *      0. priority 0
 *         output:2
 *
 *     Final flow: unchanged
 *     Megaflow: recirc_id=0,eth,tcp,in_port=1,…      what it looked at
 *     Datapath actions: 2
 *
 * A packet that the datapath gives back to the pipeline (`ct`, labels popped, a bond's hash) is traced
 * on from there, in the order in which that happens; a connection's state is then what the user says,
 * else new, and addresses that are to be translated become the first of their range.
 *
 * A flow alone has no effect on anything. With a packet (given or made up) the switch learns from it
 * and it reaches controllers, though no port: as in Open vSwitch.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import { formatDpActions } from "../../fastpath/text/actions-format.ts";
import type { PortNamer } from "../../fastpath/text/flow-format.ts";
import { IP, isMplsType, isVlanType } from "../../fastpath/text/headers.ts";
import { isAll, numberOf, slotBytes } from "../../fastpath/text/values.ts";
import type { Action, NatAction } from "../../openflow/actions/types.ts";
import { DEFAULT_PRIORITY, formatMatch } from "../../openflow/text/match.ts";
import { matchOfKey } from "../../openflow/text/packet.ts";
import { placedTunnelField } from "../../openflow/tunnel-fields.ts";
import { PORTS } from "../../openflow/version.ts";
import { bigToBytes, formatIpv4, formatIpv6 } from "../../packet/address.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { type Field, FIELDS, KEY_WORDS, slot, type SlotName, SLOTS } from "../../packet/layout.ts";
import { CT_STATES, formatFlags, type PortNames } from "../../packet/text.ts";
import type { Backend } from "../bridge/backend.ts";
import type { TraceResult } from "../cache/tracing.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { Recirculation } from "../pipeline/tracer.ts";
import type { Translation } from "../pipeline/translate.ts";
import type { XlateError } from "../pipeline/xlate.ts";
import { hasTunnel } from "../tunnels/ports.ts";
import { TraceTree } from "./tree.ts";

export interface TraceRequest {
  readonly backend: Backend;
  readonly bridge: BridgeModel;
  /** In the pipeline's terms. */
  readonly key: FlowKey;
  readonly packet: Uint8Array | undefined;
  /** A packet-out's, instead of a search from table 0. */
  readonly actions: readonly Action[] | undefined;
  readonly ctStates: readonly number[];
  readonly names: boolean;
}

/** No more recirculations than this are followed: a loop would go on for ever. */
const MAX_RECIRCULATIONS = 4096;
const FRAG_LATER = 2;
const TUNNEL_SLOTS = [...SLOTS.keys()].filter((name) => name.startsWith("tun_"));
const RULER = "=".repeat(79);
const ALL_CT_STATES = 0xffn;
const CT_NEW = 0x01;
const CT_TRACKED = 0x20;

/** The whole text, without a newline at its end. */
export function traceFlow(request: TraceRequest): string {
  const held: TraceResult[] = [];
  const queue: Recirculation[] = [];
  try {
    let text = traceOnce(request, request.key, request.actions, queue, held);
    const ctStates = [...request.ctStates];
    for (let i = 0; i < queue.length && i < MAX_RECIRCULATIONS; i++) {
      const next = queue[i]!;
      text += resume(next, ctStates);
      text += traceOnce(request, next.key, request.actions, queue, held);
    }
    return text;
  } finally {
    for (const result of held) result.release();
  }
}

/** One pass through the pipeline. */
function traceOnce(
  request: TraceRequest,
  start: FlowKey,
  actions: readonly Action[] | undefined,
  queue: Recirculation[],
  held: TraceResult[],
): string {
  const { backend, bridge, packet } = request;
  const named = request.names;
  const tree = new TraceTree(bridge, (each) => named ? namesOf(each) : undefined);
  const initial = start.clone();
  const tos = initial.get(FIELDS.nw_tos);
  if (hasTunnel(initial)) bridge.receiveTunnel?.(initial, new FlowKey());
  initial.set(FIELDS.nw_tos, tos);
  initial.set(FIELDS.actset_output, PORTS.UNSET);
  const result = backend.cache.trace({ bridge, key: start, tracer: tree, actions, packet });
  held.push(result);
  queue.push(...tree.recirculations);
  const { translation } = result;
  const flow = (match: Match): string =>
    formatMatch(match, DEFAULT_PRIORITY, {
      ...(named ? namesOf(bridge) : NO_NAMES),
      tunnelFields: { resolve: (index) => placedField(bridge, index) },
    });
  const final = translation.traced ?? initial;
  const mask = shownMask(withOptions(translation), start);
  const lines = [
    `Flow: ${flow(matchOfKey(initial))}\n`,
    tree.format(),
    `\nFinal flow: ${final.equals(initial) ? "unchanged" : flow(matchOfKey(final))}\n`,
    `Megaflow: ${flow({ key: masked(initial, mask), mask })}\n`,
    `Datapath actions: ${actionsText(translation.actions, initial, named ? backend : undefined)}`,
  ];
  if (translation.error !== undefined) {
    lines.push(`\nTranslation failed (${errorText(translation.error)}), packet is dropped.\n`);
  } else if (result.slow.length > 0) lines.push(explain(result.slow));
  return lines.join("");
}

const NO_NAMES: PortNames = { nameOf: () => undefined, numberOf: () => undefined };

/** `tun_metadataN` where the bridge's TLV table places it. */
function placedField({ tunnelOptions }: BridgeModel, index: number): Field | undefined {
  const place = tunnelOptions?.place(index);
  return place && placedTunnelField(index, place.offset, place.length);
}

/** The mask with tunnel options by their fields, which a datapath sees as bytes of headers. */
function withOptions({ mask, tracedMask }: Translation): FlowKey {
  if (!tracedMask) return mask;
  const shown = mask.clone();
  for (const name of ["tun_metadata", "tun_metadata_present", "tun_options_length"] as const) {
    const { offset, bytes } = slot(name);
    const from = name === "tun_options_length" ? undefined : tracedMask.bytes;
    for (let i = offset; i < offset + bytes; i++) shown.bytes[i] = from?.[i] ?? 0;
  }
  return shown;
}

function actionsText(
  actions: readonly DpAction[],
  key: FlowKey,
  named: Backend | undefined,
): string {
  const portName: PortNamer | undefined = named &&
    ((port) => named.datapath.ports().get(port)?.name);
  return formatDpActions(actions, { key, portName });
}

/** A packet without Ethernet header, of Ethernet type 0. */
const BARE_UNKNOWN = 0x10000;

/**
 * The mask without what says that something is not there: the cache needs that, but no reader. (As
 * Open vSwitch, whose datapaths imply it.)
 */
function shownMask(whole: FlowKey, { bytes }: FlowKey): FlowKey {
  const mask = whole.clone();
  const clear = (...names: readonly SlotName[]): void => {
    for (const name of names) {
      const { offset, bytes: length } = slot(name);
      mask.bytes.fill(0, offset, offset + length);
    }
  };
  const value = (name: SlotName): number => numberOf(slotBytes(bytes, name));
  if (value("packet_type") !== 0) clear("eth_src", "eth_dst");
  if (value("packet_type") === BARE_UNKNOWN) clear("nw_frag");
  const protocol = value("nw_proto");
  if (protocol === IP.ICMP || protocol === IP.ICMPV6) {
    mask.bytes[slot("tp_src").offset] = 0;
    mask.bytes[slot("tp_dst").offset] = 0;
  }
  for (const [tci, tpid] of [["vlan_tci", "vlan_tpid"], ["vlan2_tci", "vlan2_tpid"]] as const) {
    if (!isVlanType(value(tpid))) clear(tci, tpid);
    else if (!isAll(slotBytes(mask.bytes, tci), 0)) mask.bytes[slot(tci).offset]! |= 0x10;
  }
  if (value("nw_frag") & FRAG_LATER) clear("tp_src", "tp_dst");
  if (!isMplsType(value("eth_type"))) clear("mpls_lse0", "mpls_lse1", "mpls_lse2");
  if (isAll(slotBytes(bytes, "tun_dst"), 0) && isAll(slotBytes(bytes, "tun_ipv6_dst"), 0)) {
    clear(...TUNNEL_SLOTS);
  }
  return mask;
}

function masked(key: FlowKey, mask: FlowKey): FlowKey {
  const result = new FlowKey();
  for (let i = 0; i < KEY_WORDS; i++) result.words[i] = key.words[i]! & mask.words[i]!;
  return result;
}

function namesOf(bridge: BridgeModel): PortNames {
  return {
    nameOf: (port) => bridge.ports.get(port)?.name,
    numberOf: () => undefined,
  };
}

/** As Open vSwitch words it. */
function errorText(error: XlateError): string {
  return `${error[0]!.toUpperCase()}${error.slice(1)}`;
}

const EXPLANATIONS: ReadonlyMap<string, string> = new Map([
  ["cfm", "Consists of CFM packets"],
  ["bfd", "Consists of BFD packets"],
  ["lacp", "Consists of LACP packets"],
  ["stp", "Consists of STP packets"],
  ["lldp", "Consists of LLDP packets"],
  ["action", "Uses action(s) not supported by datapath"],
  ["match", "Datapath can't match specifically enough"],
]);

function explain(reasons: readonly string[]): string {
  return "\nThis flow is handled by the userspace slow path because it:" +
    reasons.map((reason) => `\n  - ${EXPLANATIONS.get(reason) ?? "<unknown>"}.`).join("");
}

/** The heading of a pass after the first; changes the packet to what it comes back as. */
function resume(what: Recirculation, ctStates: number[]): string {
  const { key } = what;
  key.set(FIELDS.recirc_id, what.recircId);
  key.set(FIELDS.ct_zone, what.zone);
  let text = `\n\n${RULER}\nrecirc(0x${what.recircId.toString(16)})`;
  if (what.cause === "conntrack") {
    const given = ctStates.shift();
    const state = given ?? CT_TRACKED | CT_NEW;
    key.set(FIELDS.ct_state, state);
    text += given === undefined
      ? " - resume conntrack with default ct_state=trk|new (use --ct-next to customize)"
      : ` - resume conntrack with ct_state=${
        formatFlags(BigInt(state), ALL_CT_STATES, ALL_CT_STATES, CT_STATES)
      }`;
  }
  text += "\n";
  if (what.nat) text += translateAddresses(key, what.nat);
  return `${text}${RULER}\n\n`;
}

/** Makes the packet one that has been translated, to the first address and port of the range. */
function translateAddresses(key: FlowKey, nat: NatAction): string {
  const family = nat.range === undefined ? undefined : nat.range.ipv6 ? 6 : 4;
  const before = addressesText(key, family);
  const set = (which: "src" | "dst"): void => {
    const { range, ports } = nat;
    if (range === undefined) return;
    const address = range.ipv6 ? FIELDS[`ipv6_${which}`] : FIELDS[`ip_${which}`];
    key.setBig(address, range.min);
    if (ports && ports.min !== 0) key.set(FIELDS[`tcp_${which}`], ports.min);
  };
  if (nat.source) set("src");
  if (nat.destination) set("dst");
  return "Replacing src/dst IP/ports to simulate NAT:\n" +
    ` Initial flow: ${before}\n Modified flow: ${addressesText(key, family)}\n`;
}

function addressesText(key: FlowKey, family: 4 | 6 | undefined): string {
  const [src, dst] = [key.get(FIELDS.tcp_src), key.get(FIELDS.tcp_dst)];
  if (family === 4) {
    const print = (name: "ip_src" | "ip_dst"): string =>
      formatIpv4(bigToBytes(key.getBig(FIELDS[name]), 4));
    return `nw_src=${print("ip_src")},tp_src=${src},nw_dst=${print("ip_dst")},tp_dst=${dst}`;
  }
  if (family === 6) {
    const print = (name: "ipv6_src" | "ipv6_dst"): string =>
      `[${formatIpv6(bigToBytes(key.getBig(FIELDS[name]), 16))}]`;
    return `ipv6_src=${print("ipv6_src")},tp_src=${src},ipv6_dst=${
      print("ipv6_dst")
    },tp_dst=${dst}`;
  }
  return "";
}

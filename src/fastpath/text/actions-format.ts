/**
 * Datapath actions as `dpctl/dump-flows` and `ofproto/trace` print them: `push_vlan(vid=5,pcp=0),2`.
 *
 * A `set` action stands for one slot; neighbours that are parts of one header, in its order, are
 * printed as one, as Open vSwitch has them: `set(ipv4(src=10.0.0.1,ttl=63))`. Which header a slot is
 * in depends on the packet, so the printer follows the packet's type through the list.
 */
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import type { FlowKey } from "../../packet/key.ts";
import { FIELDS, type SlotName } from "../../packet/layout.ts";
import type { CtAction, CtNat, DpAction, UserspaceAction, UserspaceCookie } from "../actions.ts";
import { formatLse, formatNsh, formatTci, type PortNamer } from "./flow-format.ts";
import { ETH, type HeaderName, HEADERS, IP, NUMBERS } from "./headers.ts";
import { formatPushHeader } from "./push-header.ts";
import { formatTunnelAction } from "./tunnel-format.ts";
import { alternate, formatPart, hexBytes, isAll, numberOf, zeroHex } from "./values.ts";

export interface ActionsFormat {
  /** The packets' key: says what `tp_src` is a port of. */
  readonly key?: FlowKey | undefined;
  readonly portName?: PortNamer | undefined;
  /** What a `userspace` action's number stands for, where the action does not say. */
  readonly cookie?: ((userdata: number) => UserspaceCookie | undefined) | undefined;
}

type SetAction = Extract<DpAction, { type: "set" }>;

/** The packet's types at a place in the list. */
interface Types {
  ethType: number;
  protocol: number;
}

/** The whole list; `drop` for none. */
export function formatDpActions(actions: readonly DpAction[], format: ActionsFormat = {}): string {
  const { key } = format;
  const types: Types = {
    ethType: key?.get(FIELDS.eth_type) ?? ETH.IPV4,
    protocol: key?.get(FIELDS.nw_proto) ?? IP.TCP,
  };
  return formatList(actions, format, types);
}

function formatList(actions: readonly DpAction[], format: ActionsFormat, types: Types): string {
  if (actions.length === 0) return "drop";
  const texts: string[] = [];
  for (let i = 0; i < actions.length;) {
    const action = actions[i]!;
    if (action.type !== "set") {
      texts.push(formatOne(action, format, types));
      i++;
      continue;
    }
    const run = sameHeader(actions, i, types);
    texts.push(formatSet(run, types));
    i += run.length;
  }
  return texts.join(",");
}

const portText = (port: number, { portName }: ActionsFormat): string =>
  portName?.(port) ?? String(port);

function formatOne(
  action: Exclude<DpAction, SetAction>,
  format: ActionsFormat,
  types: Types,
): string {
  const nested = (actions: readonly DpAction[]): string =>
    formatList(actions, format, { ...types });
  switch (action.type) {
    case "output":
      return portText(action.port, format);
    case "lb_output":
      return `lb_output(${action.bond})`;
    case "userspace":
      return formatUserspace(action, format);
    case "set_tunnel":
      return `set(tunnel(${formatTunnelAction(action.tunnel)}))`;
    case "push_vlan": {
      const tpid = action.tpid === ETH.VLAN ? "" : `tpid=${zeroHex(action.tpid, 4)},`;
      return `push_vlan(${tpid}${formatTci(action.tci | 0x1000, 0xffff, false)})`;
    }
    case "pop_vlan":
    case "pop_eth":
    case "pop_pbb":
    case "copy_ttl_in":
    case "copy_ttl_out":
    case "ct_clear":
      return action.type;
    case "push_mpls":
    case "add_mpls":
      types.ethType = action.ethType;
      return `${action.type}(${formatLse(action.lse)},eth_type=0x${action.ethType.toString(16)})`;
    case "pop_mpls":
      types.ethType = action.ethType;
      return `pop_mpls(eth_type=0x${action.ethType.toString(16)})`;
    case "push_eth":
      return `push_eth(src=${formatMac(action.src)},dst=${formatMac(action.dst)})`;
    case "push_nsh":
      types.ethType = ETH.NSH;
      return `push_nsh(${formatPushNsh(action.header)})`;
    case "pop_nsh":
      return "pop_nsh()";
    case "push_pbb":
      return `push_pbb(tci=${alternate(action.tci)},eth_type=0x${action.ethType.toString(16)})`;
    case "hash":
      return `hash(${action.algorithm}(${action.basis}))`;
    case "recirc":
      return `recirc(${alternate(action.id)})`;
    case "sample": {
      const percentage = ((100 * action.probability) / 0xffffffff).toFixed(1);
      return `sample(sample=${percentage}%,actions(${nested(action.actions)}))`;
    }
    case "clone":
      return `clone(${nested(action.actions)})`;
    case "meter":
      return `meter(${action.id})`;
    case "check_pkt_len":
      return `check_pkt_len(size=${action.length},gt(${nested(action.greater)}),` +
        `le(${nested(action.lessEqual)}))`;
    case "trunc":
      return `trunc(${action.maxLength})`;
    case "ct":
      return formatCt(action);
    case "tnl_push":
      return `tnl_push(tnl_port(${portText(action.tunnelPort, format)}),` +
        `${formatPushHeader(action.kind, action.header)},` +
        `out_port(${portText(action.outPort, format)}))`;
    case "tnl_pop":
      return `tnl_pop(${portText(action.port, format)})`;
    case "drop":
      return "drop";
    default: {
      const never: never = action;
      throw new Error(`datapath action ${never}`);
    }
  }
}

/** Which header the slot is a part of in such packets. */
function headerOf(name: SlotName, { ethType, protocol }: Types): HeaderName | undefined {
  const isArp = ethType === ETH.ARP || ethType === ETH.RARP;
  const l3: HeaderName = isArp ? "arp" : ethType === ETH.IPV6 ? "ipv6" : "ipv4";
  switch (name) {
    case "eth_src":
    case "eth_dst":
      return "eth";
    case "nw_src":
    case "nw_dst":
    case "nw_proto":
    case "nw_tos":
    case "nw_ttl":
      return l3;
    case "ipv6_src":
    case "ipv6_dst":
    case "ipv6_label":
      return "ipv6";
    case "arp_sha":
    case "arp_tha":
      return isArp ? "arp" : "nd";
    case "nd_target":
      return "nd";
    case "nd_reserved":
    case "nd_options_type":
      return "nd_ext";
    case "tp_src":
    case "tp_dst":
      switch (protocol) {
        case IP.UDP:
          return "udp";
        case IP.SCTP:
          return "sctp";
        case IP.ICMP:
          return ethType === ETH.IPV6 ? "tcp" : "icmp";
        case IP.ICMPV6:
          return ethType === ETH.IPV6 ? "icmpv6" : "tcp";
        default:
          return "tcp";
      }
    default:
      return undefined;
  }
}

/** The `set` actions from `at` on that are printed as one. */
function sameHeader(actions: readonly DpAction[], at: number, types: Types): SetAction[] {
  const first = actions[at] as SetAction;
  const run = [first];
  const header = headerOf(first.slot, types);
  const isNsh = first.slot.startsWith("nsh_");
  if (!header && !isNsh) return run;
  const order: readonly SlotName[] = header
    ? HEADERS[header].map(({ slot }) => slot)
    : ["nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_path", "nsh_c"];
  let last = order.indexOf(first.slot);
  for (const next of actions.slice(at + 1)) {
    if (next.type !== "set") break;
    const place = order.indexOf(next.slot);
    if (place <= last) break;
    run.push(next);
    last = place;
  }
  return run;
}

function formatSet(run: readonly SetAction[], types: Types): string {
  const first = run[0]!;
  const header = headerOf(first.slot, types);
  if (header) {
    const texts = HEADERS[header].map((part) => {
      const action = run.find(({ slot }) => slot === part.slot);
      return action && formatPart(part, action.value, action.mask, false);
    });
    return `set(${header}(${texts.filter((text) => text !== undefined).join(",")}))`;
  }
  if (first.slot === "mpls_lse0" || isMplsSlot(first.slot)) {
    const mask = isAll(first.mask, 0xff) ? undefined : numberOf(first.mask);
    return `set(mpls(${formatLse(numberOf(first.value), mask)}))`;
  }
  if (first.slot.startsWith("nsh_")) return `set(nsh(${formatSetNsh(run)}))`;
  const word = Object.entries(NUMBERS).find(([, slot]) => slot === first.slot)?.[0] ?? first.slot;
  const partial = isAll(first.mask, 0xff) ? "" : `/${hexBytes(first.mask)}`;
  return `set(${word}(${hexBytes(first.value)}${partial}))`;
}

const isMplsSlot = (name: SlotName): boolean => name === "mpls_lse1" || name === "mpls_lse2";

function formatSetNsh(run: readonly SetAction[]): string {
  const bytes = (name: SlotName, which: "value" | "mask"): Uint8Array => {
    const empty = new Uint8Array(name === "nsh_c" ? 16 : name === "nsh_path" ? 4 : 1);
    return run.find(({ slot }) => slot === name)?.[which] ?? empty;
  };
  return formatNsh((name) => bytes(name, "value"), (name) => bytes(name, "mask"));
}

/** RFC 8300 §2.2: version 2 bits, flags 2, TTL 6, length 6; then 4 reserved and MD type 4. */
function formatPushNsh(header: Uint8Array): string {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const first = view.getUint16(0);
  const mdType = header[2]! & 0x0f;
  const path = view.getUint32(4);
  let text = `flags=${(first >> 12) & 3},ttl=${(first >> 6) & 0x3f},mdtype=${mdType},` +
    `np=${header[3]},spi=0x${(path >>> 8).toString(16)},si=${path & 0xff}`;
  if (mdType === 1) {
    for (let i = 0; i < 4; i++) text += `,c${i + 1}=0x${view.getUint32(8 + 4 * i).toString(16)}`;
  } else if (mdType === 2) text += `,md2=${hexBytes(header.subarray(8))}`;
  else text += ",<error: unknown mdtype>";
  return text;
}

function formatUserspace(action: UserspaceAction, format: ActionsFormat): string {
  const cookie = action.cookie ?? format.cookie?.(action.userdata);
  const inside = cookie ? formatCookie(cookie, format) : `userdata(${userdataHex(action)})`;
  const all = action.withActions ? ",actions" : "";
  const tunnel = action.tunnelOutPort === undefined
    ? ""
    : `,tunnel_out_port=${portText(action.tunnelOutPort, format)}`;
  return `userspace(pid=0,${inside}${all}${tunnel})`;
}

const userdataHex = ({ userdata }: UserspaceAction): string =>
  (userdata >>> 0).toString(16).padStart(8, "0");

function formatCookie(cookie: UserspaceCookie, format: ActionsFormat): string {
  const flag = (value: boolean): number => value ? 1 : 0;
  switch (cookie.kind) {
    case "controller":
      return `controller(reason=${cookie.reason},dont_send=${flag(cookie.dontSend)},` +
        `continuation=${flag(cookie.continuation)},recirc_id=${cookie.recircId},` +
        `rule_cookie=${alternate(cookie.ruleCookie)},controller_id=${cookie.controllerId},` +
        `max_len=${cookie.maxLength})`;
    case "slow_path":
      return `slow_path(${cookie.reasons.length === 0 ? "0" : cookie.reasons.join(",")})`;
    case "sflow":
      return `sFlow(vid=${cookie.vid},pcp=${cookie.pcp},output=${cookie.output})`;
    case "flow_sample": {
      const direction = cookie.direction === "" ? "" : `,${cookie.direction}`;
      return `flow_sample(probability=${cookie.probability},` +
        `collector_set_id=${cookie.collectorSetId},obs_domain_id=${cookie.obsDomainId},` +
        `obs_point_id=${cookie.obsPointId},` +
        `output_port=${portText(cookie.outputPort, format)}${direction})`;
    }
    case "ipfix":
      return `ipfix(output_port=${portText(cookie.outputPort, format)})`;
    case "raw":
      return `userdata(${cookie.bytes.toHex()})`;
    default: {
      const never: never = cookie;
      throw new Error(`userspace cookie ${never}`);
    }
  }
}

function formatCt(action: CtAction): string {
  const { zone, mark, label, helper, nat, timeout } = action;
  const parts: string[] = [];
  if (action.force) parts.push("force_commit");
  else if (action.commit) parts.push("commit");
  if (zone !== 0) parts.push(`zone=${zone}`);
  if (mark) parts.push(`mark=${alternate(mark.value)}/${alternate(mark.mask)}`);
  if (label) {
    const partial = isAll(label.mask, 0xff) ? "" : `/${hexBytes(label.mask)}`;
    parts.push(`label=${hexBytes(label.value)}${partial}`);
  }
  if (helper) parts.push(`helper=${helper}`);
  if (timeout !== undefined) parts.push(`timeout=${timeout}`);
  if (nat) parts.push(formatNat(nat));
  return parts.length === 0 ? "ct" : `ct(${parts.join(",")})`;
}

function formatNat(nat: CtNat): string {
  if (!nat.direction) return "nat";
  let text: string = nat.direction;
  const { addresses, ports } = nat;
  if (addresses) {
    const print = (bytes: Uint8Array): string => {
      if (bytes.length === 4) return formatIpv4(bytes);
      return ports ? `[${formatIpv6(bytes)}]` : formatIpv6(bytes);
    };
    text += `=${print(addresses.min)}`;
    const { max } = addresses;
    if (max && !isAll(max, 0) && max.toHex() !== addresses.min.toHex()) text += `-${print(max)}`;
    if (ports) {
      text += `:${ports.min}`;
      if (ports.max !== undefined && ports.max !== ports.min) text += `-${ports.max}`;
    }
  }
  const parts = [text];
  if (nat.persistent) parts.push("persistent");
  if (nat.hash) parts.push("hash");
  if (nat.random) parts.push("random");
  return `nat(${parts.join(",")})`;
}

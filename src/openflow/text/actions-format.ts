/** Actions as `ovs-ofctl dump-flows` prints them (ovs-actions(7)). */
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";
import { bigToBytes } from "../../packet/address.ts";
import { formatField, formatPort } from "../../packet/text.ts";
import { ENCAP_TYPES } from "../actions/encap.ts";
import { NO_METER } from "../actions/controller.ts";
import { loadSegments, wireBits } from "../actions/subfield.ts";
import type { Action, ActionOf, CtAction, LearnAction, NatAction } from "../actions/types.ts";
import { fullMask } from "../field-bits.ts";
import { PORTS } from "../version.ts";
import { formatTable, type TextNames } from "./names.ts";
import { alternateHex, formatHexBytes, hex } from "./scan.ts";
import { formatSubfield } from "./subfield.ts";
import { DEFAULT_PRIORITY } from "./match.ts";

/** `output:1,mod_vlan_vid:5`; `drop` for no actions at all. */
export function formatActions(actions: readonly Action[], names?: TextNames): string {
  if (actions.length === 0) return "drop";
  return actions.map((action) => formatAction(action, names)).join(",");
}

const ipv4 = (address: number | bigint): string => formatIpv4(bigToBytes(BigInt(address), 4));

/** One action. Exhaustive: a type that is added to the union must get its text here. */
export function formatAction(action: Action, names?: TextNames): string {
  switch (action.type) {
    case "output": {
      const port = formatPort(action.port, names);
      if (action.port === PORTS.CONTROLLER) return `${port}:${action.maxLength}`;
      return action.port < PORTS.MAX ? `output:${port}` : port;
    }
    case "output_reg":
      return `output:${formatSubfield(action.source)}`;
    case "output_trunc":
      return `output(port=${formatPort(action.port, names)},max_len=${action.maxLength})`;
    case "controller":
      return formatController(action);
    case "enqueue":
      return `enqueue:${formatPort(action.port, names)}:${action.queue}`;
    case "group":
      return `group:${action.group}`;
    case "bundle": {
      const members = action.members.map((port) => formatPort(port, names)).join(",");
      const head = `${action.fields},${action.basis},${action.algorithm},ofport,`;
      return action.destination
        ? `bundle_load(${head}${formatSubfield(action.destination)},members:${members})`
        : `bundle(${head}members:${members})`;
    }
    case "set_field":
      return formatSetField(action, names);
    case "move":
      return `move:${formatSubfield(action.source)}->${formatSubfield(action.destination)}`;
    case "stack_push":
      return `push:${formatSubfield(action.subfield)}`;
    case "stack_pop":
      return `pop:${formatSubfield(action.subfield)}`;
    case "set_vlan_vid":
      return `${action.pushIfNone ? "mod" : "set"}_vlan_vid:${action.vid}`;
    case "set_vlan_pcp":
      return `${action.pushIfNone ? "mod" : "set"}_vlan_pcp:${action.pcp}`;
    case "push_vlan":
      return `push_vlan:${hex(action.ethType)}`;
    case "pop_vlan":
      return action.strip ? "strip_vlan" : "pop_vlan";
    case "set_eth_src":
      return `mod_dl_src:${formatMac(action.address)}`;
    case "set_eth_dst":
      return `mod_dl_dst:${formatMac(action.address)}`;
    case "set_ipv4_src":
      return `mod_nw_src:${ipv4(action.address)}`;
    case "set_ipv4_dst":
      return `mod_nw_dst:${ipv4(action.address)}`;
    case "set_ip_dscp":
      return `mod_nw_tos:${action.tos}`;
    case "set_ip_ecn":
      return `mod_nw_ecn:${action.ecn}`;
    case "set_ip_ttl":
      return `mod_nw_ttl:${action.ttl}`;
    case "set_tp_src":
      return `mod_tp_src:${action.port}`;
    case "set_tp_dst":
      return `mod_tp_dst:${action.port}`;
    case "dec_ttl": {
      const plain = !action.explicitIds && action.controllerIds.length === 1 &&
        action.controllerIds[0] === 0;
      return plain ? "dec_ttl" : `dec_ttl(${action.controllerIds.join(",")})`;
    }
    case "set_mpls_label":
      return `set_mpls_label(${action.label})`;
    case "set_mpls_tc":
      return `set_mpls_tc(${action.tc})`;
    case "set_mpls_ttl":
      return `set_mpls_ttl(${action.ttl})`;
    case "push_pbb":
    case "push_mpls":
    case "pop_mpls":
      return `${action.type}:0x${action.ethType.toString(16).padStart(4, "0")}`;
    case "set_tunnel": {
      const wide = action.wide || action.id > 0xffffffffn;
      return `set_tunnel${wide ? "64" : ""}:${alternateHex(action.id)}`;
    }
    case "set_queue":
      return `set_queue:${action.queue}`;
    case "fin_timeout": {
      const parts = [];
      if (action.idle !== 0) parts.push(`idle_timeout=${action.idle}`);
      if (action.hard !== 0) parts.push(`hard_timeout=${action.hard}`);
      return `fin_timeout(${parts.join(",")})`;
    }
    case "resubmit": {
      const port = action.port === PORTS.IN_PORT ? "" : formatPort(action.port, names);
      if (port !== "" && action.table === 0xff) return `resubmit:${port}`;
      const where = action.table === 0xff ? "" : formatTable(action.table, names);
      return `resubmit(${port},${where}${action.ct ? ",ct" : ""})`;
    }
    case "learn":
      return formatLearn(action, names);
    case "conjunction":
      return `conjunction(${action.id},${action.clause + 1}/${action.clauses})`;
    case "multipath": {
      const { fields, basis, algorithm, maxLink, argument } = action;
      const head = `${fields},${basis},${algorithm},${maxLink + 1},${argument}`;
      return `multipath(${head},${formatSubfield(action.destination)})`;
    }
    case "note":
      return `note:${formatHexBytes(action.data)}`;
    case "sample":
      return formatSample(action, names);
    case "clone":
    case "write_actions":
      return `${action.type}(${formatActions(action.actions, names)})`;
    case "ct":
      return formatCt(action, names);
    case "nat":
      return formatNat(action);
    case "check_pkt_larger":
      return `check_pkt_larger(${action.length})->${formatSubfield(action.destination)}`;
    case "delete_field":
      return `delete_field:${action.field.name}`;
    case "encap":
      return formatEncap(action);
    case "decap": {
      const { packetType } = action;
      if (packetType === 0xfffe) return "decap()";
      return `decap(packet_type(ns=${packetType >>> 16},type=${
        alternateHex(packetType & 0xffff)
      }))`;
    }
    case "meter":
      return `meter:${action.meter}`;
    case "write_metadata": {
      const masked = action.mask !== 0xffff_ffff_ffff_ffffn;
      const mask = masked ? `/${alternateHex(action.mask)}` : "";
      return `write_metadata:${alternateHex(action.metadata)}${mask}`;
    }
    case "goto_table":
      return `goto_table:${formatTable(action.table, names)}`;
    case "dec_mpls_ttl":
    case "copy_ttl_in":
    case "copy_ttl_out":
    case "pop_pbb":
    case "debug_recirc":
    case "debug_slow":
    case "pop_queue":
    case "exit":
    case "ct_clear":
    case "dec_nsh_ttl":
    case "clear_actions":
      return action.type;
    default: {
      const never: never = action;
      return never;
    }
  }
}

function formatController(action: ActionOf<"controller">): string {
  const { reason, controllerId, maxLength, userdata, pause, meterId } = action;
  const metered = meterId !== undefined && meterId !== NO_METER;
  const plain = reason === "action" && controllerId === 0 && userdata.length === 0 && !pause;
  if (plain && !metered) return `CONTROLLER:${maxLength}`;
  const parts: string[] = [];
  if (reason !== "action") parts.push(`reason=${reason}`);
  if (maxLength !== 0xffff) parts.push(`max_len=${maxLength}`);
  if (controllerId !== 0) parts.push(`id=${controllerId}`);
  if (userdata.length > 0) parts.push(`userdata=${formatHexBytes(userdata)}`);
  if (pause) parts.push("pause");
  if (metered) parts.push(`meter_id=${meterId}`);
  return `controller(${parts.join(",")})`;
}

function formatSetField(action: ActionOf<"set_field">, names?: TextNames): string {
  const { field, value, mask } = action;
  if (action.form === "load") {
    return loadSegments(field, value, mask)
      .map((part) => `load:${alternateHex(part.value)}->${formatSubfield(part.subfield)}`)
      .join(",");
  }
  const text = mask === fullMask(field)
    ? formatField(field, value, undefined, names)
    : formatField(field, value, mask, names);
  return `set_field:${text}->${field.name}`;
}

function formatSample(action: ActionOf<"sample">, names?: TextNames): string {
  const parts = [
    `probability=${action.probability}`,
    `collector_set_id=${action.collectorSet}`,
    `obs_domain_id=${action.domain}`,
    `obs_point_id=${action.point}`,
  ];
  if (action.samplingPort !== PORTS.NONE) {
    parts.push(`sampling_port=${formatPort(action.samplingPort, names)}`);
  }
  if (action.direction !== "default") parts.push(action.direction);
  return `sample(${parts.join(",")})`;
}

/** Helpers by their port; others are printed as numbers. */
export const CT_HELPERS: ReadonlyMap<number, string> = new Map([[21, "ftp"], [69, "tftp"]]);

function formatCt(action: CtAction, names?: TextNames): string {
  const parts: string[] = [];
  if (action.commit) parts.push("commit");
  if (action.force) parts.push("force");
  if (action.recircTable !== 0xff) parts.push(`table=${formatTable(action.recircTable, names)}`);
  if ("subfield" in action.zone) parts.push(`zone=${formatSubfield(action.zone.subfield)}`);
  else if (action.zone.value !== 0) parts.push(`zone=${action.zone.value}`);
  let rest = action.actions;
  if (rest[0]?.type === "nat") {
    parts.push(formatNat(rest[0]));
    rest = rest.slice(1);
  }
  if (rest.length > 0) parts.push(`exec(${formatActions(rest, names)})`);
  if (action.alg !== 0) parts.push(`alg=${CT_HELPERS.get(action.alg) ?? action.alg}`);
  return `ct(${parts.join(",")})`;
}

function formatNat(action: NatAction): string {
  if (!action.source && !action.destination) return "nat";
  const direction = action.source ? "src" : "dst";
  const { range, ports } = action;
  if (!range) return `nat(${direction})`;
  const address = (value: bigint): string => {
    if (!range.ipv6) return ipv4(value);
    const text = formatIpv6(bigToBytes(value, 16));
    return ports ? `[${text}]` : text;
  };
  let text = `${direction}=${address(range.min)}`;
  if (range.max !== undefined && range.max !== range.min) text += `-${address(range.max)}`;
  if (ports) {
    text += `:${ports.min}`;
    if (ports.max !== undefined && ports.max !== ports.min) text += `-${ports.max}`;
  }
  const parts = [text];
  if (action.persistent) parts.push("persistent");
  if (action.hash) parts.push("hash");
  if (action.random) parts.push("random");
  return `nat(${parts.join(",")})`;
}

const ENCAP_NAMES: ReadonlyMap<number, string> = new Map([
  [ENCAP_TYPES.ETHERNET, "ethernet"],
  [ENCAP_TYPES.MPLS, "mpls"],
  [ENCAP_TYPES.MPLS_MULTICAST, "mpls_mc"],
  [ENCAP_TYPES.NSH, "nsh"],
]);
const NSH_CLASS = 4;
const NSH_MDTYPE = 1;
const NSH_TLV = 2;

function formatEncap(action: ActionOf<"encap">): string {
  const name = ENCAP_NAMES.get(action.packetType) ?? "UNKNOWN";
  const properties = action.properties.map(({ propertyClass, type, data }) => {
    if (propertyClass === NSH_CLASS && type === NSH_MDTYPE) return `md_type=${data[0] ?? 0}`;
    if (propertyClass === NSH_CLASS && type === NSH_TLV && data.length >= 4) {
      const tlvClass = (data[0]! << 8) | data[1]!;
      const value = Array.from(
        data.subarray(4, 4 + data[3]!),
        (byte) => byte.toString(16).padStart(2, "0"),
      ).join("");
      return `tlv(0x${tlvClass.toString(16).padStart(4, "0")},${data[2]},0x${value})`;
    }
    return `${propertyClass}:${type}:${formatHexBytes(data)}`;
  });
  return `encap(${name}${properties.length > 0 ? `(${properties.join(",")})` : ""})`;
}

function formatLearn(action: LearnAction, names?: TextNames): string {
  const parts = [`table=${formatTable(action.table, names)}`];
  if (action.idleTimeout !== 0) parts.push(`idle_timeout=${action.idleTimeout}`);
  if (action.hardTimeout !== 0) parts.push(`hard_timeout=${action.hardTimeout}`);
  if (action.finIdleTimeout !== 0) parts.push(`fin_idle_timeout=${action.finIdleTimeout}`);
  if (action.finHardTimeout !== 0) parts.push(`fin_hard_timeout=${action.finHardTimeout}`);
  if (action.priority !== DEFAULT_PRIORITY) parts.push(`priority=${action.priority}`);
  if (action.sendFlowRemoved) parts.push("send_flow_rem");
  if (action.deleteLearned) parts.push("delete_learned");
  if (action.cookie !== 0n) parts.push(`cookie=${hex(action.cookie)}`);
  if (action.limit !== 0) parts.push(`limit=${action.limit}`);
  if (action.resultDestination) {
    parts.push(`result_dst=${formatSubfield(action.resultDestination)}`);
  }
  for (const spec of action.specs) parts.push(formatLearnSpec(spec, names));
  return `learn(${parts.join(",")})`;
}

function formatLearnSpec(spec: LearnAction["specs"][number], names?: TextNames): string {
  const { source, destination, bits } = spec;
  // As a byte string of the run's width, without leading zeros but for one digit.
  const value = source.type === "value" ? hex(source.value & ((1n << BigInt(bits)) - 1n)) : "";
  if (destination.type === "output") {
    return source.type === "field" ? `output:${formatSubfield(source.subfield)}` : "output";
  }
  const { subfield } = destination;
  const to = formatSubfield(subfield);
  if (destination.type === "load") {
    return `load:${source.type === "value" ? value : formatSubfield(source.subfield)}->${to}`;
  }
  if (source.type === "value") {
    const { field, start } = subfield;
    if (start === 0 && subfield.bits === wireBits(field)) {
      return `${field.name}=${formatField(field, source.value, undefined, names)}`;
    }
    return `${to}=${value}`;
  }
  const same = source.subfield.field === subfield.field &&
    source.subfield.start === subfield.start;
  return same ? to : `${to}=${formatSubfield(source.subfield)}`;
}

/**
 * Actions from ovs-ofctl's syntax (ovs-actions(7)), as `actions=` takes it. Throws `TextError` with
 * messages like Open vSwitch's.
 */
import { parseIpv4, parseMac } from "../../packet/address.ts";
import { bytesToBig } from "../../packet/address.ts";
import { formatField, integer, parseField, parsePort, TextError } from "../../packet/text.ts";
import { REASONS } from "../actions/controller.ts";
import { writeActions } from "../actions/codec.ts";
import { subfieldMask } from "../actions/subfield.ts";
import type { Action, ActionOf, Subfield } from "../actions/types.ts";
import { fullMask } from "../field-bits.ts";
import { valueIsValid } from "../match-set.ts";
import { findMisplaced, type Place } from "../actions/verify.ts";
import { OF11, OF13, PORTS } from "../version.ts";
import { Writer } from "../wire.ts";
import { parseCt, parseNat } from "./ct-parse.ts";
import { parseDecap, parseEncap } from "./encap-parse.ts";
import { parseLearn } from "./learn-parse.ts";
import { keyValues, parseHexBytes, parseU16, parseU32, parseU64, parseU8 } from "./scan.ts";
import { parseTableName, type TextNames } from "./names.ts";
import { findField, parseMove, parseSubfield, takeSubfield } from "./subfield.ts";
import { type ActionScope, needPort } from "./action-scope.ts";
import {
  loose,
  parseBundle,
  parseConjunction,
  parseMultipath,
  parseSample,
} from "./choice-parse.ts";

const MAX_DEPTH = 100;

type Parser = (value: string, scope: ActionScope) => Action | readonly Action[];

/** The actions behind `actions=`; in flows, instructions may stand among them. */
export function parseActions(text: string, names?: TextNames, instructions = true): Action[] {
  return parseList(text, names, 0, { version: OF11, instructions });
}

function parseList(
  text: string,
  names: TextNames | undefined,
  depth: number,
  place: Place,
): Action[] {
  if (depth >= MAX_DEPTH) throw new TextError("Action nested too deeply");
  const scope: ActionScope = {
    names,
    depth,
    nested: (inner, outer) =>
      parseList(inner, names, depth + 1, { version: OF11, outer, instructions: false }),
  };
  const actions: Action[] = [];
  let drop = false;
  for (const { key, value } of keyValues(text)) {
    const lower = key.toLowerCase();
    if (lower === "drop") {
      drop = true;
      continue;
    }
    if (lower === "apply_actions") {
      throw new TextError("apply_actions is the default instruction");
    }
    const parser = PARSERS.get(lower);
    if (parser) {
      const result = parser(value, scope);
      if (Array.isArray(result)) actions.push(...(result as readonly Action[]));
      else actions.push(result as Action);
      continue;
    }
    if (lower === "unroll_xlate") {
      throw new TextError("UNROLL is an internal action that shouldn't be used via OpenFlow");
    }
    const port = parsePort(key, names);
    if (port === undefined) throw new TextError(`unknown action ${key}`);
    actions.push({ type: "output", port, maxLength: 0 });
  }
  if (drop && actions.length > 0) {
    throw new TextError('"drop" must not be accompanied by any other action or instruction');
  }
  const misplaced = findMisplaced(actions, place);
  if (misplaced) throw new TextError(misplaced.text);
  if (actions.length > FEW && !fitsMessage(actions)) throw new TextError("input too big");
  return actions;
}

/** So many actions fit into a message, whatever they are. */
const FEW = 512;

/** Whether one message can say them all. */
function fitsMessage(actions: readonly Action[]): boolean {
  try {
    const writer = new Writer();
    writeActions(writer, OF13, actions);
    return writer.length <= 0xffff;
  } catch {
    // What version can say them is another question.
    return true;
  }
}

const bare = (action: Action): Parser => () => action;

function parseOutput(value: string, scope: ActionScope): Action {
  if (value.includes("port") && value.includes("max_len")) return parseTruncated(value, scope);
  const port = parsePort(value, scope.names);
  if (port !== undefined) {
    return { type: "output", port, maxLength: port === PORTS.CONTROLLER ? 0xffff : 0 };
  }
  let source;
  try {
    source = parseSubfield(value);
  } catch {
    throw new TextError(`${value}: output to unknown port`);
  }
  return { type: "output_reg", source, maxLength: 0xffff };
}

function parseTruncated(text: string, scope: ActionScope): Action {
  let port = 0;
  let maxLength = 0;
  for (const { key, value } of keyValues(text)) {
    if (key === "port") {
      port = needPort(value, scope, `output to unknown truncate port: ${value}`);
      if (port > PORTS.MAX && port !== PORTS.LOCAL && port !== PORTS.IN_PORT) {
        throw new TextError(`output to unsupported truncate port: ${value}`);
      }
    } else if (key === "max_len") {
      maxLength = parseU32(value);
      if (maxLength < 14) {
        throw new TextError(`max_len ${maxLength} is less than the minimum value 14`);
      }
    } else throw new TextError(`invalid key '${key}' in output_trunc argument`);
  }
  return { type: "output_trunc", port, maxLength };
}

function parseController(text: string): Action {
  let maxLength = 0xffff;
  let controllerId = 0;
  let reason: ActionOf<"controller">["reason"] = "action";
  let userdata: Uint8Array | undefined;
  let pause = false;
  let meterId: number | undefined;
  if (/^\d+$/.test(text)) maxLength = parseU16(text, "max_len");
  else {
    for (const { key, value } of keyValues(text)) {
      switch (key) {
        case "reason": {
          const found = REASONS.find((name) => name === value);
          if (!found) throw new TextError(`unknown reason "${value}"`);
          reason = found;
          break;
        }
        case "max_len":
          maxLength = parseU16(value, "max_len");
          break;
        case "id":
          controllerId = parseU16(value, "id");
          break;
        case "userdata":
          userdata = parseHexBytes(value);
          if (!userdata) throw new TextError("bad hex digit in `controller' action `userdata'");
          break;
        case "pause":
          pause = true;
          break;
        case "meter_id":
          meterId = parseU32(value);
          break;
        default:
          throw new TextError(`unknown key "${key}" parsing controller action`);
      }
    }
  }
  const plain = reason === "action" && controllerId === 0 && !userdata && !pause;
  if (plain && meterId === undefined) return { type: "output", port: PORTS.CONTROLLER, maxLength };
  return {
    type: "controller",
    maxLength,
    controllerId,
    reason,
    userdata: userdata ?? new Uint8Array(0),
    pause,
    ...(meterId === undefined ? {} : { meterId }),
  };
}

function parseEnqueue(text: string, scope: ActionScope): Action {
  const parts = /^[:q,]*([^:q,]+)[:q,](.+)$/.exec(text);
  if (!parts) {
    throw new TextError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"');
  }
  const port = needPort(parts[1]!, scope, `${parts[1]}: enqueue to unknown port`);
  return { type: "enqueue", port, queue: parseU32(parts[2]!) };
}

/** Splits `VALUE->NAME`. */
export function splitArrow(text: string): { value: string; name: string } {
  const at = text.indexOf("->");
  if (at < 0) throw new TextError(`${text}: missing \`->'`);
  const name = text.slice(at + 2);
  if (name === "") throw new TextError(`${text}: missing field name following \`->'`);
  return { value: text.slice(0, at), name };
}

function parseSetField(text: string, scope: ActionScope): Action {
  const { value: valueText, name } = splitArrow(text);
  const field = findField(name);
  if (!field) throw new TextError(`${name} is not a valid OXM field name`);
  if (!field.writable) throw new TextError(`${name} is read-only`);
  const parsed = parseField(field, valueText, scope.names);
  let { value } = parsed;
  if (field.name === "in_port_oxm" && value >= 0xffffff00n) value &= 0xffffn;
  if (!valueIsValid(field, value)) {
    throw new TextError(`${valueText} is not a valid value for field ${name}`);
  }
  const mask = parsed.mask & fullMask(field);
  return { type: "set_field", field, value: value & mask, mask, form: "set_field" };
}

function parseLoad(text: string): Action {
  const { value: valueText, name } = splitArrow(text);
  const subfield = parseSubfield(name);
  const value = integer(valueText);
  if (value === undefined) throw new TextError(`${text}: cannot parse integer value`);
  if (value >> BigInt(subfield.bits) !== 0n) {
    throw new TextError(
      `${text}: value ${formatField(subfield.field, value)} does not fit into ` +
        `${subfield.bits} bits`,
    );
  }
  return {
    type: "set_field",
    field: subfield.field,
    value: value << BigInt(subfield.start),
    mask: subfieldMask(subfield),
    form: "load",
  };
}

function parseMacArgument(text: string): Uint8Array {
  const address = parseMac(text);
  if (!address) throw new TextError(`invalid mac address ${text}`);
  return address;
}

function parseIpArgument(text: string): number {
  const address = parseIpv4(text);
  if (!address) throw new TextError(`${text}: could not convert to IP address`);
  return Number(bytesToBig(address));
}

function vlanVid(text: string, pushIfNone: boolean): Action {
  const vid = parseU16(text, "VLAN VID");
  if (vid > 4095) throw new TextError(`${text}: not a valid VLAN VID`);
  return { type: "set_vlan_vid", vid, pushIfNone };
}

function vlanPcp(text: string, pushIfNone: boolean): Action {
  const pcp = parseU8(text, "VLAN PCP");
  if (pcp > 7) throw new TextError(`${text}: not a valid VLAN PCP`);
  return { type: "set_vlan_pcp", pcp, pushIfNone };
}

function within(value: number, limit: number, text: string, what: string): number {
  if (value > limit) throw new TextError(`${text}: not a valid ${what}`);
  return value;
}

function parseResubmit(text: string, scope: ActionScope): Action {
  const [portText = "", tableText = "", ctText = ""] = text.split(",");
  const port = portText === ""
    ? PORTS.IN_PORT
    : needPort(portText, scope, `${portText}: resubmit to unknown port`);
  let table = 0xff;
  if (tableText !== "") {
    const found = parseTableName(tableText, scope.names);
    if (found === undefined) throw new TextError(`${tableText}: resubmit to unknown table`);
    table = found;
  }
  if (ctText !== "" && ctText !== "ct") throw new TextError(`${ctText}: unknown parameter`);
  if (port === PORTS.IN_PORT && table === 0xff) {
    throw new TextError('at least one "in_port" or "table" must be specified on resubmit');
  }
  return { type: "resubmit", port, table, ct: ctText === "ct" };
}

function parseFinTimeout(text: string): Action {
  let idle = 0;
  let hard = 0;
  for (const { key, value } of keyValues(text)) {
    if (key === "idle_timeout") idle = parseU16(value, key);
    else if (key === "hard_timeout") hard = parseU16(value, key);
    else throw new TextError(`invalid key '${key}' in 'fin_timeout' argument`);
  }
  return { type: "fin_timeout", idle, hard };
}

function parseDecTtl(text: string): Action {
  if (text === "") return { type: "dec_ttl", controllerIds: [0] };
  const controllerIds = text.split(/[, ]+/).filter((id) => id !== "").map((id) =>
    loose(id) & 0xffff
  );
  if (controllerIds.length === 0) {
    throw new TextError("dec_ttl_cnt_ids: expected at least one controller id.");
  }
  return { type: "dec_ttl", controllerIds, explicitIds: true };
}

function parseWriteMetadata(text: string): Action {
  const slash = text.indexOf("/");
  const mask = slash < 0 ? 0xffff_ffff_ffff_ffffn : parseU64(text.slice(slash + 1));
  return {
    type: "write_metadata",
    metadata: parseU64(slash < 0 ? text : text.slice(0, slash)),
    mask,
  };
}

function parseCheckLarger(text: string): Action {
  const { value, name } = splitArrow(text);
  const destination = parseSubfield(name);
  if (destination.bits !== 1) throw new TextError("Only 1-bit destination field is allowed");
  const length = parseU16(value.endsWith(")") ? value.slice(0, -1) : value, "(null)");
  return { type: "check_pkt_larger", length, destination };
}

function parseNote(text: string): Action {
  const given = parseHexBytes(text);
  if (!given) throw new TextError("bad hex digit in `note' argument");
  // The wire form ends on eight bytes, ten of which are the header: zeros fill it.
  const data = new Uint8Array(Math.max(6, 6 + 8 * Math.ceil((given.length - 6) / 8)));
  data.set(given);
  return { type: "note", data };
}

function stackSubfield(text: string): Subfield {
  const { subfield, rest } = takeSubfield(text);
  if (rest !== "") throw new TextError(`${rest}: trailing garbage following push or pop`);
  return subfield;
}

function goto(text: string, scope: ActionScope): Action {
  const table = parseTableName(text, scope.names);
  if (table === undefined) throw new TextError(`unknown table "${text}"`);
  return { type: "goto_table", table };
}

function mplsLabel(text: string): Action {
  if (text === "") throw new TextError("set_mpls_label: expected label.");
  const label = within(parseU32(text), 0xfffff, text, "MPLS label");
  return { type: "set_mpls_label", label };
}

function mplsTtl(text: string): Action {
  if (text === "") throw new TextError("set_mpls_ttl: expected ttl.");
  return { type: "set_mpls_ttl", ttl: parseU8(text, "MPLS TTL") };
}

function mplsTc(text: string): Action {
  if (text === "") throw new TextError("set_mpls_tc: expected tc.");
  return { type: "set_mpls_tc", tc: within(parseU8(text, "MPLS TC"), 7, text, "MPLS TC") };
}

function pushVlan(text: string): Action {
  const ethType = parseU16(text, "ethertype");
  if (ethType !== 0x8100 && ethType !== 0x88a8) {
    throw new TextError(`${text}: not a valid VLAN ethertype`);
  }
  return { type: "push_vlan", ethType };
}

const PARSERS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["output", parseOutput],
  ["output_reg", parseOutput],
  ["group", (v) => ({ type: "group", group: parseU32(v) })],
  ["controller", parseController],
  ["enqueue", parseEnqueue],
  ["bundle", (v, scope) => parseBundle(v, scope, false)],
  ["bundle_load", (v, scope) => parseBundle(v, scope, true)],
  ["set_field", parseSetField],
  ["load", parseLoad],
  ["move", parseMove],
  ["push", (v) => ({ type: "stack_push", subfield: stackSubfield(v) })],
  ["pop", (v) => ({ type: "stack_pop", subfield: stackSubfield(v) })],
  ["set_vlan_vid", (v) => vlanVid(v, false)],
  ["mod_vlan_vid", (v) => vlanVid(v, true)],
  ["set_vlan_pcp", (v) => vlanPcp(v, false)],
  ["mod_vlan_pcp", (v) => vlanPcp(v, true)],
  ["strip_vlan", bare({ type: "pop_vlan", strip: true })],
  ["pop_vlan", bare({ type: "pop_vlan" })],
  ["push_vlan", pushVlan],
  ["mod_dl_src", (v) => ({ type: "set_eth_src", address: parseMacArgument(v) })],
  ["mod_dl_dst", (v) => ({ type: "set_eth_dst", address: parseMacArgument(v) })],
  ["mod_nw_src", (v) => ({ type: "set_ipv4_src", address: parseIpArgument(v) })],
  ["mod_nw_dst", (v) => ({ type: "set_ipv4_dst", address: parseIpArgument(v) })],
  ["mod_nw_tos", (v) => {
    const tos = parseU8(v, "TOS");
    if (tos & 3) throw new TextError(`${v}: not a valid TOS`);
    return { type: "set_ip_dscp", tos };
  }],
  ["mod_nw_ecn", (v) => ({ type: "set_ip_ecn", ecn: within(parseU8(v, "ECN"), 3, v, "ECN") })],
  ["mod_nw_ttl", (v) => ({ type: "set_ip_ttl", ttl: parseU8(v, "TTL") })],
  ["set_nw_ttl", (v) => ({ type: "set_ip_ttl", ttl: parseU8(v, "TTL") })],
  ["mod_tp_src", (v) => ({ type: "set_tp_src", port: parseU16(v, "source port") })],
  ["mod_tp_dst", (v) => ({ type: "set_tp_dst", port: parseU16(v, "destination port") })],
  ["dec_ttl", parseDecTtl],
  ["set_mpls_label", mplsLabel],
  ["set_mpls_tc", mplsTc],
  ["set_mpls_ttl", mplsTtl],
  ["dec_mpls_ttl", bare({ type: "dec_mpls_ttl" })],
  ["push_mpls", (v) => ({ type: "push_mpls", ethType: parseU16(v, "push_mpls") })],
  ["pop_mpls", (v) => ({ type: "pop_mpls", ethType: parseU16(v, "pop_mpls") })],
  ["set_tunnel", (v) => {
    const id = parseU64(v);
    return { type: "set_tunnel", id, wide: id > 0xffffffffn };
  }],
  ["set_tunnel64", (v) => ({ type: "set_tunnel", id: parseU64(v), wide: true })],
  ["set_queue", (v) => ({ type: "set_queue", queue: parseU32(v) })],
  ["pop_queue", bare({ type: "pop_queue" })],
  ["debug_recirc", bare({ type: "debug_recirc" })],
  ["debug_slow", bare({ type: "debug_slow" })],
  ["fin_timeout", parseFinTimeout],
  ["resubmit", parseResubmit],
  ["learn", (v, scope) => parseLearn(v, scope.names)],
  ["conjunction", parseConjunction],
  ["multipath", parseMultipath],
  ["note", parseNote],
  ["exit", bare({ type: "exit" })],
  ["sample", parseSample],
  ["clone", (v, scope) => ({ type: "clone", actions: scope.nested(v, "clone") })],
  ["ct", (v, scope) => parseCt(v, scope)],
  ["nat", (v) => parseNat(v)],
  ["ct_clear", bare({ type: "ct_clear" })],
  ["check_pkt_larger", parseCheckLarger],
  ["delete_field", (v) => {
    const field = findField(v);
    if (!field) throw new TextError(`${v}: unknown field \`${v}'`);
    return { type: "delete_field", field };
  }],
  ["encap", parseEncap],
  ["decap", parseDecap],
  ["dec_nsh_ttl", bare({ type: "dec_nsh_ttl" })],
  ["meter", (v) => ({ type: "meter", meter: parseU32(v) })],
  ["clear_actions", bare({ type: "clear_actions" })],
  [
    "write_actions",
    (v, scope) => ({ type: "write_actions", actions: scope.nested(v, "write_actions") }),
  ],
  ["write_metadata", parseWriteMetadata],
  ["goto_table", goto],
]);

/** Words with which an action may begin; a port's number or name outputs to it. */
export const ACTION_WORDS: readonly string[] = ["drop", ...PARSERS.keys()];

/**
 * Other texts that ovs-ofctl(8) takes: packets to send, flows to watch, settings of tables, tunnel
 * options, connections to forget. Messages of errors are like Open vSwitch's.
 */
import { bytesToBig, parseIpv4, parseIpv6 } from "../../packet/address.ts";
import { anyMatch } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import { fieldByName } from "../../packet/layout.ts";
import { parsePort, TextError } from "../../packet/text.ts";
import { setMatchExact } from "../match-set.ts";
import type {
  CtFlush,
  CtTuple,
  FlowMonitorRequest,
  PacketOut,
  TableMod,
  TlvMapping,
} from "../messages/types.ts";
import { FLOW_MONITOR_FLAGS } from "../messages/types.ts";
import { GROUP_ANY, PORTS } from "../version.ts";
import { parseActions } from "./actions-parse.ts";
import { splitActions } from "./flow.ts";
import { parseMatchPart, type SaidMatch } from "./match-parse.ts";
import { parseTableName, type TextNames } from "./names.ts";
import { PROTOCOLS, type Protocols, protocolsOfActions } from "./protocols.ts";
import { keyValues, parseHexBytes, parseU16, parseU8 } from "./scan.ts";

export const SHORTEST_FRAME = 14;

/** A frame in hex, as the command line has it. Throws `TextError`. */
export function parseFrame(text: string): Uint8Array {
  const bytes = parseHexBytes(text);
  if (!bytes) throw new TextError("Trailing garbage in packet data");
  if (bytes.length < SHORTEST_FRAME) throw new TextError("Packet data too short for Ethernet");
  return bytes;
}

/** Fields of pipelines: those that no packet's bytes say. */
const PIPELINE =
  /^(in_port|in_port_oxm|tun_.*|metadata|x*reg\d+|pkt_mark|skb_priority|ct_.*|dp_hash|recirc_id|packet_type|conj_id|actset_output|gtpu_.*)$/;

/** `in_port=PORT packet=HEX actions=…`. Throws `TextError`. */
export function parsePacketOut(
  text: string,
  names?: TextNames,
): { message: PacketOut; protocols: Protocols } {
  const { head, actions: actionText } = splitActions(text);
  const said: SaidMatch = { match: anyMatch(), protocols: PROTOCOLS.ANY };
  let inPort: number = PORTS.CONTROLLER;
  let packet: Uint8Array | undefined;
  for (const { key, value } of keyValues(head)) {
    if (value === "") throw new TextError(`field ${key} missing value`);
    if (key === "in_port") {
      const port = parsePort(value, names);
      if (port === undefined) throw new TextError(`${value} is not a valid OpenFlow port`);
      const special = port === PORTS.LOCAL || port === PORTS.NONE || port === PORTS.CONTROLLER;
      if (port > PORTS.MAX && !special) {
        throw new TextError(`${value} is not a valid OpenFlow port for PACKET_OUT`);
      }
      inPort = port;
    } else if (key === "packet_type") {
      const parts = /^\(?\s*([^,]*),\s*([^)]*)\)?$/.exec(value);
      if (!parts) throw new TextError(`${key}(${value}) can't be interpreted`);
      const type = ((Number(parts[1]) & 0xffff) << 16) | (Number(parts[2]) & 0xffff);
      setMatchExact(said.match, FIELDS.packet_type, type >>> 0);
    } else if (key === "packet") {
      try {
        packet = parseFrame(value);
      } catch (error) {
        throw new TextError(`${key}: ${(error as Error).message}`);
      }
    } else {
      if (!fieldByName(key)) throw new TextError(`unknown keyword ${key}`);
      parseMatchPart(said, key, value, names);
      if (!PIPELINE.test(key)) {
        throw new TextError(`${key} is not a valid pipeline field for PACKET_OUT`);
      }
    }
  }
  if (!packet) throw new TextError("must specify packet");
  setMatchExact(said.match, FIELDS.in_port_oxm, inPort);
  const actions = actionText === undefined ? [] : parseActions(actionText, names, false);
  const protocols = said.protocols & protocolsOfActions(actions, false);
  return {
    message: { type: "packet_out", inPort, metadata: said.match, actions, packet },
    protocols,
  };
}

const WITHOUT: ReadonlyMap<string, number> = new Map([
  ["!initial", FLOW_MONITOR_FLAGS.INITIAL],
  ["!add", FLOW_MONITOR_FLAGS.ADD],
  ["!delete", FLOW_MONITOR_FLAGS.DELETE],
  ["!modify", FLOW_MONITOR_FLAGS.MODIFY],
  ["!actions", FLOW_MONITOR_FLAGS.ACTIONS],
  ["!abbrev", FLOW_MONITOR_FLAGS.OWN],
  ["!own", FLOW_MONITOR_FLAGS.ONLY_OWN],
]);

/** What follows `watch:` of `monitor`. Throws `TextError`. */
export function parseMonitor(
  text: string,
  id: number,
  names?: TextNames,
): { monitor: FlowMonitorRequest["monitors"][number]; protocols: Protocols } {
  const { INITIAL, ADD, DELETE, MODIFY, ACTIONS, ONLY_OWN } = FLOW_MONITOR_FLAGS;
  const said: SaidMatch = { match: anyMatch(), protocols: PROTOCOLS.ANY };
  let flags = INITIAL | ADD | DELETE | MODIFY | ACTIONS | ONLY_OWN;
  let outPort: number = PORTS.NONE;
  let outGroup = GROUP_ANY;
  let table = 0xff;
  for (const { key, value } of keyValues(text)) {
    const without = WITHOUT.get(key);
    if (without !== undefined) flags &= ~without;
    else if (parseMatchPart(said, key, value, names)) {
      if ((said.protocols & PROTOCOLS.OF10) === 0) {
        throw new TextError(`${key}: match field is not supported for flow monitor`);
      }
    } else if (value === "") throw new TextError(`${text}: field ${key} missing value`);
    else if (key === "table") {
      const found = parseTableName(value, names);
      if (found === undefined) throw new TextError(`unknown table "${value}"`);
      table = found;
    } else if (key === "out_port") outPort = (parseInt(value, 10) || 0) & 0xffff;
    else if (key === "out_group") outGroup = (parseInt(value, 10) || 0) >>> 0;
    else throw new TextError(`${text}: unknown keyword ${key}`);
  }
  const monitor = {
    id,
    command: "add" as const,
    flags,
    outPort,
    outGroup,
    table,
    match: said.match,
  };
  return { monitor, protocols: said.protocols };
}

export interface ParsedTableMod {
  readonly message: TableMod;
  /** The setting was a name, which table features say. */
  readonly name?: string;
  /** Versions that can say it: bit N = wire version N. */
  readonly versions: number;
}

const OF11_12 = (1 << 2) | (1 << 3);
const OF14_15 = (1 << 5) | (1 << 6);
const OF13_15 = (1 << 4) | OF14_15;
const ALL_TABLES = 0xff;
const LAST_TABLE = 0xfe;

/** `mod-table`'s arguments. Throws `TextError`. */
export function parseTableMod(
  tableText: string,
  setting: string,
  names?: TextNames,
): ParsedTableMod {
  const all = tableText.toLowerCase() === "all";
  const table = all ? ALL_TABLES : parseTableName(tableText, names);
  if (table === undefined) throw new TextError(`unknown table "${tableText}"`);
  const base = { type: "table_mod" as const, table, miss: "default" as const };
  switch (setting) {
    case "controller":
    case "drop":
      return { message: { ...base, miss: setting }, versions: OF11_12 };
    case "continue":
      if (table === LAST_TABLE) {
        throw new TextError("last table's flow miss handling can not be continue");
      }
      return { message: { ...base, miss: setting }, versions: OF11_12 };
    case "evict":
    case "noevict":
      return { message: { ...base, eviction: setting === "evict" }, versions: OF14_15 };
    case "novacancy":
      return { message: { ...base, vacancyEvents: false }, versions: OF14_15 };
    default:
  }
  const word = setting.split(":")[0]!;
  if (word !== "" && "vacancy".startsWith(word)) {
    const { down, up } = parseVacancy(setting);
    const message = { ...base, vacancyEvents: true, vacancyDown: down, vacancyUp: up };
    return { message, versions: OF14_15 };
  }
  if (table !== ALL_TABLES && setting.startsWith("name:")) {
    return { message: base, name: setting.slice(5), versions: OF13_15 };
  }
  throw new TextError(`invalid table_mod setting ${setting}`);
}

function parseVacancy(setting: string): { down: number; up: number } {
  const values = setting.slice(setting.indexOf(":") + 1);
  const [downText, upText] = setting.includes(":") ? values.split(",").filter((v) => v) : [];
  const percent = (text: string | undefined, which: string): number => {
    if (text === undefined) throw new TextError(`Vacancy ${which} value missing`);
    const value = /^\s*[+-]?\d+$/.test(text) ? Number(text) : -1;
    if (value < 0 || value > 100) {
      throw new TextError(`Invalid vacancy ${which} value "${text}"`);
    }
    return value;
  };
  const down = percent(downText, "down");
  const up = percent(upText, "up");
  if (down > up) {
    throw new TextError(
      "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)",
    );
  }
  return { down, up };
}

/** `{class=C,type=T,len=L}->tun_metadataN,…`. Throws `TextError`. */
export function parseTlvMappings(text: string): TlvMapping[] {
  const mappings: TlvMapping[] = [];
  const one = /^,?\{class=(\w+),type=(\w+),len=(\w+)\}->tun_metadata(\d+)/;
  for (let rest = text; rest !== "";) {
    const parts = one.exec(rest);
    const [optionClass, optionType, optionLength, index] = (parts ?? []).slice(1).map(Number);
    if (!parts || Number.isNaN(optionClass! + optionType! + optionLength! + index!)) {
      throw new TextError("invalid tlv mapping");
    }
    mappings.push({
      optionClass: optionClass! & 0xffff,
      optionType: optionType! & 0xff,
      optionLength: optionLength! & 0xff,
      index: index! & 0xffff,
    });
    rest = rest.slice(parts[0].length);
  }
  return mappings;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const IPV4_MAPPED = 0xffffn << 32n;
const ICMP = 1;
const ICMPV6 = 58;

/** What `ct-flush` is told of one connection or two directions of it. Throws `TextError`. */
export function parseCtFlush(texts: readonly string[], zone: number | undefined): CtFlush {
  const state = { protocol: 0, family: "" };
  const [original, reply] = [0, 1].map((i) => parseTuple(texts[i] ?? "", state));
  return {
    type: "ct_flush",
    protocol: state.protocol,
    ...(zone === undefined ? {} : { zone }),
    original: original!,
    reply: reply!,
  };
}

function parseTuple(text: string, state: { protocol: number; family: string }): CtTuple {
  const tuple: Mutable<CtTuple> = {};
  const fail = (why: string): never => {
    throw new TextError(`Failed to parse ct-tuple: ${why}`);
  };
  for (const { key, value } of keyValues(text)) {
    const wrong = (): never => fail(`failed to parse field ${key}`);
    if (value === "") fail(`field ${key} missing value`);
    const attempt = (parse: () => number): number => {
      try {
        return parse();
      } catch (error) {
        if (error instanceof TextError) return wrong();
        throw error;
      }
    };
    const address = /^ct_(nw|ipv6)_(src|dst)$/.exec(key);
    if (address) {
      const [, family, end] = address;
      if (state.family !== "" && state.family !== family) {
        fail(`the L3 protocol does not match ${value}`);
      }
      const where = end === "src" ? "source" : "destination";
      if (tuple[where] !== undefined) fail(`${key} is set multiple times`);
      const bytes = (family === "nw" ? parseIpv4 : parseIpv6)(value) ?? wrong();
      state.family = family!;
      tuple[where] = bytesToBig(bytes) | (family === "nw" ? IPV4_MAPPED : 0n);
      continue;
    }
    switch (key) {
      case "ct_nw_proto":
        state.protocol = attempt(() => parseU8(value, key));
        break;
      case "ct_tp_src":
        tuple.sourcePort = attempt(() => parseU16(value, key));
        break;
      case "ct_tp_dst":
        tuple.destinationPort = attempt(() => parseU16(value, key));
        break;
      case "icmp_type":
      case "icmp_code":
      case "icmp_id":
        if (state.protocol !== ICMP && state.protocol !== ICMPV6) fail("invalid L4 fields");
        if (key === "icmp_type") tuple.icmpType = attempt(() => parseU8(value, key));
        else if (key === "icmp_code") tuple.icmpCode = attempt(() => parseU8(value, key));
        else tuple.icmpId = attempt(() => parseU16(value, key));
        break;
      default:
        fail(`invalid conntrack tuple field: ${key}`);
    }
  }
  if (state.protocol === 0 && (tuple.sourcePort || tuple.destinationPort)) {
    fail("port is set without protocol");
  }
  return tuple;
}

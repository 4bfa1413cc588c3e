/** `ct(…)` and `nat(…)` from ovs-ofctl's syntax. */
import { bytesToBig, parseIpv4, parseIpv6 } from "../../packet/address.ts";
import { TextError } from "../../packet/text.ts";
import type { Action, CtAction, NatAction } from "../actions/types.ts";
import { CT_HELPERS } from "./actions-format.ts";
import type { ActionScope } from "./action-scope.ts";
import { parseTableName } from "./names.ts";
import { keyValues, parseU16 } from "./scan.ts";
import { parseSubfield } from "./subfield.ts";

export function parseCt(text: string, scope: ActionScope): CtAction {
  let commit = false;
  let force = false;
  let zone: CtAction["zone"] = { value: 0 };
  let recircTable = 0xff;
  let alg = 0;
  const actions: Action[] = [];
  for (const { key, value } of keyValues(text)) {
    switch (key) {
      case "commit":
        commit = true;
        break;
      case "force":
        force = true;
        break;
      case "table": {
        const table = parseTableName(value, scope.names);
        if (table === undefined) throw new TextError(`unknown table ${value}`);
        if (table === 0xff) throw new TextError("invalid table 0xff");
        recircTable = table;
        break;
      }
      case "zone":
        zone = parseZone(value);
        break;
      case "alg": {
        const port = [...CT_HELPERS].find(([, name]) => name === value)?.[0];
        if (port === undefined) throw new TextError(`invalid conntrack helper "${value}"`);
        alg = port;
        break;
      }
      case "nat":
        actions.push(parseNat(value));
        break;
      case "exec":
        actions.push(...scope.nested(value, "ct"));
        break;
      default:
        throw new TextError(`invalid argument to "ct" action: \`${key}'`);
    }
  }
  if (force && !commit) throw new TextError('"force" flag requires "commit" flag.');
  return { type: "ct", commit, force, zone, recircTable, alg, actions };
}

function parseZone(text: string): CtAction["zone"] {
  try {
    return { value: parseU16(text, "zone") };
  } catch {
    return { subfield: parseSubfield(text) };
  }
}

export function parseNat(text: string): NatAction {
  let source = false;
  let destination = false;
  let persistent = false;
  let hash = false;
  let random = false;
  let range: Pick<NatAction, "range" | "ports"> = {};
  for (const { key, value } of keyValues(text)) {
    switch (key) {
      case "src":
        source = true;
        range = parseRange(value);
        break;
      case "dst":
        destination = true;
        range = parseRange(value);
        break;
      case "persistent":
        persistent = true;
        break;
      case "hash":
        hash = true;
        break;
      case "random":
        random = true;
        break;
      default:
        throw new TextError(`invalid key "${key}" in "nat" argument`);
    }
  }
  if (source && destination) throw new TextError('May only specify one of "src" or "dst".');
  if (!source && !destination && (persistent || hash || random)) {
    throw new TextError('Flags allowed only with "src" or "dst".');
  }
  if (hash && random) throw new TextError('Both "hash" and "random" are not allowed.');
  return { type: "nat", source, destination, persistent, hash, random, ...range };
}

/** `ADDRESS[-ADDRESS][:PORT[-PORT]]`; IPv6 addresses in brackets when ports follow. */
function parseRange(text: string): Pick<NatAction, "range" | "ports"> {
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(text.slice(at));
    if (found) at += found[0].length;
    return found?.[1];
  };
  const bad = (): never => {
    throw new TextError(`invalid nat range "${text}"`);
  };
  const ipv4 = (): bigint | undefined => {
    const word = take(/^(\d+\.\d+\.\d+\.\d+)/);
    const bytes = word === undefined ? undefined : parseIpv4(word);
    return bytes && bytesToBig(bytes);
  };
  const ipv6 = (): bigint | undefined => {
    const word = take(/^([0-9a-f:.]+)/i) ?? take(/^\[([0-9a-f:.]+)\]/i);
    const bytes = word === undefined ? undefined : parseIpv6(word);
    return bytes && bytesToBig(bytes);
  };
  const from = ipv4();
  const next = from === undefined ? ipv6 : ipv4;
  const min = from ?? next();
  let range: NatAction["range"];
  if (min !== undefined) {
    const max = text[at] === "-" ? (at++, next() ?? bad()) : undefined;
    if (max !== undefined && max < min) bad();
    range = { ipv6: from === undefined, min, ...(max === undefined ? {} : { max }) };
  }
  const ports = range && text[at] === ":" ? (at++, parsePorts(take) ?? bad()) : undefined;
  if (at < text.length) {
    throw new TextError(`garbage (${text.slice(at)}) after nat range "${text}" (pos: ${at})`);
  }
  return { ...(range ? { range } : {}), ...(ports ? { ports } : {}) };
}

/** `PORT[-PORT]`; undefined if that is not what stands there. */
function parsePorts(take: (pattern: RegExp) => string | undefined): NatAction["ports"] {
  const number = (pattern: RegExp): number | undefined => {
    const word = take(pattern);
    return word === undefined || Number(word) > 0xffff ? undefined : Number(word);
  };
  const min = number(/^(\d+)/);
  if (min === undefined) return undefined;
  if (take(/^(-)/) === undefined) return { min };
  const max = number(/^(\d+)/);
  return max === undefined || max < min ? undefined : { min, max };
}

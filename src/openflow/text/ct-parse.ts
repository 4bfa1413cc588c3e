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
        actions.push(...scope.nested(value));
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
  if (text === "") return {};
  const bad = (): never => {
    throw new TextError(`invalid nat range "${text}"`);
  };
  const v4 = /^([\d.]+)(?:-([\d.]+))?(?::(\d+)(?:-(\d+))?)?$/.exec(text);
  const v6 = /^\[([0-9a-f:.]+)\](?:-\[([0-9a-f:.]+)\])?(?::(\d+)(?:-(\d+))?)?$/i.exec(text) ??
    /^([0-9a-f:.]+)(?:-([0-9a-f:.]+))?$/i.exec(text);
  const parts = v4 ?? v6;
  if (!parts) {
    throw new TextError(`garbage (${text}) after nat range "${text}" (pos: 0)`);
  }
  const address = (word: string): bigint => {
    const bytes = v4 ? parseIpv4(word) : parseIpv6(word);
    return bytes ? bytesToBig(bytes) : bad();
  };
  const min = address(parts[1]!);
  const max = parts[2] === undefined ? undefined : address(parts[2]);
  if (max !== undefined && max < min) bad();
  const range = { ipv6: !v4, min, ...(max === undefined ? {} : { max }) };
  if (parts[3] === undefined) return { range };
  const low = Number(parts[3]);
  const high = parts[4] === undefined ? undefined : Number(parts[4]);
  if (low > 0xffff || (high !== undefined && (high > 0xffff || high < low))) bad();
  return { range, ports: { min: low, ...(high === undefined ? {} : { max: high }) } };
}

/** `conjunction`, `multipath`, `bundle` and `sample` from ovs-ofctl's syntax. */
import { integer, TextError } from "../../packet/text.ts";
import { hasShortHeader } from "../actions/subfield.ts";
import type { Action, ActionOf, HashFields } from "../actions/types.ts";
import { PORTS } from "../version.ts";
import { keyValues, parseU16, parseU32 } from "./scan.ts";
import { parseSubfield } from "./subfield.ts";
import { type ActionScope, needPort } from "./action-scope.ts";

export function parseConjunction(text: string): Action {
  const parts = /^\s*(-?\w+)\s*,\s*(\d+)\s*\/\s*(\d+)\s*$/.exec(text);
  const id = parts ? integer(parts[1]!) : undefined;
  if (!parts || id === undefined || id > 0xffffffffn) {
    throw new TextError('"conjunction" syntax is "conjunction(id,i/n)"');
  }
  const clause = Number(parts[2]);
  const clauses = Number(parts[3]);
  if (clauses < 2) throw new TextError("conjunction must have at least 2 clauses");
  if (clauses > 64) throw new TextError("conjunction must have at most 64 clauses");
  if (clause < 1) throw new TextError("clause index must be positive");
  if (clause > clauses) {
    throw new TextError("clause index must be less than or equal to number of clauses");
  }
  return { type: "conjunction", id: Number(id), clause: clause - 1, clauses };
}

const HASH_FIELDS: readonly HashFields[] = [
  "eth_src",
  "symmetric_l4",
  "symmetric_l3l4",
  "symmetric_l3l4+udp",
  "nw_src",
  "nw_dst",
  "symmetric_l3",
];

function oneOf<T extends string>(list: readonly T[], text: string, whole: string, what: string): T {
  const found = list.find((name) => name === text.toLowerCase());
  if (found === undefined) throw new TextError(`${whole}: unknown ${what} \`${text}'`);
  return found;
}

/** What C's atoi makes of it. */
export const loose = (text: string): number => parseInt(text, 10) || 0;

export function parseMultipath(text: string): Action {
  const parts = text.split(/[, ]+/).filter((part) => part !== "");
  const [fields, basis, algorithm, links, argument, destination] = parts;
  if (destination === undefined) {
    throw new TextError(`${text}: not enough arguments to multipath action`);
  }
  const chosen = oneOf(HASH_FIELDS, fields!, text, "fields");
  const method = oneOf(
    ["modulo_n", "hash_threshold", "hrw", "iter_hash"] as const,
    algorithm!,
    text,
    "algorithm",
  );
  const count = loose(links!);
  if (count < 1 || count > 65536) {
    throw new TextError(`${text}: n_links ${count} is not in valid range 1 to 65536`);
  }
  const subfield = parseSubfield(destination);
  if (!hasShortHeader(subfield.field)) {
    throw new TextError(`${text}: experimenter OXM field '${destination}' not supported`);
  }
  if (subfield.bits < 16 && count > 1 << subfield.bits) {
    throw new TextError(
      `${text}: ${subfield.bits}-bit destination field has ${1 << subfield.bits} possible ` +
        `values, less than specified n_links ${count}`,
    );
  }
  return {
    type: "multipath",
    fields: chosen,
    basis: loose(basis!) & 0xffff,
    algorithm: method,
    maxLink: count - 1,
    argument: loose(argument!) >>> 0,
    destination: subfield,
  };
}

export function parseBundle(text: string, scope: ActionScope, load: boolean): Action {
  const words = text.split(/[, ]+/).filter((part) => part !== "");
  const head = words.slice(0, load ? 5 : 4);
  const [fields, basis, algorithm, memberType, destination] = head;
  const rest = words.slice(head.length).join(",");
  const delimiter = /^([^:]*):?(.*)$/.exec(rest)!;
  if (rest === "") throw new TextError(`${text}: not enough arguments to bundle action`);
  if (!/^(members|slaves)$/i.test(delimiter[1]!)) {
    throw new TextError(
      `${text}: missing member delimiter, expected \`members', got \`${delimiter[1]}'`,
    );
  }
  const members = delimiter[2]!.split(/[, []+|\]/).filter((part) => part !== "").map((member) =>
    needPort(member, scope, `${member}: bad port number`)
  );
  const action = {
    type: "bundle" as const,
    fields: oneOf(HASH_FIELDS, fields!, text, "fields"),
    basis: loose(basis!) & 0xffff,
    algorithm: oneOf(["active_backup", "hrw"] as const, algorithm!, text, "algorithm"),
    members,
  };
  if (memberType?.toLowerCase() !== "ofport") {
    throw new TextError(`${text}: unknown member_type \`${memberType}'`);
  }
  if (!load) return action;
  const subfield = parseSubfield(destination!);
  if (!hasShortHeader(subfield.field)) {
    throw new TextError(`${text}: experimenter OXM field '${destination}' not supported`);
  }
  return { ...action, destination: subfield };
}

export function parseSample(text: string, scope: ActionScope): Action {
  let probability = 0;
  let collectorSet = 0;
  let domain = 0;
  let point = 0;
  let samplingPort: number = PORTS.NONE;
  let direction: ActionOf<"sample">["direction"] = "default";
  for (const { key, value } of keyValues(text)) {
    if (key === "probability") {
      probability = parseU16(value, key);
      if (probability === 0) throw new TextError(`invalid probability value "${value}"`);
    } else if (key === "collector_set_id") collectorSet = parseU32(value);
    else if (key === "obs_domain_id") domain = parseU32(value);
    else if (key === "obs_point_id") point = parseU32(value);
    else if (key === "sampling_port") {
      samplingPort = needPort(value, scope, `${value}: unknown port`);
    } else if (key === "ingress" || key === "egress") direction = key;
    else throw new TextError(`invalid key "${key}" in "sample" argument`);
  }
  if (probability === 0) {
    throw new TextError('non-zero "probability" must be specified on sample');
  }
  return { type: "sample", probability, collectorSet, domain, point, samplingPort, direction };
}

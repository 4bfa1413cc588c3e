/** `learn(…)` from ovs-ofctl's syntax. */
import { formatField, integer, parseField, TextError } from "../../packet/text.ts";
import { hasShortHeader, wireBits } from "../actions/subfield.ts";
import type { LearnAction, LearnSpec, Subfield } from "../actions/types.ts";
import { loose } from "./choice-parse.ts";
import { DEFAULT_PRIORITY } from "./match.ts";
import { parseTableName, type TextNames } from "./names.ts";
import { keyValues } from "./scan.ts";
import { parseMove, parseSubfield } from "./subfield.ts";

export function parseLearn(text: string, names?: TextNames): LearnAction {
  const settings = {
    idleTimeout: 0,
    hardTimeout: 0,
    priority: DEFAULT_PRIORITY,
    cookie: 0n,
    table: 1,
    finIdleTimeout: 0,
    finHardTimeout: 0,
    sendFlowRemoved: false,
    deleteLearned: false,
    limit: 0,
  };
  let resultDestination: Subfield | undefined;
  const specs: LearnSpec[] = [];
  for (const { key, value } of keyValues(text)) {
    switch (key) {
      case "table": {
        const table = parseTableName(value, names);
        if (table === undefined) throw new TextError(`unknown table "${value}"`);
        if (table === 0xff) {
          throw new TextError(`${text}: table id 255 not valid for \`learn' action`);
        }
        settings.table = table;
        break;
      }
      case "priority":
        settings.priority = loose(value) & 0xffff;
        break;
      case "idle_timeout":
        settings.idleTimeout = loose(value) & 0xffff;
        break;
      case "hard_timeout":
        settings.hardTimeout = loose(value) & 0xffff;
        break;
      case "fin_idle_timeout":
        settings.finIdleTimeout = loose(value) & 0xffff;
        break;
      case "fin_hard_timeout":
        settings.finHardTimeout = loose(value) & 0xffff;
        break;
      case "cookie":
        settings.cookie = (integer(value) ?? 0n) & 0xffff_ffff_ffff_ffffn;
        break;
      case "send_flow_rem":
        settings.sendFlowRemoved = true;
        break;
      case "delete_learned":
        settings.deleteLearned = true;
        break;
      case "limit":
        settings.limit = loose(value) >>> 0;
        break;
      case "result_dst":
        resultDestination = parseSubfield(value);
        if (!resultDestination.field.writable) throw new TextError(`${value} is read-only`);
        if (resultDestination.bits !== 1) {
          throw new TextError("result_dst in 'learn' action must be a single bit");
        }
        break;
      default:
        specs.push(parseSpec(text, key, value, names));
    }
  }
  return {
    type: "learn",
    ...settings,
    ...(resultDestination ? { resultDestination } : {}),
    specs,
  };
}

function parseSpec(whole: string, key: string, value: string, names?: TextNames): LearnSpec {
  if (key === "load") return parseLoadSpec(value);
  if (key === "output") {
    const subfield = parseSubfield(value);
    return {
      source: { type: "field", subfield },
      bits: subfield.bits,
      destination: { type: "output" },
    };
  }
  let target: Subfield;
  try {
    target = parseSubfield(key);
  } catch {
    throw new TextError(`${whole}: unknown keyword ${key}`);
  }
  requireShort(target, whole, key);
  const { bits } = target;
  const destination = { type: "match", subfield: target } as const;
  if (value === "") return { source: { type: "field", subfield: target }, bits, destination };
  let subfield: Subfield;
  try {
    subfield = parseSubfield(value);
  } catch (error) {
    const immediate = parseImmediate(whole, key, value, target, error, names);
    return { source: { type: "value", value: immediate }, bits, destination };
  }
  if (subfield.bits !== bits) {
    throw new TextError(
      `${whole}: bit widths of ${key} (${subfield.bits}) and ${value} (${bits}) differ`,
    );
  }
  return { source: { type: "field", subfield }, bits, destination };
}

function parseImmediate(
  whole: string,
  key: string,
  value: string,
  target: Subfield,
  asField: unknown,
  names?: TextNames,
): bigint {
  const { field, start, bits } = target;
  try {
    if (start === 0 && bits === wireBits(field)) return parseField(field, value, names).value;
    const number = integer(value);
    if (number === undefined) throw new TextError(`${whole}: cannot parse integer value`);
    if (number >> BigInt(bits) !== 0n) {
      throw new TextError(
        `${whole}: value ${formatField(field, number)} does not fit into ${bits} bits`,
      );
    }
    return number;
  } catch (error) {
    if (!(error instanceof TextError) || !(asField instanceof Error)) throw error;
    throw new TextError(
      `${whole}: ${key} value ${value} cannot be parsed as a subfield (${asField.message}) or ` +
        `an immediate value (${error.message})`,
    );
  }
}

/** `learn` has no room for an experimenter's number. */
function requireShort({ field }: Subfield, text: string, name: string): void {
  if (hasShortHeader(field)) return;
  throw new TextError(`${text}: experimenter OXM field '${name}' not supported`);
}

function parseLoadSpec(text: string): LearnSpec {
  const at = text.indexOf("->");
  if (at === 0) throw new TextError(`load: missing source before \`->' in \`${text}'`);
  if (at < 0) throw new TextError(`load: missing \`->' in \`${text}'`);
  const head = /^(0x[0-9a-f]+|\d+)/i.exec(text)?.[1];
  if (head !== undefined && head.length < at) {
    throw new TextError(`load: garbage before \`->' in \`${text}'`);
  }
  const value = integer(text.slice(0, at));
  if (value === undefined) {
    const { source, destination } = parseMove(text);
    return {
      source: { type: "field", subfield: source },
      bits: source.bits,
      destination: { type: "load", subfield: destination },
    };
  }
  const subfield = parseSubfield(text.slice(at + 2));
  requireShort(subfield, text, text.slice(at + 2));
  if (value >> BigInt(subfield.bits) !== 0n) {
    throw new TextError(`${text}: value does not fit into ${subfield.bits} bits`);
  }
  return {
    source: { type: "value", value },
    bits: subfield.bits,
    destination: { type: "load", subfield },
  };
}

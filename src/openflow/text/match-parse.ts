/** Matches from text: what `add-flow` takes, `tcp,in_port=1,dl_vlan=5`. Throws `TextError`. */
import { anyMatch, type Match } from "../../packet/key.ts";
import { type Field, fieldByName, FIELDS } from "../../packet/layout.ts";
import { formatField, integer, parseField, TextError } from "../../packet/text.ts";
import { subfieldMask } from "../actions/subfield.ts";
import { fullMask } from "../field-bits.ts";
import { requireNoTag, setMatchExact, setMatchField, valueIsValid } from "../match-set.ts";
import { PROTOCOL_WORDS } from "./match.ts";
import type { TextNames } from "./names.ts";
import { PROTOCOLS, type Protocols, protocolsOfField } from "./protocols.ts";
import { keyValues } from "./scan.ts";
import { parseSubfield } from "./subfield.ts";
import { parseTunnelOption } from "./tunnel-options.ts";

const VLAN_NONE = 0xffff;

/** A match while it is read, and in which protocols it can be said so far. */
export interface SaidMatch {
  readonly match: Match;
  protocols: Protocols;
}

/** Adds what `key=value` says to the match; false if it is about something else. */
export function parseMatchPart(
  said: SaidMatch,
  key: string,
  value: string,
  names?: TextNames,
): boolean {
  const { match } = said;
  const protocol = PROTOCOL_WORDS.get(key);
  if (protocol) {
    setMatchExact(match, FIELDS.eth_type, protocol[0]);
    if (protocol[1] !== undefined) setMatchExact(match, FIELDS.nw_proto, protocol[1]);
    return true;
  }
  if (key === "eth") return true;
  const field = fieldByName(key);
  if (field) {
    parseMatchField(said, field, value, names);
    return true;
  }
  if (!key.includes("[")) return false;
  const subfield = parseSubfield(key);
  const number = integer(value);
  if (number === undefined) {
    throw new TextError(`${key}: cannot parse integer value: ${value}`);
  }
  if (number >> BigInt(subfield.bits) !== 0n) {
    throw new TextError(
      `${key}: value ${formatField(subfield.field, number)} does not fit into ` +
        `${subfield.bits} bits`,
    );
  }
  setMatchField(match, subfield.field, number << BigInt(subfield.start), subfieldMask(subfield));
  said.protocols &= protocolsOfField(subfield.field, match.mask.getBig(subfield.field));
  return true;
}

function parseMatchField(said: SaidMatch, field: Field, text: string, names?: TextNames): void {
  const { match } = said;
  if (field.variable) {
    said.protocols &= PROTOCOLS.NXM_OXM;
    return parseTunnelOption(match, field, text, names);
  }
  // Nothing behind the name asks that the field exist, which is what its prerequisites do.
  if (text === "") return;
  const parsed = parseField(field, text, names);
  let { value } = parsed;
  const { mask } = parsed;
  said.protocols &= protocolsOfField(field, mask);
  if (field.name === "dl_vlan" && Number(value) === VLAN_NONE) return requireNoTag(match);
  if (field.name === "in_port_oxm" && value >= 0xffffff00n) value &= 0xffffn;
  if (mask !== 0n && !valueIsValid(field, value)) {
    throw new TextError(`${text}: invalid value for field ${field.name}`);
  }
  setMatchField(match, field, value, mask & fullMask(field));
}

/** Reads a match that stands alone. */
export function parseMatch(text: string, names?: TextNames): Match {
  const match = anyMatch();
  const said = { match, protocols: PROTOCOLS.ANY };
  for (const { key, value } of keyValues(text)) {
    if (!parseMatchPart(said, key, value, names)) throw new TextError(`unknown keyword ${key}`);
  }
  return match;
}

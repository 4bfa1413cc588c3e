/** `encap(…)` and `decap(…)` from ovs-ofctl's syntax. */
import { TextError } from "../../packet/text.ts";
import { ENCAP_TYPES } from "../actions/encap.ts";
import type { Action, EdProperty } from "../actions/types.ts";
import { keyValues, parseU16, parseU8 } from "./scan.ts";

const HEADERS: ReadonlyMap<string, number> = new Map([
  ["ethernet", ENCAP_TYPES.ETHERNET],
  ["mpls", ENCAP_TYPES.MPLS],
  ["mpls_mc", ENCAP_TYPES.MPLS_MULTICAST],
  ["nsh", ENCAP_TYPES.NSH],
]);
const NSH_CLASS = 4;
const PROPERTY = { MDTYPE: 1, TLV: 2 } as const;

export function parseEncap(text: string): Action {
  const [header] = keyValues(text);
  if (!header) throw new TextError(`Missing encap hdr: ${text}`);
  const packetType = HEADERS.get(header.key);
  if (packetType === undefined) throw new TextError(`Encap hdr not supported: ${header.value}`);
  const properties = [...keyValues(header.value)].map(parseProperty);
  return { type: "encap", packetType, headerSize: 0, properties };
}

function parseProperty({ key, value }: { key: string; value: string }): EdProperty {
  if (key !== "md_type" && key !== "tlv") throw new TextError(`Invalid property: ${key}`);
  if (value === "") throw new TextError("Value missing for encap property");
  if (key === "md_type") {
    const type = parseU8(value, "md_type");
    if (type !== 1 && type !== 2) throw new TextError(`invalid md_type`);
    return {
      propertyClass: NSH_CLASS,
      type: PROPERTY.MDTYPE,
      data: Uint8Array.of(type, 0, 0, 0),
    };
  }
  const parts = /^\s*(\w+)\s*,\s*(\w+)\s*,\s*0x([0-9a-f]+)\s*$/i.exec(value);
  if (!parts) throw new TextError(`Invalid NSH TLV header: ${value}`);
  const tlvClass = parseU16(parts[1]!, "tlv_class");
  const type = parseU8(parts[2]!, "tlv_type");
  const digits = parts[3]!.length % 2 === 0 ? parts[3]! : `0${parts[3]}`;
  const length = digits.length / 2;
  if (length > 252 - 4) throw new TextError(`NSH TLV value is too long: ${length} bytes`);
  const data = new Uint8Array(4 + length);
  data.set([tlvClass >> 8, tlvClass & 0xff, type, length]);
  for (let i = 0; i < length; i++) data[4 + i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return { propertyClass: NSH_CLASS, type: PROPERTY.TLV, data };
}

export function parseDecap(text: string): Action {
  const [argument] = keyValues(text);
  if (!argument) return { type: "decap", packetType: 0xfffe };
  if (argument.key !== "packet_type") {
    throw new TextError(`Invalid decap argument: ${argument.key}`);
  }
  const values = new Map([...keyValues(argument.value)].map(({ key, value }) => [key, value]));
  const part = (name: string): number => {
    const value = values.get(name);
    if (value === undefined) throw new TextError(`Missing packet_type attribute ${name}`);
    return parseU16(value, name);
  };
  const namespace = part("ns");
  if (namespace > 3) throw new TextError(`Unsupported ns value: ${namespace}`);
  return { type: "decap", packetType: ((namespace << 16) | part("type")) >>> 0 };
}

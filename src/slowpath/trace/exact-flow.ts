/**
 * A packet described in the fields of OpenFlow, as `ofproto/trace BRIDGE FLOW` takes it:
 * `in_port=1,tcp,nw_src=10.0.0.1,tp_dst=80`. Each field has a value and no mask, comes after what it
 * needs (`tcp` before `tp_dst`), and is named once.
 */
import { PROTOCOL_WORDS } from "../../openflow/text/match.ts";
import { keyValues } from "../../openflow/text/scan.ts";
import { prerequisiteMet } from "../../openflow/match-set.ts";
import { PORTS } from "../../openflow/version.ts";
import { FlowKey } from "../../packet/key.ts";
import { type Field, fieldByName, FIELDS, slot } from "../../packet/layout.ts";
import { parseField, type PortNames, TextError } from "../../packet/text.ts";

const VLAN_PRESENT = 0x1000;
const VLAN_NONE = 0xffff;
const TPID_8021Q = 0x8100;
const TPID_AT = slot("vlan_tpid").offset;

/** Throws TextError with Open vSwitch's words. */
export function parseExactFlow(text: string, names: PortNames): FlowKey {
  const key = new FlowKey();
  for (const { key: word, value } of keyValues(text)) {
    const protocol = PROTOCOL_WORDS.get(word);
    if (protocol) {
      const [type, number] = protocol;
      if (key.get(FIELDS.eth_type) !== 0) {
        throw new TextError(`${text}: Ethernet type set multiple times`);
      }
      key.set(FIELDS.eth_type, type);
      if (number === undefined) continue;
      if (key.get(FIELDS.nw_proto) !== 0) {
        throw new TextError(`${text}: network protocol set multiple times`);
      }
      key.set(FIELDS.nw_proto, number);
      continue;
    }
    if (word === "eth") continue;
    const field = fieldByName(word);
    if (!field) throw new TextError(`${text}: unknown field ${word}`);
    if (!prerequisiteMet(field.prerequisite, key)) {
      throw new TextError(`${text}: prerequisites not met for setting ${word}`);
    }
    if (key.getBig(field) !== 0n) {
      throw new TextError(`${text}: field ${word} set multiple times`);
    }
    setExact(key, field, parseExact(text, word, field, value, names));
  }
  if (key.get(FIELDS.in_port) === 0) key.set(FIELDS.in_port, PORTS.NONE);
  return key;
}

function parseExact(
  text: string,
  word: string,
  field: Field,
  value: string,
  names: PortNames,
): bigint {
  try {
    const parsed = parseField(field, value, names);
    const all = (1n << BigInt(field.bits)) - 1n;
    // Fragments are told by name, which stands for a value and its mask.
    if (field.name !== "ip_frag" && (parsed.mask & all) !== all) {
      throw new TextError(`${value}: wildcards not allowed here`);
    }
    return parsed.value;
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw new TextError(`${text}: bad value for ${word} (${error.message})`);
  }
}

function setExact(key: FlowKey, field: Field, value: bigint): void {
  switch (field.name) {
    case "dl_vlan":
      if (Number(value) === VLAN_NONE) return;
      key.set(FIELDS.vlan_tci, key.get(FIELDS.vlan_tci) | Number(value & 0xfffn) | VLAN_PRESENT);
      break;
    case "dl_vlan_pcp":
    case "vlan_pcp":
      key.setBig(field, value);
      key.set(FIELDS.vlan_tci, key.get(FIELDS.vlan_tci) | VLAN_PRESENT);
      break;
    case "in_port_oxm":
      key.set(FIELDS.in_port, Number(value & 0xffffn));
      break;
    default:
      key.setBig(field, value);
  }
  if (key.get(FIELDS.vlan_tci) & VLAN_PRESENT && key.bytes[TPID_AT] === 0) {
    key.bytes[TPID_AT] = TPID_8021Q >> 8;
    key.bytes[TPID_AT + 1] = TPID_8021Q & 0xff;
  }
}

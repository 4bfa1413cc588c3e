/**
 * Fields and runs of their bits by name: `NXM_NX_REG0[0..15]`, `reg0[]`, `OXM_OF_ETH_DST`.
 *
 * A field has its ovs-fields(7) name and one name for each OXM or NXM number. The latter are made
 * from the class and the field's name, but for those in `SUFFIXES`, which history named otherwise.
 */
import type { FieldName, OxmClassName, OxmId } from "../../packet/fields.ts";
import { type Field, FIELD_LIST, fieldByName } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import { wireBits } from "../actions/subfield.ts";
import type { ActionOf, Subfield } from "../actions/types.ts";
import { oxmIdOf } from "../oxm.ts";

const PREFIXES: Readonly<Record<OxmClassName, string>> = {
  NXM_OF: "NXM_OF_",
  NXM_NX: "NXM_NX_",
  ERICOXM_OF: "ERICOXM_OF_",
  OXM_OF: "OXM_OF_",
  OXM_OF_PKT_REG: "OXM_OF_",
  NXOXM_ET: "NXOXM_ET_",
  NXOXM_NSH: "NXOXM_",
  ONFOXM_ET: "ONFOXM_ET_",
};

/** What follows the class, where it is not the field's name in capitals; by NXM, by OXM. */
const SUFFIXES: Readonly<Partial<Record<FieldName, { nxm?: string; oxm?: string }>>> = {
  tun_id: { oxm: "TUNNEL_ID" },
  tun_src: { nxm: "TUN_IPV4_SRC" },
  tun_dst: { nxm: "TUN_IPV4_DST" },
  tun_erspan_idx: { oxm: "ERSPAN_IDX" },
  tun_erspan_ver: { oxm: "ERSPAN_VER" },
  tun_erspan_dir: { oxm: "ERSPAN_DIR" },
  tun_erspan_hwid: { oxm: "ERSPAN_HWID" },
  tun_gtpu_flags: { oxm: "GTPU_FLAGS" },
  tun_gtpu_msgtype: { oxm: "GTPU_MSGTYPE" },
  in_port_oxm: { oxm: "IN_PORT" },
  ip_src: { oxm: "IPV4_SRC" },
  ip_dst: { oxm: "IPV4_DST" },
  nw_proto: { nxm: "IP_PROTO", oxm: "IP_PROTO" },
  nw_tos: { nxm: "IP_TOS" },
  nw_ecn: { nxm: "IP_ECN", oxm: "IP_ECN" },
  nw_ttl: { nxm: "IP_TTL" },
  ipv6_label: { oxm: "IPV6_FLABEL" },
  icmp_type: { oxm: "ICMPV4_TYPE" },
  icmp_code: { oxm: "ICMPV4_CODE" },
  nd_target: { oxm: "IPV6_ND_TARGET" },
  nd_sll: { oxm: "IPV6_ND_SLL" },
  nd_tll: { oxm: "IPV6_ND_TLL" },
  nd_reserved: { oxm: "ICMPV6_ND_RESERVED" },
  nd_options_type: { oxm: "ICMPV6_ND_OPTIONS_TYPE" },
};

function nameOf(field: Field, id: OxmId, kind: "nxm" | "oxm"): string {
  if (id[0] === "OXM_OF_PKT_REG") return `OXM_OF_PKT_REG${id[1]}`;
  return PREFIXES[id[0]] + (SUFFIXES[field.name]?.[kind] ?? field.name.toUpperCase());
}

function buildNames(): { byName: ReadonlyMap<string, Field>; preferred: readonly string[] } {
  const byName = new Map<string, Field>();
  const preferred: string[] = [];
  for (const field of FIELD_LIST) {
    const best = oxmIdOf(field, 0);
    let chosen: string = field.name;
    for (
      const [id, kind] of [[field.nxm, "nxm"], [field.oxm, "oxm"], [field.oxm15, "oxm"]] as const
    ) {
      if (!id) continue;
      const name = nameOf(field, id, kind);
      if (id === best) chosen = name;
      byName.set(name, field);
    }
    preferred.push(chosen);
  }
  return { byName, preferred };
}

const NAMES = buildNames();

/** The field that `name` (of ovs-fields(7), or an NXM or OXM name) means. */
export function findField(name: string): Field | undefined {
  return NAMES.byName.get(name) ?? fieldByName(name);
}

/** The NXM name, or OXM where there is none. */
export function oxmName(field: Field): string {
  return NAMES.preferred[field.id]!;
}

export function formatSubfield({ field, start, bits }: Subfield): string {
  const name = oxmName(field);
  if (start === 0 && bits === wireBits(field)) return `${name}[]`;
  return bits === 1 ? `${name}[${start}]` : `${name}[${start}..${start + bits - 1}]`;
}

/** Reads a run at the beginning of `text`; `rest` is what follows it. */
export function takeSubfield(text: string): { subfield: Subfield; rest: string } {
  const name = /^[^[-]*/.exec(text)![0];
  const field = findField(name);
  if (!field) throw new TextError(`${text}: unknown field \`${name}'`);
  const width = wireBits(field);
  let rest = text.slice(name.length);
  let start = 0;
  let end = width - 1;
  if (rest.startsWith("[")) {
    const parts = /^\[(?:(\d+)(?:\.\.(\d+))?)?\]/.exec(rest);
    if (!parts) {
      throw new TextError(
        `${text}: syntax error expecting [] or [<bit>] or [<start>..<end>]`,
      );
    }
    if (parts[1] !== undefined) {
      start = Number(parts[1]);
      end = parts[2] === undefined ? start : Number(parts[2]);
    }
    rest = rest.slice(parts[0].length);
  }
  const bad = (what: string): never => {
    throw new TextError(`${text}: ${what}`);
  };
  const narrow = `because field is only ${width} bits wide`;
  if (start > end) bad(`starting bit ${start} is after ending bit ${end}`);
  if (start >= width) bad(`starting bit ${start} is not valid ${narrow}`);
  if (end >= width) bad(`ending bit ${end} is not valid ${narrow}`);
  return { subfield: { field, start, bits: end - start + 1 }, rest };
}

/** Reads a text that is a run and nothing else. */
export function parseSubfield(text: string): Subfield {
  const { subfield, rest } = takeSubfield(text);
  if (rest !== "") throw new TextError("unexpected input following field syntax");
  return subfield;
}

/** `SOURCE->DESTINATION`, both runs of the same width. */
export function parseMove(text: string): ActionOf<"move"> {
  const { subfield: source, rest } = takeSubfield(text);
  if (!rest.startsWith("->")) throw new TextError(`${text}: missing \`->' following source`);
  const destination = parseSubfield(rest.slice(2));
  if (source.bits !== destination.bits) {
    throw new TextError(
      `${text}: source field is ${source.bits} bits wide but destination is ` +
        `${destination.bits} bits wide`,
    );
  }
  return { type: "move", source, destination };
}

/**
 * Fields by name. A field has its ovs-fields(7) name and one name for each OXM or NXM number. The
 * latter are made from the class and the field's name, but for those in `SUFFIXES`, which history
 * named otherwise.
 */
import { OXM_CLASSES } from "../../packet/fields.ts";
import type { FieldName, OxmClassName, OxmId } from "../../packet/fields.ts";
import { type Field, FIELD_LIST, fieldByName } from "../../packet/layout.ts";
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

/** A name of a field, and the numbers that it stands for. */
export interface OxmName {
  readonly name: string;
  readonly field: Field;
  readonly class: number;
  readonly number: number;
  /** 0: none. */
  readonly experimenter: number;
}

function buildNames(): {
  byName: ReadonlyMap<string, OxmName>;
  byNumber: ReadonlyMap<string, OxmName>;
  preferred: readonly string[];
} {
  const byName = new Map<string, OxmName>();
  const byNumber = new Map<string, OxmName>();
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
      const row: { class: number; experimenter?: number } = OXM_CLASSES[id[0]];
      const { class: oxmClass, experimenter = 0 } = row;
      const entry: OxmName = { name, field, class: oxmClass, number: id[1], experimenter };
      byName.set(name, entry);
      byNumber.set(`${oxmClass}/${id[1]}/${experimenter}`, entry);
    }
    preferred.push(chosen);
  }
  return { byName, byNumber, preferred };
}

const NAMES = buildNames();

/** The field that `name` (of ovs-fields(7), or an NXM or OXM name) means. */
export function findField(name: string): Field | undefined {
  return NAMES.byName.get(name)?.field ?? fieldByName(name);
}

/** The NXM name, or OXM where there is none. */
export function oxmName(field: Field): string {
  return NAMES.preferred[field.id]!;
}

/** What an OXM or NXM name stands for. */
export const oxmByName = (name: string): OxmName | undefined => NAMES.byName.get(name);

export const oxmByNumber = (
  oxmClass: number,
  number: number,
  experimenter = 0,
): OxmName | undefined => NAMES.byNumber.get(`${oxmClass}/${number}/${experimenter}`);

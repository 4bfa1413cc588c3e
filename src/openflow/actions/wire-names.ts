/** What Open vSwitch calls the forms that actions have on the wire: OFPAT_*, NXAST_*, ONFACT_*. */
import { NX_VENDOR } from "../version.ts";
import type { ActionRow } from "./rows.ts";
import type { ActionType } from "./types.ts";

/** The standard's own, where records have another name. */
const STANDARD: Readonly<Partial<Record<ActionType, string>>> = {
  set_eth_src: "SET_DL_SRC",
  set_eth_dst: "SET_DL_DST",
  set_ipv4_src: "SET_NW_SRC",
  set_ipv4_dst: "SET_NW_DST",
  set_ip_dscp: "SET_NW_TOS",
  set_ip_ecn: "SET_NW_ECN",
  set_ip_ttl: "SET_NW_TTL",
  dec_ttl: "DEC_NW_TTL",
  move: "COPY_FIELD",
};

/** Nicira's second forms of an action, and those that are called otherwise. */
const NICIRA: ReadonlyMap<number, string> = new Map([
  [6, "REG_MOVE"],
  [7, "REG_LOAD"],
  [9, "SET_TUNNEL64"],
  [13, "BUNDLE_LOAD"],
  [14, "RESUBMIT_TABLE"],
  [21, "DEC_TTL_CNT_IDS"],
  [32, "OUTPUT_REG2"],
  [33, "REG_LOAD2"],
  [37, "CONTROLLER2"],
  [38, "SAMPLE2"],
  [41, "SAMPLE3"],
  [44, "RESUBMIT_TABLE_CT"],
  [45, "LEARN2"],
]);

/** Nicira's forms, in OpenFlow 1.0, of actions that the standard has later. */
const AS_STANDARD: ReadonlySet<number> = new Set([4, 18, 23, 24, 25, 26, 30, 31, 40]);

export function wireName({ type, ids }: ActionRow, vendor: number, number: number): string {
  const upper = type.toUpperCase();
  if (vendor === 0 || (vendor === NX_VENDOR && AS_STANDARD.has(number))) {
    const strips = type === "pop_vlan" && ids.startsWith("OF1.0");
    return `OFPAT_${strips ? "STRIP_VLAN" : STANDARD[type] ?? upper}`;
  }
  if (vendor === NX_VENDOR) return `NXAST_${NICIRA.get(number) ?? upper}`;
  return `ONFACT_${STANDARD[type] ?? upper}`;
}

/** Columns of the database as text in fields of a form, and back. */
import type { TablesJson } from "../../../routes/tables.ts";
import type { Translate } from "./translate.ts";

export type Table = TablesJson["tables"][number];
export type Column = Table["columns"][number];
export type Row = Readonly<Record<string, unknown>> & { readonly _uuid: string };

export const isMap = ({ value }: Column): boolean => value !== undefined;
/** More than one member. */
export const isSet = (column: Column): boolean => !isMap(column) && column.most !== 1;

/** As it stands in a field: members of a set by commas, or by lines where they are texts. */
export function toText(column: Column, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) {
    return value.map(String).join(separator(column).trim() === "" ? "\n" : ", ");
  }
  return String(value);
}

const separator = ({ key }: Column): string => key === "string" ? "\n" : ",";

/** Throws an Error whose message says what is wrong. */
export function fromText(column: Column, text: string): unknown {
  const one = (word: string): unknown => {
    switch (column.key) {
      case "integer":
        if (!/^-?\d{1,19}$/.test(word)) throw new Error(word);
        return Number.isSafeInteger(Number(word)) ? Number(word) : word;
      case "real":
        if (word === "" || !Number.isFinite(Number(word))) throw new Error(word);
        return Number(word);
      case "boolean":
        return word === "true";
      case "string":
      case "uuid":
        return word;
      default: {
        const never: never = column.key;
        return never;
      }
    }
  };
  if (isSet(column)) {
    return text.split(separator(column)).map((word) => word.trim()).filter(Boolean).map(one);
  }
  if (text === "" && (column.optional || column.key !== "string")) return null;
  return one(text);
}

/** What people call a row. */
export const rowName = (row: Row): string =>
  String(row["name"] ?? row["target"] ?? row["type"] ?? row["id"] ?? row._uuid.slice(0, 8));

/** Columns that people set often, for the top of a form. */
export const USUAL: Readonly<Record<string, readonly string[]>> = {
  Bridge: [
    "fail_mode",
    "protocols",
    "datapath_type",
    "stp_enable",
    "rstp_enable",
    "mcast_snooping_enable",
    "other_config",
  ],
  Port: ["vlan_mode", "tag", "trunks", "qos", "bond_mode", "lacp", "other_config"],
  Interface: ["type", "options", "mtu_request", "ofport_request", "mac", "external_ids"],
  Controller: ["target", "connection_mode", "max_backoff", "inactivity_probe"],
  Manager: ["target", "max_backoff", "inactivity_probe"],
  QoS: ["type", "queues", "other_config"],
  Queue: ["dscp", "other_config"],
  Mirror: [
    "name",
    "select_all",
    "select_src_port",
    "select_dst_port",
    "output_port",
    "output_vlan",
  ],
  Open_vSwitch: ["other_config", "external_ids"],
};

/** Values that the database leaves open and the switch does not. */
export const CHOICES: Readonly<Record<string, readonly string[]>> = {
  "Interface.type": [
    "",
    "internal",
    "patch",
    "vxlan",
    "geneve",
    "gre",
    "ip6gre",
    "erspan",
    "ip6erspan",
    "gtpu",
    "bareudp",
    "srv6",
    "lisp",
    "stt",
  ],
  "QoS.type": ["linux-htb", "linux-hfsc", "linux-noop", "egress-policer", ""],
};

/** The column's type in words. */
export function typeText(column: Column, t: Translate): string {
  const kind = t(column.key === "uuid" ? column.refersTo ?? "uuid" : column.key);
  if (isMap(column)) return t("map of {kind}", { kind });
  if (isSet(column)) {
    return column.most === null
      ? t("set of {kind}", { kind })
      : t("set of up to {n} {kind}", { n: column.most, kind });
  }
  return column.optional ? t("{kind}, optional", { kind }) : kind;
}

/** Keys of maps that are often set, to choose from. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  "Bridge.other_config": [
    "datapath-id",
    "hwaddr",
    "disable-in-band",
    "forward-bpdu",
    "mac-aging-time",
    "mac-table-size",
    "flow-eviction-threshold",
    "dp-desc",
    "dp-sn",
  ],
  "Port.other_config": ["priority-tags", "bond-rebalance-interval", "lacp-time"],
  "Interface.options": [
    "peer",
    "remote_ip",
    "local_ip",
    "key",
    "in_key",
    "out_key",
    "dst_port",
    "tos",
    "ttl",
    "csum",
    "df_default",
  ],
  "QoS.other_config": ["max-rate"],
  "Queue.other_config": ["min-rate", "max-rate", "burst", "priority"],
  "Open_vSwitch.other_config": [
    "max-idle",
    "flow-limit",
    "stats-update-interval",
    "history-revisions",
    "history-days",
    "history-megabytes",
  ],
};

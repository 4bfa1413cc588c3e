/** What the database says of a bridge's flow tables (ovs-vswitchd.conf.db(5), "Flow_Table TABLE"). */
import type { Replica, Row } from "../../db/replica.ts";
import type { Subfield } from "../../openflow/actions/types.ts";
import { findField } from "../../openflow/text/oxm-names.ts";
import { parseSubfield } from "../../openflow/text/subfield.ts";
import type { Field } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import { DEFAULT_PREFIXES, MAX_PREFIXES } from "../pipeline/prefix-fields.ts";
import { USER_TABLES } from "../pipeline/tables.ts";
import type { Bridge } from "./bridge.ts";
import { DEFAULT_DESCRIPTION } from "./description.ts";
import type { WantedBridge } from "./wanted.ts";

/** A prefix trie is made of words of so many bits. */
const WORD_BITS = 32;

export interface FlowTablesContext {
  readonly replica: Replica;
  /** Logs a warning once. */
  readonly say: (text: string) => void;
}

export function configureTables(
  bridge: Bridge,
  want: WantedBridge,
  { replica, say }: FlowTablesContext,
): void {
  const rows = replica.rows("Flow_Table");
  const tableNames = new Map<number, string>();
  for (let id = 0; id < USER_TABLES; id++) {
    const uuid = want.row.flow_tables.get(id);
    const row = uuid === undefined ? undefined : rows.get(uuid);
    if (row?.name !== undefined) tableNames.set(id, row.name);
    const tell = (text: string): void => say(`bridge ${bridge.name} table ${id}: ${text}`);
    bridge.tables.setLimit(id, row?.flow_limit ?? Number.POSITIVE_INFINITY);
    bridge.tables.setEviction(id, row && evictionGroups(row, tell));
    const prefixes = row ? prefixFields(row, tell) : DEFAULT_PREFIXES;
    const before = bridge.tables.prefixes(id);
    const isSame = prefixes.length === before.length &&
      prefixes.every((field, i) => field === before[i]);
    if (!isSame) bridge.tables.setPrefixes(id, prefixes);
  }
  const otherConfig = want.row.other_config;
  bridge.configure({
    forwardBpdu: otherConfig.get("forward-bpdu") === "true",
    standardPush: otherConfig.get("standard-push") === "true",
    description: {
      ...DEFAULT_DESCRIPTION,
      serial: otherConfig.get("dp-sn") ?? DEFAULT_DESCRIPTION.serial,
      datapath: otherConfig.get("dp-desc") ?? DEFAULT_DESCRIPTION.datapath,
    },
    tableNames,
  });
}

/** The fields by which rules are grouped when one has to go; undefined: none goes. */
function evictionGroups(
  row: Row<"Flow_Table">,
  tell: (text: string) => void,
): Subfield[] | undefined {
  if (row.overflow_policy !== "evict") return undefined;
  return row.groups.flatMap((text) => {
    try {
      return [parseSubfield(text)];
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      tell(`groups: ${error.message}`);
      return [];
    }
  });
}

function prefixFields(
  { prefixes }: Row<"Flow_Table">,
  tell: (text: string) => void,
): readonly Field[] {
  if (prefixes.includes("none")) return [];
  const fields: Field[] = [];
  for (const name of prefixes) {
    const field = findField(name);
    if (!field) tell(`'prefixes' with unknown field: ${name}`);
    else if (field.bits % WORD_BITS !== 0 || field.offset % 4 !== 0 || field.variable) {
      tell(`'prefixes' with incompatible field: ${name}`);
    } else if (fields.length >= MAX_PREFIXES) tell(`'prefixes' with too many fields: ${name}`);
    else fields.push(field);
  }
  return prefixes.length > 0 && fields.length > 0 ? fields : DEFAULT_PREFIXES;
}

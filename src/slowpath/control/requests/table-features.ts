/**
 * Setting what tables can do (OpenFlow 1.3.5 §7.3.5.5, 1.5.1 §7.3.5.18). The tables here are what they
 * are: a request may ask for no more than that, names no fewer tables, and may give each a name.
 */
import { OfError } from "../../../openflow/errors.ts";
import type { TableAbility, TableFeatures } from "../../../openflow/messages/types.ts";
import { USER_TABLES } from "../../pipeline/tables.ts";
import type { Agent } from "../agent.ts";

/** Takes `wanted` over, or throws having changed nothing. `present` has every table, in order. */
export function changeFeatures(
  agent: Agent,
  wanted: readonly TableFeatures[],
  present: readonly TableFeatures[],
): void {
  const chosen = new Map<number, TableFeatures>();
  for (const table of wanted) {
    if (chosen.has(table.table)) {
      throw new OfError("NXTFFC_DUP_TABLE", 0, `table ${table.table} is given twice`);
    }
    chosen.set(table.table, table);
  }
  const { command } = wanted[0]!;
  switch (command) {
    case "enable":
    case "disable":
      throw new OfError("OFPTFFC_EPERM", 0, "tables are always there");
    case "replace":
      if (chosen.size < USER_TABLES) {
        throw new OfError("OFPTFFC_EPERM", 0, "a table cannot be taken away");
      }
      break;
    case "modify":
      break;
    default: {
      const never: never = command;
      throw new Error(`table features command ${never}`);
    }
  }
  for (const table of chosen.values()) checkTable(table, present[table.table], command);
  const before = [...chosen.keys()].map((id) => [id, agent.bridge.tableName(id)] as const);
  for (const [id, { name }] of chosen) {
    if (agent.bridge.setTableName(id, name)) continue;
    for (const [other, old] of before) agent.bridge.setTableName(other, old);
    throw new OfError("OFPTFFC_EPERM", 0, `the database names table ${id}`);
  }
}

function checkTable(
  wanted: TableFeatures,
  present: TableFeatures | undefined,
  command: TableFeatures["command"],
): void {
  const refuse = (why: string): never => {
    throw new OfError("OFPTFFC_EPERM", 0, `table ${wanted.table}: ${why}`);
  };
  if (!present) return refuse("it is not a controller's");
  if (wanted.maxEntries !== present.maxEntries) refuse("the number of entries cannot be changed");
  // A modification without properties leaves them as they are.
  if (!wanted.hasProperties && command === "modify") return;
  const more = exceeds(wanted, present);
  if (more) refuse(`more ${more} are asked for than there are`);
}

/** What `wanted` has that `present` has not. */
function exceeds(wanted: TableFeatures, present: TableFeatures): string | undefined {
  if (wanted.metadataMatch & ~present.metadataMatch) return "metadata bits";
  if (wanted.metadataWrite & ~present.metadataWrite) return "metadata bits";
  const names = (fields: TableFeatures["wildcards"]) => fields.map(({ name }) => name);
  const matches = ({ match }: TableFeatures, maskable: boolean) =>
    names(match.filter((entry) => !maskable || entry.maskable).map(({ field }) => field));
  if (!within(matches(wanted, false), matches(present, false))) return "fields to match";
  if (!within(matches(wanted, true), matches(present, true))) return "masks";
  if (!within(names(wanted.wildcards), names(present.wildcards))) return "wildcards";
  for (const which of ["nonmiss", "miss"] as const) {
    const missing = exceedsAbility(wanted[which], present[which]);
    if (missing) return missing;
  }
  return undefined;
}

function exceedsAbility(wanted: TableAbility, present: TableAbility): string | undefined {
  const names = (fields: TableAbility["writeSetFields"]) => fields.map(({ name }) => name);
  if (!within(wanted.instructions, present.instructions)) return "instructions";
  if (!within(wanted.nextTables, present.nextTables)) return "tables to go to";
  for (const kind of ["writeActions", "applyActions"] as const) {
    if (!within(wanted[kind], present[kind])) return "actions";
  }
  for (const kind of ["writeSetFields", "applySetFields"] as const) {
    if (!within(names(wanted[kind]), names(present[kind]))) return "fields to set";
  }
  return undefined;
}

function within<T>(some: readonly T[], all: readonly T[]): boolean {
  const known = new Set(all);
  return some.every((one) => known.has(one));
}

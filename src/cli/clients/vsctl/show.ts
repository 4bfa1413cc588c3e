/** `vsctl show`: the database as an outline, from the one global record down. */
import type { DraftRow } from "../../../db/client/draft.ts";
import type { TableName } from "../../../db/replica.ts";
import type { Column } from "../../../db/schema/schema.ts";
import { datumToText, isDefault } from "../../../db/values/datum.ts";
import type { Prepared, Running } from "./command.ts";

interface Shown {
  /** The column that names a row; without one its UUID does. */
  readonly name?: string;
  readonly columns: readonly string[];
}

const SHOWN: { readonly [T in TableName]?: Shown } = {
  Open_vSwitch: { columns: ["manager_options", "bridges", "ovs_version"] },
  Bridge: { name: "name", columns: ["controller", "fail_mode", "datapath_type", "ports"] },
  Port: { name: "name", columns: ["tag", "trunks", "interfaces"] },
  Interface: { name: "name", columns: ["type", "options", "error", "bfd_status"] },
  Controller: { name: "target", columns: ["is_connected"] },
  Manager: { name: "target", columns: ["is_connected"] },
};

const shownOf = (table: string): Shown | undefined =>
  (SHOWN as Readonly<Record<string, Shown | undefined>>)[table];

const INDENTATION = 4;

export function prepareShow({ wanted }: Prepared): void {
  for (const [table, { name, columns }] of Object.entries(SHOWN)) {
    wanted.add(table, ...(name === undefined ? [] : [name]), ...columns);
  }
}

export function show(command: Running): void {
  for (const row of command.draft.rows<string>("Open_vSwitch")) showRow(command, row, 0, []);
}

/** `above`: the tables of the rows that this one is shown below; one is not shown in itself. */
function showRow(
  command: Running,
  row: DraftRow,
  depth: number,
  above: readonly string[],
): void {
  const line = (level: number, text: string): void =>
    command.print(`${" ".repeat(level * INDENTATION)}${text}\n`);
  const table = row.table.name;
  const shown = shownOf(table);
  const value = (name: string): [Column, string] => {
    const column = row.table.columns.get(name) as Column;
    return [column, datumToText(row.read(column), column.type)];
  };
  line(depth, shown?.name === undefined ? row.uuid : `${table} ${value(shown.name)[1]}`);
  if (shown === undefined || above.includes(table)) return;
  for (const name of shown.columns) {
    const [column, text] = value(name);
    const { refTable } = column.type.key;
    if (refTable !== undefined && shownOf(refTable) !== undefined) {
      const rows = command.draft.resolve<string>(refTable, row.read(column).keys.map(String));
      for (const below of rows) showRow(command, below, depth + 1, [...above, table]);
    } else if (!isDefault(row.read(column), column.type)) line(depth + 1, `${name}: ${text}`);
  }
}

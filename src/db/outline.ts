/**
 * The Open_vSwitch database as an outline, from the one global record down: the text of
 * `ovs-vsctl show`. Whoever has rows, a client or the server itself, hands them in.
 */
import type { Column, TableSchema } from "./schema/schema.ts";
import { type Datum, datumToText, isDefault } from "./values/datum.ts";

interface Shown {
  /** The column that names a row; without one its UUID does. */
  readonly name?: string;
  readonly columns: readonly string[];
}

/** What is shown of each table's rows; rows that they refer to stand below them. */
export const OUTLINE: Readonly<Record<string, Shown>> = {
  Open_vSwitch: { columns: ["manager_options", "bridges", "ovs_version"] },
  Bridge: { name: "name", columns: ["controller", "fail_mode", "datapath_type", "ports"] },
  Port: { name: "name", columns: ["tag", "trunks", "interfaces"] },
  Interface: { name: "name", columns: ["type", "options", "error", "bfd_status"] },
  Controller: { name: "target", columns: ["is_connected"] },
  Manager: { name: "target", columns: ["is_connected"] },
};

export interface OutlineRow {
  readonly uuid: string;
  readonly table: TableSchema;
  read(column: Column): Datum;
}

/** Rows of a table by their UUIDs; those that are not there are left out. */
export type Resolve = (table: string, uuids: readonly string[]) => Iterable<OutlineRow>;

const INDENTATION = 4;

/** Calls `print` with each line, its newline included. */
export function printOutline(
  row: OutlineRow,
  resolve: Resolve,
  print: (line: string) => void,
): void {
  printRow(row, resolve, print, 0, []);
}

/** `above`: the tables of the rows that this one is shown below; one is not shown in itself. */
function printRow(
  row: OutlineRow,
  resolve: Resolve,
  print: (line: string) => void,
  depth: number,
  above: readonly string[],
): void {
  const line = (level: number, text: string): void =>
    print(`${" ".repeat(level * INDENTATION)}${text}\n`);
  const table = row.table.name;
  const shown = OUTLINE[table];
  const value = (name: string): [Column, string] => {
    const column = row.table.columns.get(name) as Column;
    return [column, datumToText(row.read(column), column.type)];
  };
  line(depth, shown?.name === undefined ? row.uuid : `${table} ${value(shown.name)[1]}`);
  if (shown === undefined || above.includes(table)) return;
  for (const name of shown.columns) {
    const [column, text] = value(name);
    const { refTable } = column.type.key;
    if (refTable !== undefined && OUTLINE[refTable] !== undefined) {
      const uuids = row.read(column).keys.map(String);
      for (const below of resolve(refTable, uuids)) {
        printRow(below, resolve, print, depth + 1, [...above, table]);
      }
    } else if (!isDefault(row.read(column), column.type)) line(depth + 1, `${name}: ${text}`);
  }
}

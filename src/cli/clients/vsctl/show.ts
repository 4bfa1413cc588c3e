/** `vsctl show`: the database as an outline (../../../db/outline.ts). */
import type { TableName } from "../../../db/replica.ts";
import { OUTLINE, printOutline } from "../../../db/outline.ts";
import type { Prepared, Running } from "./command.ts";

export function prepareShow({ wanted }: Prepared): void {
  for (const [table, { name, columns }] of Object.entries(OUTLINE)) {
    wanted.add(table as TableName, ...(name === undefined ? [] : [name]), ...columns);
  }
}

export function show({ draft, print }: Running): void {
  for (const row of draft.rows<string>("Open_vSwitch")) {
    printOutline(row, (table, uuids) => draft.resolve<string>(table, [...uuids]), print);
  }
}

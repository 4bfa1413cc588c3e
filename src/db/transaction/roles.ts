/**
 * Role-based access control (ovsdb-server(7), "Role-Based Access Control"): a client whose remote has
 * a role may change what that role's permissions in the database say, and may read everything.
 *
 * Table RBAC_Role names roles, and for each of them a row of RBAC_Permission by table: which columns
 * may be updated, whether rows may be inserted and deleted, and in which column of a row the name of
 * the client must stand (`COLUMN` or `COLUMN:KEY`; empty: anybody's). The name is that in the
 * client's certificate; who has none may change nothing. In a database without RBAC_Role roles do
 * not count. Rules are those before the transaction.
 */
import { OvsdbError } from "../error.ts";
import type { Column } from "../schema/schema.ts";
import type { Row, Table } from "../table.ts";
import type { Datum } from "../values/datum.ts";

export interface Role {
  readonly name: string;
  /** The common name in the client's certificate. */
  readonly id: string | undefined;
}

type Fields = readonly Datum[];

export class RoleRules {
  private readonly roles: Table | undefined;
  private readonly permissions: Table | undefined;

  constructor(
    private readonly role: Role | undefined,
    tables: ReadonlyMap<string, Table>,
  ) {
    if (role === undefined) return;
    this.roles = tables.get("RBAC_Role");
    const column = this.roles?.schema.columns.get("permissions");
    this.permissions = tables.get(column?.type.value?.refTable ?? "");
  }

  /** All three throw `permission error`. */
  checkInsert(table: Table, fields: Fields): void {
    this.check(
      table,
      "row insertion into",
      (rule) => this.flag(rule, "insert_delete") && this.isOwn(rule, table, fields),
    );
  }

  checkDelete(table: Table, rows: readonly Row[]): void {
    this.check(
      table,
      "row deletion from",
      (rule) =>
        rows.every((row) =>
          this.flag(rule, "insert_delete") && this.isOwn(rule, table, row.fields)
        ),
    );
  }

  checkModify(
    table: Table,
    what: "modification of" | "mutate operation on",
    columns: readonly Column[],
    rows: readonly Row[],
  ): void {
    this.check(table, what, (rule) => {
      const allowed = this.texts(rule, "update");
      return rows.length === 0 ||
        columns.every(({ name }) => allowed.includes(name)) &&
          rows.every((row) => this.isOwn(rule, table, row.fields));
    });
  }

  private check(table: Table, what: string, permits: (rule: Row) => boolean): void {
    const { role, roles } = this;
    if (role === undefined || roles === undefined) return;
    const rule = role.id === undefined ? undefined : this.rule(roles, table.schema.name);
    if (rule !== undefined && permits(rule)) return;
    throw new OvsdbError(
      "permission error",
      `RBAC rules for client "${role.id ?? "(null)"}" role "${role.name}" prohibit ${what} table ` +
        `"${table.schema.name}".`,
    );
  }

  /** The row of RBAC_Permission for a table, if the role has one. */
  private rule(roles: Table, table: string): Row | undefined {
    for (const { fields } of roles.rows.values()) {
      if (datumOf(roles, fields, "name")?.keys[0] !== this.role?.name) continue;
      const rules = datumOf(roles, fields, "permissions");
      const at = rules?.keys.indexOf(table) ?? -1;
      return at < 0 ? undefined : this.permissions?.rows.get(String(rules?.values?.[at]));
    }
    return undefined;
  }

  private isOwn(rule: Row, table: Table, fields: Fields): boolean {
    const id = this.role?.id;
    return this.texts(rule, "authorization").some((place) => {
      if (place === "") return true;
      const [name = "", key] = place.split(":");
      const datum = datumOf(table, fields, name);
      if (datum === undefined) return false;
      if (key === undefined) {
        return datum.values === undefined && datum.keys.length === 1 && datum.keys[0] === id;
      }
      const at = datum.keys.indexOf(key);
      return at >= 0 && datum.values?.[at] === id;
    });
  }

  private flag(rule: Row, column: string): boolean {
    return this.ruleDatum(rule, column)?.keys[0] === true;
  }

  private texts(rule: Row, column: string): readonly string[] {
    return this.ruleDatum(rule, column)?.keys.map(String) ?? [];
  }

  private ruleDatum(rule: Row, column: string): Datum | undefined {
    return this.permissions && datumOf(this.permissions, rule.fields, column);
  }
}

function datumOf(table: Table, fields: Fields, name: string): Datum | undefined {
  const column = table.schema.columns.get(name);
  return column === undefined ? undefined : fields[column.index];
}

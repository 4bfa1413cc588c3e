/** What a revision changed, in lines that people read. */
import type { RevisionJson } from "../../../routes/history.ts";

type Changes = RevisionJson["changes"];
type Names = RevisionJson["names"];

export interface ChangedRow {
  readonly table: string;
  readonly name: string;
  readonly kind: "added" | "removed" | "changed";
  readonly columns: readonly {
    readonly name: string;
    readonly old: string | undefined;
    readonly now: string | undefined;
  }[];
}

/** OVSDB's notation (RFC 7047 §5.1) as text; UUIDs as the names of their rows. */
export function valueText(value: unknown, names: Names): string {
  if (Array.isArray(value)) {
    const [kind, inner] = value as unknown as readonly [unknown, unknown];
    if (kind === "uuid") return names[String(inner)] ?? String(inner).slice(0, 8);
    if (kind === "set" && Array.isArray(inner)) {
      return `[${inner.map((each) => valueText(each, names)).join(", ")}]`;
    }
    if (kind === "map" && Array.isArray(inner)) {
      const pairs = inner as readonly (readonly [unknown, unknown])[];
      return `{${
        pairs.map(([key, each]) => `${valueText(key, names)}=${valueText(each, names)}`).join(", ")
      }}`;
    }
  }
  if (typeof value === "string") return value === "" ? '""' : value;
  return JSON.stringify(value);
}

export function changedRows({ changes, names }: { changes: Changes; names: Names }): ChangedRow[] {
  return Object.entries(changes).flatMap(([table, rows]) =>
    Object.entries(rows).map(([uuid, change]): ChangedRow => {
      const { old, new: now, members = {} } = change;
      const kind = old === undefined && now !== undefined
        ? "added"
        : now === undefined && old !== undefined && Object.keys(members).length === 0
        ? "removed"
        : "changed";
      const columns = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])];
      const show = (value: unknown): string | undefined =>
        value === undefined ? undefined : valueText(value, names);
      return {
        table,
        name: change.name ?? names[uuid]?.replace(`${table} `, "") ?? uuid.slice(0, 8),
        kind,
        columns: [
          ...columns.map((name) => ({ name, old: show(old?.[name]), now: show(now?.[name]) })),
          ...Object.entries(members).map(([name, { removed, added }]) => ({
            name,
            old: show(removed),
            now: show(added),
          })),
        ],
      };
    })
  );
}

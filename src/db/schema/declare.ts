/**
 * The small language in which database schemas are declared as data, and the TypeScript types that
 * follow from a declaration.
 *
 * A declared schema has exactly the shape of RFC 7047 §3.2's `<database-schema>`, so it can be sent
 * to a client as it stands, and its literal types give each table's row type: an optional scalar is
 * `T | undefined`, a set a readonly array, a map a `ReadonlyMap`, a reference a UUID string.
 */

/** A row's identity: 36 lower-case characters, RFC 4122 text form. */
export type Uuid = string;

export type AtomicTypeName = "integer" | "real" | "boolean" | "string" | "uuid";

/** RFC 7047 §3.2 `<base-type>`; the plain name stands for a base type without constraints. */
export type BaseTypeDeclaration =
  | AtomicTypeName
  | {
    readonly type: AtomicTypeName;
    readonly enum?: readonly ["set", readonly string[]];
    readonly minInteger?: number;
    readonly maxInteger?: number;
    readonly refTable?: string;
    readonly refType?: "strong" | "weak";
  };

export interface TypeDeclaration {
  readonly key: BaseTypeDeclaration;
  readonly value?: BaseTypeDeclaration;
  readonly min?: 0 | 1;
  readonly max?: number | "unlimited";
}

export interface ColumnDeclaration {
  readonly type: TypeDeclaration;
  readonly mutable?: false;
  readonly ephemeral?: true;
}

export interface TableDeclaration {
  readonly columns: { readonly [column: string]: ColumnDeclaration };
  readonly isRoot?: true;
  readonly maxRows?: number;
  readonly indexes?: readonly (readonly string[])[];
}

export interface DatabaseDeclaration {
  readonly name: string;
  readonly version: string;
  readonly cksum: string;
  readonly tables: { readonly [table: string]: TableDeclaration };
}

/** Fixes a declaration's literal types, and checks its shape. */
export const database = <const S extends DatabaseDeclaration>(schema: S): S => schema;

export const table = <
  const C extends TableDeclaration["columns"],
  const O extends Omit<TableDeclaration, "columns"> = Record<never, never>,
>(columns: C, options?: O): { readonly columns: C } & NoInfer<O> =>
  ({ columns, ...options }) as { readonly columns: C } & NoInfer<O>;

export const integer = "integer" as const;
export const real = "real" as const;
export const boolean = "boolean" as const;
export const text = "string" as const;
export const uuid = "uuid" as const;

export const range = <const L extends number, const H extends number>(lowest: L, highest: H) =>
  ({ type: "integer", minInteger: lowest, maxInteger: highest }) as const;
export const atLeast = <const L extends number>(lowest: L) =>
  ({ type: "integer", minInteger: lowest }) as const;
export const oneOf = <const V extends readonly string[]>(...values: V) =>
  ({ type: "string", enum: ["set", values] }) as const;
/** A strong reference: the referenced row lives at least as long as this one. */
export const ref = <const T extends string>(refTable: T) => ({ type: "uuid", refTable }) as const;
/** A weak reference: disappears from the column when the referenced row is deleted. */
export const weakRef = <const T extends string>(refTable: T) =>
  ({ type: "uuid", refTable, refType: "weak" }) as const;

export const one = <const K extends BaseTypeDeclaration>(key: K) => ({ type: { key } }) as const;
export const optional = <const K extends BaseTypeDeclaration>(key: K) =>
  ({ type: { key, min: 0, max: 1 } }) as const;
export const set = <
  const K extends BaseTypeDeclaration,
  const M extends number | "unlimited" = "unlimited",
>(key: K, max?: M) => ({ type: { key, min: 0, max: (max ?? "unlimited") as M } }) as const;
export const nonEmptySet = <const K extends BaseTypeDeclaration>(key: K) =>
  ({ type: { key, min: 1, max: "unlimited" } }) as const;
export const map = <const K extends BaseTypeDeclaration, const V extends BaseTypeDeclaration>(
  key: K,
  value: V,
) => ({ type: { key, value, min: 0, max: "unlimited" } }) as const;

/** Set once by `insert`, never changed afterwards. */
export const immutable = <const C extends ColumnDeclaration>(column: C) =>
  ({ ...column, mutable: false }) as const;
/** Lives in memory only: lost, by design, when the server restarts. */
export const ephemeral = <const C extends ColumnDeclaration>(column: C) =>
  ({ ...column, ephemeral: true }) as const;

// The types that follow from a declaration.

type AtomOfName<N> = N extends "integer" | "real" ? number
  : N extends "boolean" ? boolean
  : string;

/** The TypeScript type of one atom of a base type; an enumeration is the union of its members. */
export type AtomOf<B> = B extends AtomicTypeName ? AtomOfName<B>
  : B extends { readonly enum: readonly ["set", infer V extends readonly string[]] } ? V[number]
  : B extends { readonly type: infer N } ? AtomOfName<N>
  : never;

/** The TypeScript type of a column's value, as read. */
export type ValueOf<T> = T extends { readonly key: infer K; readonly value: infer V }
  ? ReadonlyMap<AtomOf<K>, AtomOf<V>>
  : T extends { readonly key: infer K; readonly min: 0; readonly max: 1 } ? AtomOf<K> | undefined
  : T extends { readonly key: infer K; readonly max: number | "unlimited" } ? readonly AtomOf<K>[]
  : T extends { readonly key: infer K } ? AtomOf<K>
  : never;

export type TableNameOf<S extends DatabaseDeclaration> = keyof S["tables"] & string;

export type ColumnsOf<S extends DatabaseDeclaration, T extends TableNameOf<S>> =
  S["tables"][T]["columns"];

export type RowOf<S extends DatabaseDeclaration, T extends TableNameOf<S>> =
  & {
    readonly [C in keyof ColumnsOf<S, T>]: ColumnsOf<S, T>[C] extends { readonly type: infer Y }
      ? ValueOf<Y>
      : never;
  }
  & { readonly _uuid: Uuid };

/** What `insert` and `update` take: any of the columns; `undefined` empties an optional one. */
export type ColumnValuesOf<S extends DatabaseDeclaration, T extends TableNameOf<S>> = {
  readonly [C in keyof ColumnsOf<S, T>]?:
    | (ColumnsOf<S, T>[C] extends { readonly type: infer Y } ? ValueOf<Y> : never)
    | undefined;
};

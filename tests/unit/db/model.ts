/**
 * The simplest database that obeys the same rules: plain objects, everything recomputed from scratch
 * at each commit. It is compared with the real one; see `property.test.ts`.
 */
export interface ModelRow {
  name: string;
  /** Strong references: to `Node` rows. */
  children: string[];
  /** Weak references: to `Node` rows. */
  likes: string[];
  /** A weak reference that must be there, in `Root` only. */
  count: number;
}

export type ModelTable = "Root" | "Node";

export type ModelOperation =
  | { op: "insert"; table: ModelTable; uuid: string; row: Partial<ModelRow> }
  | { op: "update"; table: ModelTable; uuid: string | undefined; row: Partial<ModelRow> }
  | {
    op: "mutate";
    table: ModelTable;
    uuid: string | undefined;
    column: "children" | "likes" | "count";
    mutator: "insert" | "delete" | "+=";
    value: string[] | number;
  }
  | { op: "delete"; table: ModelTable; uuid: string | undefined };

export const MAX_ROOTS = 3;
export const MAX_COUNT = 10;

type Rows = Map<string, ModelRow>;
type State = Record<ModelTable, Rows>;

/** What went wrong: the tag of the error. */
export class ModelError extends Error {}

const copy = (rows: Rows): Rows =>
  new Map([...rows].map((
    [uuid, row],
  ) => [uuid, { ...row, children: [...row.children], likes: [...row.likes] }]));

export class Model {
  state: State = { Root: new Map(), Node: new Map() };

  /** Throws `ModelError`, and then nothing has changed. */
  transact(operations: readonly ModelOperation[]): void {
    const next = { Root: copy(this.state.Root), Node: copy(this.state.Node) };
    const deleted = new Set<string>();
    for (const operation of operations) execute(next, operation, deleted, this.state);
    commit(next);
    this.state = next;
  }
}

function execute(state: State, operation: ModelOperation, deleted: Set<string>, old: State): void {
  const rows = state[operation.table];
  const check = (row: Partial<ModelRow>): void => {
    if ((row.count ?? 0) > MAX_COUNT || (row.count ?? 0) < 0) {
      throw new ModelError("constraint violation");
    }
  };
  if (operation.op === "insert") {
    const { uuid, row } = operation;
    const key = `${operation.table} ${uuid}`;
    if (rows.has(uuid) || deleted.has(key)) throw new ModelError("duplicate uuid");
    check(row);
    rows.set(uuid, { name: "", children: [], likes: [], count: 0, ...row });
    return;
  }
  const targets = [...rows.keys()].filter((uuid) =>
    operation.uuid === undefined || operation.uuid === uuid
  );
  if (operation.op === "update") check(operation.row);
  for (const uuid of targets) {
    const row = rows.get(uuid) as ModelRow;
    if (operation.op === "update") Object.assign(row, operation.row);
    else if (operation.op === "delete") {
      rows.delete(uuid);
      if (old[operation.table].has(uuid)) deleted.add(`${operation.table} ${uuid}`);
    } else if (operation.column === "count") {
      row.count += operation.value as number;
      check(row);
    } else {
      const given = operation.value as string[];
      row[operation.column] = operation.mutator === "insert"
        ? [...new Set([...row[operation.column], ...given])]
        : row[operation.column].filter((member) => !given.includes(member));
    }
  }
}

function commit(state: State): void {
  const { Root, Node } = state;
  const all = (): [string, ModelRow][] => [...Root, ...Node];
  const referenced = (uuid: string): boolean =>
    all().some(([from, row]) => from !== uuid && row.children.includes(uuid));
  for (const [from, { children }] of all()) {
    if (children.some((to) => to !== from && !Node.has(to))) {
      throw new ModelError("referential integrity violation");
    }
  }
  for (;;) {
    const garbage = [...Node.keys()].find((uuid) => !referenced(uuid));
    if (garbage === undefined) break;
    Node.delete(garbage);
  }
  if (Root.size > MAX_ROOTS) throw new ModelError("constraint violation");
  for (const [, row] of all()) row.likes = row.likes.filter((to) => Node.has(to));
  for (const rows of [Root, Node]) {
    const names = [...rows.values()].map(({ name }) => name);
    if (new Set(names).size !== names.length) throw new ModelError("constraint violation");
  }
}

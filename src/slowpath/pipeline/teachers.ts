/**
 * Counts the `learn(…,delete_learned)` actions in a bridge's rules by the table and cookie of what
 * they learn: when the last of them goes, so do the rules that were learned.
 */
import type { Action } from "../../openflow/actions/types.ts";

export interface Orphan {
  readonly table: number;
  readonly cookie: bigint;
}

export class Teachers {
  private readonly counts = new Map<string, Orphan & { count: number }>();
  private readonly emptied = new Set<string>();

  /** The actions of a rule come (`by` 1) or go (-1). */
  add(actions: readonly Action[], by: 1 | -1): void {
    for (const action of actions) {
      if (action.type === "clone") this.add(action.actions, by);
      if (action.type !== "learn" || !action.deleteLearned) continue;
      const { table, cookie } = action;
      const key = `${table}/${cookie}`;
      const entry = this.counts.get(key) ?? { table, cookie, count: 0 };
      entry.count += by;
      this.counts.set(key, entry);
      if (entry.count === 0) this.emptied.add(key);
    }
  }

  get hasOrphans(): boolean {
    return this.emptied.size > 0;
  }

  /** What nobody teaches any more since the last call. */
  *orphans(): IterableIterator<Orphan> {
    for (const key of this.emptied) {
      this.emptied.delete(key);
      const entry = this.counts.get(key)!;
      if (entry.count > 0) continue;
      this.counts.delete(key);
      yield entry;
    }
  }
}

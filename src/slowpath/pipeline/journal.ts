/**
 * Transactions over the OpenFlow state of a bridge: each change adds the step that takes it back and,
 * for those who listen, what it was. A transaction that fails runs its steps backwards; one inside
 * another takes back only its own. What was changed is told once, when the outermost one is over.
 *
 * Everything is on one thread, so a transaction needs no locks: nobody looks while it runs.
 */
export class Journal<Change> {
  private steps: (() => void)[] = [];
  private changes: Change[] = [];
  private depth = 0;

  /** `publish` hears of the changes of each transaction that made some. */
  constructor(private readonly publish: (changes: readonly Change[]) => void) {}

  /** Notes a change, if it is one that listeners hear of, and how to take it back. */
  note(undo: () => void, change?: Change): void {
    this.steps.push(undo);
    if (change !== undefined) this.changes.push(change);
  }

  /** Runs `body`; what it throws comes back when its changes are taken back. */
  run<T>(body: () => T): T {
    const steps = this.steps.length;
    const changes = this.changes.length;
    this.depth++;
    let result: T;
    try {
      result = body();
    } catch (error) {
      while (this.steps.length > steps) this.steps.pop()!();
      this.changes.length = changes;
      this.depth--;
      throw error;
    }
    this.depth--;
    if (this.depth === 0) {
      const done = this.changes;
      this.steps = [];
      this.changes = [];
      if (done.length > 0) this.publish(done);
    }
    return result;
  }
}

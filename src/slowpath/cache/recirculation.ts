/**
 * Recirculation ids and the frozen states (pipeline/frozen.ts) that they stand for. Equal states of a
 * bridge share one id, so translating a flow again gives the same actions.
 *
 * An id lives as long as a megaflow or somebody else holds it, and `GRACE_MS` longer, so that packets
 * on their way find it; but once nobody holds it, an equal state gets another. Ids grow and are not
 * used again before 2^32 of them were; 0 is none.
 */
import type { Clock } from "../clock.ts";
import { frozenIdentity, type FrozenState, type Recirculations } from "../pipeline/frozen.ts";
import type { BridgeModel } from "../pipeline/model.ts";

const GRACE_MS = 2000;

interface Entry {
  readonly frozen: FrozenState;
  readonly identity: string;
  references: number;
  /** When the last reference went. */
  idleSinceMs: number;
}

export class RecirculationIds implements Recirculations {
  private readonly entries = new Map<number, Entry>();
  private readonly byBridge = new WeakMap<BridgeModel, Map<string, number>>();
  /** Ids without references, oldest first. */
  private readonly idle = new Set<number>();
  private next = 1;

  constructor(private readonly clock: Pick<Clock, "now">) {}

  get size(): number {
    return this.entries.size;
  }

  freeze(frozen: FrozenState): number {
    let ids = this.byBridge.get(frozen.bridge);
    if (!ids) this.byBridge.set(frozen.bridge, ids = new Map());
    const identity = frozenIdentity(frozen);
    let id = ids.get(identity);
    if (id === undefined) {
      id = this.allocate();
      ids.set(identity, id);
      this.entries.set(id, { frozen, identity, references: 0, idleSinceMs: 0 });
    }
    this.entries.get(id)!.references++;
    return id;
  }

  /** An id of its own for a state that others may equal (two bonds of a bridge). */
  reserve(frozen: FrozenState): number {
    const id = this.allocate();
    this.entries.set(id, { frozen, identity: `own/${id}`, references: 1, idleSinceMs: 0 });
    return id;
  }

  private allocate(): number {
    for (;;) {
      const id = this.next;
      this.next = id === 0xffffffff ? 1 : id + 1;
      if (!this.entries.has(id)) return id;
    }
  }

  find(id: number): FrozenState | undefined {
    return this.entries.get(id)?.frozen;
  }

  /** One more reference to an id that is there, though nobody may hold it any more. */
  hold(id: number): boolean {
    const entry = this.entries.get(id);
    if (!entry) return false;
    entry.references++;
    this.idle.delete(id);
    return true;
  }

  release(ids: readonly number[]): void {
    for (const id of ids) {
      const entry = this.entries.get(id);
      if (!entry || --entry.references > 0) continue;
      entry.idleSinceMs = this.clock.now();
      this.idle.add(id);
      const known = this.byBridge.get(entry.frozen.bridge);
      if (known?.get(entry.identity) === id) known.delete(entry.identity);
    }
  }

  /** The states of a bridge go with it. */
  forget(bridge: BridgeModel): void {
    for (const [id, { frozen }] of this.entries) {
      if (frozen.bridge !== bridge) continue;
      this.entries.delete(id);
      this.idle.delete(id);
    }
    this.byBridge.delete(bridge);
  }

  /** Forgets the ids that nobody has held for long enough. */
  reap(): void {
    for (const id of this.idle) {
      if (this.clock.now() - this.entries.get(id)!.idleSinceMs < GRACE_MS) return;
      this.idle.delete(id);
      this.entries.delete(id);
    }
  }
}

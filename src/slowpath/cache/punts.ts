/**
 * The numbers that `userspace` datapath actions carry, and the punts (pipeline/punt.ts) they stand
 * for. Equal punts of a bridge share one number, so translating a flow again gives the same actions.
 *
 * A number lives as long as a megaflow holds it, and `GRACE_MS` longer: upcalls that were on their
 * way when the megaflow went still find it. Numbers are small and reused; 0 is never one.
 */
import type { Clock } from "../clock.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import { type Punt, puntIdentity, type PuntNumbers } from "../pipeline/punt.ts";

const GRACE_MS = 2000;

interface Entry {
  readonly punt: Punt;
  readonly identity: string;
  references: number;
  /** When the last reference went. */
  idleSinceMs: number;
}

export class Punts implements PuntNumbers {
  private readonly entries = new Map<number, Entry>();
  private readonly byBridge = new WeakMap<BridgeModel, Map<string, number>>();
  /** Numbers without references, oldest first. */
  private readonly idle = new Set<number>();
  private readonly free: number[] = [];
  private last = 0;

  constructor(private readonly clock: Pick<Clock, "now">) {}

  get size(): number {
    return this.entries.size;
  }

  number(punt: Punt): number {
    let numbers = this.byBridge.get(punt.bridge);
    if (!numbers) this.byBridge.set(punt.bridge, numbers = new Map());
    const identity = puntIdentity(punt);
    let number = numbers.get(identity);
    if (number === undefined) {
      number = this.free.pop() ?? ++this.last;
      numbers.set(identity, number);
      this.entries.set(number, { punt, identity, references: 0, idleSinceMs: 0 });
    }
    this.entries.get(number)!.references++;
    this.idle.delete(number);
    return number;
  }

  get(number: number): Punt | undefined {
    return this.entries.get(number)?.punt;
  }

  release(numbers: readonly number[]): void {
    for (const number of numbers) {
      const entry = this.entries.get(number);
      if (!entry || --entry.references > 0) continue;
      entry.idleSinceMs = this.clock.now();
      this.idle.add(number);
    }
  }

  /** Frees the numbers that nobody has held for long enough. */
  reap(): void {
    for (const number of this.idle) {
      const entry = this.entries.get(number)!;
      if (this.clock.now() - entry.idleSinceMs < GRACE_MS) return;
      this.idle.delete(number);
      this.entries.delete(number);
      this.byBridge.get(entry.punt.bridge)?.delete(entry.identity);
      this.free.push(number);
    }
  }
}

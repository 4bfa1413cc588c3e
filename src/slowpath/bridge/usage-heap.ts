/**
 * Who has most entries: a binary heap of counted things, the largest first. Among equals the one is
 * first that Open vSwitch's heap would have first, so that a full MAC table loses the same address.
 */
export class UsageHeap<T> {
  private readonly items: T[] = [];
  private readonly counts = new Map<T, number>();
  private readonly places = new Map<T, number>();

  /** One of those with most; undefined if nobody has any. */
  get first(): T | undefined {
    return this.items[0];
  }

  add(item: T): void {
    const count = this.counts.get(item) ?? 0;
    this.counts.set(item, count + 1);
    if (count === 0) this.put(item, this.items.length);
    this.settle(this.places.get(item)!);
  }

  remove(item: T): void {
    const count = this.counts.get(item);
    const at = this.places.get(item);
    if (count === undefined || at === undefined) return;
    if (count > 1) {
      this.counts.set(item, count - 1);
      return this.settle(at);
    }
    this.counts.delete(item);
    this.places.delete(item);
    const last = this.items.pop()!;
    if (last === item) return;
    this.put(last, at);
    this.settle(at);
  }

  private put(item: T, at: number): void {
    this.items[at] = item;
    this.places.set(item, at);
  }

  private countAt(at: number): number {
    return this.counts.get(this.items[at]!) ?? 0;
  }

  private swap(a: number, b: number): void {
    const [first, second] = [this.items[a]!, this.items[b]!];
    this.put(second, a);
    this.put(first, b);
  }

  /** Up as long as the parent has less; else down, to the larger child's place. */
  private settle(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.countAt(parent) >= this.countAt(at)) break;
      this.swap(parent, at);
      at = parent;
    }
    if (at !== from) return;
    for (;;) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.items.length && this.countAt(child) > this.countAt(largest)) {
          largest = child;
        }
      }
      if (largest === at) return;
      this.swap(largest, at);
      at = largest;
    }
  }
}

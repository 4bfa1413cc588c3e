/**
 * How many times each of some hashes is there: what a subtable knows of the beginnings of its keys.
 *
 * Open addressing with linear probing in one array, two numbers a place: the hash and its count, 0 for
 * an empty place. Taking one out moves those behind it up, so that a search ends at the first empty
 * place. At most half of the places are taken.
 */
const FIRST_PLACES = 4;

export class HashCounts {
  private places = new Int32Array(2 * FIRST_PLACES);
  private mask = FIRST_PLACES - 1;
  /** Different hashes. */
  size = 0;

  has(hash: number): boolean {
    return this.places[2 * this.find(hash) + 1] !== 0;
  }

  add(hash: number): void {
    const at = this.find(hash);
    if (this.places[2 * at + 1]!++ > 0) return;
    this.places[2 * at] = hash;
    if (++this.size * 2 > this.mask) this.grow();
  }

  /** Takes back one `add`; throws if there was none. */
  remove(hash: number): void {
    const { places, mask } = this;
    let hole = this.find(hash);
    if (places[2 * hole + 1] === 0) throw new Error("hash counts: no such hash");
    if (--places[2 * hole + 1]! > 0) return;
    this.size--;
    for (let at = (hole + 1) & mask; places[2 * at + 1] !== 0; at = (at + 1) & mask) {
      // Who stands between its own place and here finds its way only if nothing on it is empty.
      const home = places[2 * at]! & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      places[2 * hole] = places[2 * at]!;
      places[2 * hole + 1] = places[2 * at + 1]!;
      places[2 * at + 1] = 0;
      hole = at;
    }
  }

  /** Where the hash is, or where it would be. */
  private find(hash: number): number {
    const { places, mask } = this;
    let at = hash & mask;
    while (places[2 * at + 1] !== 0 && places[2 * at] !== hash) at = (at + 1) & mask;
    return at;
  }

  private grow(): void {
    const old = this.places;
    this.places = new Int32Array(2 * old.length);
    this.mask = this.mask * 2 + 1;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1] === 0) continue;
      const at = this.find(old[i]!);
      this.places[2 * at] = old[i]!;
      this.places[2 * at + 1] = old[i + 1]!;
    }
  }
}

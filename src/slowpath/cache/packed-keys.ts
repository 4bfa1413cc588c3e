/**
 * Many flow keys in little room: of each only the words up to the last that is not zero, in arrays of
 * three widths, so that a hundred thousand of them are no objects. A key is known by a number.
 *
 *     number = place * WIDTHS + width
 */
import type { FlowKey } from "../../packet/key.ts";
import { COMMON_BYTES, DP_KEY_WORDS, METADATA_WORD } from "../../packet/layout.ts";

/** Plain IPv4; everything that headers say; with metadata. */
const WIDTHS = [COMMON_BYTES / 4, METADATA_WORD, DP_KEY_WORDS] as const;
const FIRST_PLACES = 64;

class Shelf {
  private words: Uint32Array;
  private places = FIRST_PLACES;
  private used = 0;
  private readonly free: number[] = [];

  constructor(readonly width: number) {
    this.words = new Uint32Array(FIRST_PLACES * width);
  }

  put(key: Uint32Array): number {
    const { width } = this;
    const place = this.free.pop() ?? this.used++;
    if (place >= this.places) this.grow();
    const { words } = this;
    for (let i = 0, at = place * width; i < width; i++) words[at + i] = key[i]!;
    return place;
  }

  read(place: number, into: Uint32Array): void {
    const at = place * this.width;
    into.fill(0);
    into.set(this.words.subarray(at, at + this.width));
  }

  remove(place: number): void {
    this.free.push(place);
  }

  private grow(): void {
    this.places *= 2;
    const words = new Uint32Array(this.places * this.width);
    words.set(this.words);
    this.words = words;
  }
}

export class PackedKeys {
  private readonly shelves = WIDTHS.map((width) => new Shelf(width));

  /** Keeps the datapath's section of a key; its number. */
  put({ words }: FlowKey): number {
    let end = DP_KEY_WORDS;
    while (end > 0 && words[end - 1] === 0) end--;
    let width = 0;
    while (WIDTHS[width]! < end) width++;
    return this.shelves[width]!.put(words) * WIDTHS.length + width;
  }

  read(number: number, { words }: FlowKey): void {
    this.shelf(number).read(Math.floor(number / WIDTHS.length), words);
  }

  remove(number: number): void {
    this.shelf(number).remove(Math.floor(number / WIDTHS.length));
  }

  private shelf(number: number): Shelf {
    return this.shelves[number % WIDTHS.length]!;
  }
}

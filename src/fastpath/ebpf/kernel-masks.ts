/**
 * The masks that installed flows have, and the table of them that the main program goes through.
 *
 * - Ids are never used twice, so a mask's entry that is being replaced cannot be taken for another.
 * - The entries' order follows their use: `rank` reads how often each was hit, and says whether so
 *   many are tried that the exact-match cache pays (one try costs about as much as it does).
 */
import {
  MASK_HEADER_BYTES,
  MASK_INVALID,
  MAX_KERNEL_MASKS,
  SETTINGS_EXACT,
  SETTINGS_MASKS,
} from "./abi.ts";
import type { KeyLayout, MaskShape } from "./key-layout.ts";
import { maskEntryBytes } from "./main-program.ts";
import type { LayoutMaps } from "./maps.ts";

export interface KernelMask {
  readonly id: number;
  readonly shape: MaskShape;
  flows: number;
  /** Where its words stand in a key of the layout that it was last packed for. */
  places: { readonly layout: KeyLayout; readonly words: Int32Array } | undefined;
}

/** Indexes of a key's 32-bit words, one for each word of the mask; -1: the layout lacks it. */
export function placesOf(mask: KernelMask, layout: KeyLayout): Int32Array {
  let { places } = mask;
  if (places?.layout !== layout) {
    places = { layout, words: mask.shape.words.map((word) => (layout.place(word) ?? -4) >> 2) };
    mask.places = places;
  }
  return places.words;
}

/** Tries a lookup on the average, above which the cache is asked first. */
const EXACT_PAYS = 2.5;
/** Rounds of `rank` after which the use of the cache is put to the test again. */
const RETRY_ROUNDS = 16;

export class KernelMasks {
  private readonly byText = new Map<string, KernelMask>();
  private order: KernelMask[] = [];
  private lastId = 0;
  private table = new DataView(new ArrayBuffer(0));
  private words = new Uint32Array(0);
  private settings = new Uint32Array(4);
  private layout: KeyLayout | undefined;
  private roundsWithCache = 0;

  /** `alwaysExact`: the cache is asked first whatever it costs (tests). */
  constructor(private readonly alwaysExact = false) {}

  get size(): number {
    return this.order.length;
  }

  get usesExact(): boolean {
    return this.settings[SETTINGS_EXACT / 4] === 1;
  }

  /** The mask with one more flow; undefined if there are as many as fit. */
  acquire(shape: MaskShape): KernelMask | undefined {
    let mask = this.byText.get(shape.text);
    if (!mask) {
      if (this.order.length >= MAX_KERNEL_MASKS) return undefined;
      this.lastId = (this.lastId + 1) % MASK_INVALID;
      mask = { id: this.lastId, shape, flows: 0, places: undefined };
      this.byText.set(shape.text, mask);
      this.order.push(mask);
      this.write(this.order.length - 1);
      this.writeCount();
    }
    mask.flows++;
    return mask;
  }

  /** The mask with one flow less. */
  release(mask: KernelMask): void {
    if (--mask.flows > 0) return;
    this.byText.delete(mask.shape.text);
    const at = this.order.indexOf(mask);
    const last = this.order.pop()!;
    if (last !== mask) {
      this.order[at] = last;
      this.write(at);
    }
    this.writeCount();
  }

  /** From now on the table is in these maps. */
  use(layout: KeyLayout, maps: LayoutMaps): void {
    this.layout = layout;
    const memory = maps.masks.map();
    this.table = new DataView(memory);
    this.words = new Uint32Array(memory);
    this.settings = new Uint32Array(maps.settings.map());
    this.useExact(false);
    this.order.forEach((_, i) => this.write(i));
    this.writeCount();
  }

  /** Puts the most used first; the counts start again. To be called about once a second. */
  rank(): void {
    if (!this.layout || this.order.length < 2) {
      this.useExact(false);
      return;
    }
    const stride = maskEntryBytes(this.layout) / 4;
    const hits = this.order.map((mask, i) => ({ mask, hits: this.words[i * stride + 1]! }));
    const total = hits.reduce((sum, each) => sum + each.hits, 0);
    hits.sort((a, b) => b.hits - a.hits);
    hits.forEach(({ mask }, i) => {
      if (this.order[i] === mask) this.words[i * stride + 1] = 0;
      else {
        this.order[i] = mask;
        this.write(i);
      }
    });
    if (total === 0) return;
    const tries = hits.reduce((sum, each, i) => sum + each.hits * (i + 1), 0) / total;
    if (!this.usesExact) this.roundsWithCache = 0;
    else if (++this.roundsWithCache < RETRY_ROUNDS) return;
    this.useExact(!this.usesExact && tries > EXACT_PAYS);
  }

  private useExact(use: boolean): void {
    this.settings[SETTINGS_EXACT / 4] = use || this.alwaysExact ? 1 : 0;
  }

  private write(at: number): void {
    const mask = this.order[at]!;
    const { layout, table, words } = this;
    if (!layout) return;
    const from = at * maskEntryBytes(layout);
    const idWord = from / 4;
    // Readers look at the id before and after the rest.
    Atomics.store(words, idWord, MASK_INVALID);
    const into = new DataView(table.buffer, from + MASK_HEADER_BYTES, layout.bytes);
    layout.pack(mask.shape.bits, mask.shape.bits, 0, into);
    words[idWord + 1] = 0;
    Atomics.store(words, idWord, mask.id);
  }

  private writeCount(): void {
    Atomics.store(this.settings, SETTINGS_MASKS / 4, this.order.length);
  }
}

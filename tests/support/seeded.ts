/** Random numbers that a failed run can repeat: mulberry32, seeded by `SOLOVS_SEED` or by 1. */

export class Seeded {
  constructor(private state = Number(process.env.SOLOVS_SEED ?? "1")) {}

  /** 0 ≤ n < `below`. */
  next(below: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next(256));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.next(from.length)]!;
  }
}

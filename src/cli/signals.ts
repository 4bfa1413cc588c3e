/**
 * The wish to stop, from whichever side it comes: a signal, or the program itself.
 *
 * The first wish resolves `stopped`. A later signal means that somebody has lost patience, and calls
 * `force`. Signals right after the first do not count: with `npm start`, one Ctrl-C arrives twice,
 * from the terminal and from npm.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SAME_WISH_MS = 750;

export class StopSignals {
  /** Resolves to what asked for the stop. */
  readonly stopped: Promise<string>;
  private readonly resolve: (cause: string) => void;
  private readonly handler = (signal: string): void => this.signalled(signal);
  private firstMs: number | undefined;

  /** `now` counts milliseconds. */
  constructor(
    private readonly force: (cause: string) => void,
    private readonly now: () => number = () => performance.now(),
  ) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.stopped = promise;
    this.resolve = resolve;
    for (const signal of SIGNALS) process.on(signal, this.handler);
  }

  /** True once somebody wishes to stop. */
  get stopping(): boolean {
    return this.firstMs !== undefined;
  }

  stop(cause: string): void {
    this.firstMs ??= this.now();
    this.resolve(cause);
  }

  private signalled(signal: string): void {
    const firstMs = this.firstMs;
    this.stop(signal);
    if (firstMs !== undefined && this.now() - firstMs > SAME_WISH_MS) this.force(signal);
  }

  /** Gives the signals back to their default. */
  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.handler);
  }
}

/** Waiting for something that another process does, without guessing how long it takes. */

export interface Patience {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
}

/** Calls `probe` until it returns something other than undefined or false; returns that. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 5000, everyMs = 20 }: Patience = {},
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= end) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : "";
      throw new Error(`not seen within ${timeoutMs} ms: ${what}${why}`);
    }
    await Bun.sleep(everyMs);
  }
}

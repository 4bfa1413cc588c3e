/**
 * A logger for what others can cause as often as they like, by the packets that they send: BURST lines
 * at once, then one a second. Debugging is not limited: whoever turns it on wants to see all.
 */
import type { Logger } from "./log.ts";

const BURST = 60;
const REFILL_MS = 1000;

export function limitedLogger(log: Logger, clock: { now(): number }): Logger {
  let tokens = BURST;
  let refilledMs = clock.now();
  let dropped = 0;
  const limited = (level: "err" | "warn" | "info") => (message: string): void => {
    const refill = Math.floor((clock.now() - refilledMs) / REFILL_MS);
    refilledMs += refill * REFILL_MS;
    tokens = Math.min(BURST, tokens + refill);
    if (tokens === 0) {
      dropped++;
      return;
    }
    tokens--;
    const more = dropped === 0 ? "" : ` (${dropped} messages before this one were left out)`;
    dropped = 0;
    log[level](message + more);
  };
  return {
    module: log.module,
    emer: (message) => log.emer(message),
    err: limited("err"),
    warn: limited("warn"),
    info: limited("info"),
    dbg: (message) => log.dbg(message),
    enabled: (level) => log.enabled(level),
  };
}

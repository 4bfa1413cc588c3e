/** Time as a commit-confirm window needs it: it must be right after a restart too. */
import { readFileSync } from "node:fs";

export interface HistoryClock {
  /** Milliseconds since 1970. May be set, forward and back, while the machine runs. */
  wallMs(): number;
  /**
   * Milliseconds since the machine started, sleep included, which nobody can set; and which start
   * that was. Where the kernel does not tell, a different `id` each time.
   */
  boot(): { readonly id: string; readonly ms: number };
  /** Runs something later; returns what prevents it. It keeps no process alive. */
  after(delayMs: number, run: () => void): () => void;
}

export function systemHistoryClock(): HistoryClock {
  const processId = crypto.randomUUID();
  return {
    wallMs: () => Date.now(),
    after: (delayMs, run) => {
      const timer = setTimeout(run, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
    boot: () => {
      try {
        const id = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
        const [uptime = ""] = readFileSync("/proc/uptime", "utf8").split(" ");
        return { id, ms: Math.round(Number(uptime) * 1000) };
      } catch {
        return { id: processId, ms: performance.now() };
      }
    },
  };
}

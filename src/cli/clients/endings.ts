/** `--timeout`: the program is ended by the signal that ends Open vSwitch's tools, and says so. */
import type { ClientLog } from "./client-log.ts";

/** `seconds` 0: as `OVS_CTL_TIMEOUT` says, or never. Returns what `clearTimeout` takes. */
export function setAlarm(
  seconds: number,
  log: ClientLog,
): ReturnType<typeof setTimeout> | undefined {
  const fromEnvironment = process.env["OVS_CTL_TIMEOUT"] ?? "";
  const limit = seconds || (/^\d+$/.test(fromEnvironment) ? Number(fromEnvironment) : 0);
  if (limit === 0) return undefined;
  return setTimeout(() => {
    log.log("fatal_signal", "warn", "terminating with signal 14 (Alarm clock)");
    process.kill(process.pid, "SIGALRM");
  }, limit * 1000);
}

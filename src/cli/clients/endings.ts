/** Signals that end a client, which Open vSwitch's tools tell before they die of them. */
import { constants } from "node:os";
import type { ClientLog } from "./client-log.ts";

const NAMES = {
  SIGHUP: "Hangup",
  SIGINT: "Interrupt",
  SIGTERM: "Terminated",
  SIGALRM: "Alarm clock",
} as const;

type Ending = keyof typeof NAMES;

function dieOf(signal: Ending, log: ClientLog): void {
  const number = constants.signals[signal];
  log.log("fatal_signal", "warn", `terminating with signal ${number} (${NAMES[signal]})`);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Tells which signal ended the program; whoever started it sees that it died of it. */
export function tellEndings(log: ClientLog): void {
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => dieOf(signal, log));
  }
}

/**
 * `--timeout`: ends the program after so many seconds; with 0 as `OVS_CTL_TIMEOUT` says, or never.
 * Returns what `clearTimeout` takes.
 */
export function setAlarm(
  seconds: number,
  log: ClientLog,
): ReturnType<typeof setTimeout> | undefined {
  const fromEnvironment = process.env["OVS_CTL_TIMEOUT"] ?? "";
  const limit = seconds || (/^\d+$/.test(fromEnvironment) ? Number(fromEnvironment) : 0);
  return limit === 0 ? undefined : setTimeout(() => dieOf("SIGALRM", log), limit * 1000);
}

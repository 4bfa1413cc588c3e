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

/**
 * Tells which signal ended the program, so that whoever started it sees that it died of it; with
 * `timeoutSeconds` (0: as `OVS_CTL_TIMEOUT` says, or never) the program ends so itself. Returns the
 * function that gives the signals back and stops the clock: for when the client has ended otherwise.
 */
export function watchEndings(timeoutSeconds: number, log: ClientLog): () => void {
  const handlers = (["SIGHUP", "SIGINT", "SIGTERM"] as const).map((signal) => {
    const handler = () => dieOf(signal, log);
    process.once(signal, handler);
    return () => process.off(signal, handler);
  });
  const fromEnvironment = process.env["OVS_CTL_TIMEOUT"] ?? "";
  const limit = timeoutSeconds || (/^\d+$/.test(fromEnvironment) ? Number(fromEnvironment) : 0);
  const alarm = limit === 0 ? undefined : setTimeout(() => dieOf("SIGALRM", log), limit * 1000);
  return () => {
    clearTimeout(alarm);
    for (const giveBack of handlers) giveBack();
  };
}

/**
 * `solovs stop` and `solovs cleanup`: the end of a switch, and of what it left in the kernel.
 *
 *     solovs stop             the process ends; what the kernel forwards goes on, for the next start
 *     solovs stop --cleanup   nothing is left
 *     solovs cleanup          nothing is left of a process that has ended or crashed
 */
import { join, resolve } from "node:path";
import { sweepInstance } from "../fastpath/ebpf/sweep.ts";
import { lockHolder } from "../linux/lock.ts";
import { CommandError, EXIT, reason } from "./exit.ts";
import { controlRequest } from "./unixctl.ts";

const POLL_MS = 20;
const STOP_TIMEOUT_MS = 15_000;

export interface EndOptions {
  readonly runDir: string;
}

const pidFile = (runDir: string): string => join(runDir, "ovs-vswitchd.pid");

/** Asks the switch of the run directory to end, and waits until it has. */
export async function stop(options: EndOptions & { readonly cleanup: boolean }): Promise<number> {
  const runDir = resolve(options.runDir);
  const pid = lockHolder(pidFile(runDir));
  if (pid === undefined) {
    throw new CommandError(
      `no switch runs in ${runDir}.\nWhat one left in the kernel: solovs cleanup --run-dir ${runDir}`,
    );
  }
  const socket = join(runDir, `ovs-vswitchd.${pid}.ctl`);
  try {
    await controlRequest(socket, "exit", options.cleanup ? ["--cleanup"] : []);
  } catch (error) {
    throw new CommandError(`process ${pid} does not answer on ${socket}: ${reason(error)}`);
  }
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  while (lockHolder(pidFile(runDir)) === pid) {
    if (performance.now() > deadline) {
      throw new CommandError(`process ${pid} has not ended after ${STOP_TIMEOUT_MS / 1000} s`);
    }
    await Bun.sleep(POLL_MS);
  }
  return EXIT.ok;
}

/** Removes programs, pins and devices of an instance that no process holds; says what there was. */
export function cleanup(options: EndOptions): number {
  const runDir = resolve(options.runDir);
  const pid = lockHolder(pidFile(runDir));
  if (pid !== undefined) {
    throw new CommandError(
      `the switch in ${runDir} runs (process ${pid}).\nEnd it with: solovs stop --cleanup --run-dir ${runDir}`,
    );
  }
  const swept = sweepInstance(runDir);
  for (const what of swept) console.log(`removed ${what}`);
  if (swept.length === 0) console.log("there was nothing to remove");
  return EXIT.ok;
}

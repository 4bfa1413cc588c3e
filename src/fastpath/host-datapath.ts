/**
 * The datapath over the host's devices: in the kernel where it allows that and where it is asked for,
 * else in userspace. What was chosen, and why not the other, is logged.
 */
import type { Logger } from "../log/log.ts";
import { type Datapath, DatapathError } from "./datapath.ts";
import type { DatapathChoice } from "./datapath-choice.ts";
import { openEbpfDatapath } from "./ebpf/datapath.ts";
import { openUserspaceDatapath } from "./userspace/datapath.ts";

/**
 * `runDir`: where a process finds what the one before it left in the kernel. Rejects with a
 * DatapathError that says what to do.
 */
export async function openHostDatapath(
  choice: DatapathChoice,
  logger: Logger,
  runDir?: string,
): Promise<Datapath> {
  if (choice === "userspace") {
    logger.info("flows are in userspace, as asked for");
    return await openUserspaceDatapath({ logger });
  }
  try {
    const datapath = await openEbpfDatapath({ logger, runDir });
    logger.info("flows are in the kernel (eBPF), what it cannot do in userspace");
    return datapath;
  } catch (error) {
    if (choice === "ebpf" || !(error instanceof DatapathError)) throw error;
    logger.warn(`flows are in userspace: ${error.message}`);
    return await openUserspaceDatapath({ logger });
  }
}

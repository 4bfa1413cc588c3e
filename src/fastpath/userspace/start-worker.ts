/**
 * Workers made and told what they are.
 *
 * The worker's file: in an executable made by `bun build --compile` it is an extra entry point and
 * found by its path from the repository's root; otherwise it lies next to this file.
 */
import { loadDropProgram } from "../../linux/bpf.ts";
import { DatapathError } from "../datapath.ts";
import type { WorkerMessage, WorkerStart } from "./commands.ts";

const EMBEDDED_WORKER = "./src/fastpath/userspace/worker.ts";

export function newWorker(): Worker {
  const embedded = Bun.main.startsWith("/$bunfs/");
  return embedded
    ? new Worker(EMBEDDED_WORKER)
    : new Worker(new URL("./worker.ts", import.meta.url).href);
}

/** The program's descriptor, or why there is none. */
export function tryLoadDropProgram(): number | string {
  try {
    return loadDropProgram();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Tells a worker its role; resolves when it is ready. Later messages go to `receive`. */
export function startWorker(
  worker: Worker,
  start: WorkerStart,
  receive: (message: WorkerMessage) => void,
  fail: (error: DatapathError) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.onmessage = (event: MessageEvent<WorkerMessage>) => {
      const message = event.data;
      if (message !== 0 && message.type === "ready") resolve();
      else receive(message);
    };
    worker.onerror = (event: ErrorEvent) => {
      const error = new DatapathError("system", `${start.role} worker failed: ${event.message}`);
      reject(error);
      fail(error);
    };
    worker.postMessage(start);
  });
}

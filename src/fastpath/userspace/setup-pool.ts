/**
 * The setup workers (setup.ts), seen from the main thread: one always, more while ports wait to be
 * opened or closed. That is mostly waiting for the kernel, and the kernel lets several wait at once.
 */
import type { SetupRequest } from "./commands.ts";

/** What a port waits for under the kernel's own lock does not overlap: more workers gain little. */
const MOST = 6;
/** How long a worker that is not needed stays. */
const LINGER_MS = 2000;

interface SetupWorker {
  readonly worker: Worker;
  busy: number;
}

export class SetupPool {
  private readonly workers: SetupWorker[] = [];
  /** Who answers which request. */
  private readonly asked = new Map<number, SetupWorker>();
  private linger: ReturnType<typeof setTimeout> | undefined;

  /** `launch` starts a worker; requests may be posted to it at once. */
  constructor(private readonly launch: () => Worker) {
    this.grow();
  }

  post(request: SetupRequest): void {
    let chosen = this.workers[0]!;
    for (const each of this.workers) if (each.busy < chosen.busy) chosen = each;
    if (chosen.busy > 0 && this.workers.length < MOST) chosen = this.grow();
    chosen.busy++;
    this.asked.set(request.id, chosen);
    chosen.worker.postMessage(request);
  }

  /** An answer has come; ids of others' requests are passed over. */
  answered(id: number): void {
    const worker = this.asked.get(id);
    if (!worker) return;
    this.asked.delete(id);
    worker.busy--;
    if (this.asked.size > 0 || this.workers.length === 1) return;
    clearTimeout(this.linger);
    this.linger = setTimeout(() => this.shrink(), LINGER_MS);
    this.linger.unref();
  }

  private grow(): SetupWorker {
    const grown: SetupWorker = { worker: this.launch(), busy: 0 };
    this.workers.push(grown);
    return grown;
  }

  private shrink(): void {
    if (this.asked.size > 0) return;
    for (const { worker } of this.workers.splice(1)) worker.terminate();
  }

  close(): void {
    clearTimeout(this.linger);
    for (const { worker } of this.workers.splice(0)) worker.terminate();
  }
}

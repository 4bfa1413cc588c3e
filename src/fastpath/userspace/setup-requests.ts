/** Opening and closing what ports need on the host, asked of the setup workers (setup.ts). */
import type { PacketDescriptors } from "../../linux/packet-socket.ts";
import type { Logger } from "../../log/log.ts";
import { DatapathError } from "../datapath.ts";
import type { SetupRequest, WorkerMessage } from "./commands.ts";
import { Pending } from "./pending.ts";
import type { OpenedPort } from "./setup.ts";
import { SetupPool } from "./setup-pool.ts";
import { newWorker, startWorker } from "./start-worker.ts";
import { CLOSED } from "./worker-link.ts";

/** A request without the number that pairs it with its answer. */
export type SetupAsked = SetupRequest extends infer R
  ? R extends SetupRequest ? Omit<R, "id"> : never
  : never;

export interface SetupContext {
  readonly logger: Logger;
  /** The program that drops for the host's stack, or why there is none. */
  readonly dropProgram: number | string;
  readonly namespace: string;
  readonly namespaceFd: number;
  fail(error: Error): void;
}

export class SetupRequests {
  /** The first setup worker is there. */
  readonly ready: Promise<void>;
  private readonly pool: SetupPool;
  private readonly requests = new Pending<readonly OpenedPort[]>();
  /** Sockets that a setup worker works on. */
  private readonly inUse = new Map<number, Promise<unknown>>();
  private lastRequest = 0;
  private failure: Error | undefined;

  constructor(private readonly context: SetupContext) {
    const { dropProgram, namespace, namespaceFd, fail } = context;
    const ready: Promise<void>[] = [];
    this.pool = new SetupPool(() => {
      const worker = newWorker();
      const start = { role: "setup", dropProgram, namespace, namespaceFd } as const;
      ready.push(startWorker(worker, start, (message) => this.receive(message), fail));
      return worker;
    });
    this.ready = ready[0]!;
  }

  request(asked: SetupAsked): Promise<readonly OpenedPort[]> {
    if (this.failure) return Promise.reject(this.failure);
    const id = ++this.lastRequest;
    return this.requests.ask(id, () => this.pool.post({ ...asked, id } as SetupRequest));
  }

  /** A larger ring for a port that receives by `packet`, which is not closed meanwhile. */
  async growRing(packet: PacketDescriptors): Promise<OpenedPort | undefined> {
    const grown = this.request({ type: "growRing", packet });
    this.inUse.set(packet.fd, grown);
    try {
      return (await grown)[0];
    } finally {
      this.inUse.delete(packet.fd);
    }
  }

  /** `leave`: what forwards in the kernel stays. */
  async release(ports: readonly OpenedPort[], leave = false): Promise<void> {
    // A descriptor's number may be another's as soon as it is closed.
    for (const port of ports) {
      if (port.type === "device") await this.inUse.get(port.packet.fd)?.catch(() => {});
    }
    await Promise.all(ports.map((port) => this.request({ type: "release", port, leave })));
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.requests.refuseAll(error);
  }

  close(): void {
    this.pool.close();
    this.fail(new DatapathError("system", CLOSED));
  }

  private receive(message: WorkerMessage): void {
    if (message === 0) return;
    switch (message.type) {
      case "answer":
        this.pool.answered(message.id);
        return this.requests.answer(message.id, message.ports);
      case "refused":
        this.pool.answered(message.id);
        return this.requests.refuse(
          message.id,
          new DatapathError(message.code, message.message),
        );
      case "log":
        this.context.logger[message.level](message.text);
        return;
      default:
        throw new Error(`a setup worker said ${message.type}`);
    }
  }
}

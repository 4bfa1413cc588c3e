/**
 * The main thread's end of one forwarding worker: its memory, both rings, what it was asked.
 *
 *     commands ──ring──> worker          flows, packets to execute, barriers, port requests
 *     upcalls  <─ring── worker           misses and "to userspace" packets
 *     answers, lost ports, log lines     postMessage
 *
 * - A side that is awake is never woken; one that goes to sleep looks at its ring once more after
 *   it has said so (shared.ts).
 * - Upcalls are delivered from the event loop, at most `UPCALLS_PER_TURN` before others get a turn.
 */
import { close, eventfd } from "../../linux/libc.ts";
import type { Logger } from "../../log/log.ts";
import type { CtAnswer, CtQuestion } from "../conntrack/questions.ts";
import { DatapathError, type DatapathListener } from "../datapath.ts";
import { CommandQueue } from "./command-queue.ts";
import {
  CMD_BARRIER,
  type CommandRoom,
  type Control,
  encodeControl,
  encodeRequest,
  type OwnerMemory,
  type Request,
  type WorkerMessage,
} from "./commands.ts";
import { Barriers, Pending } from "./pending.ts";
import type { OpenedPort } from "./setup.ts";
import { CTL_MAIN_SLEEPING, SharedState } from "./shared.ts";
import { newWorker, startWorker } from "./start-worker.ts";
import { UpcallReader } from "./upcalls.ts";

const UPCALLS_PER_TURN = 128;
export const CLOSED = "the datapath was closed";

/** A request without the number that pairs it with its answer. */
export type Asked = Request extends infer R ? R extends Request ? Omit<R, "id"> : never : never;

export interface LinkContext {
  readonly logger: Logger;
  readonly listeners: readonly DatapathListener[];
  /** The network namespace that the ports are in: its link in /proc, and a descriptor of it. */
  readonly namespace: string;
  readonly namespaceFd: number;
  /** What the worker says of its ports. */
  receive(link: WorkerLink, message: Exclude<WorkerMessage, 0>): void;
  fail(error: Error): void;
}

export class WorkerLink {
  readonly shared = new SharedState();
  readonly ready: Promise<void>;
  upcallErrors = 0;
  private readonly eventfd = eventfd();
  private readonly worker = newWorker();
  private readonly upcalls: UpcallReader;
  private readonly commands = new CommandQueue(this.shared, this.eventfd);
  private readonly questions = new Pending<CtAnswer>();
  private readonly requests = new Pending<readonly OpenedPort[]>();
  private readonly barriers = new Barriers(this.shared);
  private lastRequest = 0;
  private turnScheduled = false;
  private failure: Error | undefined;
  private closed = false;

  /** `owner`: the link of worker 0, for all others. */
  constructor(
    readonly index: number,
    private readonly context: LinkContext,
    owner?: WorkerLink,
  ) {
    this.upcalls = new UpcallReader(this.shared, index);
    Atomics.store(this.shared.control, CTL_MAIN_SLEEPING, 1);
    const { namespace, namespaceFd } = context;
    this.ready = startWorker(
      this.worker,
      {
        role: "forward",
        shared: this.shared.buffer,
        eventfd: this.eventfd,
        ...(owner && { owner: owner.asOwner(index) }),
        namespace,
        namespaceFd,
      },
      (message) => this.receive(message),
      (error) => context.fail(error),
    );
  }

  private asOwner(from: number): OwnerMemory {
    return { shared: this.shared.buffer, eventfd: this.eventfd, from };
  }

  /** Commands that wait for room. */
  get waiting(): number {
    return this.commands.waiting;
  }

  send(command: Int32Array): void {
    if (!this.failure && !this.closed) this.commands.send(command);
  }

  fits(words: number): boolean {
    return this.commands.fits(words);
  }

  /** Room for a command that `fits`, to be filled and `sent`; undefined: nobody would carry it out. */
  room(words: number): CommandRoom | undefined {
    return this.failure || this.closed ? undefined : this.commands.room(words);
  }

  sent(): void {
    this.commands.sent();
  }

  /** A packet to execute is on its way: a barrier has to wait for it. */
  owe(): void {
    this.barriers.owe();
  }

  control(control: Control): void {
    this.send(encodeControl(control));
  }

  /** Asks for something about ports; rejects when the worker refuses or is gone. */
  request(asked: Asked): Promise<readonly OpenedPort[]> {
    const dead = this.closed ? new DatapathError("system", CLOSED) : this.failure;
    if (dead) return Promise.reject(dead);
    const id = ++this.lastRequest;
    return this.requests.ask(id, () => this.send(encodeRequest({ ...asked, id } as Request)));
  }

  /** Asks the worker about connections. */
  ask(ask: CtQuestion): Promise<CtAnswer> {
    const dead = this.closed ? new DatapathError("system", CLOSED) : this.failure;
    if (dead) return Promise.reject(dead);
    const id = ++this.lastRequest;
    const question = encodeRequest({ id, type: "conntrack", ask });
    return this.questions.ask(id, () => this.send(question));
  }

  barrier(): Promise<void> {
    // Nothing that was given is in force any more, and nobody would answer.
    if (this.closed) return Promise.resolve();
    if (this.failure) return Promise.reject(this.failure);
    if (this.commands.isDone && !this.barriers.isOwed()) return Promise.resolve();
    return this.barriers.wait((sequence) => this.send(new Int32Array([CMD_BARRIER, sequence])));
  }

  /** Asks the worker to end; what its ports leave. Nothing can be asked after it. */
  finish(): Promise<readonly OpenedPort[]> {
    const left = this.request({ type: "close" });
    this.closed = true;
    return left;
  }

  fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.refuseAll(error);
  }

  /** Ends the thread. */
  end(): void {
    this.closed = true;
    this.worker.terminate();
    close(this.eventfd);
    this.refuseAll(new DatapathError("system", CLOSED));
  }

  private refuseAll(error: Error): void {
    this.requests.refuseAll(error);
    this.questions.refuseAll(error);
    this.barriers.refuseAll(error);
  }

  /** More commands follow at once, until it is said that they do not: they wake the worker together. */
  readonly holds = (on: boolean): void => this.commands.holds(on);

  private receive(message: WorkerMessage): void {
    if (message === 0) return this.turn();
    switch (message.type) {
      case "answer":
        return this.requests.answer(message.id, message.ports);
      case "result":
        return this.questions.answer(message.id, message.value);
      case "refused": {
        const refusal = new DatapathError(message.code, message.message);
        this.questions.refuse(message.id, refusal);
        return this.requests.refuse(message.id, refusal);
      }
      default:
        return this.context.receive(this, message);
    }
  }

  /** One turn of work that the worker has left for this thread. */
  private turn(): void {
    this.turnScheduled = false;
    if (this.closed) return;
    const { listeners, logger } = this.context;
    this.upcallErrors += this.upcalls.deliver(UPCALLS_PER_TURN, listeners, logger, this.holds);
    this.barriers.pass();
    const { control } = this.shared;
    // Where upcalls come from, more come soon, and waking costs the worker more than a look costs us.
    if (this.upcalls.delivered > 0) {
      this.commands.drain();
      return this.turnAgain();
    }
    Atomics.store(control, CTL_MAIN_SLEEPING, 1);
    // Not before: of room that comes between a look at the ring and that word nobody would tell.
    this.commands.drain();
    if (this.upcalls.isEmpty() && !this.barriers.isPassed) return;
    if (Atomics.compareExchange(control, CTL_MAIN_SLEEPING, 1, 0) === 1) this.turnAgain();
  }

  private turnAgain(): void {
    if (this.turnScheduled) return;
    this.turnScheduled = true;
    setImmediate(this.run);
  }

  private readonly run = (): void => this.turn();
}

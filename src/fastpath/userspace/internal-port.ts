/**
 * An internal port: a TAP device (linux/tap.ts). What the host routes out of it is received here,
 * what is sent here enters the host's stack. One read or write a frame; there is no batch call.
 */
import { ERRNO, errno, raw } from "../../linux/libc.ts";
import type { Tap } from "../../linux/tap.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { type FrameMemory, HEADROOM_BYTES } from "./arena.ts";
import { MAX_FRAME_BYTES } from "./commands.ts";
import type { Forwarder } from "./forwarder.ts";
import { PortCounters, type WorkerPort } from "./port.ts";

const READ_BYTES = VNET_BYTES + MAX_FRAME_BYTES;
/** "File descriptor in bad state": the device was deleted under the descriptor. */
const EBADFD = 77;

export class InternalPort implements WorkerPort {
  /** -1 if another worker receives. */
  readonly fd: number;
  private readonly tapFd: number;
  readonly ifindex: number;
  private gone = false;

  constructor(
    readonly portNo: number,
    readonly name: string,
    tap: Tap,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
    receives: boolean,
  ) {
    this.fd = receives ? tap.fd : -1;
    this.tapFd = tap.fd;
    this.ifindex = tap.ifindex;
  }

  receive(budget: number): number {
    const { forwarder, counters } = this;
    const { arena, frame } = forwarder;
    let n = 0;
    const { polices } = counters.traffic;
    if (polices) counters.traffic.refill(performance.now());
    while (n < budget) {
      forwarder.makeRoom(HEADROOM_BYTES + READ_BYTES);
      const at = arena.take(HEADROOM_BYTES + READ_BYTES);
      const into = at + HEADROOM_BYTES;
      const got = raw.read(this.fd, arena.address + into, READ_BYTES);
      if (got < 0) {
        this.gone ||= errno() === EBADFD;
        break;
      }
      arena.trim(into + got);
      n++;
      if (got < VNET_BYTES) continue;
      frame.set(arena.bytes, into + VNET_BYTES, got - VNET_BYTES, true, at);
      if (polices && !counters.admits(frame.length)) continue;
      counters.received(frame.length);
      forwarder.forward(arena, this.portNo);
    }
    forwarder.flush();
    return n;
  }

  transmit(memory: FrameMemory, at: number, length: number): void {
    const result = raw.write(this.tapFd, memory.address + at, length);
    if (result >= 0) this.counters.sentMany(1, length - VNET_BYTES);
    else {
      const error = errno();
      this.counters.sendFailed(error === EBADFD ? ERRNO.ENODEV : error, 1);
    }
  }

  flush(): void {}

  keepHouse(): void {}

  failed(): string | undefined {
    return this.gone ? "the TAP device was deleted" : undefined;
  }

  end(): void {}
}

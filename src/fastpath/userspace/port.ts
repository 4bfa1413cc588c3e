/** What the worker's loop knows of a port, whatever is behind it, and the port's statistics. */
import { ERRNO } from "../../linux/libc.ts";
import type { OutputPort } from "./forwarder.ts";
import { TrafficView } from "./port-traffic.ts";
import {
  counterIndex,
  PORT_RX_BYTES,
  PORT_RX_DROPPED,
  PORT_RX_PACKETS,
  PORT_STATS,
  PORT_TX_BYTES,
  PORT_TX_DROPPED,
  PORT_TX_ERRORS,
  PORT_TX_PACKETS,
  type SharedState,
} from "./shared.ts";

export interface WorkerPort extends OutputPort {
  readonly name: string;
  readonly ifindex: number;
  /** Readable when frames wait. */
  readonly fd: number;
  readonly counters: PortCounters;
  /** Forwards at most `budget` waiting frames, their sends done; how many there were. */
  receive(budget: number): number;
  /** Once a second or so while frames come: reads the kernel's drop counts, adapts. */
  keepHouse(): void;
  /** After POLLERR: why the port is lost, or undefined if it lives on. */
  failed(): string | undefined;
  /** No use any more; the descriptors are closed by the setup worker (setup.ts). */
  end(): void;
}

const QUEUE_FULL = counterIndex("drop_tx_queue_full");
const TOO_BIG = counterIndex("drop_tx_too_big");
const PORT_DOWN = counterIndex("drop_tx_port_down");
const REFUSED = counterIndex("drop_tx_refused");
const POLICED = counterIndex("drop_rx_policed");

/** Counts into a port's shared statistics. */
export class PortCounters {
  readonly traffic: TrafficView;
  private readonly stats: Float64Array;

  constructor(private readonly shared: SharedState, portNo: number) {
    this.traffic = new TrafficView(shared, portNo);
    const at = portNo * PORT_STATS;
    this.stats = shared.portStats.subarray(at, at + PORT_STATS);
  }

  received(bytes: number): void {
    this.stats[PORT_RX_PACKETS]!++;
    this.stats[PORT_RX_BYTES]! += bytes;
  }

  /** May a frame that has come be forwarded? If not, it is counted. */
  admits(bytes: number): boolean {
    if (this.traffic.admits(bytes)) return true;
    this.shared.counters[POLICED]!++;
    this.rxDropped(1);
    return false;
  }

  rxDropped(packets: number): void {
    this.stats[PORT_RX_DROPPED]! += packets;
  }

  txDropped(packets: number): void {
    this.stats[PORT_TX_DROPPED]! += packets;
  }

  sentMany(packets: number, bytes: number): void {
    this.stats[PORT_TX_PACKETS]! += packets;
    this.stats[PORT_TX_BYTES]! += bytes;
  }

  /** `packets` were not sent because of `error`. */
  sendFailed(error: number, packets: number): void {
    let counter = REFUSED;
    switch (error) {
      case ERRNO.EAGAIN:
      case ERRNO.ENOBUFS:
      case ERRNO.ENOMEM:
        counter = QUEUE_FULL;
        break;
      case ERRNO.EMSGSIZE:
        counter = TOO_BIG;
        break;
      case ERRNO.ENETDOWN:
      case ERRNO.ENXIO:
      case ERRNO.ENODEV:
      case ERRNO.EIO:
        counter = PORT_DOWN;
        break;
    }
    this.shared.counters[counter]! += packets;
    this.stats[counter === REFUSED ? PORT_TX_ERRORS : PORT_TX_DROPPED]! += packets;
  }
}

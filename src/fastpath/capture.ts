/**
 * Looking on at a port: copies of the packets that it receives and sends, for people to read. The
 * datapath does not notice; no mirror is needed.
 *
 *               create          read             destroy
 *   capture     openCapture     read, drops      close
 *
 * - It reads the host's device that the port is. A port without one (a patch, a tunnel) has its packets
 *   copied by whoever translates flows: `CopiedCapture` takes what it is shown.
 * - Bounded: a ring of 2048 packets is kept for whoever reads it; what does not fit is counted.
 */
import { CaptureSocket, MOST_SNAP_BYTES } from "../linux/capture-socket.ts";
import { runFilter } from "../linux/classic-bpf.ts";
import { SystemError } from "../linux/libc.ts";
import { compileFilter, FilterError } from "../linux/libpcap.ts";

const MOST_KEPT = 2048;

/** What was asked for cannot be done; `message` says why. */
export class CaptureError extends Error {
  override readonly name = "CaptureError";
}

export interface CaptureRequest {
  readonly ifindex: number;
  /** The device is the host's end of an internal port: what the host sends, the switch receives. */
  readonly internal: boolean;
  /** As pcap-filter(7); "" for everything. */
  readonly filter: string;
}

export interface CapturedPacket {
  /** Milliseconds since 1970, with a fraction. */
  readonly timeMs: number;
  /** `in`: the switch received it by the port. */
  readonly direction: "in" | "out";
  readonly wireBytes: number;
  /** The frame, as much of it as was kept. */
  readonly data: Uint8Array;
}

export interface Capture {
  read(most: number): readonly CapturedPacket[];
  /** Packets lost so far because nobody read them in time. */
  readonly drops: number;
  close(): void;
}

/** Classic BPF of a filter; undefined: everything. Throws `CaptureError`. */
function programOf(filter: string): Uint8Array | undefined {
  try {
    return filter.trim() === "" ? undefined : compileFilter(filter, MOST_SNAP_BYTES);
  } catch (error) {
    if (error instanceof FilterError) throw new CaptureError(error.message);
    throw error;
  }
}

/** A port that is no device: what its packets are shown to. Throws `CaptureError` for a bad filter. */
export class CopiedCapture implements Capture {
  private readonly program: Uint8Array | undefined;
  private kept: CapturedPacket[] = [];
  drops = 0;

  /** `closed` is called when nobody reads any more. */
  constructor(filter: string, private readonly closed: () => void) {
    this.program = programOf(filter);
  }

  see(data: Uint8Array, direction: "in" | "out", timeMs: number): void {
    if (this.program !== undefined && !runFilter(this.program, data, data.length)) return;
    if (this.kept.length >= MOST_KEPT) this.drops++;
    else {
      const some = data.slice(0, MOST_SNAP_BYTES);
      this.kept.push({ timeMs, direction, wireBytes: data.length, data: some });
    }
  }

  read(most: number): readonly CapturedPacket[] {
    return this.kept.splice(0, most);
  }

  close(): void {
    this.kept = [];
    this.closed();
  }
}

/** Throws `CaptureError`. */
export function openCapture({ ifindex, internal, filter }: CaptureRequest): Capture {
  try {
    const program = programOf(filter);
    // The kernel has taken VLAN tags out when its filters run: those expressions are looked at here.
    const here = program !== undefined && /\bvlan\b/.test(filter) ? program : undefined;
    return new DeviceCapture(
      CaptureSocket.open(ifindex, here === undefined ? program : undefined),
      internal,
      here,
    );
  } catch (error) {
    if (error instanceof SystemError) throw new CaptureError(error.message);
    throw error;
  }
}

class DeviceCapture implements Capture {
  private lost = 0;

  constructor(
    private readonly socket: CaptureSocket,
    private readonly internal: boolean,
    private readonly filter: Uint8Array | undefined,
  ) {}

  read(most: number): readonly CapturedPacket[] {
    const { filter } = this;
    return this.socket.read(most)
      .filter(({ data, wireBytes }) => filter === undefined || runFilter(filter, data, wireBytes))
      .map(({ timeMs, outgoing, wireBytes, data }) => ({
        timeMs,
        direction: outgoing === this.internal ? "in" : "out",
        wireBytes,
        data,
      }));
  }

  get drops(): number {
    this.lost += this.socket.takeDrops();
    return this.lost;
  }

  close(): void {
    this.socket.close();
  }
}

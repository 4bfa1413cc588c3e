/**
 * Captures that somebody has begun: each reads its port's packets until it has enough, its time is
 * over or it is stopped, and keeps them until it is removed or is too old.
 *
 * Limits: MOST at once, running or not; each by packets, bytes and seconds. The oldest one that has
 * ended goes when another is begun.
 */
import type { Capture, CapturedPacket, Observe } from "../slowpath/observe.ts";
import { HttpProblem } from "./problem.ts";

export const CAPTURE_LIMITS = { seconds: 600, packets: 20_000, bytes: 8 << 20 } as const;
const MOST = 8;
const READ_EVERY_MS = 50;
const KEPT_MS = 30 * 60_000;

export interface CaptureSpec {
  readonly bridge: string;
  readonly port: string;
  readonly filter: string;
  readonly seconds: number;
  readonly packets: number;
}

export type CaptureEnd = "stopped" | "time" | "packets" | "bytes" | "failed";

export class RunningCapture {
  readonly list: CapturedPacket[] = [];
  readonly startedMs = Date.now();
  bytes = 0;
  drops = 0;
  /** Undefined while it runs. */
  ended: CaptureEnd | undefined;
  endedMs: number | undefined;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    readonly id: string,
    readonly spec: CaptureSpec,
    readonly user: string,
    private readonly capture: Capture,
  ) {
    this.timer = setInterval(() => this.read(), READ_EVERY_MS);
  }

  private read(): void {
    const { seconds, packets } = this.spec;
    try {
      for (const packet of this.capture.read(packets - this.list.length)) {
        this.list.push(packet);
        this.bytes += packet.data.length;
      }
      this.drops = this.capture.drops;
    } catch {
      // The device is gone.
      return this.end("failed");
    }
    if (this.list.length >= packets) this.end("packets");
    else if (this.bytes >= CAPTURE_LIMITS.bytes) this.end("bytes");
    else if (Date.now() - this.startedMs >= seconds * 1000) this.end("time");
  }

  end(how: CaptureEnd): void {
    if (this.ended !== undefined) return;
    this.ended = how;
    this.endedMs = Date.now();
    clearInterval(this.timer);
    this.capture.close();
  }
}

export class Captures {
  private readonly all = new Map<string, RunningCapture>();
  private count = 0;

  constructor(private readonly observe: Observe) {}

  /** Throws `CaptureError` or, when there are too many, `HttpProblem`. */
  start(spec: CaptureSpec, user: string): RunningCapture {
    this.makeRoom();
    const capture = this.observe.capture(spec.bridge, spec.port, spec.filter);
    const id = `${++this.count}-${crypto.randomUUID().slice(0, 8)}`;
    const running = new RunningCapture(id, spec, user, capture);
    this.all.set(id, running);
    return running;
  }

  get(id: string): RunningCapture {
    const found = this.all.get(id);
    if (found !== undefined) return found;
    throw new HttpProblem(404, `There is no capture ${JSON.stringify(id)} (any more).`);
  }

  list(): readonly RunningCapture[] {
    return [...this.all.values()];
  }

  remove(id: string): void {
    this.get(id).end("stopped");
    this.all.delete(id);
  }

  close(): void {
    for (const each of this.all.values()) each.end("stopped");
    this.all.clear();
  }

  private makeRoom(): void {
    const old = Date.now() - KEPT_MS;
    for (const [id, { endedMs }] of this.all) {
      if (endedMs !== undefined && endedMs < old) this.all.delete(id);
    }
    if (this.all.size < MOST) return;
    const done = this.list().find(({ ended }) => ended !== undefined);
    if (done === undefined) {
      throw new HttpProblem(409, `${MOST} captures are running: stop one.`);
    }
    this.all.delete(done.id);
  }
}

const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** A capture file (draft-ietf-opsawg-pcap): nanoseconds, Ethernet, little endian. */
export function pcapFile(packets: readonly CapturedPacket[]): Uint8Array<ArrayBuffer> {
  const size = packets.reduce((sum, { data }) => sum + RECORD_HEADER_BYTES + data.length, 0);
  const file = new Uint8Array(PCAP_HEADER_BYTES + size);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0xa1b23c4d, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 65535, true);
  view.setUint32(20, 1, true);
  let at = PCAP_HEADER_BYTES;
  for (const { timeMs, wireBytes, data } of packets) {
    const seconds = Math.floor(timeMs / 1000);
    view.setUint32(at, seconds, true);
    view.setUint32(at + 4, Math.floor((timeMs - seconds * 1000) * 1e6), true);
    view.setUint32(at + 8, data.length, true);
    view.setUint32(at + 12, Math.max(wireBytes, data.length), true);
    file.set(data, at + RECORD_HEADER_BYTES);
    at += RECORD_HEADER_BYTES + data.length;
  }
  return file;
}

/**
 * A port on an existing network interface by libpcap (linux/pcap-device.ts), where the kernel refuses
 * packet sockets or the interface's `options:io` says so. Slower than device-port.ts: each frame is a
 * call and a copy in either direction.
 *
 * Offload headers do not come along: they are guessed for what comes in (packet/guess-offloads.ts), and
 * what leaves has its checksum finished and is cut into frames.
 *
 * A super-packet longer than the device's MTU that is no TCP is more than the device sends: it is
 * counted as too big where it leaves.
 */
import { address, takeSocketError } from "../../linux/libc.ts";
import { type PcapDescriptors, PcapDevice } from "../../linux/pcap-device.ts";
import { VNET_BYTES, VNET_GSO_NONE } from "../../packet/frame.ts";
import { guessOffloads } from "../../packet/guess-offloads.ts";
import { plainFrames, SegmentError } from "../../packet/vnet.ts";
import { type FrameMemory, HEADROOM_BYTES } from "./arena.ts";
import { MAX_FRAME_BYTES } from "./commands.ts";
import type { Forwarder } from "./forwarder.ts";
import type { PortCounters, WorkerPort } from "./port.ts";
import { counterIndex } from "./shared.ts";

const RING_FULL = counterIndex("drop_rx_ring_full");
const TOO_BIG = counterIndex("drop_rx_too_big");

const ROOM = VNET_BYTES + MAX_FRAME_BYTES;
/** How long an MTU is believed to be what it was. */
const MTU_MS = 1000;

export class LibpcapPort implements WorkerPort {
  /** -1 if another worker receives. */
  readonly fd: number;
  readonly ifindex: number;
  private readonly device: PcapDevice;
  private mtu = 0;
  private mtuReadMs = -Infinity;

  constructor(
    readonly portNo: number,
    readonly name: string,
    private readonly descriptors: PcapDescriptors,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
    receives: boolean,
  ) {
    this.fd = receives ? descriptors.fd : -1;
    this.ifindex = descriptors.ifindex;
    this.device = new PcapDevice(descriptors);
  }

  receive(budget: number): number {
    const { forwarder, counters, device } = this;
    const { arena, frame } = forwarder;
    const { polices } = counters.traffic;
    if (polices) counters.traffic.refill(performance.now());
    let n = 0;
    for (; n < budget; n++) {
      forwarder.makeRoom(HEADROOM_BYTES + ROOM);
      const at = arena.take(HEADROOM_BYTES + ROOM);
      const into = at + HEADROOM_BYTES + VNET_BYTES;
      const got = device.receive(arena.address + into, MAX_FRAME_BYTES);
      if (got === 0) break;
      if (got < 0) {
        arena.trim(into);
        forwarder.count(TOO_BIG);
        counters.rxDropped(1);
        continue;
      }
      arena.trim(into + got);
      guessOffloads(arena.bytes, into, got, this.currentMtu());
      frame.set(arena.bytes, into, got, true, at);
      if (polices && !counters.admits(got)) continue;
      counters.received(got);
      forwarder.forward(arena, this.portNo);
    }
    forwarder.flush();
    return n;
  }

  private currentMtu(): number {
    const now = this.forwarder.nowMs;
    if (now - this.mtuReadMs > MTU_MS) {
      this.mtuReadMs = now;
      this.mtu = this.device.mtu();
    }
    return this.mtu;
  }

  transmit(memory: FrameMemory, at: number, length: number): void {
    const { bytes } = memory;
    const data = length - VNET_BYTES;
    if (bytes[at] === 0 && bytes[at + 1] === VNET_GSO_NONE) {
      this.done(this.device.send(memory.address + at + VNET_BYTES, data), data);
      return;
    }
    try {
      const vnet = bytes.subarray(at, at + VNET_BYTES);
      let error = 0;
      for (const each of plainFrames(bytes.subarray(at + VNET_BYTES, at + length), vnet)) {
        error ||= this.device.send(address(each), each.length);
      }
      this.done(error, data);
    } catch (error) {
      if (!(error instanceof SegmentError || error instanceof RangeError)) throw error;
      this.counters.sendFailed(0, 1);
    }
  }

  private done(error: number, bytes: number): void {
    if (error === 0) this.counters.sentMany(1, bytes);
    else this.counters.sendFailed(error, 1);
  }

  flush(): void {}

  keepHouse(): void {
    if (this.fd < 0) return;
    const drops = this.device.takeDrops();
    if (drops === 0) return;
    this.forwarder.count(RING_FULL, drops);
    this.counters.rxDropped(drops);
  }

  /** Link events tell of the device's end; down is not gone. */
  failed(): undefined {
    takeSocketError(this.descriptors.fd);
    return undefined;
  }

  end(): void {}
}

/**
 * A port on an existing network interface whose frames a program in the kernel receives
 * (../punts.ts): only sent through here. What the program cannot do arrives by `PuntPort`.
 */
import type { PacketDescriptors } from "../../linux/packet-socket.ts";
import type { SendRingDescriptor } from "../../linux/send-ring.ts";
import type { FrameMemory } from "./arena.ts";
import { DeviceSender } from "./device-sender.ts";
import type { Forwarder } from "./forwarder.ts";
import type { PortCounters, WorkerPort } from "./port.ts";

export class SendingPort implements WorkerPort {
  /** Never readable. */
  readonly fd = -1;
  readonly ifindex: number;
  private readonly sender: DeviceSender;

  constructor(
    readonly portNo: number,
    readonly name: string,
    descriptors: PacketDescriptors,
    private readonly forwarder: Forwarder,
    readonly counters: PortCounters,
    wantRing: () => void,
  ) {
    this.ifindex = descriptors.ifindex;
    this.sender = new DeviceSender(descriptors.sendFd, counters, wantRing);
  }

  receive(): number {
    return 0;
  }

  transmit(memory: FrameMemory, at: number, length: number): void {
    const { sender } = this;
    if (sender.isEmpty) this.forwarder.owing.push(this);
    sender.add(memory, at, length, this.forwarder.frame.key);
  }

  flush(): void {
    this.sender.flush();
  }

  adoptSendRing(ring: SendRingDescriptor): void {
    this.sender.adoptRing(ring);
  }

  keepHouse(): void {}

  /** Link events tell of the device's end. */
  failed(): undefined {
    return undefined;
  }

  end(): void {
    this.sender.end();
  }
}

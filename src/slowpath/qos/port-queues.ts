/**
 * The queues of a port: what is in force of its QoS row, and what they have sent.
 *
 *     QoS, Queue rows ──settings.ts──> PortQueues ──> Shaper (the kernel's traffic control)
 *                                          │     └──> PortTraffic (nothing goes around it)
 *                                          └──> OpenFlow's queue statistics, qos/show
 *
 * A packet is a queue's by its `skb_priority`, which `set_queue` and `enqueue` set: the kernel sorts
 * what leaves by that, whoever sends it.
 */
import type { PortTraffic } from "../../fastpath/datapath.ts";
import type { Device } from "../../fastpath/devices.ts";
import type { QueueCounts, Shape, Shaper } from "../../fastpath/shaping.ts";
import { QOS_TYPES, type QosSettings } from "./settings.ts";

/** Undefined for what is no device: nothing can be held back there. */
export function queuesOf(
  { kind, dpPort }: { readonly kind: string; readonly dpPort: number | undefined },
  shaper: Shaper | undefined,
  traffic: PortTraffic | undefined,
): PortQueues | undefined {
  if (kind !== "device" || dpPort === undefined) return undefined;
  return new PortQueues(shaper, traffic, dpPort);
}

export class PortQueues {
  private settings: QosSettings | undefined;
  private ifindex = 0;

  constructor(
    /** Undefined: this host's devices cannot be shaped. */
    private readonly shaper: Shaper | undefined,
    private readonly traffic: PortTraffic | undefined,
    private readonly dpPort: number,
  ) {}

  /** Types that the port could have. */
  get types(): readonly string[] {
    return this.shaper ? QOS_TYPES : [];
  }

  get type(): string | undefined {
    return this.settings?.type;
  }

  get shape(): Shape | undefined {
    return this.settings?.shape;
  }

  /** Makes it so; throws the kernel's words, with nothing in force. */
  apply(settings: QosSettings | undefined, device: Device): void {
    const { shaper } = this;
    if (!shaper) return;
    if (!settings?.shape || (this.shape && this.ifindex !== device.ifindex)) this.release();
    this.settings = settings;
    if (!settings?.shape) return;
    this.ifindex = device.ifindex;
    try {
      // First, so that what is sent from here on is counted.
      shaper.shape(device.ifindex, settings.shape);
      this.traffic?.setShaped(this.dpPort, true);
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Nothing is held back any more: the port goes. */
  release(): void {
    if (!this.shape) return;
    this.settings = undefined;
    this.traffic?.setShaped(this.dpPort, false);
    this.shaper?.unshape(this.ifindex);
  }

  /** By queue, 0 included; empty without queues. */
  counts(): ReadonlyMap<number, QueueCounts> {
    return this.shape ? this.shaper?.counts(this.ifindex) ?? new Map() : new Map();
  }
}

/** The last packet-ins of each bridge that somebody has watched, each with an id to go on from. */
import type { Observe, PacketInView } from "../slowpath/observe.ts";

const KEPT = 200;
/** Packet-ins told in one second; a flood is for controllers, not for people. */
const MOST_A_SECOND = 200;

export interface SeenPacketIn {
  readonly id: string;
  readonly timeMs: number;
  readonly view: PacketInView;
}

interface Watched {
  readonly kept: SeenPacketIn[];
  readonly listeners: Set<(seen: SeenPacketIn) => void>;
  readonly stop: () => void;
  count: number;
  second: number;
  told: number;
}

export class PacketIns {
  /** Ids of another run of the process mean nothing here. */
  private readonly run = crypto.randomUUID().slice(0, 8);
  private readonly bridges = new Map<string, Watched>();

  constructor(private readonly observe: Observe) {}

  listen(bridge: string, listener: (seen: SeenPacketIn) => void): () => void {
    const watched = this.watch(bridge);
    watched.listeners.add(listener);
    return () => {
      watched.listeners.delete(listener);
      // What comes while nobody watches is nobody's.
      if (watched.listeners.size > 0) return;
      watched.stop();
      this.bridges.delete(bridge);
    };
  }

  /** What came after one; undefined if that is not known (any more). */
  since(bridge: string, id: string): readonly SeenPacketIn[] | undefined {
    const kept = this.bridges.get(bridge)?.kept ?? [];
    const at = kept.findIndex((seen) => seen.id === id);
    return at < 0 ? undefined : kept.slice(at + 1);
  }

  close(): void {
    for (const { stop } of this.bridges.values()) stop();
    this.bridges.clear();
  }

  private watch(bridge: string): Watched {
    const known = this.bridges.get(bridge);
    if (known !== undefined) return known;
    const watched: Watched = {
      kept: [],
      listeners: new Set(),
      stop: this.observe.onPacketIn(bridge, (view) => this.tell(watched, view)),
      count: 0,
      second: 0,
      told: 0,
    };
    this.bridges.set(bridge, watched);
    return watched;
  }

  private tell(watched: Watched, view: PacketInView): void {
    const timeMs = Date.now();
    const second = Math.floor(timeMs / 1000);
    if (second !== watched.second) {
      watched.second = second;
      watched.told = 0;
    }
    if (++watched.told > MOST_A_SECOND) return;
    const seen = { id: `${this.run}-${++watched.count}`, timeMs, view };
    watched.kept.push(seen);
    if (watched.kept.length > KEPT) watched.kept.shift();
    for (const listener of watched.listeners) listener(seen);
  }
}

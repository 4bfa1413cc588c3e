/** Conversations that go right, mostly, packet by packet, for comparing what trackers make of them. */
import type { Seeded } from "../../support/seeded.ts";
import { ACK, echo, type Ends, FIN, RST, SYN, tcp, udp } from "./ct-bench.ts";

export type Side = 0 | 1;

/** Offers window scaling by 2^shift. */
const scaling = (shift: number): Uint8Array => Uint8Array.of(3, 3, shift, 1);

export class Conversation {
  private readonly kind: "tcp" | "udp" | "icmp";
  private readonly shifts: readonly [number | undefined, number | undefined];
  /** Of TCP, by side: the next sequence number, and whether it has opened. */
  private readonly next: [number, number];
  private readonly open: [boolean, boolean] = [false, false];
  /** As the second side knows the ends; undefined until something of the first has reached it. */
  private seen: Ends | undefined;

  /** `narrow`: TCP, with small windows that are often reached, missed, and closed. */
  constructor(
    private readonly r: Seeded,
    private readonly ends: Ends,
    private readonly narrow: boolean,
  ) {
    this.kind = narrow ? "tcp" : r.pick(["tcp", "tcp", "tcp", "udp", "icmp"]);
    this.shifts = [r.pick([undefined, 0, 2, 7]), r.pick([undefined, 3, 7])];
    this.next = [r.next(2) === 0 ? 0xffff_f000 : 1000, 500_000];
  }

  /** The next packet, and whose it is. */
  packet(): { readonly from: Side; readonly data: Uint8Array } {
    const { r, seen, kind } = this;
    const from: Side = seen && r.next(2) === 0 ? 1 : 0;
    const ends = from === 0 ? this.ends : {
      a: seen!.b,
      b: seen!.a,
      aPort: seen!.bPort,
      bPort: seen!.aPort,
    };
    if (kind === "udp") return { from, data: udp(ends, r.next(100)) };
    if (kind === "tcp") return { from, data: this.segment(from, ends) };
    const v6 = ends.a.includes(":");
    const question = v6 ? 128 : 8;
    const answer = v6 ? 129 : 0;
    const type = r.next(12) === 0 ? (v6 ? 133 : 13) : from === 0 ? question : answer;
    return { from, data: echo(ends, type, this.ends.aPort) };
  }

  /** What arrived at the second side; `ends` as `endsOf` says. */
  arrived(ends: string): void {
    const [, a, aPort, b, bPort] = /^(\S+):(\d+) (\S+):(\d+)/.exec(ends)!;
    const short = (address: string): string => address.replace(/^fd00::0+/, "fd00::");
    this.seen = { a: short(a!), b: short(b!), aPort: Number(aPort), bPort: Number(bPort) };
  }

  private segment(from: Side, ends: Ends): Uint8Array {
    const { r, next, open, shifts } = this;
    const to = 1 - from as Side;
    const seq = next[from];
    const ack = next[to];
    const window = r.pick(this.narrow ? [0, 0, 1, 100] : [0, 1, 500, 8000, 65535]);
    if (!open[from] && r.next(10) > 0) {
      open[from] = true;
      next[from] = seq + 1 >>> 0;
      const shift = shifts[from];
      const options = shift === undefined ? {} : { options: scaling(shift) };
      const flags = from === 0 ? SYN : SYN | ACK;
      const first = this.narrow ? 100 : 8000;
      return tcp(ends, flags, { seq, ack: from === 0 ? 0 : ack, window: first, ...options });
    }
    if (this.narrow) return this.narrowly(from, ends, window);
    const length = r.pick([0, 0, 1, 100, 1400]);
    switch (r.next(24)) {
      case 0:
        return tcp(ends, FIN | ACK, { seq, ack, window });
      case 1:
        return tcp(ends, RST, { seq: r.pick([seq, seq + 1, seq + 70_000, seq - 70_000]) >>> 0 });
      case 2:
        return tcp(ends, SYN, { seq: seq + 100_000 >>> 0 });
      case 3:
        return tcp(ends, r.next(64), { seq, ack, window }, length);
      case 4:
      case 5: {
        // Again, too early, far away.
        const off = r.pick([-1, -length, -1400, 1400, 66_000, 200_000, 0x4000_0000, -200_000]);
        return tcp(ends, ACK, { seq: seq + off >>> 0, ack, window }, length);
      }
      case 6: {
        const off = r.pick([-1400, 1400, 60_000, 70_000, -70_000, 0x4000_0000]);
        return tcp(ends, ACK, { seq, ack: ack + off >>> 0, window }, length);
      }
      default:
        next[from] = seq + length >>> 0;
        return tcp(ends, ACK | r.pick([0, 8]), { seq, ack, window }, length);
    }
  }

  /** Data at the edges of windows; what is out of them does not count as sent. */
  private narrowly(from: Side, ends: Ends, window: number): Uint8Array {
    const { r, next } = this;
    const seq = next[from];
    const ack = next[1 - from as Side];
    const off = r.pick([0, 0, 0, 0, -1, 1, 100, 101, 12_800, 12_801, -100, -12_900, 70_000]);
    const ackOff = r.pick([0, 0, 0, -1, 67_035, 67_036, -67_034, -67_035, -67_036, -70_000]);
    const length = r.pick([0, 1, 1, 100, 101]);
    if (off === 0 && ackOff === 0) next[from] = seq + length >>> 0;
    return tcp(ends, ACK, { seq: seq + off >>> 0, ack: ack + ackOff >>> 0, window }, length);
  }
}

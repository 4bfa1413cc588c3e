/**
 * Upcalls from a worker to the main thread, as records of the upcall ring:
 *
 *     reason u32 (0 miss, 1 action) | userdata u32 | in port u32 | frame bytes u32 | key words u32 |
 *     key (that many words; the rest are zero) | virtio-net header (10 bytes) | frame
 *
 * A port may have at most as many bytes in the ring as are free in it (dynamic thresholds, Choudhury
 * and Hahne 1998): one port alone gets half, two get a third each, and a quiet port always finds
 * room beside a flooding one.
 */
import { type Frame, VNET_BYTES } from "../../packet/frame.ts";
import type { Logger } from "../../log/log.ts";
import type { DatapathListener, Upcall } from "../datapath.ts";
import { KeyPool } from "../key-pool.ts";
import { RingReader, RingWriter } from "./ring.ts";
import { MAX_PORTS, type SharedState } from "./shared.ts";

export const REASON_MISS = 0;
export const REASON_ACTION = 1;
const HEADER_BYTES = 20;
/** So many bytes are copied sooner by a loop than by a call. */
const FEW_BYTES = 128;

export const UPCALL_SENT = 0;
export const UPCALL_RING_FULL = 1;
export const UPCALL_PORT_SHARE = 2;

/** Where a port's bytes are counted; packets may be executed as from a port that is none. */
function accountOf(inPort: number): number {
  return inPort >= 0 && inPort < MAX_PORTS ? inPort : MAX_PORTS;
}

/** The worker's side. */
export class UpcallWriter {
  private readonly ring: RingWriter;

  constructor(private readonly shared: SharedState) {
    this.ring = new RingWriter(shared.upcalls);
  }

  /**
   * Copies the frame into the ring, or what is left of it when it is cut (`cut`, a plain frame).
   * Returns UPCALL_SENT or why not.
   */
  push(reason: number, userdata: number, inPort: number, frame: Frame, cut?: Uint8Array): number {
    const { ring } = this;
    const length = cut ? cut.length : frame.length;
    const { upcallBytes } = this.shared;
    const keyWords = frame.keyWords;
    const size = HEADER_BYTES + keyWords * 4 + VNET_BYTES + length;
    const free = ring.memory.size - ring.used();
    const account = accountOf(inPort);
    if (Atomics.load(upcallBytes, account) + size > free) return UPCALL_PORT_SHARE;
    let at = ring.reserve(size);
    if (at < 0) return UPCALL_RING_FULL;
    const { words, bytes } = ring.memory;
    let word = at >> 2;
    words[word++] = reason;
    words[word++] = userdata;
    words[word++] = inPort;
    words[word++] = length;
    words[word++] = keyWords;
    const key = frame.key.words;
    for (let i = 0; i < keyWords; i++) words[word++] = key[i]!;
    at = word << 2;
    if (cut) {
      bytes.fill(0, at, at + VNET_BYTES);
      bytes.set(cut, at + VNET_BYTES);
    } else if (frame.vnet) {
      const from = frame.offset - VNET_BYTES;
      bytes.set(frame.bytes.subarray(from, from + VNET_BYTES + length), at);
    } else {
      bytes.fill(0, at, at + VNET_BYTES);
      bytes.set(frame.bytes.subarray(frame.offset, frame.offset + length), at + VNET_BYTES);
    }
    Atomics.add(upcallBytes, account, size);
    ring.commit();
    return UPCALL_SENT;
  }
}

/** The main thread's side. */
export class UpcallReader {
  private readonly ring: RingReader;
  private readonly keys = new KeyPool();
  /** Upcalls that the last `deliver` handed out. */
  delivered = 0;

  /** `origin`: the worker's number, which its packets keep. */
  constructor(private readonly shared: SharedState, private readonly origin = 0) {
    this.ring = new RingReader(shared.upcalls);
  }

  isEmpty(): boolean {
    return this.ring.isEmpty();
  }

  /**
   * Hands at most `limit` upcalls to all listeners; how many times one of them failed. `follows` is told
   * before each whether another one comes after it.
   */
  deliver(
    limit: number,
    listeners: readonly DatapathListener[],
    logger: Logger,
    follows: (more: boolean) => void,
  ): number {
    let errors = 0;
    this.delivered = 0;
    for (let n = 0; n < limit; n++) {
      const upcall = this.take();
      if (!upcall) break;
      this.delivered++;
      follows(n + 1 < limit && !this.ring.isEmpty());
      for (const listener of listeners) {
        try {
          listener.upcall(upcall);
        } catch (error) {
          errors++;
          logger.err(`upcall: ${error instanceof Error ? error.stack : String(error)}`);
        }
      }
    }
    return errors;
  }

  /** Takes the oldest upcall out, copied; undefined if there is none. */
  take(): Upcall | undefined {
    const { ring } = this;
    const at = ring.next();
    if (at < 0) return undefined;
    const { words, bytes } = ring.memory;
    let word = at >> 2;
    const reason = words[word++]!;
    const userdata = words[word++]! >>> 0;
    const inPort = words[word++]!;
    const length = words[word++]!;
    const keyWords = words[word++]!;
    const key = this.keys.take();
    for (let i = 0; i < keyWords; i++) key.words[i] = words[word++]!;
    const frameAt = (word << 2) + VNET_BYTES;
    const data = new Uint8Array(length);
    if (length > FEW_BYTES) data.set(bytes.subarray(frameAt, frameAt + length));
    else for (let i = 0; i < length; i++) data[i] = bytes[frameAt + i]!;
    let offloads = 0;
    for (let i = word << 2; i < frameAt; i++) offloads |= bytes[i]!;
    const vnet = offloads === 0
      ? undefined
      : new Uint8Array(bytes.subarray(frameAt - VNET_BYTES, frameAt));
    Atomics.sub(this.shared.upcallBytes, accountOf(inPort), ring.length);
    ring.release();
    return {
      reason: reason === REASON_MISS ? "miss" : "action",
      packet: vnet ? { data, vnet, origin: this.origin } : { data, origin: this.origin },
      key,
      userdata,
      keys: this.keys,
    };
  }
}

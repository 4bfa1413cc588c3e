/**
 * Reads what programs in the kernel punt (../punts.ts) and forwards it as the packet of the port that
 * it came in by. It is no port itself: nothing can be sent to it, and it counts no packets received,
 * which the programs have done.
 *
 * With metadata a packet goes on where the programs left it: it has recirculated, came out of a tunnel, or
 * has a connection.
 *
 * A packet that the TAP device's full queue dropped was counted as sent and is never read. When the
 * queue is found empty, everything counted before that look is accounted for: the difference is what
 * was lost, and the port's account is put right.
 */
import {
  ERRNO,
  errno,
  MAP_SHARED,
  memoryAt,
  mmap,
  munmap,
  PROT_READ,
  PROT_WRITE,
  raw,
} from "../../linux/libc.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import { MAX_METERS } from "../engine/meters.ts";
import { SHARED_METER_BYTES, SharedMeters } from "../engine/shared-meters.ts";
import { DP_KEY_WORDS, METADATA_WORD } from "../../packet/layout.ts";
import { pushVlan } from "../../packet/rewrite.ts";
import {
  PORT_RECORD,
  PORT_RECORD_BYTES,
  PUNT_DECIDED,
  PUNT_DECISIONS,
  PUNT_ETHER_TYPE,
  PUNT_FORM,
  PUNT_HEADER_BYTES,
  PUNT_RECIRC_ID,
  PUNT_RESUME,
  PUNT_RESUME_WORDS,
  PUNT_VERSION,
  PUNT_WORDS,
  type Punts,
} from "../punts.ts";
import { HEADROOM_BYTES } from "./arena.ts";
import { MAX_FRAME_BYTES } from "./commands.ts";
import type { Forwarder } from "./forwarder.ts";
import { counterIndex } from "./shared.ts";

const MAX_WORDS = DP_KEY_WORDS - METADATA_WORD;
const READ_BYTES = VNET_BYTES + PUNT_HEADER_BYTES + 4 * MAX_WORDS + 4 + MAX_FRAME_BYTES;
const RECORD_HALVES = PORT_RECORD_BYTES / 4;
const PUNTED = PORT_RECORD.punted * 2;
const READ = PORT_RECORD.read * 2;
const ETHER_TYPE_AT = VNET_BYTES + 12;
const VNET_F_NEEDS_CSUM = 1;
const QUEUE_FULL = counterIndex("drop_punt_queue_full");
const METERS_BYTES = MAX_METERS * SHARED_METER_BYTES;
const NO_PORT = counterIndex("drop_punt_no_port");
const BAD_HEADER = counterIndex("drop_punt_bad_header");

export class PuntPort {
  /** The ports' records as 32-bit words; the counts' low words are enough here. */
  private readonly records: Int32Array;
  private readonly address: number;
  private readonly length: number;
  private readonly metersAt: number;
  /** Ports that have punted since the queue was empty. */
  private readonly seen = new Set<number>();
  private readonly before = new Map<number, number>();
  /** The packet's metadata, where it is aligned. */
  private readonly metadata = new Int32Array(MAX_WORDS);
  private readonly metadataBytes = new Uint8Array(this.metadata.buffer);

  constructor(private readonly punts: Punts, private readonly forwarder: Forwarder) {
    this.length = punts.ports * PORT_RECORD_BYTES;
    this.address = mmap(this.length, PROT_READ | PROT_WRITE, MAP_SHARED, punts.recordsFd);
    this.records = new Int32Array(memoryAt(this.address, this.length));
    this.metersAt = mmap(METERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, punts.metersFd);
    forwarder.meters.shared = new SharedMeters(memoryAt(this.metersAt, METERS_BYTES));
  }

  /** Forwards at most `budget` packets; whether more may wait. */
  receive(budget: number): boolean {
    const { forwarder } = this;
    const { arena } = forwarder;
    this.before.clear();
    for (const port of this.seen) this.before.set(port, this.records[this.word(port, PUNTED)]!);
    let n = 0;
    while (n < budget) {
      forwarder.makeRoom(HEADROOM_BYTES + READ_BYTES);
      const at = arena.take(HEADROOM_BYTES + READ_BYTES);
      const into = at + HEADROOM_BYTES;
      const got = raw.read(this.punts.fd, arena.address + into, READ_BYTES);
      if (got < 0) {
        if (errno() === ERRNO.EAGAIN) this.settle();
        break;
      }
      n++;
      arena.trim(into + Math.max(got, 0));
      if (got >= VNET_BYTES + PUNT_HEADER_BYTES) this.forward(at, into, got);
    }
    forwarder.flush();
    return n === budget;
  }

  end(): void {
    munmap(this.address, this.length);
    this.forwarder.meters.shared = undefined;
    munmap(this.metersAt, METERS_BYTES);
  }

  private word(port: number, word: number): number {
    return port * RECORD_HALVES + word;
  }

  private forward(floor: number, at: number, length: number): void {
    const { forwarder, records } = this;
    const { arena, frame } = forwarder;
    const { bytes } = arena;
    const header = at + VNET_BYTES;
    const typeAt = at + ETHER_TYPE_AT;
    const tpid = (bytes[typeAt]! << 8) | bytes[typeAt + 1]!;
    const tci = (bytes[typeAt + 2]! << 8) | bytes[typeAt + 3]!;
    const tagged = tpid === 0x8100 || tpid === 0x88a8;
    const type = tagged ? (bytes[typeAt + 4]! << 8) | bytes[typeAt + 5]! : tpid;
    // Some host's daemon that sends on every interface it finds.
    if (type !== PUNT_ETHER_TYPE) return;
    const port = word(bytes, header);
    if (port < 0 || port >= this.punts.ports) return;
    this.seen.add(port);
    Atomics.add(records, this.word(port, READ), 1);
    if (!forwarder.ports[port]) {
      forwarder.count(NO_PORT);
      return;
    }
    const words = bytes[header + PUNT_WORDS]!;
    const metadataAt = PUNT_HEADER_BYTES + (tagged ? 4 : 0);
    const extra = metadataAt + 4 * words;
    const isKnown = bytes[header + PUNT_FORM] === PUNT_VERSION && words <= MAX_WORDS;
    if (!isKnown || length < VNET_BYTES + extra) {
      forwarder.count(BAD_HEADER);
      return;
    }
    const recircId = word(bytes, header + PUNT_RECIRC_ID);
    const decisions = bytes[header + PUNT_DECISIONS]! | (bytes[header + PUNT_DECISIONS + 1]! << 8);
    const { metadata, metadataBytes } = this;
    for (let i = 0; i < 4 * words; i++) metadataBytes[i] = bytes[header + metadataAt + i]!;
    // The virtio-net header goes down to the frame.
    bytes.copyWithin(at + extra, at, at + VNET_BYTES);
    lower(bytes, at + extra, extra);
    frame.set(bytes, header + extra, length - VNET_BYTES - extra, true, floor);
    if (tagged && pushVlan(frame, tpid, tci)) {
      frame.bytes[frame.offset + 14]! |= (tci >> 8) & 0x10;
    }
    forwarder.decisions = (decisions & PUNT_DECIDED) === 0 ? 0 : decisions;
    if ((decisions & PUNT_RESUME) !== 0 && words >= PUNT_RESUME_WORDS) {
      const kept = words - PUNT_RESUME_WORDS;
      const place = decisions & (PUNT_RESUME - 1);
      const [flow, print] = [metadata[kept]!, metadata[kept + 1]!];
      forwarder.resumeFlow(arena, port, recircId, metadata, kept, flow, print, place);
    } else if (words === 0) forwarder.forward(arena, port);
    else forwarder.forwardOn(arena, port, recircId, metadata, 0, words);
    forwarder.decisions = 0;
  }

  /** Nothing waits: what was counted before and has not been read is lost. */
  private settle(): void {
    const { records } = this;
    for (const [port, punted] of this.before) {
      const lost = (punted - records[this.word(port, READ)]!) | 0;
      if (lost > 0) {
        Atomics.add(records, this.word(port, READ), lost);
        this.forwarder.count(QUEUE_FULL, lost);
      }
      this.seen.delete(port);
    }
  }
}

/** As the machine has it. */
function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Takes `by` off the virtio-net header's hdr_len and csum_start. */
function lower(bytes: Uint8Array, vnet: number, by: number): void {
  const less = (at: number): void => {
    const value = Math.max(0, (bytes[at]! | (bytes[at + 1]! << 8)) - by);
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
  };
  if ((bytes[vnet + 2]! | bytes[vnet + 3]!) !== 0) less(vnet + 2);
  if ((bytes[vnet]! & VNET_F_NEEDS_CSUM) !== 0) less(vnet + 6);
}

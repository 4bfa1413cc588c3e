/**
 * Packet captures in the classic format (`pcap-savefile(5)`), Ethernet only.
 *
 *     magic (32) | version (16, 16) | zone, precision (32, 32) | longest packet (32) | link type (32)
 *     then for each packet: seconds, micro- or nanoseconds, bytes here, bytes once (32 each), the bytes
 */

export class PcapError extends Error {
  override readonly name = "PcapError";
}

export interface CapturedPacket {
  readonly bytes: Uint8Array;
  /** Since 1970, with their fraction. */
  readonly milliseconds: number;
}

const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const LONGEST_PACKET = 0xffff;
const VERSION = [2, 4] as const;
const LINK_ETHERNET = 1;

/** Throws `PcapError` for a file that is none, or ends early. */
export function* readPcap(file: Uint8Array): Generator<CapturedPacket> {
  if (file.length < HEADER_BYTES) throw new PcapError("the file is too short");
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const magics = [MICROSECONDS, NANOSECONDS];
  const little = magics.includes(view.getUint32(0, true));
  const magic = view.getUint32(0, little);
  if (!magics.includes(magic)) throw new PcapError("this is no packet capture");
  const link = view.getUint32(20, little) & 0xffff;
  if (link !== LINK_ETHERNET) throw new PcapError(`its link type is ${link}, not Ethernet`);
  const fraction = magic === MICROSECONDS ? 1000 : 1_000_000;
  for (let at = HEADER_BYTES; at < file.length;) {
    if (file.length - at < RECORD_BYTES) throw new PcapError("a record ends early");
    const length = view.getUint32(at + 8, little);
    if (length > LONGEST_PACKET || file.length - at - RECORD_BYTES < length) {
      throw new PcapError("a packet ends early");
    }
    const milliseconds = view.getUint32(at, little) * 1000 +
      view.getUint32(at + 4, little) / fraction;
    yield {
      bytes: file.slice(at + RECORD_BYTES, at + RECORD_BYTES + length),
      milliseconds,
    };
    at += RECORD_BYTES + length;
  }
}

/** A capture of one packet, from the beginning of 1970. */
export function writePcap(packet: Uint8Array): Uint8Array {
  const file = new Uint8Array(HEADER_BYTES + RECORD_BYTES + packet.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, MICROSECONDS, true);
  view.setUint16(4, VERSION[0], true);
  view.setUint16(6, VERSION[1], true);
  view.setUint32(16, LONGEST_PACKET, true);
  view.setUint32(20, LINK_ETHERNET, true);
  view.setUint32(HEADER_BYTES + 8, packet.length, true);
  view.setUint32(HEADER_BYTES + 12, packet.length, true);
  file.set(packet, HEADER_BYTES + RECORD_BYTES);
  return file;
}

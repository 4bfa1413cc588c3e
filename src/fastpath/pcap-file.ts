/**
 * Capture files as libpcap writes them ("pcap" savefile format, version 2.4, little endian):
 *
 *      0          4           6           8         12         16         20         24
 *     +----------+-----------+-----------+----------+----------+----------+----------+
 *     |0xa1b2c3d4|major u16=2|minor u16=4| zone =0  | sigfigs=0| snaplen  | link = 1 |
 *     +----------+-----------+-----------+----------+----------+----------+----------+
 *     a record:  seconds u32 | microseconds u32 | captured u32 | length u32 | frame
 *
 * Link type 1 is Ethernet.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";

const MAGIC = 0xa1b2c3d4;
/** What Open vSwitch's dummies say; records may be longer. */
const SNAPSHOT_BYTES = 1518;
const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

export class PcapFile {
  private fd: number | undefined;

  /** Appends to the file, which need not exist. Throws what the system says. */
  constructor(path: string, { snapBytes = SNAPSHOT_BYTES, mode = 0o666 } = {}) {
    this.fd = openSync(path, "a", mode);
    if (fstatSync(this.fd).size > 0) return;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, MAGIC, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, snapBytes, true);
    header.setUint32(20, 1, true);
    writeSync(this.fd, header);
  }

  /** One write a frame, so that whoever reads meanwhile sees whole records. */
  write(frame: Uint8Array, wallMs = Date.now()): void {
    if (this.fd === undefined) return;
    const record = new Uint8Array(RECORD_HEADER_BYTES + frame.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, Math.floor(wallMs / 1000), true);
    view.setUint32(4, (wallMs % 1000) * 1000, true);
    view.setUint32(8, frame.length, true);
    view.setUint32(12, frame.length, true);
    record.set(frame, RECORD_HEADER_BYTES);
    writeSync(this.fd, record);
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}

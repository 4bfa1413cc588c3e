/**
 * Cuts a byte stream into OpenFlow messages.
 *
 * Each message begins with version, type, 16-bit length, 32-bit xid (OpenFlow 1.3.5 §7.1). The
 * length bounds a message at 65535 bytes, and so what is ever held back here. A length below 8 is
 * no message: nothing after it can be understood, so `push` throws `OFPBRC_BAD_LEN` and the
 * connection has to end.
 */
import { OfError } from "./errors.ts";

export const HEADER_BYTES = 8;
export const MAX_MESSAGE_BYTES = 0xffff;

const NOTHING = new Uint8Array(0);

export class MessageStream {
  private held = NOTHING;

  /** Bytes that wait for the rest of their message. */
  get heldBytes(): number {
    return this.held.length;
  }

  /** Hands each message that `bytes` completes to `message`: parts of one copy of all of them. */
  push(bytes: Uint8Array, message: (bytes: Uint8Array) => void): void {
    const data = new Uint8Array(new ArrayBuffer(this.held.length + bytes.length));
    data.set(this.held);
    data.set(bytes, this.held.length);
    let at = 0;
    while (data.length - at >= HEADER_BYTES) {
      const length = (data[at + 2]! << 8) | data[at + 3]!;
      if (length < HEADER_BYTES) {
        throw new OfError("OFPBRC_BAD_LEN", 2, `a message of ${length} bytes is too short`);
      }
      if (data.length - at < length) break;
      message(data.subarray(at, at + length));
      at += length;
    }
    this.held = at < data.length ? data.slice(at) : NOTHING;
  }
}

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

export class MessageStream {
  private held = new Uint8Array(0);

  /** Bytes that wait for the rest of their message. */
  get heldBytes(): number {
    return this.held.length;
  }

  /** Hands each message that `bytes` completes to `message`, as a copy of its own. */
  push(bytes: Uint8Array, message: (bytes: Uint8Array) => void): void {
    let data = bytes;
    if (this.held.length > 0) {
      data = new Uint8Array(this.held.length + bytes.length);
      data.set(this.held);
      data.set(bytes, this.held.length);
    }
    let at = 0;
    while (data.length - at >= HEADER_BYTES) {
      const length = (data[at + 2]! << 8) | data[at + 3]!;
      if (length < HEADER_BYTES) {
        throw new OfError("OFPBRC_BAD_LEN", 2, `a message of ${length} bytes is too short`);
      }
      if (data.length - at < length) break;
      message(data.slice(at, at + length));
      at += length;
    }
    this.held = data.slice(at);
  }
}

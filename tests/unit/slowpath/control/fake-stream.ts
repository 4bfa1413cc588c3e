/** Streams without sockets: what one side writes the test reads, and the other way round. */
import { decode, encode } from "../../../../src/openflow/codec.ts";
import type { Decoded, OfMessage } from "../../../../src/openflow/messages/types.ts";
import type { OfVersion } from "../../../../src/openflow/version.ts";
import type { Stream, StreamEvents } from "../../../../src/slowpath/control/streams.ts";

export class FakeStream implements Stream {
  readonly peer = "fake";
  /** Messages written, decoded, oldest first. */
  readonly sent: Decoded[] = [];
  events: StreamEvents | undefined;
  queuedBytes = 0;
  queuedWrites = 0;
  paused = false;
  closedWith: string | undefined;
  /** True: the peer takes nothing, and everything written stays queued. */
  stuck = false;

  write(bytes: Uint8Array): void {
    if (this.closedWith !== undefined) return;
    this.sent.push(decode(bytes, { loose: true }));
    if (!this.stuck) return;
    this.queuedBytes += bytes.length;
    this.queuedWrites++;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.abort("closed by this side");
  }

  abort(reason: string): void {
    if (this.closedWith !== undefined) return;
    this.closedWith = reason;
    this.events?.closed(reason);
  }

  /** The peer takes all that was queued. */
  drain(): void {
    this.queuedBytes = this.queuedWrites = 0;
    this.events?.drained?.();
  }

  /** The peer sends bytes. */
  raw(bytes: Uint8Array): void {
    this.events!.data(bytes);
  }

  /** The peer sends a message. */
  receive(version: OfVersion, message: OfMessage, xid = 100): void {
    this.raw(encode(version, xid, message));
  }

  /** Takes what was sent since the last call. */
  take(): OfMessage[] {
    return this.sent.splice(0).map(({ message }) => message);
  }
}

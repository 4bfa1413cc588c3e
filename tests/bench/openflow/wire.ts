/**
 * The measuring end of an OpenFlow connection: as little work a message as possible, so that the
 * switch is what is measured. Messages to send are ready-made bytes; of what comes back, only the
 * header is looked at: each message is counted by its type, and handed to `onMessage`.
 */
import type { Socket } from "bun";

const HEADER = 8;
export const HELLO = 0;
export const ERROR = 1;
export const ECHO_REQUEST = 2;
export const PACKET_IN = 10;
/** Of OpenFlow 1.1 and later. */
export const BARRIER_REPLY = 21;
const BARRIER_REQUEST = 20;
const SET_CONFIG = 9;
const FLOW_MOD = 14;
const OFPFC_DELETE = 3;
const VERSION = 4;

/** A message of OpenFlow 1.3 (7.1). */
export function message(type: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length);
  bytes[0] = VERSION;
  bytes[1] = type;
  new DataView(bytes.buffer).setUint16(2, bytes.length);
  bytes.set(body, HEADER);
  return bytes;
}

/** Flow-mod that deletes every flow of every table (7.3.4.1). */
export function deleteAll(): Uint8Array {
  const body = new Uint8Array(48);
  const view = new DataView(body.buffer);
  body[16] = 0xff;
  body[17] = OFPFC_DELETE;
  view.setUint32(24, 0xffffffff);
  view.setUint32(28, 0xffffffff);
  view.setUint32(32, 0xffffffff);
  view.setUint16(40, 1);
  view.setUint16(42, 4);
  return message(FLOW_MOD, body);
}

export class Wire {
  /** Messages received so far, by type. */
  readonly received: number[] = Array.from({ length: 256 }, () => 0);
  onMessage: ((bytes: Uint8Array) => void) | undefined;
  private rest = new Uint8Array(0);
  private unsent: Uint8Array[] = [];
  private awaited: { type: number; count: number; resolve(): void } | undefined;
  private broken: ((error: Error) => void) | undefined;
  private failure: Error | undefined;

  private constructor(private readonly socket: Socket<unknown>) {}

  /** Connects to the bridge's management socket and says OpenFlow 1.3. */
  static async connect(path: string): Promise<Wire> {
    const made: { wire?: Wire } = {};
    const socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_: Socket<unknown>, bytes: Uint8Array) => made.wire?.take(bytes),
        drain: () => made.wire?.flush(),
        close: () => made.wire?.fail(new Error("the switch closed the connection")),
        error: (_: Socket<unknown>, error: Error) => made.wire?.fail(error),
      },
    });
    const wire = new Wire(socket);
    made.wire = wire;
    wire.send(message(HELLO));
    await wire.until(HELLO, 1);
    return wire;
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.broken?.(this.failure);
  }

  private take(data: Uint8Array): void {
    let bytes = data;
    if (this.rest.length > 0) {
      bytes = new Uint8Array(this.rest.length + data.length);
      bytes.set(this.rest);
      bytes.set(data, this.rest.length);
    }
    let at = 0;
    while (at + HEADER <= bytes.length) {
      const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      if (at + length > bytes.length) break;
      const type = bytes[at + 1]!;
      this.received[type]!++;
      if (type === ERROR) {
        const text = Buffer.from(bytes.subarray(at, at + 12)).toString("hex");
        return this.fail(new Error(`the switch says error ${text}`));
      }
      if (type === ECHO_REQUEST) {
        const reply = bytes.slice(at, at + length);
        reply[1] = ECHO_REQUEST + 1;
        this.send(reply);
      }
      this.onMessage?.(bytes.subarray(at, at + length));
      at += length;
    }
    this.rest = bytes.slice(at);
    const { awaited } = this;
    if (awaited === undefined || this.received[awaited.type]! < awaited.count) return;
    this.awaited = undefined;
    awaited.resolve();
  }

  /** Sent in order; what the socket does not take yet waits. */
  send(bytes: Uint8Array): void {
    this.unsent.push(bytes);
    if (this.unsent.length === 1) this.flush();
  }

  private flush(): void {
    while (this.unsent.length > 0) {
      const bytes = this.unsent[0]!;
      const taken = this.socket.write(bytes);
      if (taken < bytes.length) {
        this.unsent[0] = bytes.subarray(Math.max(0, taken));
        return;
      }
      this.unsent.shift();
    }
  }

  /** Resolves when `count` messages of this type have come since the beginning. */
  async until(type: number, count: number): Promise<void> {
    if (this.failure) throw this.failure;
    if (this.received[type]! >= count) return;
    await new Promise<void>((resolve, reject) => {
      this.awaited = { type, count, resolve };
      this.broken = reject;
    });
  }

  /** Sends this and a barrier, and waits until that is answered. */
  async settle(bytes: Uint8Array = new Uint8Array(0)): Promise<void> {
    const count = this.received[BARRIER_REPLY]! + 1;
    this.send(Buffer.concat([bytes, message(BARRIER_REQUEST)]));
    await this.until(BARRIER_REPLY, count);
  }

  /** Has packet-ins sent here, whole: a connection to the management socket gets none by itself. */
  async wantPackets(): Promise<void> {
    await this.settle(message(SET_CONFIG, Uint8Array.of(0, 0, 0xff, 0xff)));
  }

  close(): void {
    this.socket.end();
  }
}

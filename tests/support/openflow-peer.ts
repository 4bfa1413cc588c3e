/**
 * A small OpenFlow controller for tests: raw messages over a socket inside the test process, with
 * an encoding of its own for the handful of messages that tests send, so that the product's codec
 * is not tested with itself. Speaks OpenFlow 1.0 (wire version 1) and 1.3 (4).
 */
import type { Socket, TCPSocketListener } from "bun";
import { eventually } from "./eventually.ts";
import type { Namespace } from "./netns.ts";

export const OFPT = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  featuresRequest: 5,
  featuresReply: 6,
  setConfig: 9,
  packetIn: 10,
  flowRemoved: 11,
  portStatus: 12,
  packetOut: 13,
  flowMod: 14,
} as const;

/** Differs between the versions. */
export const BARRIER = { 1: { request: 18, reply: 19 }, 4: { request: 20, reply: 21 } } as const;

export const NO_BUFFER = 0xffffffff;
export const PORT_CONTROLLER = { 1: 0xfffd, 4: 0xfffffffd } as const;
export const PORT_FLOOD = { 1: 0xfffb, 4: 0xfffffffb } as const;
export const PORT_NONE = { 1: 0xffff, 4: 0xffffffff } as const;

export type WireVersion = 1 | 4;

export interface Message {
  readonly version: number;
  readonly type: number;
  readonly xid: number;
  readonly body: Uint8Array;
}

export interface PacketIn {
  readonly bufferId: number;
  readonly totalLength: number;
  readonly inPort: number;
  /** 0 no match, 1 action (in OpenFlow 1.3 a table-miss entry's too gives 0). */
  readonly reason: number;
  readonly tableId: number;
  readonly data: Uint8Array;
}

export function message(version: number, type: number, body: Uint8Array, xid = 1): Uint8Array {
  const out = new Uint8Array(8 + body.length);
  const view = new DataView(out.buffer);
  view.setUint8(0, version);
  view.setUint8(1, type);
  view.setUint16(2, out.length);
  view.setUint32(4, xid);
  out.set(body, 8);
  return out;
}

export function parsePacketIn(m: Message): PacketIn {
  const view = new DataView(m.body.buffer, m.body.byteOffset, m.body.length);
  const bufferId = view.getUint32(0);
  const totalLength = view.getUint16(4);
  if (m.version === 1) {
    const data = m.body.subarray(10);
    return {
      bufferId,
      totalLength,
      inPort: view.getUint16(6),
      reason: view.getUint8(8),
      tableId: 0,
      data,
    };
  }
  // OpenFlow 1.3.5 §7.4.1: reason u8 @6, table u8 @7, cookie u64 @8, match @16, pad 2, data.
  const matchLength = view.getUint16(18);
  const dataAt = 16 + Math.ceil(matchLength / 8) * 8 + 2;
  let inPort = 0;
  for (let at = 20; at + 4 <= 16 + matchLength;) {
    const header = view.getUint32(at);
    // Class 0x8000 (OpenFlow basic), field 0 (in_port), no mask, four bytes.
    if (header === 0x80000004) inPort = view.getUint32(at + 4);
    at += 4 + (header & 0xff);
  }
  return {
    bufferId,
    totalLength,
    inPort,
    reason: view.getUint8(6),
    tableId: view.getUint8(7),
    data: m.body.subarray(dataAt),
  };
}

/** An output action: port, and how much of the packet the controller gets. */
export function outputAction(version: WireVersion, port: number, maxLength = 0xffff): Uint8Array {
  const out = new Uint8Array(version === 1 ? 8 : 16);
  const view = new DataView(out.buffer);
  view.setUint16(2, out.length);
  if (version === 1) {
    view.setUint16(4, port);
    view.setUint16(6, maxLength);
  } else {
    view.setUint32(4, port);
    view.setUint16(8, maxLength);
  }
  return out;
}

export interface FlowMod {
  readonly priority?: number;
  readonly inPort?: number;
  /** 6 bytes. */
  readonly ethDst?: Uint8Array;
  readonly ethSrc?: Uint8Array;
  readonly actions: readonly Uint8Array[];
  readonly bufferId?: number;
  readonly idleTimeout?: number;
  readonly hardTimeout?: number;
  readonly flags?: number;
  readonly cookie?: bigint;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** An ADD. An empty action list drops. */
export function flowMod(version: WireVersion, f: FlowMod): Uint8Array {
  return version === 1 ? flowMod10(f) : flowMod13(f);
}

function flowMod10(f: FlowMod): Uint8Array {
  const head = new Uint8Array(64);
  const view = new DataView(head.buffer);
  let wildcards = 0x3fffff;
  if (f.inPort !== undefined) {
    wildcards &= ~1;
    view.setUint16(4, f.inPort);
  }
  if (f.ethSrc !== undefined) {
    wildcards &= ~4;
    head.set(f.ethSrc, 6);
  }
  if (f.ethDst !== undefined) {
    wildcards &= ~8;
    head.set(f.ethDst, 12);
  }
  view.setUint32(0, wildcards);
  view.setBigUint64(40, f.cookie ?? 0n);
  view.setUint16(50, f.idleTimeout ?? 0);
  view.setUint16(52, f.hardTimeout ?? 0);
  view.setUint16(54, f.priority ?? 0x8000);
  view.setUint32(56, f.bufferId ?? NO_BUFFER);
  view.setUint16(60, 0xffff);
  view.setUint16(62, f.flags ?? 0);
  return message(1, OFPT.flowMod, join([head, ...f.actions]));
}

function oxm(field: number, value: Uint8Array): Uint8Array {
  return join([Uint8Array.of(0x80, 0, field << 1, value.length), value]);
}

function flowMod13(f: FlowMod): Uint8Array {
  const head = new Uint8Array(40);
  const view = new DataView(head.buffer);
  view.setBigUint64(0, f.cookie ?? 0n);
  view.setUint16(18, f.idleTimeout ?? 0);
  view.setUint16(20, f.hardTimeout ?? 0);
  view.setUint16(22, f.priority ?? 0x8000);
  view.setUint32(24, f.bufferId ?? NO_BUFFER);
  view.setUint32(28, 0xffffffff);
  view.setUint32(32, 0xffffffff);
  view.setUint16(36, f.flags ?? 0);
  const fields: Uint8Array[] = [];
  if (f.inPort !== undefined) {
    const port = new Uint8Array(4);
    new DataView(port.buffer).setUint32(0, f.inPort);
    fields.push(oxm(0, port));
  }
  if (f.ethDst !== undefined) fields.push(oxm(3, f.ethDst));
  if (f.ethSrc !== undefined) fields.push(oxm(4, f.ethSrc));
  const oxms = join(fields);
  const match = new Uint8Array(Math.ceil((4 + oxms.length) / 8) * 8);
  new DataView(match.buffer).setUint16(0, 1);
  new DataView(match.buffer).setUint16(2, 4 + oxms.length);
  match.set(oxms, 4);
  const actions = join(f.actions);
  // OFPIT_APPLY_ACTIONS; without actions, no instruction at all.
  const instruction = new Uint8Array(actions.length === 0 ? 0 : 8);
  if (instruction.length > 0) {
    new DataView(instruction.buffer).setUint16(0, 4);
    new DataView(instruction.buffer).setUint16(2, 8 + actions.length);
  }
  return message(4, OFPT.flowMod, join([head, match, instruction, actions]));
}

export function packetOut(
  version: WireVersion,
  p: { bufferId?: number; inPort: number; actions: readonly Uint8Array[]; data?: Uint8Array },
): Uint8Array {
  const actions = join(p.actions);
  const head = new Uint8Array(version === 1 ? 8 : 16);
  const view = new DataView(head.buffer);
  view.setUint32(0, p.bufferId ?? NO_BUFFER);
  if (version === 1) {
    view.setUint16(4, p.inPort);
    view.setUint16(6, actions.length);
  } else {
    view.setUint32(4, p.inPort);
    view.setUint16(8, actions.length);
  }
  return message(version, OFPT.packetOut, join([head, actions, p.data ?? new Uint8Array()]));
}

/** One switch's connection, as the controller sees it. */
export class SwitchConnection {
  private pending = new Uint8Array();
  readonly received: Message[] = [];
  closed = false;

  constructor(private readonly socket: Socket<undefined>, readonly version: WireVersion) {}

  take(chunk: Uint8Array): void {
    this.pending = join([this.pending, chunk]) as Uint8Array<ArrayBuffer>;
    for (;;) {
      if (this.pending.length < 8) return;
      const view = new DataView(this.pending.buffer, this.pending.byteOffset);
      const length = view.getUint16(2);
      if (this.pending.length < length) return;
      const m: Message = {
        version: view.getUint8(0),
        type: view.getUint8(1),
        xid: view.getUint32(4),
        body: this.pending.slice(8, length),
      };
      this.pending = this.pending.slice(length);
      if (m.type === OFPT.echoRequest) {
        this.send(message(m.version, OFPT.echoReply, m.body, m.xid));
      } else this.received.push(m);
    }
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
    this.socket.flush();
  }

  close(): void {
    this.socket.end();
  }

  count(type: number): number {
    return this.received.filter((m) => m.type === type).length;
  }

  /** Takes the first message of this type out of those received, waiting for it if need be. */
  next(type: number, timeoutMs = 5000): Promise<Message> {
    return eventually(`message of type ${type}`, () => {
      const at = this.received.findIndex((m) => m.type === type);
      return at < 0 ? undefined : this.received.splice(at, 1)[0];
    }, { timeoutMs, everyMs: 3 });
  }

  /** The next packet-in whose frame `wanted` accepts; others are thrown away. */
  async packetIn(wanted: (p: PacketIn) => boolean, timeoutMs = 5000): Promise<PacketIn> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const left = Math.max(1, end - performance.now());
      const p = parsePacketIn(await this.next(OFPT.packetIn, left));
      if (wanted(p)) return p;
    }
  }

  /** Waits until the switch has done all that was sent before. Throws when it sent an error. */
  async barrier(): Promise<void> {
    const { request, reply } = BARRIER[this.version];
    this.send(message(this.version, request, new Uint8Array(), 0x7777));
    await this.next(reply);
    const error = this.received.find((m) => m.type === OFPT.error);
    if (error !== undefined) {
      throw new Error(`the switch sent an error: ${Buffer.from(error.body).toString("hex")}`);
    }
  }
}

/** Listens like a controller on a port of a namespace's loopback. */
export class TestController {
  readonly connections: SwitchConnection[] = [];
  private readonly listener: TCPSocketListener<undefined>;

  constructor(ns: Namespace, readonly port: number, readonly version: WireVersion) {
    const bySocket = new Map<Socket<undefined>, SwitchConnection>();
    this.listener = ns.inside(() =>
      Bun.listen<undefined>({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => {
            const connection = new SwitchConnection(socket, version);
            bySocket.set(socket, connection);
            this.connections.push(connection);
            connection.send(message(version, OFPT.hello, new Uint8Array()));
          },
          data: (socket, chunk) => bySocket.get(socket)?.take(new Uint8Array(chunk)),
          close: (socket) => {
            const connection = bySocket.get(socket);
            if (connection !== undefined) connection.closed = true;
          },
          error: () => {},
        },
      })
    );
  }

  /** The newest open connection, with hello and features exchanged. */
  async connected(timeoutMs = 10_000): Promise<SwitchConnection> {
    const connection = await eventually(
      "the switch connects to the controller",
      () => this.connections.findLast((each) => !each.closed),
      { timeoutMs },
    );
    await connection.next(OFPT.hello);
    connection.send(message(this.version, OFPT.featuresRequest, new Uint8Array(), 2));
    await connection.next(OFPT.featuresReply);
    return connection;
  }

  close(): void {
    this.listener.stop(true);
  }
}

/**
 * A cable between dummy devices: a socket on which each frame follows its length.
 *
 *      0        2
 *     +--------+----------------+
 *     | length | frame          |     length: u16, big endian, of the frame alone
 *     +--------+----------------+
 *
 * `options:pstream=punix:FILE|ptcp:PORT[:HOST]` waits for any number of others, `options:stream=
 * unix:FILE|tcp:HOST:PORT` connects to one, again and again. What is sent while nobody is connected
 * is lost, as on a cable; a peer that does not read loses what is sent to it meanwhile.
 */
import { rmSync } from "node:fs";
import type { Socket } from "bun";

const RETRY_MS = 100;
const LENGTH_BYTES = 2;
const LONGEST_FRAME_BYTES = 0xffff;
/** What may wait for a peer that does not read. */
const BACKLOG_BYTES = 1 << 20;

export type ConnectionState = "connected" | "disconnected";

export interface NetdevConnectionOptions {
  readonly received: (frame: Uint8Array) => void;
  readonly warn: (message: string) => void;
}

interface Address {
  readonly unix?: string;
  readonly hostname?: string;
  readonly port?: number;
}

/** Undefined if it is no address of that kind. */
function parseAddress(text: string, passive: boolean): Address | undefined {
  const [, scheme, rest = ""] = /^(p?)(?:unix|tcp):/.test(text)
    ? /^([a-z]+):(.*)$/.exec(text) ?? []
    : [];
  if (scheme === (passive ? "punix" : "unix")) return { unix: rest };
  if (scheme !== (passive ? "ptcp" : "tcp")) return undefined;
  const [first = "", second = ""] = rest.split(":");
  return passive
    ? { hostname: second || "0.0.0.0", port: Number(first) }
    : { hostname: first, port: Number(second) };
}

/** Frames cut out of a stream of bytes. */
class FrameReader {
  private rest = new Uint8Array(0);

  *feed(bytes: Uint8Array): Iterable<Uint8Array> {
    let all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    while (all.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + ((all[0]! << 8) | all[1]!);
      if (all.length < end) break;
      yield all.slice(LENGTH_BYTES, end);
      all = all.subarray(end);
    }
    this.rest = all.slice();
  }
}

interface Peer {
  readonly reader: FrameReader;
  /** What the socket has not taken yet. */
  queue: Uint8Array[];
  queuedBytes: number;
}

type PeerSocket = Socket<Peer>;

export class NetdevConnection {
  private stream: string | undefined;
  private pstream: string | undefined;
  private readonly peers = new Set<PeerSocket>();
  private listener: { stop(closeAll: boolean): void; path: string | undefined } | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: NetdevConnectionOptions) {}

  /** Undefined unless it is one that connects. */
  get state(): ConnectionState | undefined {
    if (this.stream === undefined) return undefined;
    return this.peers.size > 0 ? "connected" : "disconnected";
  }

  configure(stream: string | undefined, pstream: string | undefined): void {
    if (stream !== undefined && pstream !== undefined) {
      this.options.warn(`Open failed: both ${pstream} and ${stream} are configured`);
      return;
    }
    if (stream === this.stream && pstream === this.pstream) return;
    this.close();
    this.stream = stream;
    this.pstream = pstream;
    if (pstream !== undefined) this.listen(pstream);
    if (stream !== undefined) void this.connect(stream);
  }

  send(frame: Uint8Array): void {
    if (this.peers.size === 0 || frame.length > LONGEST_FRAME_BYTES) return;
    const message = new Uint8Array(LENGTH_BYTES + frame.length);
    message[0] = frame.length >> 8;
    message[1] = frame.length;
    message.set(frame, LENGTH_BYTES);
    for (const peer of this.peers) {
      const { data } = peer;
      if (data.queuedBytes > BACKLOG_BYTES) continue;
      data.queue.push(message);
      data.queuedBytes += message.length;
      flush(peer);
    }
  }

  close(): void {
    clearTimeout(this.timer);
    this.stream = this.pstream = undefined;
    this.listener?.stop(true);
    if (this.listener?.path !== undefined) rmSync(this.listener.path, { force: true });
    this.listener = undefined;
    for (const peer of this.peers) peer.terminate();
    this.peers.clear();
  }

  private handlers(closed: () => void) {
    return {
      open: (socket: PeerSocket) => {
        socket.data ??= { reader: new FrameReader(), queue: [], queuedBytes: 0 };
        this.peers.add(socket);
      },
      data: (socket: PeerSocket, bytes: Uint8Array) => {
        for (const frame of socket.data.reader.feed(bytes)) this.options.received(frame);
      },
      drain: flush,
      close: (socket: PeerSocket) => {
        this.peers.delete(socket);
        closed();
      },
      error: (socket: PeerSocket) => void this.peers.delete(socket),
    };
  }

  private listen(pstream: string): void {
    const address = parseAddress(pstream, true);
    try {
      if (!address) throw new Error("not an address to listen at");
      if (address.unix !== undefined) rmSync(address.unix, { force: true });
      const socket = this.handlers(() => {});
      const { unix } = address;
      const server = unix === undefined
        ? Bun.listen<Peer>({ hostname: address.hostname!, port: address.port!, socket })
        : Bun.listen<Peer>({ unix, socket });
      this.listener = { stop: (all) => server.stop(all), path: unix };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.options.warn(`${pstream}: open failed (${text})`);
    }
  }

  private async connect(stream: string): Promise<void> {
    const address = parseAddress(stream, false);
    if (!address) return this.options.warn(`${stream}: open failed (not an address)`);
    const retry = (): void => {
      if (this.stream !== stream) return;
      this.timer = setTimeout(() => void this.connect(stream), RETRY_MS);
      this.timer.unref();
    };
    const socket = this.handlers(retry);
    const { unix } = address;
    try {
      const data: Peer = { reader: new FrameReader(), queue: [], queuedBytes: 0 };
      const connected = unix === undefined
        ? await Bun.connect<Peer>({
          hostname: address.hostname!,
          port: address.port!,
          socket,
          data,
        })
        : await Bun.connect<Peer>({ unix, socket, data });
      if (this.stream !== stream) connected.terminate();
    } catch {
      retry();
    }
  }
}

function flush(peer: PeerSocket): void {
  const { data } = peer;
  while (data.queue[0] !== undefined) {
    const bytes = data.queue[0];
    const sent = Math.max(0, peer.write(bytes));
    data.queuedBytes -= sent;
    if (sent < bytes.length) {
      data.queue[0] = bytes.subarray(sent);
      return;
    }
    data.queue.shift();
  }
}

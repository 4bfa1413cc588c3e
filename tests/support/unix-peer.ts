/** A client of a Unix stream socket that sends raw bytes and sees what comes back. */
import type { Socket } from "bun";

export class UnixPeer {
  private chunks: Uint8Array[] = [];
  closed = false;
  private socket: Socket<undefined> | undefined;

  static async connect(path: string): Promise<UnixPeer> {
    const peer = new UnixPeer();
    peer.socket = await Bun.connect<undefined>({
      unix: path,
      socket: {
        data: (_socket, chunk) => void peer.chunks.push(new Uint8Array(chunk)),
        close: () => void (peer.closed = true),
        error: () => void (peer.closed = true),
      },
    });
    return peer;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.chunks));
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  send(data: string | Uint8Array): void {
    if (this.closed) return;
    this.socket?.write(data);
    this.socket?.flush();
  }

  close(): void {
    this.socket?.end();
  }
}

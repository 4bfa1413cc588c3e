/**
 * The measuring end of a database connection: as little work a message as possible, so that the
 * server under test is what is measured. Requests are ready-made texts; of what comes back, whole
 * messages are counted by matching brackets, and nothing is parsed unless somebody asks for it.
 */
import type { Socket } from "bun";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class Wire {
  /** Whole messages received so far. */
  messages = 0;
  /** Called after each piece of input, with the bytes. */
  onData: ((bytes: Uint8Array) => void) | undefined;
  private depth = 0;
  private inText = false;
  private escaped = false;
  private pending: Buffer[] = [];
  private closed: string | undefined;
  private next: { count: number; resolve: () => void; reject: (error: Error) => void } | undefined;

  private constructor(private readonly socket: Socket<unknown>) {}

  /** Rejects if nobody listens there. */
  static async connect(path: string): Promise<Wire> {
    const made: { wire?: Wire } = {};
    const socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_: Socket<unknown>, bytes: Uint8Array) => made.wire?.received(bytes),
        drain: () => made.wire?.drain(),
        close: () => made.wire?.ended("the server closed the connection"),
        error: (_: Socket<unknown>, error: Error) => made.wire?.ended(error.message),
      },
    });
    made.wire = new Wire(socket);
    return made.wire;
  }

  private received(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.inText) {
        if (this.escaped) this.escaped = false;
        else if (byte === BACKSLASH) this.escaped = true;
        else if (byte === QUOTE) this.inText = false;
      } else if (byte === QUOTE) this.inText = true;
      else if (byte === 0x7b || byte === 0x5b) this.depth++;
      else if ((byte === 0x7d || byte === 0x5d) && --this.depth === 0) this.messages++;
    }
    this.onData?.(bytes);
    if (this.next !== undefined && this.messages >= this.next.count) {
      const { resolve } = this.next;
      this.next = undefined;
      resolve();
    }
  }

  private ended(reason: string): void {
    this.closed = reason;
    this.next?.reject(new Error(reason));
    this.next = undefined;
  }

  send(text: string): void {
    const bytes = Buffer.from(text);
    if (this.pending.length > 0) {
      this.pending.push(bytes);
      return;
    }
    const written = Math.max(0, this.socket.write(bytes));
    if (written < bytes.length) this.pending.push(bytes.subarray(written));
  }

  private drain(): void {
    while (this.pending[0] !== undefined) {
      const bytes = this.pending[0];
      const written = Math.max(0, this.socket.write(bytes));
      if (written < bytes.length) {
        this.pending[0] = bytes.subarray(written);
        return;
      }
      this.pending.shift();
    }
  }

  /** Resolves when so many messages have come in all. */
  until(count: number): Promise<void> {
    if (this.closed !== undefined) return Promise.reject(new Error(this.closed));
    if (this.messages >= count) return Promise.resolve();
    return new Promise((resolve, reject) => this.next = { count, resolve, reject });
  }

  /** One request and the text of its reply, when nothing else is under way on this connection. */
  async call(method: string, params: readonly unknown[]): Promise<string> {
    const pieces: Uint8Array[] = [];
    this.onData = (bytes) => pieces.push(bytes.slice());
    const count = this.messages + 1;
    this.send(request(method, params, "call"));
    await this.until(count);
    this.onData = undefined;
    return Buffer.concat(pieces).toString();
  }

  /** `call`ed `transact`; throws if an operation failed. */
  async transact(...operations: readonly unknown[]): Promise<readonly Record<string, unknown>[]> {
    const text = await this.call("transact", ["Open_vSwitch", ...operations]);
    const { result, error } = JSON.parse(text) as {
      result: readonly (Record<string, unknown> | null)[] | null;
      error: unknown;
    };
    const failed = result?.find((each) => each === null || "error" in each);
    if (result === null || failed !== undefined) {
      throw new Error(`transaction failed: ${JSON.stringify(failed ?? error)}`);
    }
    return result as readonly Record<string, unknown>[];
  }

  close(): void {
    this.onData = undefined;
    this.socket.end();
  }
}

export const request = (method: string, params: readonly unknown[], id: string | number): string =>
  JSON.stringify({ method, params, id });

/**
 * The operation that makes stock `ovsdb-server` sync a transaction to the disk before it replies;
 * solovs does so without it.
 */
export const DURABLE = { op: "commit", durable: true } as const;

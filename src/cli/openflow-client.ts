/**
 * An OpenFlow client: the end of a connection that asks a switch for things, as ovs-ofctl is.
 *
 * `OpenFlowClient.connect` reaches the other side, agrees on a version with it, and hands over a
 * connection on which messages are sent in order and received in order. What is received waits until
 * somebody asks for it; while more than `HELD_MESSAGES` wait, nothing more is taken off the socket.
 *
 * Failures are `OpenFlowClientError`s: what system calls say by their code, everything else as EPROTO.
 */
import { existsSync } from "node:fs";
import { encode } from "../openflow/codec.ts";
import { decode } from "../openflow/codec.ts";
import { OfError } from "../openflow/errors.ts";
import type { FlowStats, OfMessage } from "../openflow/messages/types.ts";
import { MessageStream } from "../openflow/stream.ts";
import { negotiate, OF10, OF13, type OfVersion } from "../openflow/version.ts";
import { anyMatch } from "../packet/key.ts";
import type { Tls } from "../db/tls/tls.ts";
import type { Stream } from "../slowpath/control/streams.ts";
import type { ActiveTarget } from "../slowpath/control/targets.ts";
import { openAnyStream } from "../slowpath/control/tls-streams.ts";
import { errnoOf, errnoText } from "./clients/fatal.ts";
import { reason } from "./exit.ts";

const ALL_TABLES = 0xff;
const ANY_PORT = 0xffff;
const ANY_GROUP = 0xffffffff;
const HELD_MESSAGES = 64;
const HELLO_FAILED_INCOMPATIBLE = "OFPHFC_INCOMPATIBLE";

/** `code` is a system error's, or "EOF" when the other side has gone; `message` says it in words. */
export class OpenFlowClientError extends Error {
  override readonly name = "OpenFlowClientError";
  constructor(readonly code: string, message: string = errnoText(code)) {
    super(message);
  }
}

/** No version that both sides know: what each of them has, as bitmaps. */
export class VersionMismatch extends OpenFlowClientError {
  constructor(readonly ours: number, readonly theirs: number) {
    super("EPROTO", "Protocol error");
  }
}

const numbersOf = (versions: number): string => {
  const numbers = Array.from({ length: 31 }, (_, bit) => bit).filter((bit) =>
    (versions >>> bit) & 1
  );
  const list = numbers.map((bit) => `0x${bit.toString(16).padStart(2, "0")}`).join(", ");
  return numbers.length === 1 ? `version ${list}` : `versions ${list}`;
};

export interface ClientOptions {
  /** Versions that are offered: bit N = wire version N. */
  readonly versions: number;
  readonly tls?: Tls | undefined;
  /** A snooped connection carries what others have agreed upon: no version is agreed upon here. */
  readonly anyVersion?: boolean;
}

interface Waiter {
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
}

export class OpenFlowClient {
  private readonly held: Uint8Array[] = [];
  private waiter: Waiter | undefined;
  private failure: OpenFlowClientError | undefined;
  private stream: Stream | undefined;
  private paused = false;
  private lastXid = 0;
  private agreed: OfVersion = OF10;

  private constructor(readonly name: string) {}

  /** Connects and agrees on a version. Rejects with `OpenFlowClientError`. */
  static async connect(
    name: string,
    target: ActiveTarget,
    options: ClientOptions,
  ): Promise<OpenFlowClient> {
    const client = new OpenFlowClient(name);
    const messages = new MessageStream();
    try {
      client.stream = await openAnyStream(target, options.tls, () => ({
        data: (bytes) => client.received(messages, bytes),
        closed: (why) => client.ended(why),
      }));
    } catch (error) {
      throw connectFailure(target, error);
    }
    await client.greet(options);
    return client;
  }

  get version(): OfVersion {
    return this.agreed;
  }

  private received(messages: MessageStream, bytes: Uint8Array): void {
    try {
      messages.push(bytes, (message) => this.take(message));
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.failure ??= new OpenFlowClientError("EPROTO");
      this.stream?.abort("not OpenFlow");
    }
  }

  private take(message: Uint8Array): void {
    const { waiter } = this;
    if (waiter) {
      this.waiter = undefined;
      return waiter.resolve(message);
    }
    this.held.push(message);
    if (this.held.length <= HELD_MESSAGES || this.paused) return;
    this.paused = true;
    this.stream?.pause();
  }

  private ended(why: string): void {
    this.failure ??= /reset/i.test(why)
      ? new OpenFlowClientError("ECONNRESET")
      : new OpenFlowClientError("EOF", "End of file");
    this.waiter?.reject(this.failure);
    this.waiter = undefined;
  }

  private async greet({ versions, anyVersion }: ClientOptions): Promise<void> {
    const highest = (31 - Math.clz32(versions)) as OfVersion;
    this.write(encode(highest, this.nextXid(), { type: "hello", versions }));
    const bytes = await this.receive();
    let theirs = 0;
    try {
      const { message } = decode(bytes, { loose: true });
      if (message.type === "hello") theirs = message.versions;
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
    }
    if (theirs === 0) {
      this.close();
      throw new OpenFlowClientError("EPROTO");
    }
    const common = negotiate(versions, theirs);
    if (common !== undefined) {
      this.agreed = common;
      return;
    }
    if (anyVersion) return;
    this.refuse(versions, theirs);
    throw new VersionMismatch(versions, theirs);
  }

  private refuse(ours: number, theirs: number): void {
    const text = `We support ${numbersOf(ours)}, you support ${numbersOf(theirs)}, ` +
      "no common versions.";
    const data = new TextEncoder().encode(text);
    const message: OfMessage = { type: "error", error: HELLO_FAILED_INCOMPATIBLE, data };
    this.write(encode(OF10, this.nextXid(), message));
    this.close();
  }

  nextXid(): number {
    return ++this.lastXid;
  }

  /** Sends whole messages; they must not be changed afterwards. */
  write(bytes: Uint8Array): void {
    if (this.failure) throw this.failure;
    this.stream?.write(bytes);
  }

  /** Sends it in the version that was agreed upon; returns its xid. */
  send(message: OfMessage): number {
    const xid = this.nextXid();
    this.write(encode(this.version, xid, message));
    return xid;
  }

  /** The next message. Rejects when the connection has ended and nothing is left of it. */
  async receive(): Promise<Uint8Array> {
    const next = this.held.shift();
    if (next) {
      if (this.paused && this.held.length === 0) {
        this.paused = false;
        this.stream?.resume();
      }
      return next;
    }
    if (this.failure) throw this.failure;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.waiter = { resolve, reject };
    return await promise;
  }

  /** The next message with that xid; others are passed over. */
  async reply(xid: number): Promise<Uint8Array> {
    for (;;) {
      const bytes = await this.receive();
      if (xidOf(bytes) === xid) return bytes;
    }
  }

  close(): void {
    this.stream?.end();
  }
}

/** What is no socket refuses connections, in the system's words too. */
function connectFailure(target: ActiveTarget, error: unknown): OpenFlowClientError {
  const code = errnoOf(error);
  if (code !== undefined && errnoText(code) !== code) return new OpenFlowClientError(code);
  if (target.kind !== "unix") return new OpenFlowClientError(code ?? "EPROTO", reason(error));
  return new OpenFlowClientError(existsSync(target.path) ? "ECONNREFUSED" : "ENOENT");
}

export const xidOf = (bytes: Uint8Array): number =>
  ((bytes[4]! << 24) | (bytes[5]! << 16) | (bytes[6]! << 8) | bytes[7]!) >>> 0;

/** All flows of all tables. Rejects with what the switch answered instead, or with what failed. */
export async function dumpFlows(socketPath: string): Promise<FlowStats[]> {
  const target = { kind: "unix", path: socketPath } as const;
  const client = await OpenFlowClient.connect(`unix:${socketPath}`, target, {
    versions: 1 << OF13,
  });
  try {
    const flows: FlowStats[] = [];
    const xid = client.send({
      type: "flow_stats_request",
      table: ALL_TABLES,
      match: anyMatch(),
      outPort: ANY_PORT,
      outGroup: ANY_GROUP,
      cookie: 0n,
      cookieMask: 0n,
    });
    for (;;) {
      const { message, more } = decode(await client.reply(xid), { loose: true });
      if (message.type === "error") {
        const { error } = message;
        throw new Error(typeof error === "string" ? error : `error ${error.type}, ${error.code}`);
      }
      if (message.type !== "flow_stats_reply") continue;
      flows.push(...message.flows);
      if (!more) return flows;
    }
  } finally {
    client.close();
  }
}

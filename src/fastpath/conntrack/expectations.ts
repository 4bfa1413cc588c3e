/**
 * Helpers for protocols that announce another connection inside of one: FTP (RFC 959 PORT and PASV,
 * RFC 2428 EPRT and EPSV) and TFTP (RFC 1350, where the server answers from a port of its own).
 *
 * What is announced becomes an *expectation*: a tuple without its source port. The connection that
 * fulfils it is `related`, has its parent's mark and label, and goes through the same translation.
 * An announced address that NAT changes is changed in the text as well; TCP's sequence numbers
 * follow by the *skew* that this left (one a connection).
 *
 * All of this allocates: it concerns packets of control connections only, and those that begin a
 * connection while something is expected.
 */
import { parseIpv4, parseIpv6 } from "../../packet/address.ts";
import type { Executor } from "../engine/executor.ts";
import { addToTransport, rewritePayload } from "./payload.ts";
import { announcement } from "./ftp.ts";
import {
  C_FLAGS,
  C_LABEL,
  C_MARK,
  C_ORIGINAL,
  C_REPLY,
  C_SKEW,
  CF_DST_NAT,
  CF_EXPECTED,
  CF_FTP,
  CF_SKEW_REPLY,
  CF_SRC_NAT,
  CF_TFTP,
  type ConnTable,
} from "./table.ts";
import { IPV4, reverseTuple, T_DST, T_META, T_PORTS, T_SRC, TUPLE_WORDS } from "./tuple.ts";

const MAX_EXPECTATIONS = 4096;
const MAX_OF_ONE = 32;

export interface Expectation {
  /** The connection that announced it, and its original tuple. */
  readonly conn: number;
  readonly parent: Int32Array;
  /** Where answers come from and go to, behind NAT: T_SRC and T_DST; the port of T_SRC. */
  readonly replySrc: Int32Array;
  readonly replyDst: Int32Array;
  readonly replyPort: number;
  readonly natFlags: number;
}

function nameOf(tuple: Int32Array): string {
  const words = tuple.slice(0, TUPLE_WORDS);
  words[T_PORTS]! &= 0xffff;
  return words.join();
}

export class Expectations {
  private readonly expectations = new Map<string, Expectation>();
  private readonly byParent = new Map<number, string[]>();
  private readonly parents = new Map<number, Int32Array>();

  constructor(private readonly table: ConnTable) {}

  /** What the packet's tuple was announced by. */
  expected(tuple: Int32Array): Expectation | undefined {
    return this.expectations.size === 0 ? undefined : this.expectations.get(nameOf(tuple));
  }

  /** The connection is gone, and with it what it announced. */
  forget(conn: number): void {
    this.parents.delete(conn);
    const names = this.byParent.get(conn);
    if (!names) return;
    this.byParent.delete(conn);
    for (const name of names) this.expectations.delete(name);
  }

  /** The original tuple of the connection that this one was expected by. */
  parentTuple(conn: number): Int32Array | undefined {
    return this.parents.size === 0 ? undefined : this.parents.get(conn);
  }

  inherit(conn: number, { conn: parent, parent: tuple }: Expectation): void {
    const { table } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    words[base + C_FLAGS]! |= CF_EXPECTED;
    this.parents.set(conn, tuple);
    const from = table.words(parent);
    const at = table.base(parent);
    words[base + C_MARK] = from[at + C_MARK]!;
    for (let i = 0; i < 4; i++) words[base + C_LABEL + i] = from[at + C_LABEL + i]!;
  }

  /** The reply tuple of a connection that fulfils the expectation. */
  replyOf(expectation: Expectation, words: Int32Array, base: number): void {
    const reply = base + C_REPLY;
    reverseTuple(words, base + C_ORIGINAL, words, reply);
    words.set(expectation.replySrc, reply + T_SRC);
    words.set(expectation.replyDst, reply + T_DST);
    words[reply + T_PORTS] = (words[reply + T_PORTS]! & 0xffff) | (expectation.replyPort << 16);
  }

  private expect(
    conn: number,
    tuple: Int32Array,
    replySrc: Int32Array,
    replyDst: Int32Array,
    replyPort: number,
  ): void {
    const names = this.byParent.get(conn) ?? [];
    if (this.expectations.size >= MAX_EXPECTATIONS || names.length >= MAX_OF_ONE) return;
    const name = nameOf(tuple);
    if (this.expectations.has(name)) return;
    const same = (a: Int32Array, b: Int32Array) => a.every((word, i) => word === b[i]);
    const base = this.table.base(conn);
    const sameDst = same(replySrc, tuple.subarray(T_DST, T_DST + 4)) &&
      replyPort === (tuple[T_PORTS]! & 0xffff);
    this.expectations.set(name, {
      conn,
      parent: this.table.words(conn).slice(base + C_ORIGINAL, base + C_ORIGINAL + TUPLE_WORDS),
      replySrc,
      replyDst,
      replyPort,
      natFlags: (same(replyDst, tuple.subarray(T_SRC, T_SRC + 4)) ? 0 : CF_SRC_NAT) |
        (sameDst ? 0 : CF_DST_NAT),
    });
    names.push(name);
    this.byParent.set(conn, names);
  }

  /**
   * Another packet of a connection that has a helper. False if it announces nonsense. With `nat`,
   * an announced address is translated.
   */
  listen(executor: Executor, conn: number, reply: boolean, nat: boolean): boolean {
    const flags = this.table.words(conn)[this.table.base(conn) + C_FLAGS]!;
    if ((flags & CF_TFTP) !== 0) {
      if (!reply) this.expectTftp(conn);
      return true;
    }
    return (flags & CF_FTP) === 0 || this.listenFtp(executor, conn, reply, nat);
  }

  /** The server's first data comes from any port of its own to the client's. */
  private expectTftp(conn: number): void {
    const words = this.table.words(conn);
    const base = this.table.base(conn);
    const tuple = words.slice(base + C_REPLY, base + C_REPLY + TUPLE_WORDS);
    const original = words.slice(base + C_ORIGINAL, base + C_ORIGINAL + TUPLE_WORDS);
    tuple[T_PORTS]! &= 0xffff;
    this.expect(
      conn,
      tuple,
      original.slice(T_SRC, T_SRC + 4),
      original.slice(T_DST, T_DST + 4),
      original[T_PORTS]! >>> 16,
    );
  }

  private listenFtp(executor: Executor, conn: number, reply: boolean, nat: boolean): boolean {
    const { table } = this;
    const words = table.words(conn);
    const base = table.base(conn);
    const found = announcement(executor.frame, reply);
    if (found === "none") return true;
    if (found === "malformed") return false;
    const original = words.slice(base + C_ORIGINAL, base + C_ORIGINAL + TUPLE_WORDS);
    const back = words.slice(base + C_REPLY, base + C_REPLY + TUPLE_WORDS);
    // Of the announcing side: its address as itself knows it, and as the other side does.
    const own = reply ? back.slice(T_SRC, T_SRC + 4) : original.slice(T_SRC, T_SRC + 4);
    const shown = reply ? original.slice(T_DST, T_DST + 4) : back.slice(T_DST, T_DST + 4);
    if (found.address !== undefined) {
      const said = wordsOf(found.address);
      // Nobody announces for somebody else: that is how FTP was made to attack third parties.
      if (said === undefined || !(sameWords(said, own) || sameWords(said, shown))) return false;
    }
    // The data connection comes from the other side: towards the address that it knows.
    const other = reply ? original.slice(T_SRC, T_SRC + 4) : back.slice(T_SRC, T_SRC + 4);
    const otherShown = reply ? back.slice(T_DST, T_DST + 4) : original.slice(T_DST, T_DST + 4);
    const tuple = new Int32Array(TUPLE_WORDS);
    tuple.set(other, T_SRC);
    tuple.set(shown, T_DST);
    tuple[T_PORTS] = found.port;
    tuple[T_META] = original[T_META]!;
    this.expect(conn, tuple, own, otherShown, found.port);
    if (!nat || found.address === undefined || sameWords(own, shown)) return true;
    const isV4 = (original[T_META]! & 0xff) === IPV4;
    const grown = rewritePayload(
      executor,
      found.at,
      found.address.length,
      shown,
      isV4,
      found.comma,
    );
    if (grown !== 0) {
      words[base + C_SKEW]! += grown;
      if (reply) words[base + C_FLAGS]! |= CF_SKEW_REPLY;
      else words[base + C_FLAGS]! &= ~CF_SKEW_REPLY;
    }
    return true;
  }

  /** Before the packet is judged: what it acknowledges, in the sender's own numbers. */
  adjustAck(executor: Executor, conn: number, reply: boolean): void {
    const skew = this.skew(conn);
    if (skew !== 0 && reply !== this.isSkewOfReply(conn)) addToTransport(executor.frame, 8, -skew);
  }

  /** After it was judged: its own numbers as the receiver knows them. */
  adjustSequence(executor: Executor, conn: number, reply: boolean): void {
    const skew = this.skew(conn);
    if (skew !== 0 && reply === this.isSkewOfReply(conn)) addToTransport(executor.frame, 4, skew);
  }

  private skew(conn: number): number {
    return this.table.words(conn)[this.table.base(conn) + C_SKEW]!;
  }

  private isSkewOfReply(conn: number): boolean {
    return (this.table.words(conn)[this.table.base(conn) + C_FLAGS]! & CF_SKEW_REPLY) !== 0;
  }
}

function sameWords(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, i) => word === b[i]);
}

/** Four words of a tuple for an address in text, dots or commas between. */
function wordsOf(text: string): Int32Array | undefined {
  const bytes = parseIpv4(text.replaceAll(",", ".")) ?? parseIpv6(text);
  if (bytes === undefined) return undefined;
  const whole = new Uint8Array(16);
  whole.set(bytes);
  return new Int32Array(whole.buffer);
}

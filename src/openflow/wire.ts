/**
 * Bytes ↔ numbers for OpenFlow: a bounds-checked big-endian reader and a growing writer.
 *
 * The reader never reads past its end: it throws the `OfError` it was made with, naming the offset
 * within the whole message. `sub` cuts a part off as a reader of its own, so a nested structure
 * cannot reach beyond its length. The writer's `open`/`end` pair patches a 16-bit length when the
 * structure is complete, and every byte it hands out was written, never left over.
 */
import type { CodecCache } from "./codec-cache.ts";
import { type ErrorName, OfError } from "./errors.ts";
import type { TunnelFields } from "./tunnel-fields.ts";

const roundUp8 = (length: number): number => (length + 7) & ~7;

export class Reader {
  /** What the `tun_metadata` fields of these bytes are; parts of them have the same. */
  tunnelFields: TunnelFields | undefined;
  /** What was decoded before, if that is kept. */
  cache: CodecCache | undefined;
  private readonly view: DataView;
  private at: number;

  /** Reads `bytes[start, end)`; running out throws `OfError(error, offset)`. */
  constructor(
    readonly bytes: Uint8Array,
    readonly error: ErrorName,
    start = 0,
    private readonly end = bytes.length,
    view?: DataView,
  ) {
    this.view = view ?? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
  }

  /** Offset of the next byte in the whole message. */
  get offset(): number {
    return this.at;
  }

  get left(): number {
    return this.end - this.at;
  }

  fail(detail: string, error: ErrorName = this.error, offset = this.at): never {
    throw new OfError(error, offset, detail);
  }

  private take(count: number): number {
    if (count > this.end - this.at) {
      this.fail(`needs ${count} bytes at offset ${this.at}, ${this.end - this.at} are left`);
    }
    const start = this.at;
    this.at += count;
    return start;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2));
  }

  u32(): number {
    return this.view.getUint32(this.take(4));
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8));
  }

  /** A 64-bit counter: undefined when all ones. */
  counter(): bigint | undefined {
    const value = this.u64();
    return value === 0xffff_ffff_ffff_ffffn ? undefined : value;
  }

  /** `count` bytes as a big-endian number. */
  big(count: number): bigint {
    const start = this.take(count);
    const end = start + count;
    let value = 0n;
    for (let at = start; at < end;) {
      // 48 bits are exact as a number; arithmetic on bigints is what takes the time.
      const size = Math.min(6, end - at);
      let part = 0;
      for (let i = 0; i < size; i++) part = part * 256 + this.bytes[at + i]!;
      value = at === start ? BigInt(part) : (value << BigInt(8 * size)) | BigInt(part);
      at += size;
    }
    return value;
  }

  skip(count: number): void {
    this.take(count);
  }

  /** Skips `count` bytes that must be zero. */
  zeros(count: number, error: ErrorName): void {
    const start = this.take(count);
    for (let i = 0; i < count; i++) {
      if (this.bytes[start + i] !== 0) {
        this.fail(`byte ${start + i} must be zero`, error, start + i);
      }
    }
  }

  /** A copy of the next `count` bytes. */
  copy(count: number): Uint8Array {
    const start = this.take(count);
    return this.bytes.slice(start, start + count);
  }

  /** Copies the next `count` bytes into `target` at `offset`. */
  copyInto(target: Uint8Array, offset: number, count: number): void {
    const start = this.take(count);
    for (let i = 0; i < count; i++) target[offset + i] = this.bytes[start + i]!;
  }

  rest(): Uint8Array {
    return this.copy(this.left);
  }

  peek16(ahead = 0): number {
    if (ahead + 2 > this.left) this.fail(`needs ${ahead + 2} bytes, ${this.left} are left`);
    return this.view.getUint16(this.at + ahead);
  }

  peek32(ahead = 0): number {
    if (ahead + 4 > this.left) this.fail(`needs ${ahead + 4} bytes, ${this.left} are left`);
    return this.view.getUint32(this.at + ahead);
  }

  /** A NUL-padded string of exactly `count` bytes on the wire. */
  text(count: number): string {
    const start = this.take(count);
    let end = start;
    while (end < start + count && this.bytes[end] !== 0) end++;
    return new TextDecoder("utf-8").decode(this.bytes.subarray(start, end));
  }

  /** The next `count` bytes as a reader of their own. */
  sub(count: number, error: ErrorName = this.error): Reader {
    const start = this.take(count);
    return this.part(error, start, start + count);
  }

  private part(error: ErrorName, start: number, end: number): Reader {
    const part = new Reader(this.bytes, error, start, end, this.view);
    part.tunnelFields = this.tunnelFields;
    part.cache = this.cache;
    return part;
  }

  /** Like `sub`, then skips the padding up to a multiple of 8 bytes. */
  subPadded(count: number, error: ErrorName = this.error): Reader {
    const start = this.take(roundUp8(count));
    return this.part(error, start, start + count);
  }

  /** Throws unless everything was read. */
  finish(what: string): void {
    if (this.left > 0) this.fail(`${what} has ${this.left} bytes too many`);
  }
}

/** An unfinished structure of a `Writer`; hand it back to `end`. */
export interface OpenLength {
  readonly start: number;
  readonly lengthAt: number;
}

export class Writer {
  /** As a `Reader`'s. */
  tunnelFields: TunnelFields | undefined;
  cache: CodecCache | undefined;
  private bytes: Uint8Array<ArrayBuffer>;
  private view: DataView;
  private at = 0;

  /** `fill` is what the buffer holds before it is written: tests make it visible. */
  constructor(capacity = 256, fill = 0) {
    this.bytes = new Uint8Array(capacity).fill(fill);
    this.view = new DataView(this.bytes.buffer);
  }

  get length(): number {
    return this.at;
  }

  /** Reserves `count` bytes. Growing replaces `view` and `bytes`: call it before using either. */
  private take(count: number): number {
    const start = this.at;
    if (start + count > this.bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.bytes.length, start + count));
      grown.set(this.bytes);
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.at += count;
    return start;
  }

  u8(value: number): this {
    const at = this.take(1);
    this.view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.take(2);
    this.view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.take(4);
    this.view.setUint32(at, value);
    return this;
  }

  u64(value: bigint): this {
    const at = this.take(8);
    this.view.setBigUint64(at, value);
    return this;
  }

  /** A 64-bit counter: all ones when not known. */
  counter(value: bigint | undefined): this {
    return this.u64(value ?? 0xffff_ffff_ffff_ffffn);
  }

  /** `value` as `count` big-endian bytes. */
  big(value: bigint, count: number): this {
    const start = this.take(count);
    let rest = value;
    for (let end = start + count; end > start; end -= 4) {
      let part = Number(BigInt.asUintN(32, rest));
      for (let at = end - 1; at >= start && at >= end - 4; at--) {
        this.bytes[at] = part & 0xff;
        part >>>= 8;
      }
      if (end - start > 4) rest >>= 32n;
    }
    return this;
  }

  put(data: Uint8Array): this {
    const at = this.take(data.length);
    this.bytes.set(data, at);
    return this;
  }

  /** `count` bytes of `data`, from `start` on. */
  putPart(data: Uint8Array, start: number, count: number): this {
    const at = this.take(count);
    const { bytes } = this;
    for (let i = 0; i < count; i++) bytes[at + i] = data[start + i]!;
    return this;
  }

  zeros(count: number): this {
    const start = this.take(count);
    this.bytes.fill(0, start, start + count);
    return this;
  }

  /** `text` in exactly `count` bytes: cut to leave a NUL, padded with NULs. */
  text(text: string, count: number): this {
    const start = this.take(count);
    this.bytes.fill(0, start, start + count);
    new TextEncoder().encodeInto(text, this.bytes.subarray(start, start + count - 1));
    return this;
  }

  /** Zeros up to a multiple of 8 bytes from `start`. */
  pad8(start = 0): this {
    return this.zeros(roundUp8(this.at - start) - (this.at - start));
  }

  /** Begins a structure at the current byte whose 16-bit length stands `lengthAt` bytes in. */
  open(lengthAt: number): OpenLength {
    return { start: this.at, lengthAt: this.at + lengthAt };
  }

  /** Writes the length of the structure begun with `open` into its place; returns that length. */
  end(structure: OpenLength): number {
    const length = this.at - structure.start;
    if (length > 0xffff) {
      throw new OfError("OFPBRC_BAD_LEN", structure.start, `${length} bytes do not fit in 64 kB`);
    }
    this.view.setUint16(structure.lengthAt, length);
    return length;
  }

  patch16(at: number, value: number): void {
    this.view.setUint16(at, value);
  }

  /** Drops everything from `length` on. */
  truncate(length: number): void {
    this.at = length;
  }

  /** A copy of what was written from `start` on. */
  copy(start: number): Uint8Array {
    return this.bytes.slice(start, this.at);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.at);
  }
}

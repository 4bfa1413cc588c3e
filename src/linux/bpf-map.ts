/**
 * eBPF maps: memory that programs in the kernel and this process share.
 *
 *   kind        create  read            write          remove         size
 *   hash        yes     lookup, batch   update, batch  delete, batch  allocated entry by entry
 *   lru_hash    yes     lookup          update         delete         allocated whole; drops the oldest
 *   array       yes     lookup, mmap    update, mmap   –              allocated whole, zeroed
 *   prog_array  yes     –               update         delete         slots for tail calls
 *
 * - Keys and values are bytes; their lengths are checked at each call.
 * - A mapped array is read and written in place, without system calls: aligned numbers of up to
 *   64 bits are read and written whole. A value's length is rounded up to 8 bytes by the kernel.
 * - Closing the descriptor frees the map unless a program or a pin still holds it. A prog_array
 *   loses its programs with the last descriptor or pin, even if programs still use it.
 *
 * References: linux/bpf.h, bpf(2), Documentation/bpf/map_*.rst.
 */
import { bpf, BpfAttr, openPinned, pinObject, tryBpf } from "./bpf-syscall.ts";
import {
  close,
  ERRNO,
  errno,
  MAP_SHARED,
  memoryAt,
  mmap,
  munmap,
  PROT_READ,
  PROT_WRITE,
  SystemError,
} from "./libc.ts";

const KINDS = { hash: 1, array: 2, prog_array: 3, percpu_array: 6, lru_hash: 9 } as const;
export type MapKind = keyof typeof KINDS;

const BPF_F_NO_PREALLOC = 1;
const BPF_F_MMAPABLE = 1 << 10;
const PAGE_BYTES = 4096;
/** The kernel's own, which no C library names. */
const ENOTSUPP = 524;

export interface MapSpec {
  readonly kind: MapKind;
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  /** An array that can be mapped into this process (Linux 5.5). */
  readonly mapped?: boolean;
}

export class BpfMap {
  readonly name: string;
  private memory: ArrayBuffer | undefined;
  private mappedAt = 0;

  private constructor(readonly fd: number, readonly spec: MapSpec) {
    this.name = spec.name;
  }

  /** Throws a SystemError: EPERM without CAP_BPF, ENOMEM, E2BIG for too large a map. */
  static create(spec: MapSpec): BpfMap {
    const flags = spec.kind === "hash" ? BPF_F_NO_PREALLOC : spec.mapped ? BPF_F_MMAPABLE : 0;
    const attr = new BpfAttr()
      .u32(0, KINDS[spec.kind])
      .u32(4, spec.keyBytes)
      .u32(8, spec.valueBytes)
      .u32(12, spec.maxEntries)
      .u32(16, flags)
      .name(28, spec.name);
    return new BpfMap(bpf("MAP_CREATE", attr, spec.name), spec);
  }

  /** Opens a pinned map, which must have been made to the same `spec`. */
  static openPinned(path: string, spec: MapSpec): BpfMap {
    const fd = openPinned(path);
    // struct bpf_map_info: type @0, id @4, key size @8, value size @12, max entries @16.
    const info = new Uint8Array(80);
    bpf("OBJ_GET_INFO_BY_FD", new BpfAttr().u32(0, fd).u32(4, info.length).pointer(8, info), path);
    const v = new DataView(info.buffer);
    const found = [0, 8, 12, 16].map((at) => v.getUint32(at, true));
    const wanted = [KINDS[spec.kind], spec.keyBytes, spec.valueBytes, spec.maxEntries];
    if (found.some((value, i) => value !== wanted[i])) {
      close(fd);
      throw new SystemError("bpf(BPF_OBJ_GET)", ERRNO.EINVAL, `${path} is another kind of map`);
    }
    return new BpfMap(fd, spec);
  }

  /** A map that another thread has open; `close` is that one's to call. */
  static of(fd: number, spec: MapSpec): BpfMap {
    return new BpfMap(fd, spec);
  }

  pin(path: string): void {
    pinObject(this.fd, path);
  }

  /** Copies the value into `value`; false if there is no such key. */
  lookup(key: Uint8Array, value: Uint8Array): boolean {
    this.check(key, value);
    return this.found(tryBpf("MAP_LOOKUP_ELEM", this.element(key).pointer(16, value)), "lookup");
  }

  /** Sets the value of a key; throws a SystemError E2BIG when a hash is full. */
  update(key: Uint8Array, value: Uint8Array): void {
    this.check(key, value);
    bpf("MAP_UPDATE_ELEM", this.element(key).pointer(16, value), this.name);
  }

  /** `count` keys, one behind the other, and their values. Throws when one of them is refused. */
  updateMany(keys: Uint8Array, values: Uint8Array, count: number): void {
    const done = this.tryUpdateMany(keys, values, count);
    if (done === count) return;
    throw new SystemError("bpf(BPF_MAP_UPDATE_BATCH)", errno(), this.name);
  }

  /** As `updateMany`; how many went in before one was refused, which `errno()` says why. */
  tryUpdateMany(keys: Uint8Array, values: Uint8Array, count: number): number {
    const { keyBytes, valueBytes } = this.spec;
    if (keys.length < count * keyBytes || values.length < count * valueBytes) {
      throw new RangeError(`map ${this.name}: ${count} entries are more than were given`);
    }
    return this.each("MAP_UPDATE_BATCH", "MAP_UPDATE_ELEM", keys, values, count);
  }

  /** Removes `count` keys, one behind the other; those that are not there are passed over. */
  deleteMany(keys: Uint8Array, count: number): void {
    const { keyBytes } = this.spec;
    if (keys.length < count * keyBytes) {
      throw new RangeError(`map ${this.name}: ${count} keys are more than were given`);
    }
    for (let done = 0; done < count; done++) {
      const rest = keys.subarray(done * keyBytes);
      done += this.each("MAP_DELETE_BATCH", "MAP_DELETE_ELEM", rest, undefined, count - done);
      if (done < count && errno() !== ERRNO.ENOENT) {
        throw new SystemError("bpf(BPF_MAP_DELETE_BATCH)", errno(), this.name);
      }
    }
  }

  /** The command for all entries at once, or for each; how many it was done for before it failed. */
  private each(
    batch: "MAP_UPDATE_BATCH" | "MAP_DELETE_BATCH",
    single: "MAP_UPDATE_ELEM" | "MAP_DELETE_ELEM",
    keys: Uint8Array,
    values: Uint8Array | undefined,
    count: number,
  ): number {
    if (count === 0) return 0;
    const { keyBytes, valueBytes } = this.spec;
    if (count > 1) {
      const attr = new BpfAttr().pointer(16, keys);
      if (values) attr.pointer(24, values);
      attr.u32(32, count).u32(36, this.fd);
      if (tryBpf(batch, attr) >= 0) return count;
      const error = errno();
      // Linux before 5.6 has no batches.
      if (error !== ERRNO.EINVAL && error !== ENOTSUPP) {
        return Math.min(attr.view.getUint32(32, true), count - 1);
      }
    }
    for (let i = 0; i < count; i++) {
      const attr = this.element(keys.subarray(i * keyBytes));
      if (values) attr.pointer(16, values.subarray(i * valueBytes));
      if (tryBpf(single, attr) < 0) return i;
    }
    return count;
  }

  /** All keys and values of a hash that nobody changes meanwhile, one behind the other. */
  entries(): { readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number } {
    const { keyBytes, valueBytes, maxEntries } = this.spec;
    const keys = new Uint8Array(maxEntries * keyBytes);
    const values = new Uint8Array(maxEntries * valueBytes);
    let count = 0;
    const place = new Uint8Array(Math.max(4, keyBytes));
    for (let first = true;; first = false) {
      const attr = new BpfAttr()
        .pointer(8, place)
        .pointer(16, keys.subarray(count * keyBytes))
        .pointer(24, values.subarray(count * valueBytes))
        .u32(32, maxEntries - count)
        .u32(36, this.fd);
      if (!first) attr.pointer(0, place.slice());
      const result = count < maxEntries ? tryBpf("MAP_LOOKUP_BATCH", attr) : -1;
      const error = result < 0 && count < maxEntries ? errno() : 0;
      if (error !== 0 && error !== ERRNO.ENOENT) {
        throw new SystemError("bpf(BPF_MAP_LOOKUP_BATCH)", error, this.name);
      }
      if (count < maxEntries) count += attr.view.getUint32(32, true);
      if (result < 0) break;
    }
    return {
      keys: keys.slice(0, count * keyBytes),
      values: values.slice(0, count * valueBytes),
      count,
    };
  }

  /** False if there is no such key. */
  delete(key: Uint8Array): boolean {
    return this.found(tryBpf("MAP_DELETE_ELEM", this.element(key)), "delete");
  }

  /** The array's memory, `maxEntries` values of the length rounded up to 8, until `close`. */
  map(): ArrayBuffer {
    if (this.memory) return this.memory;
    const { valueBytes, maxEntries } = this.spec;
    const length = ((valueBytes + 7) & ~7) * maxEntries;
    this.mappedAt = mmap(
      Math.ceil(length / PAGE_BYTES) * PAGE_BYTES,
      PROT_READ | PROT_WRITE,
      MAP_SHARED,
      this.fd,
    );
    return this.memory = memoryAt(this.mappedAt, length);
  }

  /** Views on mapped memory may not be used after this. */
  unmap(): void {
    if (!this.memory) return;
    munmap(this.mappedAt, Math.ceil(this.memory.byteLength / PAGE_BYTES) * PAGE_BYTES);
    this.memory = undefined;
  }

  /** Views on mapped memory may not be used after this. */
  close(): void {
    this.unmap();
    close(this.fd);
  }

  private element(key: Uint8Array): BpfAttr {
    return new BpfAttr().u32(0, this.fd).pointer(8, key);
  }

  private check(key: Uint8Array, value: Uint8Array): void {
    const { keyBytes, valueBytes } = this.spec;
    if (key.length !== keyBytes || value.length !== valueBytes) {
      throw new RangeError(
        `map ${this.name} has keys of ${keyBytes} and values of ${valueBytes} bytes, ` +
          `not ${key.length} and ${value.length}`,
      );
    }
  }

  private found(result: number, what: string): boolean {
    if (result >= 0) return true;
    if (errno() === ERRNO.ENOENT) return false;
    throw new SystemError(`bpf(${what})`, errno(), this.name);
  }
}

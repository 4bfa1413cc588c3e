/**
 * bpf(2) itself: a command and its `union bpf_attr`, which is written here field by field at the
 * byte offsets of linux/bpf.h. Everything else about eBPF in this room goes through it.
 */
import { address, errno, raw, SYS, SystemError } from "./libc.ts";

export const BPF = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_DETACH: 34,
} as const;
export type BpfCommand = keyof typeof BPF;

const ATTR_BYTES = 144;

/** A zeroed attribute with typed setters; memory whose address was put in must stay referenced. */
export class BpfAttr {
  readonly bytes = new Uint8Array(ATTR_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  /** Keeps alive what the kernel is given the address of. */
  private readonly held: Uint8Array[] = [];

  u32(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }

  u64(at: number, value: number): this {
    this.view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  /** The address of `memory`. */
  pointer(at: number, memory: Uint8Array): this {
    this.held.push(memory);
    return this.u64(at, address(memory));
  }

  /** An object's name, cut to what the kernel takes: 15 characters of letters, digits, `_` and `.`. */
  name(at: number, name: string): this {
    const clean = name.replace(/[^A-Za-z0-9_.]/g, "_").slice(0, 15);
    this.bytes.set(new TextEncoder().encode(clean), at);
    return this;
  }
}

/** A NUL-terminated string in memory. */
export function bpfString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The command's result; -1 with `errno()` set if the kernel refuses. */
export function tryBpf(command: BpfCommand, attr: BpfAttr): number {
  return raw.syscall(SYS.bpf, BPF[command], address(attr.bytes), ATTR_BYTES, 0, 0, 0);
}

/** The command's result; throws a SystemError that names the command. */
export function bpf(command: BpfCommand, attr: BpfAttr, detail = ""): number {
  const result = tryBpf(command, attr);
  if (result < 0) throw new SystemError(`bpf(BPF_${command})`, errno(), detail);
  return result;
}

/** Pins an object (map, program, link) at a path in a bpf file system: it lives until unlinked. */
export function pinObject(fd: number, path: string): void {
  bpf("OBJ_PIN", new BpfAttr().pointer(0, bpfString(path)).u32(8, fd), path);
}

/** A descriptor of a pinned object; throws a SystemError (ENOENT …). */
export function openPinned(path: string): number {
  return bpf("OBJ_GET", new BpfAttr().pointer(0, bpfString(path)), path);
}

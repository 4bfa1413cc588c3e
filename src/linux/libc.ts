/**
 * System calls, typed: the ground floor of everything that talks to the kernel.
 *
 * What it is: glibc opened once with `bun:ffi`. Two faces on the same functions:
 * - the plain functions (`socket`, `bind`, `ioctl`, …) throw a `SystemError` that names the call,
 *   what it was applied to and the errno. Everything outside the hot path uses these;
 * - `raw` is the bare symbol table. It returns -1 and leaves `errno()`; the packet loops use it,
 *   since an exception a packet is not affordable and EAGAIN is not an error there.
 *
 * Invariants
 * - `errno()` must be read right after the call: the next call of the same thread overwrites it.
 *   errno is per thread, and each worker loads this module for itself.
 * - Pointers are plain numbers (user addresses fit 48 bits). A typed array given where a pointer is
 *   wanted must stay referenced by the caller until the call returns; nothing here keeps memory
 *   beyond a call.
 * - Sizes are bytes; byte order of structures is the host's unless a name says otherwise.
 *
 * Limits: Linux on x86-64 and arm64 with glibc (`libc.so.6`). Both are little-endian LP64, and the
 * structures built here rely on it. The few system calls without a glibc wrapper go through
 * `syscall(2)` with the numbers of `SYS`.
 *
 * References: man pages, section 2, under the name of each function.
 */
import { dlopen, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import { constants } from "node:os";

const SYMBOLS = {
  __errno_location: { args: [], returns: "ptr" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "u64"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  getpid: { args: [], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  if_indextoname: { args: ["u32", "ptr"], returns: "ptr" },
  if_nametoindex: { args: ["cstring"], returns: "u32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  memcpy: { args: ["ptr", "ptr", "u64"], returns: "ptr" },
  mkdir: { args: ["cstring", "u32"], returns: "i32" },
  mlockall: { args: ["i32"], returns: "i32" },
  mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "ptr" },
  mount: { args: ["cstring", "cstring", "cstring", "u64", "ptr"], returns: "i32" },
  munmap: { args: ["ptr", "u64"], returns: "i32" },
  open: { args: ["cstring", "i32", "u32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  syscall: { args: ["i64", "u64", "u64", "u64", "u64", "u64", "u64"], returns: "i32" },
  umount2: { args: ["cstring", "i32"], returns: "i32" },
  unlink: { args: ["cstring"], returns: "i32" },
  unshare: { args: ["i32"], returns: "i32" },
  write: { args: ["i32", "ptr", "u64"], returns: "i32" },
} as const;

type Argument<T> = T extends "ptr" | "cstring" ? number | ArrayBufferView | null : number;
type Arguments<T extends readonly unknown[]> = { -readonly [I in keyof T]: Argument<T[I]> };
/** C functions with their arguments in JavaScript's terms; sizes over 2 GiB cannot be returned. */
type Raw = {
  readonly [K in keyof typeof SYMBOLS]: (...args: Arguments<typeof SYMBOLS[K]["args"]>) => number;
};

/** The bare functions: they return -1 on error and set `errno()`. */
export const raw: Raw = dlopen("libc.so.6", SYMBOLS).symbols as unknown as Raw;

/** Numbers of system calls that have no wrapper, for `raw.syscall` (x86-64, else arm64). */
export const SYS = process.arch === "x64"
  ? { bpf: 321, gettid: 186, sched_setaffinity: 203 } as const
  : { bpf: 280, gettid: 178, sched_setaffinity: 122 } as const;

// Fixed for the life of the thread, and this module is instantiated once a thread.
const errnoAt = raw.__errno_location() as Pointer;

/**
 * Lets the calling thread run on one CPU only; below 0: on any. A CPU that is not there is no error:
 * the thread runs wherever it may.
 */
export function runOn(cpu: number): void {
  const mask = new Uint8Array(128).fill(cpu < 0 ? 0xff : 0);
  if (cpu >= 0 && cpu < 1024) mask[cpu >> 3] = 1 << (cpu & 7);
  raw.syscall(SYS.sched_setaffinity, 0, mask.length, address(mask), 0, 0, 0);
}

/** errno of this thread's last failed call. */
export function errno(): number {
  return read.i32(errnoAt, 0);
}

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);
/** errno numbers by name: `ERRNO.EAGAIN`. */
export const ERRNO = constants.errno;

/** `"ENODEV"` for 19; `"errno 1234"` for one without a name. */
export function errnoName(number: number): string {
  return ERRNO_NAMES.get(number) ?? `errno ${number}`;
}

/** A failed system call. `code` is the errno's name, as in node's own errors. */
export class SystemError extends Error {
  readonly code: string;
  constructor(
    /** The call that failed: `"ioctl(TUNSETIFF)"`. */
    readonly call: string,
    /** Positive errno. */
    readonly errno: number,
    detail = "",
  ) {
    const code = errnoName(errno);
    super(`${call}: ${code}${detail === "" ? "" : ` (${detail})`}`);
    this.name = "SystemError";
    this.code = code;
  }
}

/** Throws a `SystemError` of the current errno if `result` is negative. */
function check(result: number, call: string, detail = ""): number {
  if (result < 0) throw new SystemError(call, errno(), detail);
  return result;
}

/** A C string argument: UTF-8, NUL-terminated; a NUL inside would silently cut it, so it throws. */
function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new TypeError("a path or name may not contain NUL");
  return new TextEncoder().encode(`${text}\0`);
}

/** A typed array's address, as a number. The array must outlive its use. */
export function address(memory: ArrayBufferView | ArrayBufferLike): number {
  return ptr(memory as NodeJS.TypedArray);
}

/** `length` bytes at `at`, without a copy. The caller unmaps only after the view's last use. */
export function memoryAt(at: number, length: number): ArrayBuffer {
  return toArrayBuffer(at as Pointer, 0, length);
}

export function socket(domain: number, type: number, protocol: number): number {
  return check(raw.socket(domain, type, protocol), "socket");
}

/** Closes a descriptor. Errors are reported except EINTR, after which Linux has closed it anyway. */
export function close(fd: number): void {
  if (raw.close(fd) < 0 && errno() !== ERRNO.EINTR) throw new SystemError("close", errno());
}

export function bind(fd: number, sockaddr: Uint8Array): void {
  check(raw.bind(fd, sockaddr, sockaddr.length), "bind");
}

export function connect(fd: number, sockaddr: Uint8Array): void {
  check(raw.connect(fd, sockaddr, sockaddr.length), "connect");
}

/** A number is passed as a C int. `name` is for the error only. */
export function setsockopt(
  fd: number,
  level: number,
  option: number,
  value: Uint8Array | number,
  name = `${level}, ${option}`,
): void {
  const bytes = typeof value === "number" ? new Uint8Array(new Int32Array([value]).buffer) : value;
  const result = raw.setsockopt(fd, level, option, bytes, bytes.length);
  check(result, `setsockopt(${name})`);
}

/** Reads an option into `value`; the number of bytes the kernel wrote. */
export function getsockopt(fd: number, level: number, option: number, value: Uint8Array): number {
  const length = new Uint32Array([value.length]);
  check(raw.getsockopt(fd, level, option, value, length), "getsockopt");
  return length[0]!;
}

const SOL_SOCKET = 1;
const SO_ERROR = 4;
/** Reads and clears a socket's pending error: an errno, or 0. */
export function takeSocketError(fd: number): number {
  const value = new Int32Array(1);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, new Uint8Array(value.buffer));
  return value[0]!;
}

export function getsockname(fd: number, sockaddr: Uint8Array): number {
  const length = new Uint32Array([sockaddr.length]);
  check(raw.getsockname(fd, sockaddr, length), "getsockname");
  return length[0]!;
}

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;

/** Maps `length` bytes; the address. */
export function mmap(length: number, prot: number, flags: number, fd: number, offset = 0): number {
  const at = raw.mmap(null, length, prot, flags, fd, offset);
  // MAP_FAILED is (void *)-1, which arrives as 2^64 - 1 or -1 according to how it was boxed.
  if (at === null || at < 0 || at >= 2 ** 63) throw new SystemError("mmap", errno());
  return at;
}

export function munmap(at: number, length: number): void {
  check(raw.munmap(at, length), "munmap");
}

/** `request` as in ioctl(2); `argument` a structure, or a number passed by value. `name` for errors. */
export function ioctl(
  fd: number,
  request: number,
  argument: Uint8Array | number,
  name = `0x${request.toString(16)}`,
): number {
  const value = typeof argument === "number" ? argument : argument;
  return check(raw.ioctl(fd, request, value), `ioctl(${name})`);
}

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export function open(path: string, flags: number, mode = 0): number {
  return check(raw.open(cString(path), flags | O_CLOEXEC, mode), "open", path);
}

/** Bytes read; 0 at the end; -1 when the descriptor is non-blocking and has nothing. */
export function readFd(fd: number, into: Uint8Array): number {
  const result = raw.read(fd, into, into.length);
  if (result < 0 && errno() === ERRNO.EAGAIN) return -1;
  return check(result, "read");
}

/** Bytes written; -1 when the descriptor is non-blocking and full. */
export function write(fd: number, data: Uint8Array): number {
  const result = raw.write(fd, data, data.length);
  if (result < 0 && errno() === ERRNO.EAGAIN) return -1;
  return check(result, "write");
}

export const MSG_PEEK = 2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

/** Bytes received, or -1 when a non-blocking socket has none. */
export function recv(fd: number, into: Uint8Array, flags = 0): number {
  const result = raw.recv(fd, into, into.length, flags);
  if (result < 0 && errno() === ERRNO.EAGAIN) return -1;
  return check(result, "recv");
}

export function send(fd: number, data: Uint8Array, flags = 0): number {
  return check(raw.send(fd, data, data.length, flags), "send");
}

export const EFD_CLOEXEC = O_CLOEXEC;
export const EFD_NONBLOCK = O_NONBLOCK;

/** A non-blocking event counter. */
export function eventfd(): number {
  return check(raw.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 0x10;

/** poll(2) over an array of `struct pollfd` (fd i32, events i16, revents i16); 0 when interrupted. */
export function poll(pollfds: Uint8Array, timeoutMs: number): number {
  const result = raw.poll(pollfds, pollfds.length / 8, timeoutMs);
  if (result < 0 && errno() === ERRNO.EINTR) return 0;
  return check(result, "poll");
}

export const CLONE_NEWNS = 0x0002_0000;
export const CLONE_NEWNET = 0x4000_0000;

/** Moves the calling thread, and only it, into the namespace that `fd` stands for. */
export function setns(fd: number, type: number): void {
  check(raw.setns(fd, type), "setns");
}

/** Moves the calling thread, and only it, into new namespaces. */
export function unshare(flags: number): void {
  check(raw.unshare(flags), "unshare");
}

export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_PRIVATE = 1 << 18;
export const MS_SHARED = 1 << 20;
export const MNT_DETACH = 2;

export function mount(source: string, target: string, type: string, flags: number): void {
  const result = raw.mount(cString(source), cString(target), cString(type), flags, null);
  check(result, "mount", target);
}

export function umount(target: string, flags = 0): void {
  check(raw.umount2(cString(target), flags), "umount2", target);
}

export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** flock(2); false if `operation` has LOCK_NB and another descriptor holds the lock. */
export function flock(fd: number, operation: number): boolean {
  const result = raw.flock(fd, operation);
  if (result < 0 && errno() === ERRNO.EWOULDBLOCK) return false;
  check(result, "flock");
  return true;
}

export function fcntl(fd: number, command: number, argument = 0): number {
  return check(raw.fcntl(fd, command, argument), "fcntl");
}

/** The interface's index in the calling thread's network namespace, or 0 if there is none. */
export function ifNameToIndex(name: string): number {
  return raw.if_nametoindex(cString(name));
}

/** True if an interface of that index is in the calling thread's network namespace. */
export function ifIndexExists(ifindex: number): boolean {
  const name = new Uint8Array(16);
  // A null pointer comes back as null or 0, according to the runtime.
  return Boolean(raw.if_indextoname(ifindex, name));
}

const CLOCK_MONOTONIC = 1;
/** Reads CLOCK_MONOTONIC in milliseconds through `scratch`, 16 bytes that the caller owns. */
export function readMonotonicMs(scratch: BigInt64Array): number {
  check(raw.clock_gettime(CLOCK_MONOTONIC, scratch), "clock_gettime");
  return Number(scratch[0]!) * 1000 + Number(scratch[1]!) / 1e6;
}

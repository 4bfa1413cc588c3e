/**
 * The few libc calls that the tests and the bench make themselves: entering a network namespace,
 * raw sockets, and bpf(2) queries. The product has its own in `src/linux`; the proof from outside
 * does not lean on it.
 */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";

const { i32, i64, u64, u32, ptr: pointer } = FFIType;

const SYMBOLS = {
  open: { args: [pointer, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i64 },
  recv: { args: [i32, pointer, u64, i32], returns: i64 },
  recvmsg: { args: [i32, pointer, i32], returns: i64 },
  sendmmsg: { args: [i32, pointer, u32, i32], returns: i32 },
  if_nametoindex: { args: [pointer], returns: u32 },
  usleep: { args: [u32], returns: i32 },
  sched_setaffinity: { args: [i32, u64, pointer], returns: i32 },
  syscall: { args: [i64, i64, pointer, u64], returns: i64 },
  __errno_location: { args: [], returns: pointer },
} as const;

export class Libc {
  private readonly symbols = dlopen("libc.so.6", SYMBOLS).symbols;

  get errno(): number {
    return read.i32(this.symbols.__errno_location() as Pointer, 0);
  }

  openReadOnly(path: string): number {
    return this.checked(`open ${path}`, this.symbols.open(cString(path), 0o2000000));
  }

  close(fd: number): void {
    this.symbols.close(fd);
  }

  /** CLONE_NEWNET only. */
  setNetworkNamespace(fd: number): void {
    this.checked("setns", this.symbols.setns(fd, 0x40000000));
  }

  socket(domain: number, type: number, protocol: number): number {
    return this.checked("socket", this.symbols.socket(domain, type, protocol));
  }

  bind(fd: number, address: Uint8Array): void {
    this.checked("bind", this.symbols.bind(fd, ptr(address), address.length));
  }

  setOption(fd: number, level: number, option: number, value: number): void {
    const result = this.symbols.setsockopt(fd, level, option, ptr(new Int32Array([value])), 4);
    this.checked(`setsockopt ${level}/${option}`, result);
  }

  /** Bytes sent, or −1 with `errno` set. */
  send(fd: number, data: Uint8Array): number {
    return Number(this.symbols.send(fd, ptr(data), BigInt(data.length), 0));
  }

  /** `recv` gives up after so long. */
  setReceiveTimeout(fd: number, ms: number): void {
    const timeval = new BigInt64Array([BigInt(Math.floor(ms / 1000)), BigInt(ms % 1000) * 1000n]);
    this.checked("SO_RCVTIMEO", this.symbols.setsockopt(fd, 1, 20, ptr(timeval), 16));
  }

  /** Bytes received, or −1 with `errno` set. */
  recv(fd: number, buffer: Uint8Array): number {
    return Number(this.symbols.recv(fd, ptr(buffer), BigInt(buffer.length), 0));
  }

  /** Bytes received, or −1 with `errno` set. */
  recvmsg(fd: number, msghdr: Uint8Array): number {
    return Number(this.symbols.recvmsg(fd, ptr(msghdr), 0));
  }

  /** Messages sent, or −1 with `errno` set. */
  sendmmsg(fd: number, messages: Uint8Array, offset: number, count: number): number {
    return this.symbols.sendmmsg(fd, ptr(messages, offset), count, 0);
  }

  interfaceIndex(name: string): number {
    const index = this.symbols.if_nametoindex(cString(name));
    if (index === 0) throw new Error(`no interface ${name} here`);
    return index;
  }

  /** Sleeps for parts of a millisecond too, which `Bun.sleepSync` takes for none at all. */
  sleep(microseconds: number): void {
    this.symbols.usleep(microseconds);
  }

  /** Lets a thread (0: the calling one) run on these CPUs only. */
  setAffinity(thread: number, cpus: readonly number[]): void {
    const mask = new BigUint64Array([cpus.reduce((bits, cpu) => bits | 1n << BigInt(cpu), 0n)]);
    this.checked("sched_setaffinity", this.symbols.sched_setaffinity(thread, 8n, ptr(mask)));
  }

  /** bpf(2); −1 with `errno` set on failure. `attribute` is union bpf_attr. */
  bpf(command: number, attribute: Uint8Array): number {
    const number = process.arch === "arm64" ? 280 : 321;
    return Number(
      this.symbols.syscall(number, command, ptr(attribute), BigInt(attribute.length)),
    );
  }

  private checked(what: string, result: number): number {
    if (result < 0) throw new Error(`${what}: errno ${this.errno}`);
    return result;
  }
}

function cString(text: string): Pointer {
  return ptr(Buffer.from(`${text}\0`));
}

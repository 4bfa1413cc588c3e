/**
 * Filters of sockets: classic BPF programs (classic-bpf.ts) that the kernel runs over each packet that a
 * socket would receive. Reference: socket(7), SO_ATTACH_FILTER.
 */
import { SOL_SOCKET } from "./af-packet.ts";
import { INSTRUCTION_BYTES } from "./classic-bpf.ts";
import { address, setsockopt } from "./libc.ts";

const SO_ATTACH_FILTER = 26;

/** code, jt, jf, k. */
export type FilterInstruction = readonly [code: number, jt: number, jf: number, k: number];

export function encodeFilter(instructions: readonly FilterInstruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, jt, jf, k], i) => {
    const at = i * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  });
  return bytes;
}

/** `struct sock_fprog`: length u16 @0 · instructions, a pointer @8. `filter` must outlive its use. */
export function filterProgram(filter: Uint8Array): Uint8Array {
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / INSTRUCTION_BYTES, true);
  view.setBigUint64(8, BigInt(address(filter)), true);
  return program;
}

/** What the program says 0 of is not received. Throws a SystemError if the kernel refuses it. */
export function attachFilter(fd: number, filter: Uint8Array): void {
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filterProgram(filter), "SO_ATTACH_FILTER");
}

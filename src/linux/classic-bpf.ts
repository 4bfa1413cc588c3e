/**
 * Classic BPF: programs that say whether a packet is wanted, as libpcap makes them and as the
 * kernel's socket filters take them (Documentation/networking/filter.rst).
 *
 *     struct sock_filter    code u16 @0 · jt u8 @2 · jf u8 @3 · k u32 @4      8 bytes, host order
 *
 * `runFilter` is for packets whose VLAN tag the kernel has taken out of the frame before a socket
 * filter would see them: here the frame is whole again. It never reads past the frame, and ends: jumps
 * go forwards only.
 */

export const INSTRUCTION_BYTES = 8;

const CLASS = { LD: 0, LDX: 1, ST: 2, STX: 3, ALU: 4, JMP: 5, RET: 6, MISC: 7 } as const;
const MODE = { IMM: 0x00, ABS: 0x20, IND: 0x40, MEM: 0x60, LEN: 0x80, MSH: 0xa0 } as const;
const MEMORY_WORDS = 16;

/** Whether the program wants the frame. A program that is malformed wants nothing. */
export function runFilter(program: Uint8Array, frame: Uint8Array, wireBytes: number): boolean {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const data = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const memory = new Uint32Array(MEMORY_WORDS);
  const count = Math.floor(program.length / INSTRUCTION_BYTES);
  let [a, x] = [0, 0];
  for (let pc = 0; pc < count; pc++) {
    const at = pc * INSTRUCTION_BYTES;
    const op = code.getUint16(at, true);
    const jumpTrue = code.getUint8(at + 2);
    const jumpFalse = code.getUint8(at + 3);
    const k = code.getUint32(at + 4, true);
    const operand = op & 0x08 ? x : k;
    switch (op & 7) {
      case CLASS.LD: {
        const value = load(op, k, x, data, memory, wireBytes);
        if (value === undefined) return false;
        a = value;
        break;
      }
      case CLASS.LDX: {
        if ((op & 0xe0) === MODE.MSH) {
          if (k >= data.byteLength) return false;
          x = (data.getUint8(k) & 0xf) << 2;
          break;
        }
        const value = load(op, k, x, data, memory, wireBytes);
        if (value === undefined) return false;
        x = value;
        break;
      }
      case CLASS.ST:
        memory[k & (MEMORY_WORDS - 1)] = a;
        break;
      case CLASS.STX:
        memory[k & (MEMORY_WORDS - 1)] = x;
        break;
      case CLASS.ALU: {
        const value = compute(op & 0xf0, a, operand);
        if (value === undefined) return false;
        a = value;
        break;
      }
      case CLASS.JMP:
        pc += jump(op & 0xf0, a, operand, k, jumpTrue, jumpFalse);
        break;
      case CLASS.RET:
        return ((op & 0x18) === 0x10 ? a : k) !== 0;
      case CLASS.MISC:
        if (op & 0x80) a = x;
        else x = a;
        break;
      default:
        return false;
    }
  }
  return false;
}

function load(
  op: number,
  k: number,
  x: number,
  data: DataView,
  memory: Uint32Array,
  wireBytes: number,
): number | undefined {
  switch (op & 0xe0) {
    case MODE.IMM:
      return k;
    case MODE.MEM:
      return memory[k & (MEMORY_WORDS - 1)];
    case MODE.LEN:
      return wireBytes;
    case MODE.ABS:
    case MODE.IND: {
      const at = (op & 0xe0) === MODE.IND ? k + x : k;
      const bytes = (op & 0x18) === 0 ? 4 : (op & 0x18) === 0x08 ? 2 : 1;
      if (at + bytes > data.byteLength) return undefined;
      return bytes === 4
        ? data.getUint32(at)
        : bytes === 2
        ? data.getUint16(at)
        : data.getUint8(at);
    }
    default:
      return undefined;
  }
}

function compute(operation: number, a: number, b: number): number | undefined {
  switch (operation) {
    case 0x00:
      return (a + b) >>> 0;
    case 0x10:
      return (a - b) >>> 0;
    case 0x20:
      return Math.imul(a, b) >>> 0;
    case 0x30:
      return b === 0 ? undefined : Math.floor(a / b);
    case 0x40:
      return (a | b) >>> 0;
    case 0x50:
      return (a & b) >>> 0;
    case 0x60:
      return b > 31 ? 0 : (a << b) >>> 0;
    case 0x70:
      return b > 31 ? 0 : a >>> b;
    case 0x80:
      return -a >>> 0;
    case 0x90:
      return b === 0 ? undefined : a % b;
    case 0xa0:
      return (a ^ b) >>> 0;
    default:
      return undefined;
  }
}

/** How many instructions are passed over. */
function jump(
  operation: number,
  a: number,
  operand: number,
  k: number,
  jumpTrue: number,
  jumpFalse: number,
): number {
  switch (operation) {
    case 0x00:
      return k;
    case 0x10:
      return a === operand ? jumpTrue : jumpFalse;
    case 0x20:
      return a > operand ? jumpTrue : jumpFalse;
    case 0x30:
      return a >= operand ? jumpTrue : jumpFalse;
    case 0x40:
      return (a & operand) !== 0 ? jumpTrue : jumpFalse;
    default:
      return Number.MAX_SAFE_INTEGER / 2;
  }
}

/**
 * An assembler for eBPF: one method an instruction, each with the C that it stands for.
 *
 *     const asm = new Assembler();
 *     asm.load(32, R2, R1, 76)          // r2 = *(u32 *)(r1 + 76)
 *        .jumpIf("eq", R2, 0, "miss")   // if (r2 == 0) goto miss
 *        .mov(R0, 2).exit()
 *        .label("miss").mov(R0, 0).exit();
 *     const { bytes } = asm.finish();
 *
 * - A bad operand throws at the call that has it: a register that may not be written, an immediate
 *   that does not fit, an offset beyond 16 bits. So does a label that stands twice.
 * - Jumps name labels; `finish` resolves them and throws on those that stand nowhere.
 * - Maps are given as objects with descriptor and name: the listing (disassembler.ts) shows the name.
 *
 * In the docs `dst` and `src` are registers of 64 bits, `imm` a signed number of 32 bits that is
 * sign-extended. Reference: RFC 9669.
 */
import {
  ALU,
  type AluOperation,
  type Atomic,
  ATOMICS,
  CLASS_ALU32,
  CLASS_ALU64,
  CLASS_JMP,
  CLASS_JMP32,
  CLASS_LD,
  CLASS_LDX,
  CLASS_ST,
  CLASS_STX,
  COMPARE_EXCHANGE,
  type Condition,
  CONDITIONS,
  encodeSlots,
  type Helper,
  HELPERS,
  JUMP_ALWAYS,
  JUMP_CALL,
  JUMP_EXIT,
  MODE_ATOMIC,
  MODE_IMM,
  MODE_MEM,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_VALUE,
  type Register,
  type Size,
  SIZES,
  type Slot,
  SOURCE_REGISTER,
} from "./instructions.ts";

/** A map as a program refers to it. */
export interface MapReference {
  readonly name: string;
  readonly fd: number;
}

/** A finished program, with what a listing needs besides. */
export interface Assembled {
  readonly bytes: Uint8Array;
  /** Names of the places that have labels, by slot. */
  readonly labels: ReadonlyMap<number, string>;
  /** Names of maps, by the slot that loads them. */
  readonly maps: ReadonlyMap<number, string>;
}

/** An operand that the instruction cannot have, or a label that is not there. */
export class AssemblyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "AssemblyError";
  }
}

function register(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 10) {
    throw new AssemblyError(`there is no register r${value}`);
  }
  return value;
}

function writable(value: number): number {
  if (value === 10) throw new AssemblyError("r10 is the frame pointer and cannot be written");
  return register(value);
}

/** An immediate may be given unsigned, too: 0xffffffff is -1. */
function immediate(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
    throw new AssemblyError(`${value} does not fit into 32 bits`);
  }
  return value | 0;
}

/** Immediates of 64-bit operations are sign-extended: an unsigned one would become another number. */
function signedImmediate(value: number): number {
  if (value > 0x7fff_ffff) {
    throw new AssemblyError(`${value} would be sign-extended to a negative number`);
  }
  return immediate(value);
}

function offset(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000 || value > 0x7fff) {
    throw new AssemblyError(`offset ${value} does not fit into 16 bits`);
  }
  return value;
}

/** Second operand: a register is given as `reg(n)`, to tell it from a number. */
export interface RegisterOperand {
  readonly register: Register;
}
export const reg = (number: Register): RegisterOperand => ({ register: number });
export type Operand = number | RegisterOperand;

export class Assembler {
  private readonly slots: Slot[] = [];
  private readonly places = new Map<string, number>();
  private readonly jumps: { readonly at: number; readonly label: string }[] = [];
  private readonly maps = new Map<number, string>();
  private names = 0;

  /** Slots so far. */
  get length(): number {
    return this.slots.length;
  }

  /** A label that nobody else has: `stem_1`, `stem_2` … */
  fresh(stem: string): string {
    return `${stem}_${++this.names}`;
  }

  /** `name:` */
  label(name: string): this {
    if (this.places.has(name)) throw new AssemblyError(`label ${name} stands twice`);
    this.places.set(name, this.slots.length);
    return this;
  }

  /** `dst = src` or `dst = imm` */
  mov(dst: Register, from: Operand): this {
    return this.alu64(ALU.mov, dst, from);
  }

  /** `dst = (u32)src` or `dst = (u32)imm`: the upper half becomes 0. */
  mov32(dst: Register, from: Operand): this {
    return this.alu32(ALU.mov, dst, from);
  }

  /** `dst = imm64` */
  mov64(dst: Register, value: bigint): this {
    const bits = BigInt.asUintN(64, value);
    if (bits !== value && BigInt.asIntN(64, value) !== value) {
      throw new AssemblyError(`${value} does not fit into 64 bits`);
    }
    const [low, high] = [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
    return this.wide(dst, 0, low | 0, high | 0);
  }

  /** `dst op= src` or `dst op= imm`, 64 bits */
  op(operation: AluOperation, dst: Register, by: Operand): this {
    return this.alu64(ALU[operation], dst, this.checkShift(operation, by, 64));
  }

  /** `dst = (u32)dst op (u32)src`, or `imm`; the upper half becomes 0. */
  op32(operation: AluOperation, dst: Register, by: Operand): this {
    return this.alu32(ALU[operation], dst, this.checkShift(operation, by, 32));
  }

  /** `dst = htobe16(dst)`, or 32, or 64: the upper bits become 0. */
  toBigEndian(dst: Register, bits: 16 | 32 | 64): this {
    return this.put(CLASS_ALU32 | ALU.end | SOURCE_REGISTER, writable(dst), 0, 0, bits);
  }

  /** `dst = *(uN *)(src + off)` */
  load(size: Size, dst: Register, src: Register, at: number): this {
    return this.put(
      CLASS_LDX | MODE_MEM | SIZES[size],
      writable(dst),
      register(src),
      offset(at),
      0,
    );
  }

  /** `*(uN *)(dst + off) = src` or `= imm` */
  store(size: Size, dst: Register, at: number, from: Operand): this {
    if (typeof from === "number") {
      const value = size === 64 ? signedImmediate(from) : immediate(from);
      return this.put(CLASS_ST | MODE_MEM | SIZES[size], register(dst), 0, offset(at), value);
    }
    const opcode = CLASS_STX | MODE_MEM | SIZES[size];
    return this.put(opcode, register(dst), register(from.register), offset(at), 0);
  }

  /** `__sync_fetch_and_op((uN *)(dst + off), src)`, the old value not fetched */
  atomic(operation: Atomic, size: 32 | 64, dst: Register, at: number, src: Register): this {
    const opcode = CLASS_STX | MODE_ATOMIC | SIZES[size];
    return this.put(opcode, register(dst), register(src), offset(at), ATOMICS[operation]);
  }

  /** `r0 = cmpxchg((uN *)(dst + off), r0, src)`: what stood there is in r0 then, r0 as it was if it was stored. */
  compareExchange(size: 32 | 64, dst: Register, at: number, src: Register): this {
    const opcode = CLASS_STX | MODE_ATOMIC | SIZES[size];
    return this.put(opcode, register(dst), register(src), offset(at), COMPARE_EXCHANGE);
  }

  /** `dst = &map` */
  loadMap(dst: Register, map: MapReference): this {
    this.maps.set(this.slots.length, map.name);
    return this.wide(dst, PSEUDO_MAP_FD, descriptor(map), 0);
  }

  /** `dst = &map[0].bytes[at]`; the map is an array. */
  loadMapValue(dst: Register, map: MapReference, at = 0): this {
    this.maps.set(this.slots.length, map.name);
    return this.wide(dst, PSEUDO_MAP_VALUE, descriptor(map), immediate(at));
  }

  /** `goto label` */
  jump(label: string): this {
    this.jumps.push({ at: this.slots.length, label });
    return this.put(CLASS_JMP | JUMP_ALWAYS, 0, 0, 0, 0);
  }

  /** `if (dst cond src) goto label`, or `imm`; 64 bits */
  jumpIf(condition: Condition, dst: Register, than: Operand, label: string): this {
    return this.conditional(CLASS_JMP, condition, dst, than, label);
  }

  /** `if ((u32)dst cond (u32)src) goto label`, or `imm` */
  jumpIf32(condition: Condition, dst: Register, than: Operand, label: string): this {
    return this.conditional(CLASS_JMP32, condition, dst, than, label);
  }

  /** `r0 = bpf_helper(r1, r2, r3, r4, r5)`; r1 to r5 are lost. */
  call(helper: Helper): this {
    return this.put(CLASS_JMP | JUMP_CALL, 0, 0, 0, HELPERS[helper]);
  }

  /** `return r0` */
  exit(): this {
    return this.put(CLASS_JMP | JUMP_EXIT, 0, 0, 0, 0);
  }

  /** Resolves the jumps. Throws on a label that stands nowhere or too far away. */
  finish(): Assembled {
    const slots = [...this.slots];
    for (const { at, label } of this.jumps) {
      const place = this.places.get(label);
      if (place === undefined) throw new AssemblyError(`label ${label} stands nowhere`);
      if (place >= slots.length) throw new AssemblyError(`label ${label} stands behind the end`);
      slots[at] = { ...slots[at]!, offset: offset(place - at - 1) };
    }
    const labels = new Map<number, string>();
    for (const [name, at] of this.places) {
      labels.set(at, labels.has(at) ? `${labels.get(at)}: ${name}` : name);
    }
    return { bytes: encodeSlots(slots), labels, maps: this.maps };
  }

  private alu64(operation: number, dst: Register, by: Operand): this {
    if (typeof by === "number") {
      return this.put(CLASS_ALU64 | operation, writable(dst), 0, 0, signedImmediate(by));
    }
    const opcode = CLASS_ALU64 | operation | SOURCE_REGISTER;
    return this.put(opcode, writable(dst), register(by.register), 0, 0);
  }

  private alu32(operation: number, dst: Register, by: Operand): this {
    if (typeof by === "number") {
      return this.put(CLASS_ALU32 | operation, writable(dst), 0, 0, immediate(by));
    }
    const opcode = CLASS_ALU32 | operation | SOURCE_REGISTER;
    return this.put(opcode, writable(dst), register(by.register), 0, 0);
  }

  private checkShift(operation: AluOperation, by: Operand, bits: number): Operand {
    if (typeof by !== "number") return by;
    const shifts = operation === "lsh" || operation === "rsh" || operation === "arsh";
    if (shifts && (by < 0 || by >= bits)) {
      throw new AssemblyError(`a shift by ${by} of ${bits} bits`);
    }
    if ((operation === "div" || operation === "mod") && by === 0) {
      throw new AssemblyError("division by zero");
    }
    return by;
  }

  private conditional(
    jumpClass: number,
    condition: Condition,
    dst: Register,
    than: Operand,
    label: string,
  ): this {
    this.jumps.push({ at: this.slots.length, label });
    const opcode = jumpClass | CONDITIONS[condition];
    if (typeof than === "number") {
      const value = jumpClass === CLASS_JMP ? signedImmediate(than) : immediate(than);
      return this.put(opcode, register(dst), 0, 0, value);
    }
    return this.put(opcode | SOURCE_REGISTER, register(dst), register(than.register), 0, 0);
  }

  private wide(dst: Register, kind: number, low: number, high: number): this {
    this.put(CLASS_LD | MODE_IMM | SIZES[64], writable(dst), kind, 0, low);
    return this.put(0, 0, 0, 0, high);
  }

  private put(opcode: number, dst: number, src: number, off: number, imm: number): this {
    this.slots.push({ opcode, dst, src, offset: off, immediate: imm });
    return this;
  }
}

function descriptor({ name, fd }: MapReference): number {
  if (!Number.isInteger(fd) || fd < 0) throw new AssemblyError(`map ${name} is not open`);
  return fd;
}

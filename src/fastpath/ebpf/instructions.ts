/**
 * The eBPF instruction set as far as it is used here: numbers of opcodes, sizes and operations.
 *
 *      0        8    12   16               32                              64
 *     +--------+----+----+----------------+-------------------------------+
 *     | opcode | dst| src| offset, signed | immediate, signed             |   little endian
 *     +--------+----+----+----------------+-------------------------------+
 *
 * `dst` is in the low half of the second byte. A 64-bit immediate (LD_IMM64) takes two slots, the
 * second one all zero but for the high word. Reference: RFC 9669.
 */

/** r0: result; r1–r5: arguments, lost in a call; r6–r9: kept; r10: frame pointer, read only. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
export const R0 = 0;
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
export const R4 = 4;
export const R5 = 5;
export const R6 = 6;
export const R7 = 7;
export const R8 = 8;
export const R9 = 9;
/** The frame pointer: the stack is the 512 bytes below it. */
export const R10 = 10;

/** Classes: the lowest 3 bits of an opcode. */
export const CLASS_LD = 0x00;
export const CLASS_LDX = 0x01;
export const CLASS_ST = 0x02;
export const CLASS_STX = 0x03;
export const CLASS_ALU32 = 0x04;
export const CLASS_JMP = 0x05;
export const CLASS_JMP32 = 0x06;
export const CLASS_ALU64 = 0x07;

/** The second operand is the source register, not the immediate. */
export const SOURCE_REGISTER = 0x08;
export const MODE_IMM = 0x00;
export const MODE_MEM = 0x60;
export const MODE_ATOMIC = 0xc0;

/** Operations of the ALU classes. */
export const ALU = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  neg: 0x80,
  mod: 0x90,
  xor: 0xa0,
  mov: 0xb0,
  arsh: 0xc0,
  end: 0xd0,
} as const;
export type AluOperation = Exclude<keyof typeof ALU, "neg" | "end" | "mov">;

/** Conditions of jumps, unsigned unless they begin with s; `set`: any of the bits. */
export const CONDITIONS = {
  eq: 0x10,
  gt: 0x20,
  ge: 0x30,
  set: 0x40,
  ne: 0x50,
  sgt: 0x60,
  sge: 0x70,
  lt: 0xa0,
  le: 0xb0,
  slt: 0xc0,
  sle: 0xd0,
} as const;
export type Condition = keyof typeof CONDITIONS;
export const JUMP_ALWAYS = 0x00;
export const JUMP_CALL = 0x80;
export const JUMP_EXIT = 0x90;

/** Widths of memory accesses, in bits. */
export const SIZES = { 8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18 } as const;
export type Size = keyof typeof SIZES;

/** Atomic operations, in the immediate. */
export const ATOMICS = { add: 0x00, or: 0x40, and: 0x50, xor: 0xa0 } as const;
/** The one that compares with r0, and leaves there what it found. */
export const COMPARE_EXCHANGE = 0xf1;
export type Atomic = keyof typeof ATOMICS;

/** What the immediate of LD_IMM64 is, in its source register field. */
export const PSEUDO_MAP_FD = 1;
export const PSEUDO_MAP_VALUE = 2;

/** Helper functions of the kernel, by the name they have there without `bpf_`. */
export const HELPERS = {
  map_lookup_elem: 1,
  map_update_elem: 2,
  ktime_get_ns: 5,
  get_prandom_u32: 7,
  get_smp_processor_id: 8,
  skb_store_bytes: 9,
  l3_csum_replace: 10,
  l4_csum_replace: 11,
  tail_call: 12,
  clone_redirect: 13,
  skb_vlan_push: 18,
  skb_vlan_pop: 19,
  skb_get_tunnel_key: 20,
  skb_set_tunnel_key: 21,
  redirect: 23,
  skb_load_bytes: 26,
  csum_diff: 28,
  skb_get_tunnel_opt: 29,
  skb_set_tunnel_opt: 30,
  skb_change_tail: 38,
  skb_pull_data: 39,
  skb_change_head: 43,
  ktime_get_coarse_ns: 160,
} as const;
export type Helper = keyof typeof HELPERS;

/** One 8-byte slot. */
export interface Slot {
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly offset: number;
  readonly immediate: number;
}

export const SLOT_BYTES = 8;

export function encodeSlots(slots: readonly Slot[]): Uint8Array {
  const bytes = new Uint8Array(slots.length * SLOT_BYTES);
  const v = new DataView(bytes.buffer);
  slots.forEach(({ opcode, dst, src, offset, immediate }, i) => {
    const at = i * SLOT_BYTES;
    bytes[at] = opcode;
    bytes[at + 1] = dst | (src << 4);
    v.setInt16(at + 2, offset, true);
    v.setInt32(at + 4, immediate, true);
  });
  return bytes;
}

/** Throws a RangeError if the length is not a multiple of 8. */
export function decodeSlots(bytes: Uint8Array): Slot[] {
  if (bytes.length % SLOT_BYTES !== 0) {
    throw new RangeError(`${bytes.length} bytes are no whole number of instructions`);
  }
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / SLOT_BYTES }, (_, i) => {
    const at = i * SLOT_BYTES;
    return {
      opcode: bytes[at]!,
      dst: bytes[at + 1]! & 15,
      src: bytes[at + 1]! >> 4,
      offset: v.getInt16(at + 2, true),
      immediate: v.getInt32(at + 4, true),
    };
  });
}

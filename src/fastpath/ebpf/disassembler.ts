/**
 * Programs as text, in the notation of the kernel's verifier and of clang: for golden listings, for
 * `explain` output and for finding one's way in a verifier's complaint, which names slots by number.
 *
 *        0: r6 = r1
 *        1: r2 = *(u32 *)(r6 + 76)
 *        2: if r2 == 0x0 goto 5 <miss>
 *
 * What is not known is shown as bytes; nothing throws on any input of whole slots.
 */
import {
  ALU,
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
  CONDITIONS,
  decodeSlots,
  HELPERS,
  JUMP_ALWAYS,
  JUMP_CALL,
  JUMP_EXIT,
  MODE_ATOMIC,
  MODE_IMM,
  MODE_MEM,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_VALUE,
  SIZES,
  type Slot,
  SOURCE_REGISTER,
} from "./instructions.ts";

export interface Annotations {
  readonly labels?: ReadonlyMap<number, string>;
  readonly maps?: ReadonlyMap<number, string>;
}

const SYMBOLS: Readonly<Record<string, string>> = {
  add: "+=",
  sub: "-=",
  mul: "*=",
  div: "/=",
  or: "|=",
  and: "&=",
  lsh: "<<=",
  rsh: ">>=",
  mod: "%=",
  xor: "^=",
  mov: "=",
  arsh: "s>>=",
};
const COMPARISONS: Readonly<Record<string, string>> = {
  eq: "==",
  gt: ">",
  ge: ">=",
  set: "&",
  ne: "!=",
  sgt: "s>",
  sge: "s>=",
  lt: "<",
  le: "<=",
  slt: "s<",
  sle: "s<=",
};

const nameIn = (table: Readonly<Record<string, number>>, value: number): string | undefined =>
  Object.entries(table).find(([, number]) => number === value)?.[0];

const hex = (value: number): string =>
  value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;

const place = (register: number, offset: number): string =>
  `r${register} ${offset < 0 ? "-" : "+"} ${Math.abs(offset)}`;

/** One line a slot (a 64-bit immediate: one for both), labels on lines of their own. */
export function disassemble(program: Uint8Array, { labels, maps }: Annotations = {}): string {
  const slots = decodeSlots(program);
  const lines: string[] = [];
  for (let i = 0; i < slots.length; i++) {
    const label = labels?.get(i);
    if (label !== undefined) lines.push(`${label}:`);
    const slot = slots[i]!;
    const number = String(i).padStart(5);
    const wide = slot.opcode === (CLASS_LD | MODE_IMM | SIZES[64]) && i + 1 < slots.length;
    const text = wide
      ? wideText(slot, slots[i + 1]!, maps?.get(i))
      : slotText(slot, i, labels ?? new Map());
    lines.push(`${number}: ${text}`);
    if (wide) i++;
  }
  return `${lines.join("\n")}\n`;
}

function wideText(slot: Slot, next: Slot, map: string | undefined): string {
  const { dst, src, immediate } = slot;
  if (src === PSEUDO_MAP_FD) return `r${dst} = map[${map ?? `fd ${immediate}`}]`;
  if (src === PSEUDO_MAP_VALUE) {
    return `r${dst} = map[${map ?? `fd ${immediate}`}][0] + ${next.immediate}`;
  }
  const value = (BigInt(next.immediate >>> 0) << 32n) | BigInt(immediate >>> 0);
  return `r${dst} = 0x${value.toString(16)} ll`;
}

function slotText(slot: Slot, at: number, labels: ReadonlyMap<number, string>): string {
  const { opcode, dst, src, offset, immediate } = slot;
  const unknown = `opcode 0x${opcode.toString(16)} dst ${dst} src ${src} off ${offset} imm ${
    hex(immediate)
  }`;
  const size = nameIn(Object.fromEntries(Object.entries(SIZES)), opcode & 0x18);
  const mode = opcode & 0xe0;
  switch (opcode & 7) {
    case CLASS_LDX:
      return mode === MODE_MEM ? `r${dst} = *(u${size} *)(${place(src, offset)})` : unknown;
    case CLASS_ST:
      return mode === MODE_MEM
        ? `*(u${size} *)(${place(dst, offset)}) = ${hex(immediate)}`
        : unknown;
    case CLASS_STX: {
      if (mode === MODE_MEM) return `*(u${size} *)(${place(dst, offset)}) = r${src}`;
      if (mode === MODE_ATOMIC && immediate === COMPARE_EXCHANGE) {
        return `r0 = cmpxchg_${size}(${place(dst, offset)}, r0, r${src})`;
      }
      const atomic = nameIn(ATOMICS, immediate);
      if (mode !== MODE_ATOMIC || atomic === undefined) return unknown;
      return `lock *(u${size} *)(${place(dst, offset)}) ${SYMBOLS[atomic]} r${src}`;
    }
    case CLASS_ALU32:
    case CLASS_ALU64:
      return aluText(slot) ?? unknown;
    case CLASS_JMP:
    case CLASS_JMP32:
      return jumpText(slot, at, labels) ?? unknown;
    default:
      return unknown;
  }
}

function aluText({ opcode, dst, src, immediate }: Slot): string | undefined {
  const narrow = (opcode & 7) === CLASS_ALU32;
  const operation = nameIn(ALU, opcode & 0xf0);
  const letter = narrow ? "w" : "r";
  if (operation === "end") return `r${dst} = be${immediate} r${dst}`;
  if (operation === "neg") return `${letter}${dst} = -${letter}${dst}`;
  const symbol = operation && SYMBOLS[operation];
  if (symbol === undefined) return undefined;
  const by = (opcode & SOURCE_REGISTER) !== 0 ? `${letter}${src}` : hex(immediate);
  return `${letter}${dst} ${symbol} ${by}`;
}

function jumpText(
  { opcode, dst, src, offset, immediate }: Slot,
  at: number,
  labels: ReadonlyMap<number, string>,
): string | undefined {
  const narrow = (opcode & 7) === CLASS_JMP32;
  const target = at + 1 + offset;
  const label = labels.get(target);
  const to = `goto ${target}${label === undefined ? "" : ` <${label}>`}`;
  switch (opcode & 0xf0) {
    case JUMP_ALWAYS:
      return narrow ? undefined : to;
    case JUMP_CALL:
      return narrow ? undefined : `call ${nameIn(HELPERS, immediate) ?? `helper ${immediate}`}`;
    case JUMP_EXIT:
      return narrow ? undefined : "exit";
  }
  const condition = nameIn(CONDITIONS, opcode & 0xf0);
  if (condition === undefined) return undefined;
  const letter = narrow ? "w" : "r";
  const than = (opcode & SOURCE_REGISTER) !== 0 ? `${letter}${src}` : hex(immediate);
  return `if ${letter}${dst} ${COMPARISONS[condition]} ${than} ${to}`;
}

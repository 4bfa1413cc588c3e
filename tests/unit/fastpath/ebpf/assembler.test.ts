/** Each builder against its bytes (RFC 9669) and its text; bad operands throw where they are given. */
import { describe, expect, test } from "bun:test";
import { Assembler, AssemblyError, reg } from "../../../../src/fastpath/ebpf/assembler.ts";
import { disassemble } from "../../../../src/fastpath/ebpf/disassembler.ts";
import { decodeSlots, encodeSlots } from "../../../../src/fastpath/ebpf/instructions.ts";

const MAP = { name: "flows", fd: 7 };

/** What is built, its bytes, its text. */
const CASES: readonly (readonly [(asm: Assembler) => unknown, string, string])[] = [
  [(a) => a.mov(1, 2), "b701000002000000", "r1 = 0x2"],
  [(a) => a.mov(6, reg(1)), "bf16000000000000", "r6 = r1"],
  [(a) => a.mov32(3, 0xffffffff), "b4030000ffffffff", "w3 = -0x1"],
  [(a) => a.mov32(3, reg(4)), "bc43000000000000", "w3 = w4"],
  [
    (a) => a.mov64(2, 0x1122334455667788n),
    "1802000088776655" + "0000000044332211",
    "r2 = 0x1122334455667788 ll",
  ],
  [(a) => a.mov64(2, -1n), "18020000ffffffff" + "00000000ffffffff", "r2 = 0xffffffffffffffff ll"],
  [(a) => a.op("add", 1, -8), "07010000f8ffffff", "r1 += -0x8"],
  [(a) => a.op("and", 1, reg(2)), "5f21000000000000", "r1 &= r2"],
  [(a) => a.op32("and", 1, 0xf0f0f0f0), "54010000f0f0f0f0", "w1 &= -0xf0f0f10"],
  [(a) => a.op("lsh", 1, 63), "670100003f000000", "r1 <<= 0x3f"],
  [(a) => a.op32("xor", 9, reg(0)), "ac09000000000000", "w9 ^= w0"],
  [(a) => a.toBigEndian(5, 16), "dc05000010000000", "r5 = be16 r5"],
  [(a) => a.toBigEndian(5, 64), "dc05000040000000", "r5 = be64 r5"],
  [(a) => a.load(8, 0, 1, -1), "7110ffff00000000", "r0 = *(u8 *)(r1 - 1)"],
  [(a) => a.load(16, 0, 1, 2), "6910020000000000", "r0 = *(u16 *)(r1 + 2)"],
  [(a) => a.load(32, 2, 6, 76), "61624c0000000000", "r2 = *(u32 *)(r6 + 76)"],
  [(a) => a.load(64, 2, 10, -16), "79a2f0ff00000000", "r2 = *(u64 *)(r10 - 16)"],
  [(a) => a.store(32, 10, -4, 1), "620afcff01000000", "*(u32 *)(r10 - 4) = 0x1"],
  [(a) => a.store(64, 10, -8, reg(3)), "7b3af8ff00000000", "*(u64 *)(r10 - 8) = r3"],
  [(a) => a.atomic("add", 64, 7, 16, 2), "db27100000000000", "lock *(u64 *)(r7 + 16) += r2"],
  [(a) => a.atomic("or", 32, 7, 40, 2), "c327280040000000", "lock *(u32 *)(r7 + 40) |= r2"],
  [(a) => a.loadMap(1, MAP), "1811000007000000" + "0000000000000000", "r1 = map[flows]"],
  [
    (a) => a.loadMapValue(1, MAP, 8),
    "1821000007000000" + "0000000008000000",
    "r1 = map[flows][0] + 8",
  ],
  [(a) => a.call("redirect"), "8500000017000000", "call redirect"],
  [(a) => a.exit(), "9500000000000000", "exit"],
  [
    (a) => a.jump("here").label("here").exit(),
    "0500000000000000" + "9500000000000000",
    "goto 1 <here>",
  ],
  [
    (a) => a.label("here").jumpIf("ne", 1, 0, "here"),
    "5501ffff00000000",
    "if r1 != 0x0 goto 0 <here>",
  ],
  [
    (a) => a.label("here").jumpIf32("slt", 1, reg(2), "here"),
    "ce21ffff00000000",
    "if w1 s< w2 goto 0 <here>",
  ],
];

/** The text without the slot's number and without lines of labels. */
const plain = (text: string): string =>
  text.split("\n").filter((line) => /^ *\d+: /.test(line))[0]!.replace(/^ *\d+: /, "");

describe("assembler", () => {
  for (const [build, bytes, text] of CASES) {
    test(text, () => {
      const asm = new Assembler();
      build(asm);
      const assembled = asm.finish();
      expect(assembled.bytes.toHex()).toBe(bytes);
      expect(plain(disassemble(assembled.bytes, assembled))).toBe(text);
      expect(encodeSlots(decodeSlots(assembled.bytes))).toEqual(assembled.bytes);
    });
  }

  const BAD: readonly (readonly [string, (asm: Assembler) => unknown])[] = [
    ["the frame pointer is not written", (a) => a.mov(10, 0)],
    ["… nor loaded", (a) => a.load(64, 10, 1, 0)],
    ["there are eleven registers", (a) => a.mov(11 as never, 0)],
    ["an immediate has 32 bits", (a) => a.mov32(0, 0x1_0000_0000)],
    ["… and is sign-extended for 64-bit operations", (a) => a.op("and", 0, 0xffff_ffff)],
    ["… of jumps too", (a) => a.jumpIf("eq", 0, 0xffff_ffff, "x")],
    ["an immediate is whole", (a) => a.mov(0, 1.5)],
    ["an offset has 16 bits", (a) => a.load(8, 0, 1, 0x8000)],
    ["a shift is shorter than the register", (a) => a.op("lsh", 0, 64)],
    ["… of 32 bits too", (a) => a.op32("rsh", 0, 32)],
    ["nothing is divided by zero", (a) => a.op("div", 0, 0)],
    ["a label stands once", (a) => a.label("x").label("x")],
    ["a label stands somewhere", (a) => a.jump("x").finish()],
    ["… in front of an instruction", (a) => a.jump("x").label("x").finish()],
    ["a map is open", (a) => a.loadMap(0, { name: "gone", fd: -1 })],
    ["64 bits are 64 bits", (a) => a.mov64(0, 1n << 64n)],
  ];
  for (const [name, build] of BAD) {
    test(name, () => {
      expect(() => build(new Assembler())).toThrow(AssemblyError);
    });
  }

  test("a jump beyond 16 bits is refused when the program is finished", () => {
    const asm = new Assembler().jump("far");
    for (let i = 0; i < 0x8000; i++) asm.mov(0, 0);
    asm.label("far").exit();
    expect(() => asm.finish()).toThrow(/does not fit into 16 bits/);
  });

  test("the disassembler takes any slots", () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      const bytes = new Uint8Array(16).fill(0xa5);
      bytes[0] = opcode;
      expect(disassemble(bytes).split("\n").length).toBeGreaterThan(1);
    }
    expect(() => disassemble(new Uint8Array(9))).toThrow(RangeError);
  });
});

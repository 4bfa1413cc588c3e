import { describe, expect, test } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { encodeProgram } from "../../../src/fastpath/engine/encode.ts";
import {
  OP_COPY,
  OP_END,
  OP_OUTPUT,
  OP_POP_VLAN,
  OP_PUSH_VLAN,
  OP_SET,
  OP_SET_KEY,
  OP_TRUNC,
  OP_USERSPACE,
  programAt,
} from "../../../src/fastpath/engine/opcodes.ts";
import { slot } from "../../../src/packet/layout.ts";

const output = (port: number): DpAction => ({ type: "output", port });
const pop: DpAction = { type: "pop_vlan" };

describe("action programs", () => {
  test("each action is its opcode and operands", () => {
    const code = encodeProgram([
      { type: "push_vlan", tpid: 0x88a8, tci: 5 },
      { type: "trunc", maxLength: 64 },
      { type: "userspace", userdata: 0xffffffff },
      output(3),
    ]);
    expect([...code]).toEqual([
      ...[OP_PUSH_VLAN, 0x88a8, 5, OP_TRUNC, 64, OP_USERSPACE, -1, OP_OUTPUT, 3, OP_END],
    ]);
  });

  test("no actions: nothing but the end", () => {
    expect([...encodeProgram([])]).toEqual([OP_END]);
  });

  test("a copy is made only before a rewrite that follows an output, and once", () => {
    expect([...encodeProgram([pop, output(1), pop, pop, output(2), output(3), pop])]).toEqual([
      ...[OP_POP_VLAN, OP_OUTPUT, 1, OP_COPY, OP_POP_VLAN, OP_POP_VLAN, OP_OUTPUT, 2],
      ...[OP_OUTPUT, 3, OP_COPY, OP_POP_VLAN, OP_END],
    ]);
  });

  test("values and masks lie behind the code, addressed in bytes", () => {
    const value = new Uint8Array([2, 0, 0, 0, 0, 9]);
    const mask = new Uint8Array(6).fill(0xff);
    const program = programAt(encodeProgram([{ type: "set", slot: "eth_dst", value, mask }]));
    const [op, at, valueAt, maskAt, end] = program.code;
    expect([op, at, end]).toEqual([OP_SET, slot("eth_dst").offset, OP_END]);
    expect(program.bytes.slice(valueAt, valueAt! + 6)).toEqual(value);
    expect(program.bytes.slice(maskAt, maskAt! + 6)).toEqual(mask);
  });

  test("metadata is set in the key, and needs no copy", () => {
    const four = new Uint8Array(4);
    const set: DpAction = { type: "set", slot: "pkt_mark", value: four, mask: four };
    const code = encodeProgram([output(1), set]);
    expect([...code.slice(0, 3)]).toEqual([OP_OUTPUT, 1, OP_SET_KEY]);
  });

  test("what cannot be set is refused when the flow is put, not when a packet comes", () => {
    const four = new Uint8Array(4);
    const bad = (slot: "tun_src" | "nw_src", value: Uint8Array): DpAction => ({
      type: "set",
      slot,
      value,
      mask: value,
    });
    expect(() => encodeProgram([bad("tun_src", four)])).toThrow("cannot set tun_src");
    expect(() => encodeProgram([bad("nw_src", new Uint8Array(3))])).toThrow("must have 4 bytes");
  });
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  RING_CONTROL_WORDS,
  RingMemory,
  RingReader,
  RingWriter,
} from "../../../src/fastpath/userspace/ring.ts";

function ring(size: number): { writer: RingWriter; reader: RingReader } {
  const control = RING_CONTROL_WORDS * 4;
  const memory = new RingMemory(new SharedArrayBuffer(control + size), 0, control, size);
  return { writer: new RingWriter(memory), reader: new RingReader(memory) };
}

function put(writer: RingWriter, payload: Uint8Array): boolean {
  const at = writer.reserve(payload.length);
  if (at < 0) return false;
  writer.memory.bytes.set(payload, at);
  writer.commit();
  return true;
}

function take(reader: RingReader): Uint8Array | undefined {
  const at = reader.next();
  if (at < 0) return undefined;
  const payload = new Uint8Array(reader.memory.bytes.subarray(at, at + reader.length));
  reader.release();
  return payload;
}

describe("shared ring", () => {
  test("what is not committed is not there", () => {
    const { writer, reader } = ring(64);
    writer.reserve(8);
    expect(reader.isEmpty()).toBe(true);
    put(writer, new Uint8Array([1]));
    expect(take(reader)).toEqual(new Uint8Array([1]));
    expect(take(reader)).toBeUndefined();
  });

  test("full says so, and has room again after release", () => {
    const { writer, reader } = ring(64);
    expect(put(writer, new Uint8Array(28))).toBe(true);
    expect(put(writer, new Uint8Array(28))).toBe(true);
    expect(put(writer, new Uint8Array(0))).toBe(false);
    expect(writer.used()).toBe(64);
    take(reader);
    expect(put(writer, new Uint8Array(28))).toBe(true);
  });

  test("a record of more than half the ring is refused even when it is empty", () => {
    const { writer } = ring(64);
    expect(writer.reserve(writer.maxPayload)).toBeGreaterThan(0);
    expect(writer.reserve(writer.maxPayload + 8)).toBe(-1);
  });

  test("any interleaving gives back what was put in, in order", () => {
    fc.assert(fc.property(
      fc.array(fc.oneof(fc.constant(-1), fc.nat(56)), { maxLength: 300 }),
      (steps) => {
        const { writer, reader } = ring(128);
        const expected: Uint8Array[] = [];
        steps.forEach((step, i) => {
          if (step < 0) expect(take(reader)).toEqual(expected.shift()!);
          else {
            const payload = new Uint8Array(step).fill(i);
            if (put(writer, payload)) expected.push(payload);
          }
        });
        for (const payload of expected) expect(take(reader)).toEqual(payload);
        expect(reader.isEmpty()).toBe(true);
        expect(writer.used()).toBe(0);
      },
    ));
  });

  test("positions may pass 2^32", () => {
    const { writer, reader } = ring(64);
    // As if 2^32 - 32 bytes had gone through.
    for (const half of [writer, reader]) {
      Object.assign(half, half === writer ? { head: -32 } : { tail: -32 });
    }
    writer.memory.control[0] = -32;
    writer.memory.control[16] = -32;
    for (let i = 0; i < 20; i++) {
      expect(put(writer, new Uint8Array(12).fill(i))).toBe(true);
      expect(put(writer, new Uint8Array(20).fill(i))).toBe(true);
      expect(take(reader)).toEqual(new Uint8Array(12).fill(i));
      expect(take(reader)).toEqual(new Uint8Array(20).fill(i));
    }
  });
});

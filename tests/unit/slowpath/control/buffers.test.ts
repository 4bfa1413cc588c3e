import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import {
  BUFFER_COUNT,
  NO_BUFFER,
  PacketBuffers,
} from "../../../../src/slowpath/control/buffers.ts";

const packet = (n: number) => ({ packet: { data: new Uint8Array([n & 255, n >> 8]) }, inPort: n });

function filled(clock: ManualClock): { buffers: PacketBuffers; ids: number[] } {
  const buffers = new PacketBuffers(clock);
  const ids: number[] = [];
  for (let i = 0; i < BUFFER_COUNT; i++) ids.push(buffers.store(packet(i)));
  return { buffers, ids };
}

describe("packet buffers", () => {
  test("256 packets get 256 different ids, each gives its packet back", () => {
    const { buffers, ids } = filled(new ManualClock());
    expect(new Set(ids).size).toBe(256);
    expect(ids).not.toContain(NO_BUFFER);
    expect(buffers.inUse).toBe(256);
    ids.forEach((id, i) => {
      const result = buffers.release(id);
      expect(result.ok && result.buffered.inPort).toBe(i);
    });
    expect(buffers.inUse).toBe(0);
  });

  test("the 257th is not buffered while the oldest is 4.9 s old", () => {
    const clock = new ManualClock();
    const { buffers, ids } = filled(clock);
    clock.advance(4900);
    expect(buffers.store(packet(256))).toBe(NO_BUFFER);
    expect(buffers.counters.full).toBe(1);
    expect(buffers.release(ids[0]!).ok).toBe(true);
  });

  test("at exactly 5 s it is not over 5 s old", () => {
    const clock = new ManualClock();
    const { buffers } = filled(clock);
    clock.advance(5000);
    expect(buffers.store(packet(256))).toBe(NO_BUFFER);
  });

  test("at 5.1 s the oldest, and only it, makes room for the 257th", () => {
    const clock = new ManualClock();
    const { buffers, ids } = filled(clock);
    clock.advance(5100);
    const id = buffers.store(packet(256));
    expect(id).not.toBe(NO_BUFFER);
    expect(buffers.inUse).toBe(256);
    expect(buffers.counters.overwritten).toBe(1);
    expect(buffers.release(ids[0]!)).toEqual({ ok: false, error: "unknown" });
    const second = buffers.release(ids[1]!);
    expect(second.ok && second.buffered.inPort).toBe(1);
    const latest = buffers.release(id);
    expect(latest.ok && latest.buffered.inPort).toBe(256);
  });

  test("the oldest is judged by its own age, not by its slot", () => {
    const clock = new ManualClock();
    const { buffers, ids } = filled(clock);
    clock.advance(3000);
    expect(buffers.release(ids[0]!).ok).toBe(true);
    const young = buffers.store(packet(300));
    clock.advance(2100);
    const id = buffers.store(packet(301));
    expect(buffers.release(ids[1]!)).toEqual({ ok: false, error: "unknown" });
    expect(buffers.release(young).ok).toBe(true);
    expect(buffers.release(id).ok).toBe(true);
  });

  test("a released buffer is empty, an id never given out is unknown", () => {
    const buffers = new PacketBuffers(new ManualClock());
    const id = buffers.store(packet(1));
    expect(buffers.release(id).ok).toBe(true);
    expect(buffers.release(id)).toEqual({ ok: false, error: "empty" });
    expect(buffers.release(id + 256)).toEqual({ ok: false, error: "unknown" });
    expect(buffers.release(5)).toEqual({ ok: false, error: "unknown" });
    expect(buffers.release(0)).toEqual({ ok: false, error: "unknown" });
    expect(buffers.release(NO_BUFFER)).toEqual({ ok: false, error: "unknown" });
  });

  test("ids stay valid when the generation wraps", () => {
    const buffers = new PacketBuffers(new ManualClock());
    // Slot by slot through the whole range would take 4 G steps: force one slot near its end.
    const slots = (buffers as unknown as { slots: { generation: number }[] }).slots;
    slots[0]!.generation = 0xfffffd;
    const id = buffers.store(packet(7));
    expect(id).toBe(0xfffffe00);
    expect(buffers.release(id).ok).toBe(true);
    slots[1]!.generation = 0xfffffe;
    const wrapped = buffers.store(packet(8));
    expect(wrapped).not.toBe(NO_BUFFER);
    expect(buffers.release(wrapped).ok).toBe(true);
  });
});

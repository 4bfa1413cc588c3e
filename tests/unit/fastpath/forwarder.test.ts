/**
 * The forwarder without sockets: frames in ordinary memory, ports that note what they are asked to
 * send. What the conformance suite shows on real devices is not repeated; here is what must hold
 * for memory: nothing that is still owed to a send changes.
 */
import { describe, expect, test } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { FrameMemory } from "../../../src/fastpath/userspace/arena.ts";
import {
  PUT_HEADER_WORDS,
  putFlowWords,
  writePutFlow,
} from "../../../src/fastpath/userspace/commands.ts";
import { Forwarder, type OutputPort } from "../../../src/fastpath/userspace/forwarder.ts";
import { encodeProgram } from "../../../src/fastpath/engine/encode.ts";
import { programAt } from "../../../src/fastpath/engine/opcodes.ts";
import { COUNTERS, SharedState } from "../../../src/fastpath/userspace/shared.ts";
import { UpcallReader } from "../../../src/fastpath/userspace/upcalls.ts";
import { address } from "../../../src/linux/libc.ts";
import { VNET_BYTES } from "../../../src/packet/frame.ts";
import { FlowKey, maskField } from "../../../src/packet/key.ts";
import { FIELDS } from "../../../src/packet/layout.ts";

const IN_PORT = 3;
const AT = 64;

/** Sends when flushed, not before: as a device port does. */
class NotingPort implements OutputPort {
  readonly sent: Uint8Array[] = [];
  private readonly queue: [Uint8Array, number, number][] = [];
  constructor(readonly portNo: number, private readonly forwarder: Forwarder) {}

  transmit(memory: FrameMemory, at: number, length: number): void {
    if (this.queue.length === 0) this.forwarder.owing.push(this);
    this.queue.push([memory.bytes, at, length]);
  }

  flush(): void {
    for (const [bytes, at, length] of this.queue.splice(0)) {
      this.sent.push(bytes.slice(at, at + length));
    }
  }
}

function setUp(actions: readonly DpAction[]) {
  const shared = new SharedState();
  const forwarder = new Forwarder(shared);
  const ports = [0, 1].map((portNo) => new NotingPort(portNo, forwarder));
  for (const port of ports) forwarder.ports[port.portNo] = port;
  const key = new FlowKey();
  const mask = new FlowKey();
  key.set(FIELDS.in_port_oxm, IN_PORT);
  maskField(mask, FIELDS.in_port_oxm);
  const match = { key, mask };
  const program = encodeProgram(actions);
  const command = new Int32Array(putFlowWords(match, program));
  const room = { words: command, bytes: new Uint8Array(command.buffer), at: 0 };
  writePutFlow(room, 7, match, program, false);
  const n = command[2]!;
  const triple = (i: number) =>
    Int32Array.from({ length: n }, (_, k) => command[PUT_HEADER_WORDS + 3 * k + i]!);
  forwarder.programs[7] = programAt(command.slice(PUT_HEADER_WORDS + 3 * n));
  forwarder.table.put(7, triple(0), triple(1), triple(2));

  const memory = new Uint8Array(2048);
  const lying = { bytes: memory, words: new Int32Array(memory.buffer), address: address(memory) };
  const frame = new Uint8Array(60);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x12, 0x34, 1, 2, 3, 4]);
  /** Forwards the frame, with `headroom` bytes that may be overwritten before it. */
  const forward = (headroom = AT - VNET_BYTES): void => {
    memory.fill(0xa5);
    memory.fill(0, AT - VNET_BYTES, AT);
    memory.set(frame, AT);
    forwarder.frame.set(memory, AT, frame.length, true, AT - VNET_BYTES - headroom);
    forwarder.forward(lying, IN_PORT);
    forwarder.flush();
  };
  const counter = (name: string): number => shared.counters[COUNTERS.indexOf(name)]!;
  return { shared, forwarder, ports, memory, frame, forward, counter };
}

const output = (port: number): DpAction => ({ type: "output", port });
const PUSH: DpAction = { type: "push_vlan", tpid: 0x8100, tci: 9 };
const tagged = (frame: Uint8Array): number[] => [
  ...new Uint8Array(VNET_BYTES),
  ...frame.subarray(0, 12),
  ...[0x81, 0, 0, 9],
  ...frame.subarray(12),
];

describe("forwarder", () => {
  test("with many masks hits are found first in the table, then in the cache; misses come up", () => {
    const t = setUp([output(0)]);
    t.forwarder.table.isDeep = true;
    // The first packet is one of those that go to the table in any case.
    for (let i = 0; i < 3; i++) t.forward();
    expect([t.counter("masked_hit"), t.counter("exact_hit")]).toEqual([2, 1]);
    t.forwarder.table.isDeep = false;
    t.forward();
    expect([t.counter("masked_hit"), t.counter("exact_hit")]).toEqual([3, 1]);
    expect(t.ports[0]!.sent.length).toBe(4);
    expect(t.shared.flowStats.subarray(28, 30)).toEqual(new Float64Array([4, 240]));
    t.forwarder.table.delete(7);
    t.forward();
    expect(t.counter("miss")).toBe(1);
    expect(new UpcallReader(t.shared).take()!.packet.data).toEqual(t.frame);
  });

  test("a rewrite after an output leaves the frame that is still to be sent alone", () => {
    const t = setUp([output(0), PUSH, output(1), { type: "pop_vlan" }, output(0)]);
    t.forward();
    const plain = [...new Uint8Array(VNET_BYTES), ...t.frame];
    expect(t.ports[0]!.sent.map((sent) => [...sent])).toEqual([plain, plain]);
    expect(t.ports[1]!.sent.map((sent) => [...sent])).toEqual([tagged(t.frame)]);
  });

  test("a rewrite before the first output works in place, within the headroom", () => {
    const t = setUp([PUSH, output(1)]);
    t.forward();
    expect([...t.ports[1]!.sent[0]!]).toEqual(tagged(t.frame));
    expect(t.memory[AT - VNET_BYTES - 5]).toBe(0xa5);
  });

  test("without headroom the frame is copied", () => {
    const t = setUp([PUSH, output(1)]);
    t.forward(0);
    expect([...t.ports[1]!.sent[0]!]).toEqual(tagged(t.frame));
    expect(t.memory[AT - VNET_BYTES - 1]).toBe(0xa5);
  });

  test("with no memory for a copy, what is owed is sent first, and the frame changed in place", () => {
    const t = setUp([output(0), PUSH, output(1)]);
    while (t.forwarder.arena.take(64) >= 0);
    t.forward();
    expect([...t.ports[0]!.sent[0]!]).toEqual([...new Uint8Array(VNET_BYTES), ...t.frame]);
    expect([...t.ports[1]!.sent[0]!]).toEqual(tagged(t.frame));
  });

  test("trunc cuts one output, and what is cut has no offloads left", () => {
    const t = setUp([{ type: "trunc", maxLength: 20 }, output(0), output(1)]);
    t.forward();
    expect(t.ports[0]!.sent[0]!.length).toBe(VNET_BYTES + 20);
    expect(t.ports[1]!.sent[0]!.length).toBe(VNET_BYTES + 60);
  });

  test("each reason to drop has its counter", () => {
    const none = setUp([]);
    none.forward();
    expect(none.counter("drop_no_actions")).toBe(1);
    const nowhere = setUp([output(5)]);
    nowhere.forward();
    expect(nowhere.counter("drop_tx_no_port")).toBe(1);
    const untagged = setUp([{ type: "pop_vlan" }, output(0)]);
    untagged.forward();
    expect(untagged.counter("rewrite_no_header")).toBe(1);
    expect(untagged.ports[0]!.sent.length).toBe(1);
  });

  test("an action upcall shows the packet as rewritten, its mark kept", () => {
    const mark = new Uint8Array([0, 0, 0, 5]);
    const t = setUp([
      { type: "set", slot: "pkt_mark", value: mark, mask: new Uint8Array(4).fill(0xff) },
      PUSH,
      { type: "userspace", userdata: 11 },
    ]);
    t.forward();
    const upcall = new UpcallReader(t.shared).take()!;
    expect(upcall.reason).toBe("action");
    expect(upcall.userdata).toBe(11);
    expect(upcall.key.get(FIELDS.pkt_mark)).toBe(5);
    expect(upcall.key.get(FIELDS.vlan_vid)).toBe(0x1009);
    expect([...upcall.packet.data.subarray(12, 16)]).toEqual([0x81, 0, 0, 9]);
  });
});

/**
 * One test bench for the cases: three ports a, b, c, helpers to match and send, and a deterministic
 * way to tell that nothing more comes.
 *
 * The trick is a sentinel: a flow of its own sends frames of one Ethernet type out of every port.
 * Frames of one port stay in order, so when the sentinel that was sent behind a test's frames has
 * come out of a port, so has everything before it. No case waits for time to pass.
 */
import { expect } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { Datapath, DpFlow, Packet, Upcall } from "../../../src/fastpath/datapath.ts";
import { parseField } from "../../../src/packet/text.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { anyMatch, maskField, type Match } from "../../../src/packet/key.ts";
import type { FieldName } from "../../../src/packet/fields.ts";
import { FIELDS, slot, type SlotName } from "../../../src/packet/layout.ts";
import { eventually } from "../../support/eventually.ts";
import type { Rig, Wire } from "./rig.ts";

const SENTINEL_TYPE = 0x88b6;
const SENTINEL_FLOW = 1000;

export const SPEC: FrameSpec = {
  src: "02:00:00:00:00:0a",
  dst: "02:00:00:00:00:0b",
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  udp: { src: 1000, dst: 2000 },
  payload: 40,
};

export const frameOf = (changes: Partial<FrameSpec> = {}): Uint8Array =>
  buildFrame({ ...SPEC, ...changes });

/** A match by ovs-ofctl's field names: `{ eth_type: "0x800", ip_dst: "10.0.0.0/8" }`. */
export function matchOf(fields: Partial<Record<FieldName, string>>): Match {
  const match = anyMatch();
  for (const [name, text] of Object.entries(fields)) {
    const field = FIELDS[name as FieldName];
    const { value, mask } = parseField(field, text);
    match.key.setBig(field, value & mask);
    match.mask.setBig(field, mask);
  }
  return match;
}

export const output = (wire: Wire): DpAction => ({ type: "output", port: wire.port.portNo });

/** Sets a slot to big-endian `value` under `mask` (all bits unless given). */
export function set(name: SlotName, value: bigint, mask?: bigint): DpAction {
  const { bytes } = slot(name);
  const ones = (1n << BigInt(8 * bytes)) - 1n;
  const wide = (n: bigint) =>
    Uint8Array.from({ length: bytes }, (_, i) => Number((n >> BigInt(8 * (bytes - 1 - i))) & 255n));
  return { type: "set", slot: name, value: wide(value), mask: wide(mask ?? ones) };
}

export type Case = (bench: Bench) => Promise<void>;

export class Bench {
  readonly upcalls: Upcall[] = [];
  readonly lost: { readonly portNo: number; readonly reason: string }[] = [];
  private baseline: Readonly<Record<string, number>> = {};
  private readonly ids = new Set<number>();
  private serial = 0;

  private constructor(
    private readonly rig: Rig,
    readonly a: Wire,
    readonly b: Wire,
    readonly c: Wire,
  ) {}

  static async open(rig: Rig): Promise<Bench> {
    const [a, b, c] = [await rig.plug("a"), await rig.plug("b"), await rig.plug("c")];
    const bench = new Bench(rig, a!, b!, c!);
    rig.datapath.listen({
      upcall: (upcall) => bench.upcalls.push(upcall),
      portLost: (portNo, reason) => bench.lost.push({ portNo, reason }),
    });
    await bench.reset();
    return bench;
  }

  get datapath(): Datapath {
    return this.rig.datapath;
  }

  get wires(): readonly Wire[] {
    return [this.a, this.b, this.c];
  }

  plug: Rig["plug"] = (name, type) => this.rig.plug(name, type);

  /** Back to no flows (but the sentinel's) and nothing waiting anywhere. */
  async reset(): Promise<void> {
    for (const id of this.ids) this.datapath.deleteFlow(id);
    this.ids.clear();
    this.datapath.putFlow({
      id: SENTINEL_FLOW,
      match: matchOf({ eth_type: `0x${SENTINEL_TYPE.toString(16)}` }),
      actions: [...this.rig.longWay ?? [], ...this.wires.map(output)],
    });
    await this.datapath.barrier();
    for (const wire of this.wires) while (wire.receive() !== undefined);
    this.upcalls.length = 0;
    this.lost.length = 0;
    this.baseline = this.datapath.counters();
  }

  /** Puts a flow for IPv4 (unless told otherwise) from port a and waits until it is in force. */
  async flow(
    id: number,
    fields: Partial<Record<FieldName, string>>,
    actions: readonly DpAction[],
  ): Promise<void> {
    this.put(id, fields, actions);
    await this.datapath.barrier();
  }

  put(
    id: number,
    fields: Partial<Record<FieldName, string>>,
    actions: readonly DpAction[],
  ): void {
    const match = matchOf({ eth_type: "0x800", ...fields });
    match.key.set(FIELDS.in_port_oxm, this.a.port.portNo);
    maskField(match.mask, FIELDS.in_port_oxm);
    this.install({ id, match, actions });
  }

  /** Any flow, gone at the next reset. */
  install(flow: DpFlow): void {
    this.ids.add(flow.id);
    this.datapath.putFlow(flow);
  }

  send(data: Uint8Array, from: Wire = this.a): void {
    from.send({ data });
  }

  /** What has come out of each wire, by letter, up to now: a sentinel is sent behind from `from`. */
  async outputs(from: Wire = this.a): Promise<Record<string, Packet[]>> {
    const mark = ++this.serial;
    from.send({ data: buildFrame({ type: SENTINEL_TYPE, payload: sentinelPayload(mark) }) });
    const out: Record<string, Packet[]> = {};
    for (const [i, wire] of this.wires.entries()) {
      const packets: Packet[] = [];
      await eventually(`the sentinel out of ${wire.port.name}`, () => {
        for (;;) {
          const packet = wire.receive();
          if (packet === undefined) return false;
          const type = (packet.data[12]! << 8) | packet.data[13]!;
          if (type !== SENTINEL_TYPE) packets.push(packet);
          else if (((packet.data[14]! << 8) | packet.data[15]!) === mark) return true;
        }
      }, { timeoutMs: 3000, everyMs: 1 });
      if (packets.length > 0) out["abc"[i]!] = packets;
    }
    return out;
  }

  /** Exactly these frames came out, in this order. */
  async expectOut(want: Readonly<Record<string, readonly Uint8Array[]>>, from?: Wire) {
    const out = await this.outputs(from);
    const hex = (data: Uint8Array) => data.toHex();
    const seen = Object.fromEntries(
      Object.entries(out).map(([name, list]) => [name, list.map(({ data }) => hex(data))]),
    );
    const wanted = Object.fromEntries(
      Object.entries(want).map(([name, list]) => [name, list.map(hex)]),
    );
    expect(seen).toEqual(wanted);
  }

  /** Waits for `n` upcalls, then sees that there are no more behind them. */
  async upcallsSeen(n: number): Promise<Upcall[]> {
    await eventually(`${n} upcalls`, () => this.upcalls.length >= n, { everyMs: 1 });
    await this.outputs();
    await this.datapath.barrier();
    expect(this.upcalls.length).toBe(n);
    return this.upcalls;
  }

  /** A datapath that has the choice does these flows in the kernel. */
  expectInKernel(...ids: readonly number[]): void {
    for (const id of ids) {
      const place = this.datapath.flowPlace?.(id);
      if (place) expect([id, place]).toEqual([id, { place: "ebpf" }]);
    }
  }

  /** How far a counter has moved since the case began. */
  counted(name: string): number {
    return (this.datapath.counters()[name] ?? NaN) - (this.baseline[name] ?? 0);
  }
}

/** Long enough that no device pads it. */
function sentinelPayload(mark: number): Uint8Array {
  const payload = new Uint8Array(60);
  payload[0] = mark >>> 8;
  payload[1] = mark;
  return payload;
}

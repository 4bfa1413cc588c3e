/** Ports: numbers, counters, loss; broken frames. */
import { expect } from "bun:test";
import type { DatapathError, Upcall } from "../../../src/fastpath/datapath.ts";
import { slot } from "../../../src/packet/layout.ts";
import { eventually } from "../../support/eventually.ts";
import { type Case, frameOf, output } from "./bench.ts";

const codeOf = (error: unknown): string | undefined => (error as DatapathError).code;

export const PORT_CASES: Readonly<Record<string, Case>> = {
  "ports count what they receive and send": async (t) => {
    await t.flow(1, {}, [output(t.b), output(t.b)]);
    const a = t.datapath.portStats(t.a.port.portNo)!;
    const b = t.datapath.portStats(t.b.port.portNo)!;
    for (let i = 0; i < 5; i++) t.send(frameOf());
    await t.outputs();
    const sentinel = 74;
    const a2 = t.datapath.portStats(t.a.port.portNo)!;
    expect(a2.rxPackets - a.rxPackets).toBe(6);
    expect(a2.rxBytes - a.rxBytes).toBe(5 * frameOf().length + sentinel);
    await eventually("the sends are counted", () => {
      const b2 = t.datapath.portStats(t.b.port.portNo)!;
      return b2.txPackets - b.txPackets === 11 &&
        b2.txBytes - b.txBytes === 10 * frameOf().length + sentinel;
    }, { everyMs: 1 });
  },

  "ports have unique numbers and names": async (t) => {
    const numbers = t.wires.map(({ port }) => port.portNo);
    expect(new Set(numbers).size).toBe(3);
    for (const { port } of t.wires) {
      expect(t.datapath.ports().get(port.portNo)).toMatchObject({ name: port.name });
      expect(port.ifindex).toBeGreaterThan(0);
    }
    const again = t.datapath.addPort({ name: t.a.port.name, type: "device" });
    expect(codeOf(await again.catch((error: unknown) => error))).toBe("exists");
    expect(t.datapath.portStats(60000)).toBeUndefined();
  },

  "a device that does not exist is refused by name": async (t) => {
    const error = await t.datapath.addPort({ name: "nosuchdev0", type: "device" }).catch((
      e: unknown,
    ) => e);
    expect(codeOf(error)).toBe("no-device");
    expect((error as Error).message).toContain("nosuchdev0");
  },

  "a removed port sends and receives no more": async (t) => {
    const extra = await t.plug("x");
    await t.flow(1, {}, [output(extra), output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    await eventually("the packet on the extra port", () => extra.receive() !== undefined);
    await t.datapath.removePort(extra.port.portNo);
    expect(t.datapath.ports().has(extra.port.portNo)).toBe(false);
    expect(t.datapath.portStats(extra.port.portNo)).toBeUndefined();
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(t.counted("drop_tx_no_port")).toBe(1);
    expect(t.lost).toEqual([]);
    const gone = t.datapath.removePort(extra.port.portNo).catch((error: unknown) => error);
    expect(codeOf(await gone)).toBe("no-such-port");
  },

  "a lost device is told of and may come back": async (t) => {
    const extra = await t.plug("x");
    await extra.lose();
    const [lost] = await eventually("portLost", () => t.lost.length > 0 && t.lost);
    expect(lost!.portNo).toBe(extra.port.portNo);
    expect(lost!.reason).not.toBe("");
    expect(t.datapath.ports().has(extra.port.portNo)).toBe(false);
    await t.flow(1, {}, [output(extra), output(t.b)]);
    t.send(frameOf());
    await t.expectOut({ b: [frameOf()] });
    expect(t.counted("drop_tx_no_port")).toBe(1);
    const back = await t.plug("x");
    await t.flow(1, {}, [output(back)]);
    t.send(frameOf());
    await eventually("the packet on the port that came back", () => back.receive() !== undefined);
    await t.datapath.removePort(back.port.portNo);
    expect(t.lost).toHaveLength(1);
  },

  "an internal port carries the host's packets both ways": async (t) => {
    const host = await t.plug("int0", "internal");
    const match = { udp_dst: "2000" };
    await t.flow(1, match, [output(host)]);
    t.send(frameOf());
    const seen = await eventually("the packet at the host", () => {
      for (let packet; (packet = host.receive()) !== undefined;) {
        if (packet.data[12] === 0x08 && packet.data[13] === 0) return packet;
      }
      return undefined;
    });
    expect(seen.data).toEqual(frameOf());
    host.send({ data: frameOf({ payload: 60 }) });
    const up = await eventually(
      "the host's packet as a miss",
      () => t.upcalls.find(({ packet }) => packet.data.length === frameOf({ payload: 60 }).length),
    );
    expect(up.key.bytes[slot("in_port").offset + 3]).toBe(host.port.portNo);
    await t.datapath.removePort(host.port.portNo);
  },

  "a flood of one port's misses leaves room for another's": async (t) => {
    // All in one turn: nobody takes upcalls out of the way meanwhile.
    for (let i = 0; i < 3000; i++) t.send(frameOf({ payload: 200 }));
    t.b.send({ data: frameOf({ payload: 60 }) });
    const from = ({ key }: Upcall) => key.bytes[slot("in_port").offset + 3];
    await eventually(
      "the other port's miss",
      () => t.upcalls.some((each) => from(each) === t.b.port.portNo),
      { timeoutMs: 20_000 },
    );
    await eventually(
      "a miss of the flood",
      () => t.upcalls.some((each) => from(each) === t.a.port.portNo),
    );
    // What is left of the flood is not the next case's.
    await t.outputs();
    await eventually("all of them", () => t.upcalls.length === t.counted("upcalls"));
  },

  "a frame without an Ethernet header is dropped and counted": async (t) => {
    t.send(new Uint8Array(13));
    await t.expectOut({});
    expect(t.upcalls.length).toBe(0);
    expect(t.counted("parse_eth_too_short")).toBe(1);
  },

  "a malformed IP header is counted and forwarded by the rest": async (t) => {
    await t.flow(1, { ip_dst: "10.0.0.2" }, [output(t.c)]);
    const broken = frameOf();
    broken[14] = 0x43;
    t.send(broken);
    const [upcall] = await t.upcallsSeen(1);
    expect(upcall!.packet.data).toEqual(broken);
    await t.flow(2, { ip_dst: "0.0.0.0" }, [output(t.b)]);
    t.send(broken);
    await t.expectOut({ b: [broken] });
    expect(t.counted("parse_ipv4_bad_length")).toBe(2);
  },
};

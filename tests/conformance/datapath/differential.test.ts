/**
 * The in-kernel datapath against the userspace one: the same random flows and packets through both,
 * the same bytes out of the same ports, the same upcalls, hits and statistics of flows and ports.
 *
 * Random numbers come from `SOLOVS_SEED`; a failure names the round.
 */
import { expect, test } from "bun:test";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { plainFrames } from "../../../src/packet/vnet.ts";
import { eventually } from "../../support/eventually.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { Seeded } from "../../support/seeded.ts";
import { METERS, RandomFlows } from "./random-flows.ts";
import { randomPacket } from "./random-packets.ts";
import { twoDatapaths } from "./two-datapaths.ts";

const ROUNDS = 12;
const PACKETS = 40;
const REPEATS = 2;

/** What a receiver makes of a packet, offloads done. */
const plain = ({ data, vnet }: Packet): string[] =>
  plainFrames(data, vnet).map((frame) => frame.toHex());

describePrivileged("in the kernel and in userspace the same happens", [], () => {
  const benches = twoDatapaths();

  const seeds = new Seeded();
  for (let round = 0; round < ROUNDS; round++) {
    const seed = seeds.next(1 << 30);
    test(`round ${round}`, async () => {
      const r = new Seeded(seed);
      const ports = benches[0]!.wires.map(({ port }) => port.portNo);
      const flows = new RandomFlows(r, ports);
      const packets = Array.from({ length: PACKETS }, () => ({
        packet: randomPacket(r),
        from: r.next(3),
      }));
      const list = packets.flatMap(({ packet, from }, id) => {
        // Now and then a packet finds no flow.
        const flow = flows.flowFor(packet, ports[from]!, id);
        return flow && r.next(12) > 0 ? [flow] : [];
      });
      flows.takeRounds().forEach((flow, i) => list.push({ ...flow, id: PACKETS + i }));
      const seen = [];
      for (const bench of benches) {
        await bench.reset();
        METERS.forEach((meter, id) => bench.datapath.setMeter(id, meter));
        for (const flow of list) bench.install(flow);
        await bench.datapath.barrier();
        const began = new Map(ports.map((port) => [port, bench.datapath.portStats(port)!]));
        const out: unknown[] = [];
        for (let i = 0; i < REPEATS; i++) {
          for (const { packet, from } of packets) {
            bench.wires[from]!.send(packet);
            const sent = await bench.outputs(bench.wires[from]);
            // A copy that goes by way of the process comes behind or before one that does not.
            const copies = (frames: Packet[]) => frames.map(plain).map(String).sort();
            out.push(Object.entries(sent).map(([name, each]) => [name, copies(each)]));
          }
        }
        await eventually(
          "all upcalls",
          () => bench.upcalls.length === bench.counted("upcalls"),
          { everyMs: 1 },
        );
        // The worker counts what it has sent behind it.
        await bench.datapath.barrier();
        const stats = list.map(({ id }) => {
          const { packets: n, bytes, tcpFlags } = bench.datapath.flowStats(id);
          return { id, n, bytes, tcpFlags };
        });
        const upcalls = bench.upcalls.map(({ reason, userdata, packet, key }) => ({
          reason,
          userdata,
          frames: plain(packet),
          key: key.bytes.toHex(),
        }));
        const hits = bench.counted("exact_hit") + bench.counted("masked_hit");
        const counted = ports.map((port) => {
          const { rxPackets, rxBytes, txPackets, txBytes } = bench.datapath.portStats(port)!;
          const before = began.get(port)!;
          return [
            ...[rxPackets - before.rxPackets, rxBytes - before.rxBytes],
            ...[txPackets - before.txPackets, txBytes - before.txBytes],
          ];
        });
        const meters = METERS.map((_, id) => bench.datapath.meterStats(id));
        const drops = ["drop_meter", "recirculations"].map((name) => bench.counted(name));
        seen.push({ out, stats, upcalls, hits, counted, meters, drops });
      }
      expect(seen[0]).toEqual(seen[1]!);
    });
  }

  test("most of it happened in the kernel", () => {
    const all = benches[0]!.datapath.counters();
    const inKernel = (all["kernel_hits"] ?? 0) / ROUNDS / PACKETS / REPEATS;
    expect(inKernel).toBeGreaterThan(0.25);
  });
});

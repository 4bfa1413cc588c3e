/** What exporters put on the wire, read back by readers that know the formats from their documents. */
import { describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { LogSink } from "../../../../src/log/log.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { slot, type SlotName } from "../../../../src/packet/layout.ts";
import { systemClock } from "../../../../src/slowpath/clock.ts";
import { Collectors, parseCollector } from "../../../../src/slowpath/export/collectors.ts";
import { FlowsToExport } from "../../../../src/slowpath/export/ipfix/cache.ts";
import { ELEMENTS } from "../../../../src/slowpath/export/ipfix/elements.ts";
import { IpfixExporter } from "../../../../src/slowpath/export/ipfix/exporter.ts";
import { noCounts, SampledPacket } from "../../../../src/slowpath/export/ipfix/sample.ts";
import { TEMPLATES } from "../../../../src/slowpath/export/ipfix/templates.ts";
import { Netflow } from "../../../../src/slowpath/export/netflow/netflow.ts";
import type { ExportSource } from "../../../../src/slowpath/export/ports.ts";
import { Datagrams, sourceId } from "../../../../src/slowpath/export/sflow/datagram.ts";
import { labelsAfter, readTrail } from "../../../../src/slowpath/pipeline/trail.ts";

const quiet = new LogSink(() => {}, "off").logger("test");
const NOWHERE: ExportSource = {
  name: "br0",
  datapathId: 1n,
  ports: new Map(),
  portStats: () => undefined,
};

/** Stands for collectors that keep what they get. */
function collector(): { collectors: Collectors; sent: Uint8Array[] } {
  const sent: Uint8Array[] = [];
  const counters = { sent: 0, errors: 0 };
  const fake = { counters, send: (data: Uint8Array) => sent.push(data), close: () => {}, size: 1 };
  return { collectors: fake as unknown as Collectors, sent };
}

function packetKey(values: Partial<Record<SlotName, number>>): FlowKey {
  const key = new FlowKey();
  for (const [name, value] of Object.entries(values)) {
    const { offset, bytes } = slot(name as SlotName);
    for (let i = 0; i < bytes; i++) key.bytes[offset + i] = value / 256 ** (bytes - 1 - i);
  }
  return key;
}

const TCP = packetKey({
  in_port: 1,
  eth_type: 0x0800,
  nw_proto: 6,
  nw_src: 0x0a000001,
  nw_dst: 0x0a000002,
  tp_src: 1234,
  tp_dst: 80,
  tcp_flags: 0x12,
});

describe("IPFIX", () => {
  const sample = {
    cookie: { kind: "ipfix", outputPort: 0xffffffff },
    trail: readTrail([{ type: "output", port: 2 }]),
    tunnel: undefined,
  } as const;
  const sampled = (key: FlowKey) =>
    new SampledPacket(NOWHERE, key, sample, 0xffffffff, "", 7, undefined);
  const packet = { data: new Uint8Array(60) };

  /** Reads messages as a collector does: by the templates that came before. */
  function read(messages: readonly Uint8Array[]) {
    const templates = new Map<number, { id: number; bytes: number }[]>();
    const records: { domain: number; set: number; values: Map<number, bigint> }[] = [];
    for (const message of messages) {
      const v = new DataView(message.buffer, message.byteOffset, message.length);
      expect([v.getUint16(0), v.getUint16(2)]).toEqual([10, message.length]);
      expect(v.getUint16(18)).toBe(message.length - 16);
      const set = v.getUint16(16);
      let at = 20;
      if (set === 2 || set === 3) {
        while (at < message.length) {
          const id = v.getUint16(at);
          const count = v.getUint16(at + 2);
          at += set === 3 ? 6 : 4;
          const fields = [];
          for (let i = 0; i < count; i++) {
            const element = v.getUint16(at);
            fields.push({ id: element, bytes: v.getUint16(at + 2) });
            at += element & 0x8000 ? 8 : 4;
          }
          templates.set(id, fields);
        }
        expect(at).toBe(message.length);
        continue;
      }
      const values = new Map<number, bigint>();
      for (const { id, bytes } of templates.get(set)!) {
        const length = bytes === 0xffff ? v.getUint8(at++) : bytes;
        let value = 0n;
        for (let i = 0; i < length; i++) value = (value << 8n) | BigInt(v.getUint8(at++));
        values.set(id, value);
      }
      expect(at).toBe(message.length);
      records.push({ domain: v.getUint32(12), set, values });
    }
    return { templates, records };
  }

  test("records can be read by the templates that were sent, and count what came", () => {
    const { collectors, sent } = collector();
    let now = 1_000_000;
    const limits = { activeTimeoutMs: 10_000, maxFlows: 10 };
    const options = { limits, virtualId: "here", exporterId: 3 };
    const exporter = new IpfixExporter(collectors, options, () => now);
    exporter.add(sampled(TCP), packet, 2, 5);
    now += 3_000;
    exporter.add(sampled(TCP), packet, 2, 5);
    exporter.run();
    expect(sent).toEqual([]);
    now += 7_000;
    exporter.run();
    const { templates, records } = read(sent);
    // Every template, and that of what the exporter says of itself.
    expect(templates.size).toBe(TEMPLATES.size + 1);
    expect(records.map(({ domain }) => domain)).toEqual([0, 5]);
    expect(records[0]!.values).toEqual(
      new Map([[ELEMENTS.exportingProcessId.id, 3n], [ELEMENTS.notSentPacketTotalCount.id, 0n]]),
    );
    const value = (name: keyof typeof ELEMENTS) => records[1]!.values.get(ELEMENTS[name].id);
    expect(value("observationPointId")).toBe(7n);
    expect(value("sourceIPv4Address")).toBe(0x0a000001n);
    expect(value("destinationTransportPort")).toBe(80n);
    expect(value("packetDeltaCount")).toBe(4n);
    expect(value("droppedPacketDeltaCount")).toBe(0n);
    expect(value("layer2OctetDeltaCount")).toBe(240n);
    expect(value("octetDeltaCount")).toBe(4n * 46n);
    expect(value("octetDeltaSumOfSquares")).toBe(4n * 46n * 46n);
    expect(value("minimumIpTotalLength")).toBe(46n);
    expect(value("tcpSynTotalCount")).toBe(4n);
    expect(value("tcpFinTotalCount")).toBe(0n);
    expect(value("flowEndReason")).toBe(2n);
    expect(value("flowStartDeltaMicroseconds")).toBe(10_000_000n);
    expect(value("flowEndDeltaMicroseconds")).toBe(7_000_000n);
    expect(exporter.stats(9)).toMatchObject({
      totalFlows: 1n,
      currentFlows: 0n,
      packets: 2n,
      ipv4Packets: 2n,
      collectorSet: 9,
    });
  });

  test("each kind of packet has a template whose records are as long as it says", () => {
    const { collectors, sent } = collector();
    const limits = { activeTimeoutMs: 0, maxFlows: 100 };
    const options = { limits, virtualId: undefined, exporterId: 1 };
    const exporter = new IpfixExporter(collectors, options, () => 5);
    let kinds = 0;
    for (const vlan_tci of [0, 0x3005]) {
      for (const eth_type of [0x0800, 0x86dd, 0x0806]) {
        for (const nw_proto of [1, 6, 17, 58, 132, 99]) {
          exporter.add(sampled(packetKey({ vlan_tci, eth_type, nw_proto })), packet, 1, 0);
          kinds++;
        }
      }
    }
    exporter.close();
    // ARP's are told apart by nothing that its template has.
    expect(read(sent).records.length - 1).toBe(kinds - 2 * 5);
    expect(exporter.stats(0)).toMatchObject({ ipv4ErrorPackets: 4n, ipv6ErrorPackets: 4n });
  });

  test("of too many flows the oldest go first; the cache never holds more than it may", () => {
    const cache = new FlowsToExport({ activeTimeoutMs: 1000, maxFlows: 3 });
    const flow = (n: number) => ({
      domainId: 0,
      templateId: 256,
      key: Uint8Array.of(n),
      startMs: n,
      endMs: n,
      delta: noCounts(),
      total: noCounts(),
      shortest: 0,
      longest: 0,
    });
    const gone: [number, number][] = [];
    for (let n = 0; n < 6; n++) {
      cache.add(flow(n));
      for (const [{ key }, why] of cache.expire(n, false)) gone.push([key[0]!, why]);
      expect(cache.size).toBeLessThanOrEqual(3);
    }
    expect(gone).toEqual([[0, 5], [1, 5], [2, 5]]);
    expect([...cache.expire(1003, false)].map(([{ key }, why]) => [key[0], why])).toEqual([[3, 2]]);
  });
});

describe("NetFlow", () => {
  const key = { inPort: 1, src: 1, dst: 2, tos: 0, protocol: 6, tpSrc: 3, tpDst: 4 };
  const options = { engineType: 1, engineId: 2, activeTimeoutMs: 10_000, addIdToInterface: false };

  function records(message: Uint8Array) {
    const v = new DataView(message.buffer, message.byteOffset, message.length);
    expect(v.getUint16(0)).toBe(5);
    const count = v.getUint16(2);
    expect(message.length).toBe(24 + 48 * count);
    return Array.from({ length: count }, (_, i) => {
      const at = 24 + 48 * i;
      return {
        input: v.getUint16(at + 12),
        output: v.getUint16(at + 14),
        packets: v.getUint32(at + 16),
        bytes: v.getUint32(at + 20),
      };
    });
  }

  test("a flow is told of when it goes elsewhere, while it lasts, and when it ends", () => {
    const { collectors, sent } = collector();
    let now = 1000;
    const netflow = new Netflow(collectors, options, () => now, () => now, quiet);
    netflow.count(key, 0xffff, 1, 100, now, 0);
    netflow.count(key, 2, 1, 100, ++now, 0);
    netflow.run();
    expect(sent.flatMap(records)).toEqual([{ input: 1, output: 0xffff, packets: 1, bytes: 100 }]);
    netflow.count(key, 2, 4, 400, now += 5000, 0);
    netflow.run();
    expect(sent).toHaveLength(1);
    netflow.count(key, 2, 1, 100, now += 20_001, 0);
    netflow.run();
    expect(records(sent[1]!)).toEqual([{ input: 1, output: 2, packets: 6, bytes: 600 }]);
    netflow.count(key, 2, 2, 200, ++now, 0);
    netflow.ended(key);
    netflow.run();
    expect(records(sent[2]!)).toEqual([{ input: 1, output: 2, packets: 2, bytes: 200 }]);
  });

  test("more bytes than a record can say make several records", () => {
    const { collectors, sent } = collector();
    const netflow = new Netflow(collectors, options, () => 1, () => 1, quiet);
    netflow.count(key, 2, 9_000_000, 9e9, 1, 0);
    netflow.ended(key);
    netflow.close();
    const all = sent.flatMap(records);
    expect(all.length).toBe(3);
    expect(all.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(9e9);
    expect(all.reduce((sum, { packets }) => sum + packets, 0)).toBe(9_000_000);
  });

  test("the engine's number goes into ports when asked for", () => {
    const { collectors, sent } = collector();
    const mangled = { ...options, engineId: 5, addIdToInterface: true };
    const netflow = new Netflow(collectors, mangled, () => 1, () => 1, quiet);
    netflow.count(key, 0xffff, 1, 60, 1, 0);
    netflow.close();
    expect(sent.flatMap(records)).toMatchObject([{
      input: (5 << 9) | 1,
      output: (5 << 9) | 0x1ff,
    }]);
  });
});

test("sFlow datagrams are sent before they are too long, and say how many samples they have", () => {
  const sent: Uint8Array[] = [];
  const datagrams = new Datagrams(Uint8Array.of(10, 0, 0, 1), 0, () => 0, (d) => sent.push(d));
  for (let i = 1; i <= 9; i++) {
    const source = sourceId("ifindex", i);
    datagrams.addCounters({ sequence: 1, source, records: [new Uint8Array(300)] });
  }
  datagrams.addCounters({ sequence: 1, source: 1, records: [new Uint8Array(1400)] });
  datagrams.flush();
  expect(datagrams.counters.tooLong).toBe(1);
  const counts = sent.map((each) => new DataView(each.buffer).getUint32(24));
  expect(counts.reduce((a, b) => a + b)).toBe(9);
  for (const each of sent) expect(each.length).toBeLessThanOrEqual(1400);
  expect(sent.map((each) => new DataView(each.buffer).getUint32(16))).toEqual([1, 2, 3]);
});

test("targets are addresses with ports", () => {
  expect(parseCollector("10.0.0.1:99")).toEqual({ host: "10.0.0.1", port: 99 });
  expect(parseCollector("[::1]:99")).toEqual({ host: "::1", port: 99 });
  expect(parseCollector("::1", 5)).toEqual({ host: "::1", port: 5 });
  expect(parseCollector("10.0.0.1", 5)).toEqual({ host: "10.0.0.1", port: 5 });
  for (const bad of ["xyzzy", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:70000", "", "a:1", "[::1"]) {
    expect(parseCollector(bad)).toBeUndefined();
  }
});

test("a datagram arrives; a target that cannot be is told of, and stops no other", async () => {
  const receiver = createSocket("udp4");
  await new Promise<void>((resolve) => receiver.bind(0, "127.0.0.1", resolve));
  const lines: string[] = [];
  const log = new LogSink((line) => lines.push(line)).logger("test");
  const targets = ["xyzzy", `127.0.0.1:${receiver.address().port}`];
  const collectors = await Collectors.open(targets, { clock: systemClock(), log });
  const got = new Promise<Uint8Array>((resolve) => receiver.once("message", resolve));
  collectors!.send(Uint8Array.of(1, 2, 3));
  expect([...await got]).toEqual([1, 2, 3]);
  expect(lines.join()).toContain("collector xyzzy");
  expect(await Collectors.open(["xyzzy"], { clock: systemClock(), log })).toBeUndefined();
  collectors!.close();
  receiver.close();
});

test("a trail tells of outputs, tunnels and labels", () => {
  expect(readTrail([])).toMatchObject({ forwarded: false, tunnel: undefined });
  const sometimes = readTrail([
    { type: "sample", probability: 5, actions: [{ type: "output", port: 1 }] },
  ]);
  expect(sometimes.forwarded).toBe(false);
  const dst = Uint8Array.of(1, 1, 1, 1);
  const tunnelled = readTrail([
    { type: "set_tunnel", tunnel: { id: 7n, dst, tos: 4 } },
    { type: "output", port: 3 },
  ]);
  expect(tunnelled).toMatchObject({ forwarded: true, dpPort: 3, tunnel: { id: 7n, dst, tos: 4 } });
  const twice = readTrail([
    { type: "set_tunnel", tunnel: { dst } },
    { type: "set_tunnel", tunnel: { dst } },
  ]);
  expect(twice.tunnel).toBeUndefined();
  const { labels } = readTrail([
    { type: "pop_mpls", ethType: 0x8847 },
    { type: "push_mpls", ethType: 0x8847, lse: 5 },
  ]);
  expect(labelsAfter([1, 2], labels)).toEqual([5, 2]);
  expect(labelsAfter([], labels)).toBeUndefined();
});

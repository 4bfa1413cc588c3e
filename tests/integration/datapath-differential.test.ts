/**
 * The datapath against stock Open vSwitch's userspace datapath: random datapath flows and packets,
 * given as text to both, and the bytes that leave compared. Dummy devices, no privileges. What the
 * connection tracker makes of a packet shows in the Ethernet address that the packet leaves with.
 * `SOLOVS_SEED` chooses the packets, `SOLOVS_DATAPATH_ROUNDS` how many.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DpAction } from "../../src/fastpath/actions.ts";
import type { Conntrack } from "../../src/fastpath/conntrack/types.ts";
import { type MemoryDatapath, openMemoryDatapath } from "../../src/fastpath/memory/datapath.ts";
import { formatDpActions } from "../../src/fastpath/text/actions-format.ts";
import { parseDpActions } from "../../src/fastpath/text/actions-parse.ts";
import { parseDpFlow } from "../../src/fastpath/text/flow-parse.ts";
import { buildFrame, type FrameSpec } from "../../src/packet/headers.ts";
import { slot, type SlotName } from "../../src/packet/layout.ts";
import { DUMMY_TOOLS, DummySwitch, SCHEMA } from "../support/dummy-switches.ts";
import { eventually } from "../support/eventually.ts";
import { Seeded } from "../support/seeded.ts";

const ROUNDS = Number(process.env.SOLOVS_DATAPATH_ROUNDS ?? "150");
const stock = Bun.which("ovs-vswitchd", { PATH: `${process.env.PATH}:/usr/sbin` });
const missing = DUMMY_TOOLS.filter((tool) =>
  Bun.which(tool, { PATH: `${process.env.PATH}:/usr/sbin` }) === null
);
const skip = stock === null || missing.length > 0 || !existsSync(SCHEMA);
const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** Open vSwitch's side: its dummy ports 1, 2, 3, of which 2 and 3 record what they send. */
class Stock {
  private readonly read = new Map<number, number>([[2, PCAP_HEADER_BYTES], [3, PCAP_HEADER_BYTES]]);
  private marks = 0;

  private constructor(private readonly it: DummySwitch) {}

  static async start(): Promise<Stock> {
    const it = await DummySwitch.start(stock!);
    const record = (n: number) => [
      ...["--", "set", "interface", `p${n}`, `options:tx_pcap=${join(it.dir, `p${n}.pcap`)}`],
    ];
    await it.addBridge("br0", 1, 3, ...record(2), ...record(3));
    await it.text("revalidator/pause");
    const side = new Stock(it);
    await side.flow("in_port(1),eth_type(0x88b6)", "2,3");
    return side;
  }

  async flow(match: string, actions: string): Promise<void> {
    const text = match.startsWith("recirc_id") ? match : `recirc_id(0),${match}`;
    await this.it.text("dpctl/add-flow", text, actions);
  }

  async clear(): Promise<void> {
    await this.it.text("dpctl/del-flows");
    await this.flow("in_port(1),eth_type(0x88b6)", "2,3");
  }

  async flushConnections(): Promise<void> {
    await this.it.text("dpctl/flush-conntrack");
  }

  async dpctl(command: string, ...words: readonly string[]): Promise<void> {
    await this.it.text(`dpctl/${command}`, ...words);
  }

  /** What leaves through ports 2 and 3 because of the frames. */
  async send(frames: readonly Uint8Array[]): Promise<string[][]> {
    for (const frame of frames) await this.it.text("netdev-dummy/receive", "p1", frame.toHex());
    const mark = buildFrame({ type: 0x88b6, payload: Uint8Array.of(0, ++this.marks, 9, 9) })
      .toHex();
    await this.it.text("netdev-dummy/receive", "p1", mark);
    const out: string[][] = [];
    for (const port of [2, 3]) {
      const seen: string[] = [];
      await eventually(`the mark out of p${port}`, () => {
        const file = readFileSync(join(this.it.dir, `p${port}.pcap`));
        for (let at = this.read.get(port)!; at + RECORD_HEADER_BYTES <= file.length;) {
          const length = file.readUInt32LE(at + 8);
          const end = at + RECORD_HEADER_BYTES + length;
          if (end > file.length) return false;
          const frame = file.subarray(at + RECORD_HEADER_BYTES, end).toString("hex");
          this.read.set(port, at = end);
          if (frame === mark) return true;
          seen.push(frame);
        }
        return false;
      }, { timeoutMs: 20_000, everyMs: 1 });
      out.push(seen);
    }
    return out;
  }

  stop(): Promise<void> {
    return this.it.stop();
  }
}

/** Ours, in this process, by the same texts. */
class Ours {
  private readonly it: MemoryDatapath = openMemoryDatapath({
    portNumber: (name) => Number(name.slice(1)),
  });
  private next = 1;

  static async start(): Promise<Ours> {
    const side = new Ours();
    for (const name of ["p1", "p2", "p3"]) await side.it.addPort({ name, type: "device" });
    side.it.setVlanLimit(1);
    return side;
  }

  flow(match: string, actions: string): void {
    const text = match.startsWith("recirc_id") ? match : `recirc_id(0),${match}`;
    this.it.putFlow({
      id: this.next++,
      match: parseDpFlow(text),
      actions: parseDpActions(actions),
    });
  }

  clear(): void {
    while (this.next > 1) this.it.deleteFlow(--this.next);
  }

  async flushConnections(): Promise<void> {
    await this.it.conntrack.flush();
  }

  get conntrack(): Conntrack {
    return this.it.conntrack;
  }

  send(frames: readonly Uint8Array[]): string[][] {
    for (const data of frames) this.it.inject(1, { data });
    return [2, 3].map((port) => this.it.transmitted(port).map(({ data }) => data.toHex()));
  }
}

interface Kind {
  readonly spec: FrameSpec;
  readonly ethType: number;
  /** Stock wants no more of a key than Ethernet type and fragment. */
  readonly match: string;
  /** What the packets are, for the text of actions. */
  readonly key: string;
  readonly slots: readonly SlotName[];
}

const V4 = { src: "10.0.0.1", dst: "10.0.0.2", ttl: 64 };
const V6 = { src: "fd00::1", dst: "fd00::2", label: 0x12345, trafficClass: 0x20 };
const ETHER: readonly SlotName[] = ["eth_dst", "eth_src"];
const IP4: readonly SlotName[] = ["nw_src", "nw_dst", "nw_tos", "nw_ttl"];
const IP6: readonly SlotName[] = ["ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl"];
const PORTS: readonly SlotName[] = ["tp_src", "tp_dst"];
const solicitation = Uint8Array.from([
  ...[0xfe, 0x80, ...new Uint8Array(13), 9],
  ...[1, 1, 2, 0, 0, 0, 0, 9],
]);

const KINDS: readonly Kind[] = [
  ...[{ udp: { src: 5, dst: 6 } }, { tcp: { src: 5, dst: 6 } }, { sctp: { src: 5, dst: 6 } }]
    .flatMap((transport, i): Kind[] => {
      const proto = [17, 6, 132][i];
      return [
        {
          spec: { ipv4: V4, ...transport, payload: 41 },
          ethType: 0x0800,
          match: "eth_type(0x0800),ipv4(frag=no)",
          key: `eth_type(0x0800),ipv4(proto=${proto},frag=no)`,
          slots: [...ETHER, ...IP4, ...PORTS],
        },
        {
          spec: { ipv6: V6, ...transport, payload: 30 },
          ethType: 0x86dd,
          match: "eth_type(0x86dd),ipv6(frag=no)",
          key: `eth_type(0x86dd),ipv6(proto=${proto},frag=no)`,
          slots: [...ETHER, ...IP6, ...PORTS],
        },
      ];
    }),
  {
    spec: { ipv4: { ...V4, options: new Uint8Array(8) }, icmp: { type: 8 }, payload: 21 },
    ethType: 0x0800,
    match: "eth_type(0x0800),ipv4(frag=no)",
    key: "eth_type(0x0800),ipv4(proto=1,frag=no)",
    slots: [...ETHER, ...IP4],
  },
  {
    spec: { ipv4: { ...V4, fragment: 0x2000 }, udp: { src: 5, dst: 6 }, payload: 40 },
    ethType: 0x0800,
    match: "eth_type(0x0800),ipv4(frag=first)",
    key: "eth_type(0x0800),ipv4(proto=17,frag=first)",
    slots: [...ETHER, ...IP4],
  },
  {
    spec: { ipv6: V6, icmpv6: { type: 135 }, payload: solicitation },
    ethType: 0x86dd,
    match: "eth_type(0x86dd),ipv6(frag=no)",
    key: "eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0)",
    slots: [...ETHER, ...IP6, "nd_target", "arp_sha"],
  },
  {
    spec: { arp: { op: 1, sha: "2:0:0:0:0:1", spa: "10.0.0.1", tpa: "10.0.0.2" }, minLength: 60 },
    ethType: 0x0806,
    match: "eth_type(0x0806),arp()",
    key: "eth_type(0x0806),arp()",
    slots: [...ETHER, "nw_src", "nw_dst", "arp_sha", "arp_tha"],
  },
  {
    spec: { mpls: [{ label: 7, ttl: 9 }], ipv4: V4, udp: { src: 5, dst: 6 } },
    ethType: 0x8847,
    match: "eth_type(0x8847),mpls(label=7,tc=0,ttl=9,bos=1)",
    key: "eth_type(0x8847),mpls()",
    slots: [...ETHER, "mpls_lse0"],
  },
];

function randomSet(random: Seeded, kind: Kind): DpAction {
  const name = random.pick(kind.slots);
  const { bytes } = slot(name);
  const mask = random.next(2) === 0 ? new Uint8Array(bytes).fill(0xff) : random.bytes(bytes);
  if (name === "ipv6_label") mask.set([0, mask[1]! & 0x0f]);
  // A mask of nothing is no action at all to one of them.
  mask[bytes - 1]! |= 1;
  const value = random.bytes(bytes).map((byte, i) => byte & mask[i]!);
  return { type: "set", slot: name, value, mask };
}

function randomActions(random: Seeded, kind: Kind, depth = 0): DpAction[] {
  const actions: DpAction[] = [];
  const output = (): DpAction => ({ type: "output", port: 2 + random.next(2) });
  for (let n = 1 + random.next(5); n > 0; n--) {
    switch (random.next(depth > 1 ? 5 : 9)) {
      case 0:
      case 1:
        actions.push(output());
        break;
      case 2:
      case 3:
        actions.push(randomSet(random, kind));
        break;
      case 4:
        actions.push({ type: "trunc", maxLength: 14 + random.next(60) }, output());
        break;
      case 5: {
        const tci = random.next(0x10000) & 0xefff;
        actions.push({ type: "push_vlan", tpid: 0x8100, tci }, output(), { type: "pop_vlan" });
        break;
      }
      case 6:
        actions.push({ type: "clone", actions: randomActions(random, kind, depth + 1) });
        break;
      case 7:
        actions.push({
          type: "check_pkt_len",
          length: 50 + random.next(60),
          greater: randomActions(random, kind, depth + 1),
          lessEqual: randomActions(random, kind, depth + 1),
        });
        break;
      default:
        actions.push({
          type: "sample",
          probability: random.pick([0, 0xffffffff]),
          actions: randomActions(random, kind, depth + 1),
        });
    }
  }
  return [...actions, output()];
}

/** Lower-case names of the flags as datapath flows take them, for each state of interest. */
const STATE_BITS = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"] as const;

describe.skipIf(skip)("the same bytes as Open vSwitch's userspace datapath", () => {
  const random = new Seeded();
  let sides: { theirs: Stock; ours: Ours };

  beforeAll(async () => {
    sides = { theirs: await Stock.start(), ours: await Ours.start() };
  }, 120_000);
  afterAll(async () => {
    await sides?.theirs.stop();
  }, 60_000);

  async function flow(match: string, actions: string): Promise<void> {
    sides.ours.flow(match, actions);
    await sides.theirs.flow(match, actions);
  }

  async function clear(): Promise<void> {
    sides.ours.clear();
    await sides.theirs.clear();
  }

  test("actions", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await clear();
      const kind = random.pick(KINDS);
      const match = `in_port(1),${kind.match}`;
      const { key } = parseDpFlow(`recirc_id(0),in_port(1),${kind.key}`);
      const actions = formatDpActions(randomActions(random, kind), { key });
      await flow(match, actions);
      const frame = buildFrame(kind.spec);
      const theirs = await sides.theirs.send([frame]);
      expect({ match, actions, out: sides.ours.send([frame]) })
        .toEqual({ match, actions, out: theirs });
    }
  }, 120_000);

  /** Sends packets through `ct` and on by what became of them: their state is their new address. */
  async function trackingFlows(nat: string, fragments: readonly string[] = ["no"]): Promise<void> {
    await clear();
    const families = fragments.flatMap((frag) => [
      `eth_type(0x0800),ipv4(frag=${frag})`,
      `eth_type(0x86dd),ipv6(frag=${frag})`,
    ]);
    for (const family of families) {
      await flow(`in_port(1),${family}`, `ct(commit,zone=3${nat}),recirc(1)`);
      for (let state = 0; state < 256; state++) {
        const contradicts = (state & 3) === 3 || ((state & 0x10) !== 0 && state !== 0x30);
        if ((state & 0x20) === 0 || contradicts) continue;
        const text = STATE_BITS.map((name, i) => `${(state & (1 << i)) !== 0 ? "+" : "-"}${name}`);
        const address = `02:00:00:00:00:${state.toString(16).padStart(2, "0")}`;
        await flow(
          `recirc_id(1),in_port(1),ct_state(${text.join("")}),${family}`,
          `set(eth(dst=${address})),2`,
        );
      }
    }
  }

  async function same(frames: readonly Uint8Array[]): Promise<void> {
    const theirs = await sides.theirs.send(frames);
    expect(sides.ours.send(frames)).toEqual(theirs);
  }

  async function flush(): Promise<void> {
    await sides.ours.flushConnections();
    await sides.theirs.flushConnections();
  }

  test("connections: TCP in and out of order, and everything else", async () => {
    await trackingFlows("");
    const FLAGS = [0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14, 0x01, 0x00];
    for (let round = 0; round < ROUNDS / 10; round++) {
      const frames: Uint8Array[] = [];
      const next = [1000, 5000];
      for (let n = 0; n < 24; n++) {
        const side = random.next(2);
        const flags = n === 0 ? 0x02 : random.pick(FLAGS);
        const payload = (flags & 0x10) !== 0 ? random.next(40) : 0;
        const stray = random.next(8) === 0 ? random.next(200_000) - 100_000 : 0;
        frames.push(buildFrame({
          ipv4: side === 0
            ? { src: "10.0.0.1", dst: "10.0.0.2" }
            : { src: "10.0.0.2", dst: "10.0.0.1" },
          tcp: {
            src: side === 0 ? 4000 : 80,
            dst: side === 0 ? 80 : 4000,
            flags,
            seq: (next[side]! + stray) >>> 0,
            ack: (flags & 0x10) !== 0 ? next[1 - side]! : 0,
            window: 1 + random.next(60_000),
            ...((flags & 2) !== 0 && random.next(2) === 0
              ? { options: Uint8Array.of(2, 4, 5, 0xb4, 1, 3, 3, random.next(15)) }
              : {}),
          },
          payload,
        }));
        if (stray === 0) next[side]! += payload + ((flags & 3) !== 0 ? 1 : 0);
      }
      await same(frames);
      await flush();
    }
    await same(otherPackets(random));
    await flush();
  }, 120_000);

  test("fragments, tracked and translated", async () => {
    await trackingFlows(",nat(src=192.0.2.1:7000)", ["no", "first", "later"]);
    for (let round = 0; round < 6; round++) {
      const datagram = buildFrame({
        ipv4: { src: "10.0.0.1", dst: "10.0.0.2", id: 7 + round },
        udp: { src: 4000 + round, dst: 80 },
        payload: 2600 + 100 * round,
      });
      const parts = fragmentsOf(datagram, 1304, 7 + round);
      // In any order, and once with one missing.
      if (round === 5) parts.pop();
      for (let i = parts.length - 1; i > 0; i--) {
        const j = random.next(i + 1);
        [parts[i], parts[j]] = [parts[j]!, parts[i]!];
      }
      await same(parts);
      await flush();
    }
  }, 120_000);

  test("connections: limits of zones and of the table, sequence checks off", async () => {
    await trackingFlows("");
    const { ours: { conntrack }, theirs } = sides;
    const opening = (port: number): Uint8Array =>
      buildFrame({ ipv4: V4, udp: { src: port, dst: 80 }, payload: 8 });
    const five = [1, 2, 3, 4, 5].map(opening);
    const twice = async (): Promise<void> => {
      await same(five);
      await same(five);
      await flush();
    };
    await theirs.dpctl("ct-set-limits", "zone=3,limit=2");
    conntrack.setZoneLimit(3, 2);
    await twice();
    await theirs.dpctl("ct-del-limits", "zone=3");
    conntrack.setZoneLimit(3, undefined);
    await twice();
    await theirs.dpctl("ct-set-maxconns", "3");
    conntrack.setMaxConnections(3);
    await twice();
    await theirs.dpctl("ct-set-maxconns", "3000000");
    conntrack.setMaxConnections(3_000_000);

    const segment = (from: 0 | 1, flags: number, seq: number, ack: number): Uint8Array =>
      buildFrame({
        ipv4: from === 0 ? V4 : { src: V4.dst, dst: V4.src, ttl: 64 },
        tcp: {
          src: from === 0 ? 4000 : 80,
          dst: from === 0 ? 80 : 4000,
          flags,
          seq,
          ack,
          window: 500,
        },
        payload: flags === 0x18 ? 20 : 0,
      });
    const stray = [
      segment(0, 0x02, 1000, 0),
      segment(1, 0x12, 5000, 1001),
      segment(0, 0x10, 1001, 5001),
      segment(0, 0x18, 900_000, 5001),
      segment(1, 0x18, 800_000, 900_020),
      segment(0, 0x18, 1001, 5001),
    ];
    await same(stray);
    await flush();
    await theirs.dpctl("ct-disable-tcp-seq-chk");
    conntrack.setTcpSequenceChecks(false);
    await same(stray);
    await flush();
    await theirs.dpctl("ct-enable-tcp-seq-chk");
    conntrack.setTcpSequenceChecks(true);
  }, 120_000);

  test("connections behind NAT", async () => {
    for (
      const nat of [
        ",nat(src=192.0.2.1)",
        ",nat(dst=192.0.2.9:8080)",
        ",nat(src=192.0.2.1:7000)",
      ]
    ) {
      await trackingFlows(nat);
      const there = { src: "10.0.0.1", dst: "10.0.0.2" };
      const isSource = nat.includes("src");
      const back = isSource
        ? { src: "10.0.0.2", dst: "192.0.2.1" }
        : { src: "192.0.2.9", dst: "10.0.0.1" };
      const port = nat.includes("7000") ? 7000 : 4000;
      const server = isSource ? 80 : 8080;
      const sent = buildFrame({
        ipv4: isSource ? { src: "192.0.2.1", dst: "10.0.0.2" } : { src: "10.0.0.1", dst: back.src },
        udp: { src: port, dst: server },
        payload: 30,
      });
      await same([
        buildFrame({ ipv4: there, udp: { src: 4000, dst: 80 }, payload: 30 }),
        buildFrame({ ipv4: back, udp: { src: server, dst: port }, payload: 9 }),
        buildFrame({ ipv4: there, udp: { src: 4000, dst: 80 }, payload: 30 }),
        buildFrame({
          ipv4: { src: "10.9.9.9", dst: isSource ? "192.0.2.1" : "10.0.0.1" },
          icmp: { type: 3, code: 3 },
          payload: sent.subarray(14),
        }),
        buildFrame({ ipv4: there, tcp: { src: 4000, dst: 80, flags: 2 } }),
        buildFrame({ ipv4: back, tcp: { src: server, dst: port, flags: 0x12, seq: 7, ack: 2 } }),
        buildFrame({ ipv4: there, icmp: { type: 8, rest: 0x50000 }, payload: 8 }),
        buildFrame({ ipv4: back, icmp: { type: 0, rest: 0x50000 }, payload: 8 }),
      ]);
      await flush();
    }
  }, 120_000);
});

/** An IPv4 packet without options, cut into fragments of `size` bytes of payload. */
function fragmentsOf(whole: Uint8Array, size: number, id: number): Uint8Array[] {
  const body = whole.subarray(34);
  return Array.from({ length: Math.ceil(body.length / size) }, (_, i) => {
    const more = (i + 1) * size < body.length ? 0x2000 : 0;
    const fragment = more | ((i * size) >> 3);
    return buildFrame({
      ipv4: { src: "10.0.0.1", dst: "10.0.0.2", id, protocol: whole[23]!, fragment },
      payload: body.subarray(i * size, (i + 1) * size),
    });
  });
}

/** Datagrams, echoes and errors between a few hosts, some of them broken. */
function otherPackets(random: Seeded): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let n = 0; n < 120; n++) {
    const v6 = random.next(2) === 0;
    const host = () => (v6 ? "fd00::" : "10.0.0.") + (1 + random.next(2));
    const ip = { src: host(), dst: host() };
    const port = () => 1 + random.next(2);
    const layer3: FrameSpec = v6 ? { ipv6: ip } : { ipv4: ip };
    const echo = v6 ? 128 + random.next(2) : random.pick([0, 8, 13, 14]);
    const inner = buildFrame({
      ...layer3,
      udp: { src: port(), dst: port() },
      payload: 8,
    }).subarray(14);
    const error: FrameSpec = v6
      ? { ipv6: { src: "fd00::9", dst: ip.src }, icmpv6: { type: 1 + random.next(4) } }
      : { ipv4: { src: "10.0.0.9", dst: ip.src }, icmp: { type: random.pick([3, 11, 12]) } };
    const spec: FrameSpec = random.pick<FrameSpec>([
      { ...layer3, udp: { src: port(), dst: port() }, payload: random.next(20) },
      { ...layer3, sctp: { src: port(), dst: port() }, payload: 12 },
      v6
        ? { ipv6: ip, icmpv6: { type: echo, rest: port() << 16 }, payload: 4 }
        : { ipv4: ip, icmp: { type: echo, rest: port() << 16 }, payload: 4 },
      { ...error, payload: inner.subarray(0, inner.length - random.next(14)) },
    ]);
    const frame = buildFrame(spec);
    if (random.next(10) === 0) frame[frame.length - 1]! ^= 1;
    frames.push(frame);
  }
  return frames;
}

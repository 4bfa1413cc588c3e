/** What the console makes of the API's answers: decoded packets, traces, searches, differences. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { changedRows, valueText } from "../../../src/http/console/app/core/changes.ts";
import { decode, dump } from "../../../src/http/console/app/core/decode.ts";
import { searchTest } from "../../../src/http/console/app/core/flow-search.ts";
import { suggestActions, suggestMatch } from "../../../src/http/console/app/core/flow-words.ts";
import { graphOf, placeGraph } from "../../../src/http/console/app/core/graph.ts";
import { traceGraph } from "../../../src/http/console/app/core/trace-graph.ts";
import { parseTrace, stepCount } from "../../../src/http/console/app/core/trace-text.ts";
import type { Flow } from "../../../src/http/console/app/pages/flow-rates.ts";

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replace(/\s/g, ""), "hex"));
const ETHERNET = "020000000002 020000000001";

describe("decoding", () => {
  test.each([
    [
      "ARP",
      `${ETHERNET} 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002`,
      "who has 10.0.0.2? tell 10.0.0.1",
    ],
    [
      "ICMP",
      `${ETHERNET} 0800 45000054000040004001000a 0a000001 0a000002 0800 0000 0007 0009`,
      "echo request id 7 seq 9",
    ],
    [
      "TCP",
      `${ETHERNET} 8100 0064 0800 45000028000040004006000a 0a000001 0a000002
       3039 0050 00000001 00000000 5002 ffff 00000000`,
      "VLAN 100 12345 → 80 [SYN] seq 1 ack 0 win 65535",
    ],
    [
      "DNS",
      `${ETHERNET} 0800 45000039000040004011000a 0a000001 0a000002 3039 0035 0025 0000
       1234 0100 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00`,
      "query example.com",
    ],
  ])("%s", (protocol, hex, info) => {
    expect(decode(bytes(hex))).toMatchObject({ protocol, info });
  });

  test("a tunnel's inside is what is shown, its outside is in the layers", () => {
    const inner =
      `${ETHERNET} 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002`;
    const { protocol, info, layers } = decode(bytes(
      `${ETHERNET} 0800 45000062000040004011000a c0000201 c0000202 3039 12b5 004e 0000
       08000000 00000700 ${inner}`,
    ));
    expect(protocol).toBe("ARP");
    expect(info).toStartWith("(VXLAN 7)");
    expect(layers.map(({ name }) => name))
      .toEqual(["Ethernet", "IPv4", "UDP", "VXLAN", "Ethernet", "ARP"]);
  });

  test("no frame makes it fail", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (frame) => {
      expect(decode(frame).layers.length).toBeLessThan(40);
      dump(frame);
    }));
  });
});

describe("traces", () => {
  const TEXT = `Flow: icmp,in_port=1

bridge("br0")
-------------
 0. icmp, priority 50
    resubmit(,1)
 1. priority 0
    NORMAL
     -> forwarding to learned port

Final flow: unchanged
Megaflow: recirc_id=0,eth,icmp,in_port=1
Datapath actions: 2`;

  test("become a tree", () => {
    const [pass] = parseTrace(TEXT);
    expect(pass).toMatchObject({
      flow: "icmp,in_port=1",
      finalFlow: "unchanged",
      actions: "2",
      steps: [{
        kind: "bridge",
        children: [
          { kind: "table", table: "0", children: [{ kind: "action", text: "resubmit(,1)" }] },
          { kind: "table", table: "1", children: [{ children: [{ kind: "remark" }] }] },
        ],
      }],
    });
    expect(stepCount(parseTrace(TEXT))).toBe(6);
  });

  test("recirculation is another pass, and steps are counted on", () => {
    const ruler = "=".repeat(79);
    const again =
      `${TEXT}\n\n${ruler}\nrecirc(0x1) - resume conntrack with new\n${ruler}\n\n${TEXT}`;
    const passes = parseTrace(again);
    expect(passes.map(({ why }) => why))
      .toEqual([undefined, "recirc(0x1) - resume conntrack with new"]);
    expect(passes[1]!.steps[0]!.number).toBe(6);
  });

  test("are drawn: where it comes in, tables in their order, what becomes of it", () => {
    const text = `Flow: ip,in_port=1

bridge("br0")
-------------
 0. ip, priority 10
    resubmit(,5)
     5. ip, priority 9
            set_field:1->reg0
    output:2
    ct(table=1)
    drop
Final flow: unchanged
Megaflow: recirc_id=0,ip,in_port=1
Datapath actions: 2,ct,recirc(0x1)`;
    const ruler = "=".repeat(79);
    const again = text.replaceAll("output:2", "group:7").replace("2,ct,recirc(0x1)", "drop");
    const { nodes, edges } = traceGraph(parseTrace(
      `${text}\n\n${ruler}\nrecirc(0x1) - resume conntrack with new\n${ruler}\n\n${again}`,
    ));
    const name = (id: string) => {
      const { kind, label } = nodes.find((node) => node.id === id)!;
      return `${kind} ${label}`;
    };
    expect(edges.map(({ from, to }) => `${name(from)} → ${name(to)}`)).toEqual([
      "packet in_port=1 → bridge br0",
      "bridge br0 → table 0",
      "table 0 → table 5",
      "table 0 → action output:2",
      "table 0 → action ct(table=1)",
      "table 0 → action drop",
      "table 5 → outcome 2,ct,recirc(0x1)",
      "action output:2 → outcome 2,ct,recirc(0x1)",
      "action ct(table=1) → outcome 2,ct,recirc(0x1)",
      "action drop → outcome 2,ct,recirc(0x1)",
      "action ct(table=1) → again recirc(0x1)",
      "again recirc(0x1) → bridge br0",
      "bridge br0 → table 0",
      "table 0 → table 5",
      "table 0 → action group:7",
      "table 0 → action ct(table=1)",
      "table 0 → action drop",
      "table 5 → outcome drop",
      "action group:7 → outcome drop",
      "action ct(table=1) → outcome drop",
      "action drop → outcome drop",
    ]);
    expect(nodes.at(-1)).toMatchObject({ dropped: true });
    expect(new Set(nodes.map(({ step }) => step)).size).toBeGreaterThan(8);
  });

  test("any text is taken", () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => {
      traceGraph(parseTrace(`Flow: ${text}`));
    }));
  });
});

describe("search of flows", () => {
  const flow = {
    table: 1,
    priority: 50,
    cookie: "0x10",
    match: "tcp,nw_dst=10.0.0.2",
    actions: "output:2",
    packets: 100,
    idleAgeSeconds: 3,
  } as unknown as Flow;

  test.each([
    ["", true],
    ["TCP 10.0.0.2", true],
    ["udp", false],
    ["output:2", true],
    ["actions=drop", false],
    ["packets>99", true],
    ["packets>100", false],
    ["table=1 priority>=50", true],
    ["cookie=16", true],
    ["cookie=0x11", false],
    ["cookie=nonsense", false],
    ["nw_dst=10.0.0.2", true],
  ])("%p: %p", (text, found) => {
    expect(searchTest(text)(flow, undefined)).toBe(found);
  });
});

describe("completion", () => {
  const field = (name: string, writable = true) => ({
    name,
    aliases: [],
    bits: 16,
    format: "decimal",
    maskable: true,
    writable,
    needs: null,
  });
  const words = {
    vocabulary: {
      fields: [field("in_port"), field("tcp_dst"), field("tcp_flags", false)],
      words: ["tcp", "tcp6"],
      actions: ["output", "set_field"],
      ports: [],
    },
    ports: ["p1", "p2"],
    t: (text: string) => text,
  };
  const texts = ({ list }: { list: readonly { text: string }[] }) => list.map(({ text }) => text);

  test("of matches", () => {
    expect(texts(suggestMatch("tc", words))).toEqual(["tcp", "tcp6", "tcp_dst=", "tcp_flags="]);
    expect(suggestMatch("tcp,in_port=p", words)).toMatchObject({ start: 12 });
    expect(texts(suggestMatch("tcp,in_port=p", words))).toEqual(["p1", "p2"]);
  });

  test("of actions", () => {
    expect(texts(suggestActions("out", words))).toEqual(["output:"]);
    expect(texts(suggestActions("output:p", words))).toEqual(["p1", "p2"]);
    // What cannot be written is not offered.
    expect(texts(suggestActions("set_field:1->tcp", words))).toEqual(["tcp_dst"]);
  });
});

test("differences in words", () => {
  const names = { "b1c0b1c0-0000-0000-0000-000000000000": "Port eth1" };
  expect(valueText(["uuid", Object.keys(names)[0]], names)).toBe("Port eth1");
  expect(valueText(["set", [1, 2]], names)).toBe("[1, 2]");
  expect(valueText(["map", [["a", "b"]]], names)).toBe("{a=b}");
  const rows = changedRows({
    names,
    changes: { Port: { x: { name: "eth1", old: { tag: 1 }, new: { tag: 2 } } } },
  });
  expect(rows).toEqual([{
    table: "Port",
    name: "eth1",
    kind: "changed",
    columns: [{ name: "tag", old: "1", now: "2" }],
  }]);
});

test("the picture has every bridge, port and host once, and a patch as one line", () => {
  const one = (name: string, type: string, options = {}) => ({
    name,
    type,
    ofport: 1,
    adminState: null,
    linkState: "up" as const,
    mac: null,
    mtu: null,
    linkSpeedBps: null,
    error: null,
    options,
    statistics: {},
  });
  const port = (name: string, type = "", options = {}) => ({
    name,
    vlanMode: null,
    qos: null,
    bond: null,
    tag: null,
    trunks: [],
    interfaces: [one(name, type, options)],
  });
  const bridge = (name: string, ports: ReturnType<typeof port>[]) => ({
    name,
    datapathId: null,
    datapathType: "",
    failMode: "standalone" as const,
    protocols: [],
    flows: 1,
    controllers: [],
    ports,
  });
  const graph = graphOf([
    bridge("br0", [port("p1"), port("to1", "patch", { peer: "to0" })]),
    bridge("br1", [
      port("to0", "patch", { peer: "to1" }),
      port("vx", "vxlan", { remote_ip: "192.0.2.9" }),
    ]),
  ], {
    br0: [{ mac: "02:00:00:00:00:01", vlan: 0, port: 1, portName: "p1", addresses: ["10.0.0.1"] }],
  });
  expect(graph.nodes.map(({ kind, label }) => `${kind} ${label}`).sort()).toEqual([
    "bridge br0",
    "bridge br1",
    "host 10.0.0.1",
    "port p1",
    "port vx",
    "remote 192.0.2.9",
  ]);
  expect(graph.edges.filter(({ from, to }) => from.startsWith("b") && to.startsWith("b")))
    .toHaveLength(1);
  const placed = placeGraph(graph, false);
  expect(placed.paths).toHaveLength(graph.edges.length);
  for (const { x, y } of placed.nodes.values()) {
    expect(x > 0 && x < placed.width && y > 0 && y < placed.height).toBe(true);
  }
});

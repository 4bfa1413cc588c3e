/** Random tables, packets and bridges for property tests, small enough that things meet. */
import fc from "fast-check";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import type { Bucket } from "../../../../src/openflow/messages/types.ts";
import { GROUP_ANY, PORTS } from "../../../../src/openflow/version.ts";
import type { FieldName } from "../../../../src/packet/fields.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { FIELDS, slot } from "../../../../src/packet/layout.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import type { Effect } from "../../../../src/slowpath/pipeline/effects.ts";
import type { VlanConfig } from "../../../../src/slowpath/pipeline/model.ts";
import type { GroupModBody } from "../../../../src/slowpath/pipeline/groups.ts";
import { type Fields, type FlowOptions, LabBridge, LabPort, out, resubmit, set } from "./lab.ts";

export const MACS = [0x0200000000aan, 0x0200000000bbn, 0xffffffffffffn, 0x0180c2000003n];
const IPS = [0x0a000001n, 0x0a000002n, 0x0a010001n];
export const PORT_NUMBERS = [1, 2, 3, 4];

/** A key as the extractor would make it. */
export const packetKey = fc.record({
  port: fc.constantFrom(...PORT_NUMBERS),
  src: fc.constantFrom(...MACS.slice(0, 2)),
  dst: fc.constantFrom(...MACS),
  type: fc.constantFrom(0x800, 0x806, 0x86dd, 0x88cc),
  tags: fc.array(fc.tuple(fc.constantFrom(0, 10, 20, 4095), fc.constantFrom(0, 5)), {
    maxLength: 2,
  }),
  proto: fc.constantFrom(1, 6, 17),
  tos: fc.nat({ max: 255 }),
  ttl: fc.constantFrom(0, 1, 2, 64),
  frag: fc.constantFrom(0, 0, 0, 1, 3),
  ipSrc: fc.constantFrom(...IPS),
  ipDst: fc.constantFrom(...IPS),
  tpSrc: fc.constantFrom(80, 1000, 1001),
  tpDst: fc.constantFrom(80, 443, 0),
  mark: fc.nat({ max: 1 }),
}).map((p) => {
  const key = new FlowKey();
  const put = (name: FieldName, value: number | bigint) => key.setBig(FIELDS[name], BigInt(value));
  put("in_port", p.port);
  put("eth_src", p.src);
  put("eth_dst", p.dst);
  put("eth_type", p.type);
  put("pkt_mark", p.mark);
  p.tags.forEach(([vid, pcp], i) => {
    const tci = vid | (pcp << 13) | 0x1000;
    key.bytes.set([tci >> 8, tci & 255], AT[i]!.tci);
    key.bytes.set([0x81, 0], AT[i]!.tpid);
  });
  if (p.type === 0x88cc) return key;
  if (p.type === 0x806) {
    put("arp_op", 1 + (p.tos & 1));
    put("arp_spa", p.ipSrc);
    put("arp_tpa", p.ipDst);
    put("arp_sha", p.src);
    return key;
  }
  put("nw_proto", p.proto);
  put("nw_tos", p.tos);
  put("nw_ttl", p.ttl);
  put("ip_frag", p.frag);
  if (p.type === 0x800) {
    put("ip_src", p.ipSrc);
    put("ip_dst", p.ipDst);
  } else {
    put("ipv6_src", p.ipSrc);
    put("ipv6_dst", p.ipDst);
  }
  if (p.frag === 3) return key;
  put("tcp_src", p.proto === 1 ? p.tpSrc & 255 : p.tpSrc);
  put("tcp_dst", p.proto === 1 ? p.tpDst & 255 : p.tpDst);
  if (p.proto === 6) put("tcp_flags", 2);
  return key;
});
export const AT = [
  { tci: slot("vlan_tci").offset, tpid: slot("vlan_tpid").offset },
  { tci: slot("vlan2_tci").offset, tpid: slot("vlan2_tpid").offset },
];

const IP = { eth_type: 0x800 };
const matches: fc.Arbitrary<Fields> = fc.tuple(
  fc.constantFrom<Fields>({}, { in_port: 1 }, { in_port: 2 }, { reg0: 1 }, { metadata: 3 }, {
    conj_id: 1,
  }),
  fc.constantFrom<Fields>(
    {},
    { eth_dst: MACS[0]! },
    { eth_dst: [1n << 40n, 1n << 40n] },
    { vlan_tci: [0n, 0x1000n] },
    { vlan_vid: 0x100a },
    { vlan_vid: 0x100a, vlan_pcp: 5 },
    { pkt_mark: 1 },
  ),
  fc.constantFrom<Fields>(
    {},
    {},
    IP,
    { ...IP, ip_src: IPS[0]! },
    { ...IP, ip_dst: [0x0a000000n, 0xffff0000n] },
    { ...IP, nw_proto: 6 },
    { ...IP, nw_proto: 6, tcp_dst: 80 },
    { ...IP, nw_proto: 17, udp_src: [1000n, 0xfffen] },
    { ...IP, ip_frag: 1 },
    { eth_type: 0x806, arp_op: 1 },
    { eth_type: 0x86dd, ipv6_dst: IPS[1]! },
  ),
).map((parts) => Object.assign({}, ...parts));

const whole = (name: FieldName) => ({ field: FIELDS[name], start: 0, bits: FIELDS[name].bits });
const simple: fc.Arbitrary<Action> = fc.constantFrom<Action>(
  ...[1, 2, 3, 4, PORTS.IN_PORT, PORTS.FLOOD, PORTS.ALL].map((port) => out(port)),
  out(PORTS.NORMAL),
  out(PORTS.NORMAL),
  out(PORTS.CONTROLLER, 100),
  out(9),
  set("eth_dst", MACS[1]!),
  set("eth_src", 1n, 1n),
  set("ip_dst", IPS[1]!),
  set("ip_src", 5n, 0xffn),
  set("tcp_dst", 443),
  set("udp_src", 1000),
  set("icmp_type", 8),
  set("arp_op", 2),
  set("ipv6_dst", IPS[0]!),
  set("nw_tos", 8),
  set("reg0", 1),
  set("pkt_mark", 1),
  set("vlan_vid", 0x1014),
  set("vlan_pcp", 2),
  set("in_port", 2),
  { type: "set_vlan_vid", vid: 10, pushIfNone: true },
  { type: "set_vlan_pcp", pcp: 5, pushIfNone: false },
  { type: "set_tp_src", port: 80 },
  { type: "push_vlan", ethType: 0x8100 },
  { type: "pop_vlan" },
  { type: "dec_ttl", controllerIds: [0] },
  { type: "write_metadata", metadata: 3n, mask: 7n },
  { type: "move", source: whole("ip_src"), destination: whole("reg0") },
  { type: "move", source: whole("ip_src"), destination: whole("ip_dst") },
  { type: "move", source: whole("vlan_tci"), destination: { ...whole("reg1"), bits: 16 } },
  { type: "output_reg", source: { ...whole("tcp_src"), start: 8, bits: 8 }, maxLength: 0 },
  { type: "stack_push", subfield: whole("tcp_src") },
  { type: "stack_pop", subfield: whole("tcp_dst") },
  { type: "fin_timeout", idle: 1, hard: 1 },
  resubmit(1),
  resubmit(2, 3),
  { type: "clear_actions" },
  { type: "exit" },
  ...[1, 2, 3, 4, 9].map((group): Action => ({ type: "group", group })),
  {
    type: "multipath",
    fields: "symmetric_l4",
    basis: 5,
    algorithm: "hrw",
    maxLink: 2,
    argument: 0,
    destination: { ...whole("reg0"), bits: 4 },
  },
  {
    type: "bundle",
    algorithm: "active_backup",
    fields: "eth_src",
    basis: 0,
    members: [3, 2],
  },
  {
    type: "learn",
    idleTimeout: 0,
    hardTimeout: 10,
    priority: 2,
    cookie: 0n,
    table: 2,
    finIdleTimeout: 0,
    finHardTimeout: 0,
    sendFlowRemoved: false,
    deleteLearned: false,
    limit: 0,
    specs: [
      {
        source: { type: "field", subfield: whole("eth_src") },
        bits: 48,
        destination: { type: "match", subfield: whole("eth_dst") },
      },
      {
        source: { type: "field", subfield: whole("in_port") },
        bits: 16,
        destination: { type: "output" },
      },
    ],
  },
);
export const action: fc.Arbitrary<Action> = fc.oneof<fc.MaybeWeightedArbitrary<Action>[]>(
  { weight: 6, arbitrary: simple },
  {
    weight: 1,
    arbitrary: fc.array(simple, { maxLength: 3 }).map((actions) => ({
      type: "clone" as const,
      actions,
    })),
  },
  {
    weight: 1,
    arbitrary: fc.array(simple, { maxLength: 3 }).map((actions) => ({
      type: "write_actions" as const,
      actions,
    })),
  },
);
/** One of the two clauses of conjunction 1; `matches` has what comes of both. */
const clause: fc.Arbitrary<Action> = fc.constantFrom(0, 1).map((n) => ({
  type: "conjunction",
  id: 1,
  clause: n,
  clauses: 2,
}));
export const flow: fc.Arbitrary<FlowOptions> = fc.record({
  table: fc.constantFrom(0, 0, 1, 2),
  priority: fc.nat({ max: 3 }),
  match: matches,
  actions: fc.tuple(
    fc.array(action, { maxLength: 5 }),
    fc.boolean(),
    fc.option(clause, { freq: 6, nil: undefined }),
  ).map(([list, goes, clause]) =>
    clause ? [clause] : goes ? [...list, { type: "goto_table", table: 3 } as const] : list
  ),
});
const vlan: fc.Arbitrary<Partial<VlanConfig>> = fc.record({
  mode: fc.constantFrom("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"),
  tag: fc.constantFrom(0, 10, 20),
  trunks: fc.constantFrom(undefined, new Set([10]), new Set([0, 20])),
  priorityTags: fc.constantFrom("no", "if-nonzero", "always"),
  cvlans: fc.constantFrom(undefined, new Set([10])),
});

export const scene = fc.record({
  flows: fc.array(flow, { maxLength: 12 }),
  last: fc.array(action, { maxLength: 2 }),
  vlans: fc.tuple(vlan, vlan, vlan, vlan),
  learned: fc.array(fc.tuple(fc.constantFrom(0, 10, 20), fc.nat(1), fc.nat(3)), { maxLength: 4 }),
  fragMode: fc.constantFrom("normal", "drop", "nx-match"),
  patched: fc.boolean(),
});
export type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

const bucket = (id: number, columns: Partial<Bucket>): Bucket => ({
  id,
  weight: 0,
  watchPort: PORTS.ANY,
  watchGroup: GROUP_ANY,
  actions: [],
  ...columns,
});
const to = (port: number) => ({ actions: [set("eth_src", BigInt(port)), out(port)] });
export const GROUPS: readonly GroupModBody[] = [
  { command: "add", groupType: "all", group: 1, buckets: [bucket(0, to(2)), bucket(1, to(3))] },
  {
    command: "add",
    groupType: "select",
    group: 2,
    buckets: [bucket(0, { weight: 1, ...to(2) }), bucket(1, { weight: 2, ...to(3) })],
  },
  {
    command: "add",
    groupType: "select",
    group: 3,
    buckets: [
      bucket(0, { weight: 1, ...to(2) }),
      bucket(1, { weight: 1, actions: [{ type: "group", group: 1 }] }),
    ],
    selection: {
      method: "hash",
      parameter: 7n,
      fields: [
        { field: FIELDS.ip_dst, mask: 0xffffffffn },
        { field: FIELDS.tcp_dst, mask: 0xffn },
      ],
    },
  },
  {
    command: "add",
    groupType: "ff",
    group: 4,
    buckets: [
      bucket(0, { watchPort: 9, ...to(2) }),
      bucket(1, { watchGroup: 2, actions: [resubmit(1)] }),
      bucket(2, { watchPort: 3, ...to(3) }),
    ],
  },
  { command: "add", groupType: "all", group: 9, buckets: [] },
];

export function build({ flows, last, vlans, learned, fragMode, patched }: Scene): LabBridge {
  const clock = new ManualClock();
  const bridge = new LabBridge("br0", clock);
  PORT_NUMBERS.forEach((n, i) => {
    const port = new LabPort(n, `p${n}`, { vlan: vlans[i]! });
    port.dpPort = 100 + n;
    bridge.ports.set(n, port);
  });
  bridge.fragMode = fragMode;
  for (const group of GROUPS) bridge.tables.groups.apply(group);
  for (const options of flows) bridge.add(options);
  bridge.add({ table: 3, priority: 0, actions: last });
  for (const [vid, mac, port] of learned) {
    bridge.macs.learn(vid, Number(MACS[mac]!), bridge.ports.get(PORT_NUMBERS[port]!)!.bundle);
  }
  if (patched) {
    const peer = new LabBridge("br1", clock);
    const [near, far, exit] = [
      new LabPort(4, "patch", {}),
      new LabPort(1, "patch", {}),
      new LabPort(2, "x", {}),
    ];
    for (const group of GROUPS) peer.tables.groups.apply(group);
    exit.dpPort = 200;
    near.patchPeer = { bridge: peer, port: far };
    far.patchPeer = { bridge, port: near };
    bridge.ports.set(4, near);
    peer.ports.set(1, far);
    peer.ports.set(2, exit);
    for (const options of flows) peer.add({ ...options, priority: 3 - options.priority! });
  }
  return bridge;
}

/** What tells effects apart. */
export function describeEffect(effect: Effect): unknown {
  switch (effect.type) {
    case "rule":
    case "fin":
      return [effect.type, effect.rule.table, effect.rule.priority];
    case "lookup":
      return [effect.type, effect.table, effect.rule?.priority];
    case "learn":
      return [effect.type, effect.vlan, effect.mac, effect.port, effect.gratuitousArp];
    case "group":
      return [effect.type, effect.id, effect.bucket];
    case "watch":
      return [effect.type, effect.id];
    case "bond":
      return [effect.type, effect.bucket];
    default:
      return effect.type;
  }
}

/** Random flow tables, groups and packets in `ovs-ofctl` syntax, few values so that they meet. */
import type { Seeded } from "../support/seeded.ts";

/** `table` is the flow's: packets go on to later ones only, lest they multiply without end. */
type Choice = (random: Seeded, table: number) => string;

const MACS = ["00:00:00:00:00:01", "00:00:00:00:00:02", "02:aa:bb:cc:dd:ee", "ff:ff:ff:ff:ff:ff"];
const IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.5", "192.168.3.4"];
const PREFIXES = ["10.0.0.0/24", "10.0.0.0/8", "192.168.0.0/16", "10.0.0.2"];
const IPV6 = ["2001:db8::1", "2001:db8::2", "fe80::9"];
const VIDS = ["1", "2", "100"];
const PORTS = ["53", "80", "81", "1024"];
/** The last one's packets find nothing more. */
const TABLES = 4;

const one = (from: readonly string[]): Choice => (random) => random.pick(from);
const chance = (random: Seeded, percent: number): boolean => random.next(100) < percent;

/** What the packets are; each with the matches that make sense on them. */
const KINDS: readonly (readonly [word: string, matches: readonly Choice[]])[] = [
  ["", []],
  ["dl_type=0x1234", []],
  ["ip", [
    (r) => `nw_src=${r.pick(PREFIXES)}`,
    (r) => `nw_dst=${r.pick(PREFIXES)}`,
    () => "nw_ttl=64",
  ]],
  ["tcp", [
    (r) => `nw_dst=${r.pick(PREFIXES)}`,
    (r) => `tp_dst=${r.pick(PORTS)}`,
    (r) => `tp_src=${r.pick(["80", "0x40/0xffc0"])}`,
    () => "tcp_flags=+syn-ack",
  ]],
  ["udp", [(r) => `tp_dst=${r.pick(PORTS)}`, (r) => `nw_src=${r.pick(PREFIXES)}`]],
  ["icmp", [() => "icmp_type=8"]],
  ["arp", [(r) => `arp_tpa=${r.pick(IPS)}`, (r) => `arp_op=${r.pick(["1", "2"])}`]],
  ["ipv6", [(r) => `ipv6_src=${r.pick(IPV6)}`, () => "ipv6_dst=2001:db8::/32"]],
  ["udp6", [(r) => `tp_dst=${r.pick(PORTS)}`]],
];

const COMMON: readonly Choice[] = [
  (r) => `in_port=${r.pick(["1", "2", "3", "4"])}`,
  (r) => `dl_src=${r.pick(MACS)}`,
  (r) => `dl_dst=${r.pick([...MACS, "01:00:00:00:00:00/01:00:00:00:00:00"])}`,
  (r) => `dl_vlan=${r.pick(VIDS)}`,
  () => "vlan_tci=0x0000",
  (r) => `reg0=${r.next(3)}`,
  () => "reg1=0x1/0x1",
  (r) => `metadata=${r.next(3)}`,
];

const later = (random: Seeded, table: number): number =>
  table + 1 + random.next(Math.max(1, TABLES - 1 - table));
const ports: Choice = one(["1", "2", "3", "4", "9"]);

/** Actions that any packet takes. */
const ANY: readonly Choice[] = [
  (r) => `output:${ports(r, 0)}`,
  (r) => `output:${ports(r, 0)}`,
  () => "in_port",
  (r, table) => `resubmit(,${later(r, table)})`,
  (r, table) => `resubmit(${ports(r, 0)},${later(r, table)})`,
  (r) => `mod_dl_src:${r.pick(MACS)}`,
  (r) => `mod_dl_dst:${r.pick(MACS)}`,
  (r) => `set_field:00:00:00:00:0${r.next(3)}:07/00:00:00:ff:ff:ff->eth_src`,
  (r) => `load:${r.next(3)}->NXM_NX_REG0[]`,
  (r) => `load:${r.next(2)}->NXM_NX_REG1[0]`,
  () => "move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15]",
  () => "push:NXM_NX_REG0[],pop:NXM_NX_REG1[]",
  (r) => `set_field:${r.next(3)}->metadata`,
  (r) => `clone(mod_dl_dst:${r.pick(MACS)},output:${ports(r, 0)})`,
  (r) => `set_queue:${r.next(3)}`,
  () => "pop_queue",
  (r) => `enqueue:${ports(r, 0)}:${r.next(3)}`,
  () => "controller(id=5,max_len=100)",
  (r) => `group:${1 + r.next(3)}`,
  (r) => `load:${ports(r, 0)}->NXM_NX_REG2[],output:NXM_NX_REG2[]`,
  (r) => `output(port=${r.pick(["1", "2", "3"])},max_len=64)`,
  (r) => `set_tunnel:${r.next(9)}`,
  () => "note:01.02.03",
  (r) =>
    `learn(table=${r.next(TABLES)},priority=${900 + r.next(9)},` +
    "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
  () => "exit",
];

/** One of a list at most: OpenFlow wants to know which tags there are. */
const VLAN: readonly Choice[] = [
  (r) => `mod_vlan_vid:${r.pick(VIDS)}`,
  (r) => `mod_vlan_pcp:${r.next(8)}`,
  (r) => `mod_vlan_vid:${r.pick(VIDS)},output:${ports(r, 0)},strip_vlan`,
  (r) => `push_vlan:0x8100,set_field:${4096 + 1 + r.next(100)}->vlan_vid`,
  (r) => `push_vlan:0x88a8,output:${ports(r, 0)}`,
];

const IP: readonly Choice[] = [
  (r) => `mod_nw_src:${r.pick(IPS)}`,
  (r) => `mod_nw_dst:${r.pick(IPS)}`,
  () => "mod_nw_tos:32",
  () => "mod_nw_ttl:10",
  () => "dec_ttl",
  (r) => `ct(commit,zone=${r.next(3)},exec(set_field:0x5->ct_mark))`,
  (r, table) => `ct(table=${later(r, table)},zone=${r.next(3)})`,
  () => "ct(commit,nat(src=10.9.9.9-10.9.9.10))",
  () => "ct_clear",
];

const BY_KIND: Readonly<Record<string, readonly Choice[]>> = {
  ip: IP,
  tcp: [
    ...IP,
    (r) => `mod_tp_dst:${r.pick(PORTS)}`,
    (r) => `mod_tp_src:${r.pick(PORTS)}`,
    () => "move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[]",
  ],
  udp: [...IP, (r) => `mod_tp_dst:${r.pick(PORTS)}`],
  icmp: IP,
  ipv6: [() => "dec_ttl", (r) => `set_field:${r.pick(IPV6)}->ipv6_dst`],
  udp6: [() => "dec_ttl", (r) => `set_field:${r.pick(PORTS)}->udp_dst`],
  arp: [],
};

function actionsFor(random: Seeded, table: number, kind: string, most: number): string {
  const count = 1 + random.next(most);
  const list = Array.from({ length: count }, () => {
    const own = BY_KIND[kind] ?? [];
    return random.pick(own.length > 0 && chance(random, 40) ? own : ANY)(random, table);
  });
  if (chance(random, 30)) {
    list.splice(random.next(list.length), 0, random.pick(VLAN)(random, table));
  }
  return list.join(",");
}

/** One flow, `table=…,priority=…,MATCH actions=…`. Equal priorities would leave it open which wins. */
export function randomFlow(random: Seeded, priority: number): string {
  const [kind, matches] = random.pick(KINDS);
  const table = random.next(TABLES);
  const parts = [`table=${table}`, `priority=${priority}`];
  if (kind !== "") parts.push(kind);
  const used = new Set<string>();
  for (const choice of [...COMMON, ...matches]) {
    if (!chance(random, 18)) continue;
    const text = choice(random, table);
    const name = text.split("=")[0]!.replace("vlan_tci", "dl_vlan");
    if (used.has(name)) continue;
    used.add(name);
    parts.push(text);
  }
  const actions = chance(random, 6) ? "drop" : actionsFor(random, table, kind, 4);
  return `${parts.join(",")} actions=${actions}`;
}

/** Groups 1 to 3. */
export function randomGroups(random: Seeded): string[] {
  const bucket = (): string => {
    const change = chance(random, 50) ? `set_field:${random.pick(MACS)}->eth_dst,` : "";
    return `${change}output:${ports(random, 0)}`;
  };
  return [
    `group_id=1,type=all,bucket=${bucket()},bucket=${bucket()}`,
    `group_id=2,type=indirect,bucket=${bucket()}`,
    `group_id=3,type=ff,bucket=watch_port:77,${bucket()},bucket=watch_port:2,${bucket()}`,
  ];
}

/** One packet, as `ofproto/trace` takes it. */
export function randomPacket(random: Seeded): string {
  const parts = [`in_port=${random.pick(["1", "2", "3", "4"])}`];
  parts.push(`dl_src=${random.pick(MACS.slice(0, 3))}`, `dl_dst=${random.pick(MACS)}`);
  if (chance(random, 35)) {
    parts.push(`dl_vlan=${random.pick(VIDS)}`);
    if (chance(random, 50)) parts.push(`dl_vlan_pcp=${random.next(8)}`);
  }
  const kind = random.pick([
    "",
    "dl_type=0x1234",
    "tcp",
    "tcp",
    "udp",
    "icmp",
    "arp",
    "udp6",
    "tcp6",
  ]);
  if (kind !== "") parts.push(kind);
  switch (kind) {
    case "tcp":
    case "udp":
    case "icmp":
      parts.push(`nw_src=${random.pick(IPS)}`, `nw_dst=${random.pick(IPS)}`);
      parts.push(`nw_ttl=${random.pick(["1", "2", "64"])}`, `nw_tos=${random.pick(["0", "32"])}`);
      if (kind === "icmp") parts.push("icmp_type=8");
      else {
        const word = kind;
        parts.push(`${word}_src=${random.pick(PORTS)}`, `${word}_dst=${random.pick(PORTS)}`);
      }
      if (kind === "tcp" && chance(random, 40)) parts.push("tcp_flags=syn");
      break;
    case "udp6":
    case "tcp6":
      parts.push(`ipv6_src=${random.pick(IPV6)}`, `ipv6_dst=${random.pick(IPV6)}`, "nw_ttl=64");
      break;
    case "arp":
      parts.push(`arp_op=${random.pick(["1", "2"])}`);
      parts.push(`arp_spa=${random.pick(IPS)}`, `arp_tpa=${random.pick(IPS)}`);
  }
  return parts.join(",");
}

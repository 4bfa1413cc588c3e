/** OpenFlow rules that rows are measured under; the same text goes to every switch. */
import type { Forwarder } from "./forwarders.ts";

const NORMAL = "priority=0,actions=NORMAL";

/**
 * An access list of 100 rules in three tables that lets the generator's packets through: 40 source
 * prefixes, 40 services, 20 destination prefixes; what passes all three is forwarded as usual.
 */
export function accessList(): string {
  const lines = ["table=0,priority=0,actions=drop", "table=0,priority=200,arp,actions=NORMAL"];
  for (let i = 0; i < 39; i++) {
    const verdict = i % 2 === 0 ? "drop" : "goto_table:1";
    lines.push(`table=0,priority=100,ip,nw_src=10.${i}.0.0/${16 + i % 9},actions=${verdict}`);
  }
  lines.push("table=0,priority=90,ip,nw_src=198.18.0.0/15,actions=goto_table:1");
  for (let i = 0; i < 40; i++) {
    const protocol = i % 2 === 0 ? "udp" : "tcp";
    lines.push(`table=1,priority=100,${protocol},tp_dst=${20 + 13 * i},actions=drop`);
  }
  lines.push("table=1,priority=0,actions=goto_table:2");
  for (let i = 0; i < 19; i++) {
    lines.push(`table=2,priority=100,ip,nw_dst=172.${16 + i}.0.0/${12 + i % 12},actions=drop`);
  }
  lines.push("table=2,priority=90,ip,nw_dst=198.19.0.0/16,actions=NORMAL");
  lines.push("table=2,priority=0,actions=drop");
  return lines.join("\n");
}

/** Every flow differs to the switch: it looks at the source address and both ports of each packet. */
export function everyFlowIsNew(): string {
  return [
    NORMAL,
    "priority=100,udp,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]," +
    "move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG2[0..15],NORMAL",
  ].join("\n");
}

/** Each connection is committed; packets of tracked connections pass. */
export function tracked(): string {
  return [
    NORMAL,
    "table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1)",
    "table=1,priority=100,ip,ct_state=+trk+new,actions=ct(commit),NORMAL",
    "table=1,priority=100,ip,ct_state=+trk+est,actions=NORMAL",
    "table=1,priority=90,ip,ct_state=+trk+inv,actions=drop",
  ].join("\n");
}

/**
 * `count` megaflow masks (up to 256): the packet's destination port chooses which fields are looked
 * at besides it. The ports are those from 2048 on.
 */
export function manyMasks(count: number): string {
  const fields = [
    "NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15]",
    "NXM_OF_IP_SRC[]->NXM_NX_REG1[]",
    "NXM_OF_IP_DST[]->NXM_NX_REG2[]",
    "NXM_OF_ETH_SRC[]->NXM_NX_XXREG1[0..47]",
    "NXM_OF_ETH_DST[]->NXM_NX_XXREG2[0..47]",
    "NXM_OF_IP_TOS[]->NXM_NX_REG3[0..7]",
    "NXM_NX_IP_ECN[]->NXM_NX_REG3[8..9]",
    "NXM_NX_IP_TTL[]->NXM_NX_REG3[16..23]",
  ];
  const lines = [NORMAL];
  for (let i = 0; i < 256; i++) {
    const mask = i % count;
    const moves = fields.filter((_, bit) => (mask & (1 << bit)) !== 0).map((each) =>
      `move:${each}`
    );
    const actions = [...moves, "output:2"].join(",");
    lines.push(`priority=100,in_port=1,udp,tp_dst=${2048 + i},actions=${actions}`);
  }
  return lines.join("\n");
}

/** Runs `body` under these rules; undefined for a forwarder that knows none. */
export async function underRules<T>(
  forwarder: Forwarder,
  rules: string,
  body: () => Promise<T>,
): Promise<T> {
  const { clients } = forwarder;
  if (!clients) return await body();
  await clients.ofctl("del-flows br0");
  await clients.addFlows("br0", rules);
  await clients.flowsInForce();
  try {
    return await body();
  } finally {
    await clients.ofctl("del-flows br0");
    await clients.addFlows("br0", NORMAL);
    await clients.flowsInForce();
  }
}

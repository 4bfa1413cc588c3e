import { describe, expect, test } from "bun:test";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import { formatActions } from "../../../../src/openflow/text/actions-format.ts";
import { udp } from "../../../support/frames.ts";
import { ALL, type FlowOptions, Lab } from "./lab.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const packet = (from: string, to: string, srcPort = 5) =>
  udp({ srcMac: from, dstMac: to, srcIp: "10.0.0.1", dstIp: "10.0.0.2", srcPort, dstPort: 6 });

async function lab(...flows: FlowOptions[]) {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {} });
  for (const flow of flows) br.add(flow);
  const send = async (port: number, data: Uint8Array) => {
    await lab.cache.settle();
    const seen = await lab.send(br, port, data);
    await lab.cache.settle();
    return [...seen.keys()].map((name) => Number(name.split(":")[1]));
  };
  const learned = (table: number) =>
    [...br.tables.select({ ...ALL, table })].map((rule) => formatActions(rule.actions));
  return { lab, br, send, learned };
}

const flow = (actions: string, rest: FlowOptions = {}): FlowOptions => ({
  ...rest,
  actions: parseActions(actions),
});

const SWITCH = "learn(table=1,hard_timeout=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]," +
  "output:NXM_OF_IN_PORT[]),resubmit(,1)";

describe("learn", () => {
  test("makes a learning switch", async () => {
    const { send, learned } = await lab(
      flow(SWITCH),
      flow("flood", { table: 1, priority: 0 }),
    );
    expect(await send(1, packet(A, B))).toEqual([2, 3]);
    expect(await send(2, packet(B, A))).toEqual([1]);
    expect(await send(1, packet(A, B))).toEqual([2]);
    expect(learned(1).sort()).toEqual(["FLOOD", "output:1", "output:2"]);
  });

  test("the packet that teaches does not find it, the next one does", async () => {
    const { send } = await lab(flow(
      "learn(table=2,NXM_OF_ETH_SRC[],load:3->NXM_NX_REG0[0..15]),resubmit(,2),output:NXM_NX_REG0[]",
    ));
    expect(await send(1, packet(A, B))).toEqual([]);
    expect(await send(1, packet(A, B))).toEqual([3]);
  });

  test("the packet finds it when it comes back by a patch port", async () => {
    const { lab: l, br, send } = await lab(
      flow("learn(table=2,NXM_OF_ETH_SRC[],load:3->NXM_NX_REG0[0..15]),output:8", {
        match: { in_port: 1 },
      }),
      flow("resubmit(,2),output:NXM_NX_REG0[]", { match: { in_port: 9 } }),
    );
    const other = await l.bridge("br1", {});
    l.patch(br, 8, other, 1);
    l.patch(other, 2, br, 9);
    other.add(flow("output:2", { match: { in_port: 1 } }));
    expect(await send(1, packet(A, B))).toEqual([3]);
  });

  test("a limit counts what the same packet has taught", async () => {
    const learn = (field: string) =>
      `learn(table=1,limit=1,cookie=5,result_dst=NXM_NX_REG0[0],NXM_OF_${field}[]),` +
      "move:NXM_NX_REG0[0]->NXM_NX_REG1[1],output:NXM_NX_REG1[]";
    const { send, learned } = await lab(flow(`${learn("ETH_SRC")},${learn("ETH_DST")}`));
    expect(await send(1, packet(A, B))).toEqual([2]);
    expect(learned(1).length).toBe(1);
  });

  test("packets put off the end of what they taught, and bring it back", async () => {
    const { lab: l, br, send, learned } = await lab(
      flow("learn(table=1,hard_timeout=10,NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),3"),
    );
    l.cache.start();
    expect(await send(1, packet(A, B))).toEqual([3]);
    for (let i = 0; i < 4; i++) {
      l.clock.advance(6000);
      expect(await send(1, packet(A, B))).toEqual([3]);
      l.cache.readStats();
      br.tables.expire();
      expect(learned(1)).toEqual(["output:1"]);
    }
    l.clock.advance(10_500);
    br.tables.expire();
    expect(learned(1)).toEqual([]);
    await send(1, packet(A, B));
    l.cache.readStats();
    expect(learned(1)).toEqual(["output:1"]);
    await l.cache.stop();
  });

  test("limit and result_dst", async () => {
    const { send, learned } = await lab(flow(
      "learn(table=1,limit=2,cookie=5,result_dst=NXM_NX_REG0[0],NXM_OF_UDP_SRC[]=NXM_OF_UDP_SRC[]," +
        "dl_type=0x800,nw_proto=17),move:NXM_NX_REG0[0]->NXM_NX_REG1[1],output:NXM_NX_REG1[]",
      { match: { eth_type: 0x800, nw_proto: 17 } },
    ));
    for (const port of [5, 6]) expect(await send(1, packet(A, B, port))).toEqual([2]);
    expect(await send(1, packet(A, B, 7))).toEqual([]);
    expect(learned(1)).toHaveLength(2);
    expect(await send(1, packet(A, B, 5))).toEqual([2]);
  });

  test("delete_learned: with the last of its teachers goes what was learned", async () => {
    const { br, send, learned } = await lab(
      flow("learn(table=1,delete_learned,cookie=9,NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])", {
        priority: 1,
      }),
      flow("learn(table=1,delete_learned,cookie=9,NXM_OF_ETH_DST[],output:NXM_OF_IN_PORT[])", {
        priority: 2,
        match: { in_port: 2 },
      }),
    );
    await send(1, packet(A, B));
    await send(2, packet(B, A));
    expect(learned(1)).toHaveLength(2);
    br.tables.apply({ ...ALL_OF(1), command: "delete_strict" });
    expect(learned(1)).toHaveLength(2);
    br.add({ command: "delete", match: { in_port: 2 } });
    expect(learned(1)).toEqual([]);
  });
});

function ALL_OF(priority: number) {
  return {
    ...ALL,
    table: 0,
    priority,
    newCookie: 0n,
    modifyCookie: false,
    idleTimeout: 0,
    hardTimeout: 0,
    importance: 0,
    flags: 0,
    actions: [],
  } as const;
}

describe("multipath and bundle", () => {
  test("a hash becomes a number below the count of links", async () => {
    for (const algorithm of ["modulo_n", "hash_threshold", "hrw", "iter_hash"]) {
      const { send } = await lab(flow(
        `multipath(eth_src,50,${algorithm},2,0,NXM_NX_REG0[0..1]),` +
          "load:1->NXM_NX_REG1[1],move:NXM_NX_REG0[0..0]->NXM_NX_REG1[0..0],output:NXM_NX_REG1[]",
      ));
      const seen = new Set<number>();
      for (let i = 0; i < 24; i++) {
        const from = `02:00:00:00:01:${i.toString(16).padStart(2, "0")}`;
        const [port] = await send(1, packet(from, B));
        seen.add(port!);
        expect(await send(1, packet(from, B))).toEqual([port!]);
      }
      expect([...seen].sort()).toEqual([2, 3]);
    }
  });

  test("active_backup takes the first port that is up; bundle_load tells which", async () => {
    const { lab: l, br, send } = await lab(
      flow("bundle(eth_src,0,active_backup,ofport,members:2,3)", { match: { in_port: 1 } }),
    );
    expect(await send(1, packet(A, B))).toEqual([2]);
    br.ports.get(2)!.linkUp = false;
    l.cache.changed();
    expect(await send(1, packet(A, B))).toEqual([3]);
    br.add(flow(
      "bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[0..15],members:2,3),output:NXM_NX_REG0[]",
      { match: { in_port: 1 } },
    ));
    expect(await send(1, packet(A, B))).toEqual([3]);
    br.ports.get(3)!.linkUp = false;
    l.cache.changed();
    expect(await send(1, packet(A, B))).toEqual([]);
  });
});

describe("conjunctions", () => {
  const match = (ip: bigint, port: number) =>
    [
      { eth_type: 0x800, ip_src: ip },
      { eth_type: 0x800, nw_proto: 17, udp_src: port },
    ] as const;

  test("match when all clauses do", async () => {
    const [byIp, byPort] = match(0x0a000001n, 5);
    const { br, send } = await lab(
      flow("conjunction(7,1/2)", { match: byIp }),
      flow("conjunction(7,2/2)", { match: byPort }),
      flow("2", { match: { conj_id: 7, eth_type: 0x800 } }),
      flow("3", { priority: 1 }),
    );
    expect(await send(1, packet(A, B, 5))).toEqual([2]);
    expect(await send(1, packet(A, B, 6))).toEqual([3]);
    br.add(flow("conjunction(7,2/2)", { match: match(0n, 6)[1] }));
    expect(await send(1, packet(A, B, 6))).toEqual([2]);
    br.add({ command: "delete", match: byIp });
    expect(await send(1, packet(A, B, 5))).toEqual([3]);
    expect(await send(1, packet(A, B, 6))).toEqual([3]);
  });

  test("lose to an ordinary rule of a higher priority, and fall through to lower clauses", async () => {
    const [byIp, byPort] = match(0x0a000001n, 5);
    const { br, send } = await lab(
      flow("conjunction(7,1/2)", { priority: 10, match: byIp }),
      flow("conjunction(7,2/2)", { priority: 10, match: byPort }),
      flow("conjunction(8,1/2)", { priority: 20, match: byIp }),
      flow("2", { priority: 10, match: { conj_id: 7 } }),
      flow("3", { priority: 20, match: { conj_id: 8 } }),
      flow("drop", { priority: 1 }),
    );
    expect(await send(1, packet(A, B, 5))).toEqual([2]);
    br.add(flow("conjunction(8,2/2)", { priority: 20, match: byPort }));
    expect(await send(1, packet(A, B, 5))).toEqual([3]);
    br.add(flow("1,2", { priority: 30, match: { eth_type: 0x800 } }));
    expect(await send(1, packet(A, B, 5))).toEqual([2]);
  });

  test("go with nothing but note", async () => {
    const { br } = await lab();
    expect(() => br.add(flow("conjunction(1,1/2),2"))).toThrow("any other kind of action");
    br.add(flow("conjunction(1,1/2),note:00"));
  });
});

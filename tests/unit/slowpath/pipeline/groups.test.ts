import { describe, expect, test } from "bun:test";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import { OfError } from "../../../../src/openflow/errors.ts";
import type { Bucket } from "../../../../src/openflow/messages/types.ts";
import { GROUP_ALL, GROUP_ANY, PORTS } from "../../../../src/openflow/version.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import type { GroupModBody } from "../../../../src/slowpath/pipeline/groups.ts";
import { BUCKETS } from "../../../../src/slowpath/pipeline/group-check.ts";
import { FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";
import { arpRequest, ethernet, udp } from "../../../support/frames.ts";
import { ALL, flowMod, Lab, out, resubmit, set } from "./lab.ts";

const bucket = (id: number, columns: Partial<Bucket> = {}): Bucket => ({
  id,
  weight: 0,
  watchPort: PORTS.ANY,
  watchGroup: GROUP_ANY,
  actions: [],
  ...columns,
});
const mod = (columns: Partial<GroupModBody>): GroupModBody => ({
  command: "add",
  groupType: "all",
  group: 1,
  buckets: [],
  ...columns,
});
const group = (id: number): Action => ({ type: "group", group: id });
const packet = (srcPort: number, srcIp = "10.0.0.1") =>
  udp({
    srcMac: "02:00:00:00:00:0a",
    dstMac: "02:00:00:00:00:0b",
    srcIp,
    dstIp: "10.0.0.2",
    srcPort,
    dstPort: 6,
  });

async function lab(...mods: GroupModBody[]) {
  const lab = new Lab();
  const br = await lab.bridge("br0", { 1: {}, 2: {}, 3: {}, 4: {} });
  for (const each of mods) br.tables.groups.apply(each);
  /** The ports by which a packet that comes in by port 1 leaves. */
  const send = async (data = packet(5)) => {
    await lab.cache.settle();
    const seen = await lab.send(br, 1, data);
    return [...seen.keys()].map((name) => Number(name.split(":")[1]));
  };
  return { lab, br, send };
}

describe("packets", () => {
  test("all: every bucket has its own copy", async () => {
    const { br, send, lab: l } = await lab(mod({
      buckets: [
        bucket(0, { actions: [set("eth_src", 7n), out(2)] }),
        bucket(1, { actions: [out(3)] }),
      ],
    }));
    br.add({ actions: [group(1), out(4)] });
    expect(await send()).toEqual([2, 3, 4]);
    const seen = await l.send(br, 1, packet(5));
    expect(seen.get("br0:2")![0]![11]).toBe(7);
    expect(seen.get("br0:3")![0]![11]).toBe(0x0a);
    expect(seen.get("br0:4")![0]![11]).toBe(0x0a);
  });

  test("a bucket is an action set; one without an output does nothing", async () => {
    const { br, send } = await lab(mod({
      buckets: [
        bucket(0, { actions: [out(2), set("eth_src", 7n)] }),
        bucket(1, { actions: [set("eth_src", 7n)] }),
      ],
    }));
    br.add({ actions: [group(1)] });
    expect(await send()).toEqual([2]);
  });

  test("fast failover follows the ports, and groups that watch ports", async () => {
    const { lab: l, br, send } = await lab(
      mod({
        groupType: "ff",
        buckets: [
          bucket(0, { watchPort: 2, actions: [out(2)] }),
          bucket(1, { watchPort: 3, actions: [out(3)] }),
        ],
      }),
      mod({
        group: 2,
        groupType: "ff",
        buckets: [
          bucket(0, { watchGroup: 1, actions: [group(1)] }),
          bucket(1, { watchPort: 4, actions: [out(4)] }),
        ],
      }),
    );
    br.add({ actions: [group(2)] });
    expect(await send()).toEqual([2]);
    br.ports.get(2)!.linkUp = false;
    l.cache.changed();
    expect(await send()).toEqual([3]);
    br.ports.get(3)!.linkUp = false;
    l.cache.changed();
    expect(await send()).toEqual([4]);
    br.ports.get(4)!.linkUp = false;
    l.cache.changed();
    expect(await send()).toEqual([]);
  });

  test("select spreads flows by weight, keeps each where it is, and shuns the dead", async () => {
    const { lab: l, br, send } = await lab(mod({
      groupType: "select",
      buckets: [
        bucket(0, { weight: 1, watchPort: 2, actions: [out(2)] }),
        bucket(1, { weight: 3, actions: [out(3)] }),
        bucket(2, { weight: 0, actions: [out(4)] }),
      ],
    }));
    br.add({ actions: [group(1)] });
    const chosen: number[] = [];
    for (let i = 0; i < 200; i++) {
      const [port] = await send(packet(5, `10.0.1.${i}`));
      chosen.push(port!);
    }
    const share = chosen.filter((port) => port === 2).length;
    expect(share).toBeGreaterThan(25);
    expect(share).toBeLessThan(80);
    expect(chosen).not.toContain(4);
    for (let i = 0; i < 20; i++) {
      expect(await send(packet(5, `10.0.1.${i}`))).toEqual([chosen[i]!]);
    }
    br.ports.get(2)!.linkUp = false;
    l.cache.changed();
    for (let i = 0; i < 20; i++) expect(await send(packet(5, `10.0.1.${i}`))).toEqual([3]);
  });

  test("select tells flows apart by whatever differs, and by no more where it is told", async () => {
    const shares = async (method: string, data: (i: number) => Uint8Array) => {
      const { br, send } = await lab(mod({
        groupType: "select",
        ...(method && { selection: { method, parameter: 0n, fields: [] } }),
        buckets: [
          bucket(0, { weight: 1, actions: [out(2)] }),
          bucket(1, { weight: 2, actions: [out(3)] }),
        ],
      }));
      br.add({ actions: [group(1)] });
      let first = 0;
      for (let i = 0; i < 300; i++) if ((await send(data(i)))[0] === 2) first++;
      return first / 300;
    };
    const mac = (i: number) => `02:00:00:00:${(i >> 8).toString(16)}:${(i & 0xff).toString(16)}`;
    const dstMac = "02:00:00:00:00:0b";
    const addresses = { srcIp: "10.0.0.1", dstIp: "10.0.0.2", srcPort: 5, dstPort: 6 };
    const byMac = (i: number) => udp({ srcMac: mac(i), dstMac, ...addresses });
    const byArp = (i: number) => arpRequest(dstMac, "10.0.0.1", `10.0.${i >> 8}.${i & 0xff}`);
    const byLabel = (i: number) =>
      ethernet(dstMac, mac(1), 0x8847, new Uint8Array([0, i >> 4, (i << 4) | 1, 64, 0x45, 0]));
    for (const data of [byMac, byArp, byLabel]) {
      const share = await shares("", data);
      expect(share).toBeGreaterThan(0.22);
      expect(share).toBeLessThan(0.45);
    }
    // Values that Open vSwitch's hash has, too.
    expect([0, 1]).toContain(await shares("dp_hash", byMac));
  });

  test("select by chosen fields looks at nothing else", async () => {
    const { lab: l, br, send } = await lab(mod({
      groupType: "select",
      selection: {
        method: "hash",
        parameter: 1n,
        fields: [{ field: FIELDS.ip_src, mask: 0xffn }],
      },
      buckets: [bucket(0, { weight: 1, actions: [out(2)] })],
    }));
    br.add({ actions: [group(1)] });
    for (let i = 0; i < 10; i++) await send(packet(1000 + i));
    expect(l.cache.flows.size).toBe(1);
    await send(packet(1000, "10.0.0.77"));
    expect(l.cache.flows.size).toBe(2);
  });

  test("chains, and resubmits from buckets", async () => {
    const { br, send } = await lab(
      mod({ group: 2, buckets: [bucket(0, { actions: [resubmit(1)] })] }),
      mod({ group: 1, buckets: [bucket(0, { actions: [group(2)] })] }),
    );
    br.add({ actions: [group(1)] });
    br.add({ table: 1, actions: [out(2)] });
    expect(await send()).toEqual([2]);
  });

  test("a copy for the controller has the reason group", async () => {
    const { br, send } = await lab(mod({
      buckets: [bucket(0, { actions: [out(PORTS.CONTROLLER, 0xffff)] })],
    }));
    br.add({ actions: [group(1)] });
    await send();
    expect(br.packetIns.map(({ reason }) => reason)).toEqual(["group"]);
  });

  test("are counted by group and bucket", async () => {
    const { lab: l, br, send } = await lab(mod({
      groupType: "ff",
      buckets: [
        bucket(0, { watchPort: 9, actions: [out(2)] }),
        bucket(1, { watchPort: 3, actions: [out(3)] }),
      ],
    }));
    br.add({ actions: [group(1)] });
    for (let i = 0; i < 3; i++) await send();
    l.cache.readStats();
    const [stats] = br.tables.groups.select(1);
    expect(stats!.packets).toBe(3);
    expect(stats!.counts.map(({ packets }) => packets)).toEqual([0, 3]);
  });

  test("that a changed or deleted group concerns are treated anew", async () => {
    const { br, send } = await lab(mod({ buckets: [bucket(0, { actions: [out(2)] })] }));
    br.add({ actions: [group(1)] });
    br.add({ priority: 1, actions: [out(4)] });
    expect(await send()).toEqual([2]);
    br.tables.groups.apply(mod({
      command: "modify",
      buckets: [bucket(0, { actions: [out(3)] })],
    }));
    expect(await send()).toEqual([3]);
    br.tables.groups.apply(mod({ command: "delete" }));
    expect(await send()).toEqual([4]);
    expect(br.tables.size).toBe(1);
  });
});

describe("changes", () => {
  function fresh() {
    const tables = new FlowTables(new ManualClock());
    const apply = (columns: Partial<GroupModBody>) => tables.groups.apply(mod(columns));
    const refused = (columns: Partial<GroupModBody>): string => {
      try {
        apply(columns);
      } catch (error) {
        if (error instanceof OfError) return error.error;
        throw error;
      }
      return "none";
    };
    const ids = () => tables.groups.get(1)!.buckets.map(({ id }) => id);
    return { tables, apply, refused, ids };
  }

  test("buckets are inserted and removed where it is said", () => {
    const { apply, refused, ids } = fresh();
    apply({ buckets: [bucket(1), bucket(2)] });
    const insert = (commandBucket: number, ...list: number[]) =>
      apply({ command: "insert_bucket", commandBucket, buckets: list.map((id) => bucket(id)) });
    insert(BUCKETS.LAST, 3, 4);
    insert(BUCKETS.FIRST, 5);
    insert(1, 6, 7);
    expect(ids()).toEqual([5, 1, 6, 7, 2, 3, 4]);
    const remove = (commandBucket: number) => apply({ command: "remove_bucket", commandBucket });
    remove(BUCKETS.FIRST);
    remove(BUCKETS.LAST);
    remove(6);
    expect(ids()).toEqual([1, 7, 2, 3]);
    const bad = { command: "insert_bucket", commandBucket: 2 } as const;
    expect(refused({ ...bad, buckets: [bucket(1)] })).toBe("OFPGMFC_BUCKET_EXISTS");
    expect(refused({ ...bad, commandBucket: 99, buckets: [bucket(9)] }))
      .toBe("OFPGMFC_UNKNOWN_BUCKET");
    expect(refused({ command: "remove_bucket", commandBucket: 99 })).toBe("OFPGMFC_UNKNOWN_BUCKET");
    remove(BUCKETS.ALL);
    expect(ids()).toEqual([]);
  });

  test("no chain leads back to its beginning", () => {
    const { apply, refused } = fresh();
    apply({ group: 1, buckets: [bucket(0, { actions: [group(2)] })] });
    apply({ group: 2, buckets: [bucket(0, { actions: [group(3)] })] });
    expect(refused({ group: 3, buckets: [bucket(0, { actions: [group(1)] })] }))
      .toBe("OFPGMFC_LOOP");
    expect(refused({ group: 5, buckets: [bucket(0, { actions: [group(5)] })] }))
      .toBe("OFPGMFC_LOOP");
    const watching = { groupType: "ff" as const, buckets: [bucket(0, { watchGroup: 1 })] };
    expect(refused({ group: 3, ...watching })).toBe("OFPGMFC_LOOP");
    apply({ group: 3 });
    expect(refused({ command: "modify", group: 3, ...watching })).toBe("OFPGMFC_LOOP");
  });

  test("what makes no sense is refused", () => {
    const { apply, refused } = fresh();
    apply({});
    expect(refused({})).toBe("OFPGMFC_GROUP_EXISTS");
    expect(refused({ group: 0xffffff01 })).toBe("OFPGMFC_INVALID_GROUP");
    expect(refused({ command: "modify", group: 9 })).toBe("OFPGMFC_UNKNOWN_GROUP");
    expect(refused({ command: "add_or_mod", group: 9 })).toBe("none");
    expect(refused({ group: 2, groupType: "indirect" })).toBe("OFPGMFC_INVALID_GROUP");
    expect(refused({ group: 2, buckets: [bucket(0, { weight: 1 })] })).toBe(
      "OFPGMFC_INVALID_GROUP",
    );
    expect(refused({ group: 2, buckets: [bucket(0, { watchPort: 1 })] }))
      .toBe("OFPGMFC_WATCH_UNSUPPORTED");
    expect(refused({ group: 2, groupType: "ff", buckets: [bucket(0)] }))
      .toBe("OFPGMFC_INVALID_GROUP");
    expect(refused({ group: 2, buckets: [bucket(0), bucket(0)] })).toBe("OFPGMFC_BAD_BUCKET");
    const selection = { method: "hash", parameter: 0n, fields: [] };
    expect(refused({ group: 2, selection })).toBe("OFPBPC_BAD_VALUE");
    expect(refused({ group: 2, groupType: "select", selection: { ...selection, method: "x" } }))
      .toBe("OFPBPC_BAD_VALUE");
    expect(refused({ command: "delete", group: 77 })).toBe("none");
  });

  test("deleting all groups deletes the flows that use them, and tells why", () => {
    const { tables, apply } = fresh();
    apply({ group: 1 });
    apply({ group: 2 });
    tables.apply(flowMod({ priority: 1, actions: [group(1)] }));
    tables.apply(flowMod({ priority: 2, actions: [out(1)] }));
    tables.apply(flowMod({
      priority: 3,
      actions: [{ type: "write_actions", actions: [group(2)] }],
    }));
    expect(tables.groups.references(2)).toBe(1);
    const reasons: unknown[] = [];
    tables.listen((changes) => {
      for (const change of changes) if (change.event === "removed") reasons.push(change.reason);
    });
    tables.groups.apply(mod({ command: "delete", group: GROUP_ALL }));
    expect(reasons).toEqual(["group_delete", "group_delete"]);
    expect([...tables.select(ALL)].map(({ priority }) => priority)).toEqual([2]);
  });

  test("flows name groups that exist", () => {
    const { tables } = fresh();
    expect(() => tables.apply(flowMod({ actions: [group(1)] }))).toThrow("there is no group 1");
  });
});

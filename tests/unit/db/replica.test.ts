import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openReplica, type Replica, type RowChange } from "../../../src/db/replica.ts";
import { connectSession } from "../../../src/db/rpc/client.ts";
import { type DatabaseService, startDatabaseService } from "../../../src/db/service.ts";
import type { Json } from "../../../src/db/json.ts";
import { openVSwitchSchema } from "../../../src/db/schema/openvswitch.ts";
import type { OvsdbSession } from "../../../src/db/session.ts";
import { quietLogger } from "./fixture.ts";

const tables = ["Open_vSwitch", "Bridge", "Port", "Interface", "Mirror"] as const;
const logger = quietLogger();

describe.each(["in process", "over a socket"])("a replica %s", (how) => {
  let dir: string;
  let service: DatabaseService;
  let session: OvsdbSession;
  let replica: Replica;
  let root: string;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "solovs-db-replica-"));
    const socket = `${dir}/db.sock`;
    service = startDatabaseService({
      dbFile: `${dir}/conf.sqlite`,
      sockets: [`punix:${socket}`],
      logger,
    });
    session = how === "in process"
      ? service.openSession("test")
      : await connectSession(`unix:${socket}`, { who: "test", logger });
    replica = await openReplica(session, tables);
    [root = ""] = replica.rows("Open_vSwitch").keys();
  });

  afterEach(() => {
    replica.close();
    session.close();
    service.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const addBridge = async (name: string): Promise<string> => {
    let bridge = "";
    await replica.transact((txn) => {
      const iface = txn.insert("Interface", { name, type: "internal" });
      const port = txn.insert("Port", { name, interfaces: [iface], tag: 7, trunks: [3, 1, 2] });
      bridge = txn.insert("Bridge", {
        name,
        ports: [port],
        fail_mode: "secure",
        other_config: new Map([["a", "1"], ["b", "2"]]),
      });
      txn.mutate("Open_vSwitch", root, "bridges", "insert", [bridge]);
    });
    return bridge;
  };

  test("shows what was written, typed, when the transaction resolves", async () => {
    const bridge = await addBridge("br0");
    const row = replica.rows("Bridge").get(bridge);
    expect(row).toMatchObject({ name: "br0", fail_mode: "secure", datapath_id: undefined });
    expect(row?.other_config).toEqual(new Map([["a", "1"], ["b", "2"]]));
    const port = replica.rows("Port").get(row?.ports[0] ?? "");
    expect([port?.tag, port?.trunks, port?.vlan_mode]).toEqual([7, [1, 2, 3], undefined]);
    expect(replica.rows("Open_vSwitch").get(root)?.bridges).toEqual([bridge]);
  });

  test("tells one list of changes for each transaction, once all of it is visible", async () => {
    const seen: (readonly RowChange[])[] = [];
    replica.onChange((changes) => {
      seen.push(changes);
      expect(replica.rows("Interface").size).toBe(1);
    });
    await addBridge("br0");
    expect(seen.length).toBe(1);
    expect(seen[0]?.map(({ table, old, new: now }) => `${table} ${!!old} ${!!now}`).sort()).toEqual(
      [
        "Bridge false true",
        "Interface false true",
        "Open_vSwitch true true",
        "Port false true",
      ],
    );
  });

  test("updates, mutates, deletes; what did not change stays the same object", async () => {
    const bridge = await addBridge("br0");
    const before = replica.rows("Bridge").get(bridge);
    await replica.transact((txn) => {
      txn.mutate("Bridge", bridge, "other_config", "delete", ["a"]);
      txn.mutate("Bridge", bridge, "other_config", "insert", new Map([["c", "3"]]));
      txn.update("Bridge", bridge, { fail_mode: undefined, datapath_id: "00" });
      txn.mutate("Open_vSwitch", root, "next_cfg", "+=", 2);
    });
    const after = replica.rows("Bridge").get(bridge);
    expect(after?.other_config).toEqual(new Map([["b", "2"], ["c", "3"]]));
    expect([after?.fail_mode, after?.datapath_id]).toEqual([undefined, "00"]);
    expect(after?.ports).toBe(before?.ports as readonly string[]);
    expect(replica.rows("Open_vSwitch").get(root)?.next_cfg).toBe(2);
    await replica.transact((txn) =>
      txn.mutate("Open_vSwitch", root, "bridges", "delete", [bridge])
    );
    expect([replica.rows("Bridge").size, replica.rows("Interface").size]).toEqual([0, 0]);
  });

  test("a refused transaction rejects and changes nothing", async () => {
    await addBridge("br0");
    await expect(addBridge("br0")).rejects.toMatchObject({ tag: "constraint violation" });
    expect(replica.rows("Bridge").size).toBe(1);
    const verify = replica.transact((txn) => {
      txn.verify("Open_vSwitch", root, { cur_cfg: 99 });
      txn.update("Open_vSwitch", root, { cur_cfg: 100 });
    });
    await expect(verify).rejects.toMatchObject({ tag: "timed out" });
    await expect(replica.transact((txn) => txn.update("Open_vSwitch", root, { cur_cfg: 1.5 })))
      .rejects.toThrow("cur_cfg: expected integer, not 1.5");
    expect(replica.rows("Open_vSwitch").get(root)?.cur_cfg).toBe(0);
  });

  test("a listener that throws stops no other, and the replica goes on", async () => {
    let heard = 0;
    replica.onChange(() => {
      throw new Error("broken listener");
    });
    const stop = replica.onChange(() => heard++);
    await addBridge("br0");
    await addBridge("br1");
    stop();
    await addBridge("br2");
    expect([heard, replica.rows("Bridge").size]).toEqual([2, 3]);
  });

  test("a weak reference disappears from the replica too", async () => {
    const bridge = await addBridge("br0");
    const [port = ""] = replica.rows("Port").keys();
    let mirror = "";
    await replica.transact((txn) => {
      mirror = txn.insert("Mirror", { name: "m", output_port: port, select_src_port: [port] });
      txn.update("Bridge", bridge, { mirrors: [mirror] });
    });
    expect(replica.rows("Mirror").get(mirror)?.output_port).toBe(port);
    await replica.transact((txn) => txn.update("Bridge", bridge, { ports: [] }));
    expect(replica.rows("Mirror").get(mirror)).toMatchObject({
      output_port: undefined,
      select_src_port: [],
    });
  });
});

test("an update that overtakes the content is applied after it", async () => {
  const uuid = "11111111-1111-4111-8111-111111111111";
  let notify: (method: string, params: readonly Json[]) => void = () => {};
  const session: OvsdbSession = {
    who: "test",
    notify: () => {},
    request: (method, params) => {
      if (method === "get_schema") return Promise.resolve(openVSwitchSchema);
      const id = params[1] as Json;
      // In one chunk with the reply: seen before the awaiting side goes on.
      notify("update2", [id, { Open_vSwitch: { [uuid]: { modify: { cur_cfg: 2 } } } }]);
      return Promise.resolve({ Open_vSwitch: { [uuid]: { initial: { cur_cfg: 1 } } } });
    },
    onNotification: (listener) => {
      notify = listener;
      return () => {};
    },
    onClose: () => () => {},
    close: () => {},
  };
  const early = await openReplica(session, ["Open_vSwitch"]);
  expect(early.rows("Open_vSwitch").get(uuid)?.cur_cfg).toBe(2);
});

/** A replica that outlives its server, over sockets to real ones. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RowChange } from "../../../src/db/replica.ts";
import {
  followRemote,
  type RemoteReplica,
  type RemoteReplicaOptions,
} from "../../../src/db/remote-replica.ts";
import { type DatabaseService, startDatabaseService } from "../../../src/db/service.ts";
import { eventually } from "../../support/eventually.ts";
import { quietLogger } from "./fixture.ts";

const logger = quietLogger();

describe("a replica of a remote database", () => {
  let dir: string;
  let service: DatabaseService;
  let opened: RemoteReplica[] = [];

  const serve = (): DatabaseService =>
    startDatabaseService({
      dbFile: `${dir}/conf.sqlite`,
      sockets: [`punix:${dir}/db.sock`],
      logger,
    });
  const follow = (more: Partial<RemoteReplicaOptions> = {}): RemoteReplica => {
    const remote = `unix:${dir}/db.sock`;
    const tables = ["Open_vSwitch", "Bridge", "Port", "Interface"] as const;
    const replica = followRemote({ remote, who: "test", tables, logger, ...more });
    opened.push(replica);
    return replica;
  };
  const names = (replica: RemoteReplica): string[] =>
    [...replica.rows("Bridge").values()].map(({ name }) => name).sort();
  const addBridge = (replica: RemoteReplica, name: string): Promise<void> =>
    replica.transact((txn) => {
      const [root = ""] = replica.rows("Open_vSwitch").keys();
      const bridge = txn.insert("Bridge", { name });
      txn.mutate("Open_vSwitch", root, "bridges", "insert", [bridge]);
    });

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-remote-replica-"));
    service = serve();
  });
  afterEach(() => {
    for (const replica of opened) replica.close();
    opened = [];
    service.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test("follows, and sees what it has committed", async () => {
    const replica = follow();
    await replica.ready;
    await addBridge(replica, "br0");
    expect(names(replica)).toEqual(["br0"]);
  });

  test("keeps its rows while the server is away, and then tells what has changed meanwhile", async () => {
    const replica = follow();
    await replica.ready;
    await addBridge(replica, "gone");
    await addBridge(replica, "stays");
    const changes: RowChange[] = [];
    replica.onChange((some) => changes.push(...some));
    service.close();
    await eventually("the loss is noticed", async () => {
      const refused = await addBridge(replica, "never").then(() => undefined, (error) => error.tag);
      return refused === "connection closed";
    });
    expect(names(replica)).toEqual(["gone", "stays"]);
    expect(changes).toEqual([]);

    service = serve();
    const other = follow();
    await other.ready;
    const [root = ""] = other.rows("Open_vSwitch").keys();
    const [gone] = [...other.rows("Bridge").values()].filter(({ name }) => name === "gone");
    await other.transact((txn) =>
      txn.mutate("Open_vSwitch", root, "bridges", "delete", [gone!._uuid])
    );
    await eventually("it has caught up", () => names(replica).join() === "stays", {
      timeoutMs: 20_000,
    });
    const bridges = changes.filter(({ table, new: now }) => table === "Bridge" && !now);
    expect(bridges.map(({ old }) => (old as { name?: string }).name)).toEqual(["gone"]);
    await addBridge(replica, "new");
    expect(names(replica)).toEqual(["new", "stays"]);
  });

  test("sees nothing until it holds the lock, and nothing again once it is stolen", async () => {
    let contended = 0;
    const first = follow({ lock: "one" });
    await first.ready;
    await addBridge(first, "br0");
    const second = follow({ lock: "one", contended: () => contended++ });
    await eventually("the second waits", () => contended === 1);
    expect(names(second)).toEqual([]);
    const seen: RowChange[] = [];
    second.onChange((changes) => seen.push(...changes));
    expect(await addBridge(second, "br1").then(() => "done", (error) => error.tag)).toBe(
      "connection closed",
    );
    first.close();
    await second.ready;
    expect(names(second)).toEqual(["br0"]);
    expect(seen.some(({ table, old, new: now }) => table === "Bridge" && !old && now)).toBe(true);
  });

  test.each([
    [["monitor_cond_since"], "monitor_cond"],
    [["monitor_cond_since", "monitor_cond"], "monitor"],
  ])("an older server, without %p, will do", async (missing) => {
    const { createSession } = service.server;
    service.server.createSession = (options) => {
      const session = createSession.call(service.server, options);
      const { request } = session;
      session.request = (method, params, id, reply) =>
        missing.includes(method)
          ? reply({ error: "unknown method" })
          : request.call(session, method, params, id, reply);
      return session;
    };
    const replica = follow();
    await replica.ready;
    await addBridge(replica, "br0");
    await eventually("it is seen", () => names(replica).join() === "br0");
    const [uuid = ""] = replica.rows("Bridge").keys();
    await replica.transact((txn) => txn.update("Bridge", uuid, { fail_mode: "secure" }));
    await eventually(
      "the change is seen",
      () => replica.rows("Bridge").get(uuid)?.fail_mode === "secure",
    );
    const [root = ""] = replica.rows("Open_vSwitch").keys();
    await replica.transact((txn) => txn.update("Open_vSwitch", root, { bridges: [] }));
    await eventually("it is gone", () => names(replica).length === 0);
  });
});

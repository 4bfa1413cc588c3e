/** Configuration over the API: rows of any table, bridges, ports, batches; and what becomes of them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Commit } from "../../../src/db/commit.ts";
import { actAsSwitch, type AskOptions, Bench, type Reply } from "./source.ts";

let bench: Bench;
let stop: () => void;
let commits: Commit[];
beforeEach(async () => {
  bench = await Bench.open();
  stop = actAsSwitch(bench);
  commits = [];
  bench.database.onCommit((commit) => {
    if (commit.who.startsWith("http:")) commits.push(commit);
  });
});
afterEach(() => {
  stop();
  bench.close();
});

const ask = (method: string, path: string, body?: unknown, options: AskOptions = {}) =>
  bench.ask(method, `/api/v1${path}`, { as: "operator", body, ...options });

async function must(method: string, path: string, body?: unknown, options = {}): Promise<Reply> {
  const reply = await ask(method, path, body, options);
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
  return reply;
}

/** Everything that the database holds, but for counters of changes. */
function content(): string {
  const rows = [...bench.database.storedRows()].map(({ table, uuid, columns }) => {
    const { next_cfg: _, cur_cfg: __, ...others } = columns as Record<string, unknown>;
    return [table, uuid, others];
  });
  return JSON.stringify(rows.sort());
}

const names = (table: string): Promise<unknown[]> =>
  must("GET", `/tables/${table}`).then(({ json }) =>
    json.rows.map((r: { name: string }) => r.name)
  );

describe("bridges and ports", () => {
  test("a bridge comes with its internal port", async () => {
    const made = await must("POST", "/bridges", { name: "br0", fail_mode: "secure" });
    expect(made.headers.get("location")).toBe("/api/v1/bridges/br0");
    expect(made.json.row).toMatchObject({ name: "br0", fail_mode: "secure" });
    expect(made.json.outcome).toEqual({ inForce: true, nextCfg: 1, curCfg: 1, errors: [] });
    const port = await must("GET", "/bridges/br0/ports/br0");
    expect(port.json.interfaces).toMatchObject([{ name: "br0", type: "internal", ofport: 1 }]);
    await must("DELETE", "/bridges/br0");
    expect(await names("Interface")).toEqual([]);
  });

  test("the history knows who it was", async () => {
    await must("POST", "/bridges", { name: "br0" }, { address: "192.0.2.5" });
    const [commit] = commits;
    expect(commit!.author).toEqual({ who: "http:192.0.2.5", user: "operator" });
    expect(commit!.comment).toBe("http: add Bridge br0; add Interface br0; add Port br0");
  });

  test("a port with columns of its interface; changed; removed", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const body = { name: "in1", tag: 5, type: "internal", ofport_request: 7 };
    const made = await must("POST", "/bridges/br0/ports", body);
    expect(made.json.row).toMatchObject({ name: "in1", tag: 5, trunks: [] });
    const change = { tag: null, trunks: [1, 2], ofport_request: null, options: { peer: "x" } };
    await must("PATCH", "/bridges/br0/ports/in1", change);
    const { json } = await must("GET", "/bridges/br0/ports/in1");
    expect(json).toMatchObject({ tag: null, trunks: [1, 2] });
    expect(json.interfaces).toMatchObject([{ ofport_request: null, options: { peer: "x" } }]);
    await must("DELETE", "/bridges/br0/ports/in1");
    expect(await names("Port")).toEqual(["br0"]);
  });

  test("several interfaces are given as a list", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const interfaces = [{ name: "a" }, { name: "b" }];
    await must("POST", "/bridges/br0/ports", { name: "bond0", interfaces });
    expect((await ask("PATCH", "/bridges/br0/ports/bond0", { type: "x" })).status).toBe(409);
    const wrong = { name: "bond1", type: "x", interfaces };
    expect((await ask("POST", "/bridges/br0/ports", wrong)).status).toBe(400);
  });

  test("a port that cannot be set up is in the outcome, with the reason", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const { json } = await must("POST", "/bridges/br0/ports", { name: "gone0" });
    expect(json.outcome).toMatchObject({
      inForce: true,
      errors: [{ interface: "gone0", error: "could not open network device gone0" }],
    });
    expect(await names("Port")).toEqual(["br0", "gone0"]);
    const other = await must("POST", "/bridges/br0/ports", { name: "p1" });
    expect(other.json.outcome.errors).toEqual([]);
  });

  test("… and with atomic it is undone, and nothing else is", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const before = content();
    const refused = await ask("POST", "/bridges/br0/ports?atomic=true", { name: "gone0", tag: 3 });
    expect(refused.status).toBe(422);
    expect(refused.json).toMatchObject({
      undone: true,
      errors: [{ interface: "gone0", error: "could not open network device gone0" }],
    });
    expect(content()).toBe(before);
    expect((await must("POST", "/bridges/br0/ports?atomic=true", { name: "p1" })).status).toBe(201);
  });

  test("undoing leaves what others did in the meantime", async () => {
    await must("POST", "/bridges", { name: "br0", external_ids: { a: "1" } });
    stop();
    const path = "/bridges/br0?atomic=true&wait=1";
    const slow = ask("PATCH", path, { external_ids: { a: "2", b: "3" }, fail_mode: "secure" });
    await Bun.sleep(50);
    await must("PATCH", "/bridges/br0?wait=0", { external_ids: { c: "4" } });
    expect((await slow).status).toBe(422);
    const { json } = await must("GET", "/tables/Bridge/br0");
    expect(json).toMatchObject({ external_ids: { a: "1", c: "4" }, fail_mode: null });
  });

  test("… and says so if they changed the same", async () => {
    await must("POST", "/bridges", { name: "br0" });
    stop();
    const slow = ask("PATCH", "/bridges/br0?atomic=true&wait=1", { fail_mode: "secure" });
    await Bun.sleep(50);
    await must("PATCH", "/bridges/br0?wait=0", { fail_mode: "standalone" });
    const reply = await slow;
    expect(reply.status).toBe(409);
    expect(reply.json.undone).toBe(false);
    expect((await must("GET", "/tables/Bridge/br0")).json.fail_mode).toBe("standalone");
  });

  test("a switch that does not act is waited for no longer than asked", async () => {
    stop();
    const { json } = await must("POST", "/bridges?wait=0", { name: "br0" });
    expect(json.outcome).toEqual({ inForce: false, nextCfg: 1, curCfg: 0, errors: [] });
  });
});

describe("rows", () => {
  test("lists: filters, order, pages, columns", async () => {
    for (const [i, name] of ["c", "a", "b"].entries()) {
      await must("POST", "/bridges", { name, external_ids: { n: `${i % 2}` } });
    }
    expect(await names("bridge")).toEqual(["a", "b", "c"]);
    const list = async (query: string) => (await must("GET", `/tables/Bridge?${query}`)).json;
    expect((await list("sort=-name")).rows.map((r: { name: string }) => r.name))
      .toEqual(["c", "b", "a"]);
    const page = await list("limit=1&offset=1&columns=name");
    expect(page).toMatchObject({ rows: [{ name: "b" }], total: 3, offset: 1 });
    expect(Object.keys(page.rows[0])).toEqual(["_uuid", "name"]);
    expect((await list("name=a")).total).toBe(1);
    expect((await list("external_ids:n=0")).total).toBe(2);
    expect((await list("fail_mode=")).total).toBe(3);
    expect((await list("name=nosuch")).rows).toEqual([]);
    for (
      const query of [
        "nosuch=1",
        "sort=nosuch",
        "limit=9999",
        "columns=x",
        "name:k=v",
        "_version=x",
      ]
    ) {
      expect((await ask("GET", `/tables/Bridge?${query}`)).status).toBe(400);
    }
    expect((await ask("GET", "/tables/nosuch")).status).toBe(404);
  });

  test("made in a place, found by name, removed", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const target = "tcp:127.0.0.1:6653";
    const noPlace = await ask("POST", "/tables/Controller", { target });
    expect(noPlace.status).toBe(400);
    expect(noPlace.json.detail).toContain("Bridge/ROW/controller");
    const made = await must("POST", "/tables/Controller?place=Bridge/br0/controller", { target });
    const { _uuid } = made.json.row;
    expect((await must("GET", "/tables/Bridge/br0")).json.controller).toEqual([_uuid]);
    const id = encodeURIComponent(target);
    await must("PATCH", `/tables/Controller/${id}`, { max_backoff: 2000 });
    expect((await must("GET", `/tables/Controller/${_uuid}`)).json.max_backoff).toBe(2000);
    await must("DELETE", `/tables/Controller/${id}`);
    expect((await must("GET", "/tables/Controller")).json.total).toBe(0);
    await must("POST", "/tables/Manager", { target: "ptcp:6640" });
    expect((await must("GET", "/tables/Open_vSwitch/Open_vSwitch")).json.manager_options)
      .toHaveLength(1);
  });

  test("QoS with queues in one batch; not removable while it is used", async () => {
    await must("POST", "/bridges", { name: "br0" });
    const { json } = await must("POST", "/batch", {
      operations: [
        { op: "create", table: "QoS", as: "q", values: { type: "linux-htb" } },
        {
          op: "create",
          table: "Queue",
          as: "q0",
          values: { other_config: { "max-rate": "1000" } },
          place: "QoS/@q/queues/0",
        },
        { op: "change", table: "Port", row: "br0", values: { qos: "@q" } },
      ],
    });
    const [qos, queue] = json.results;
    expect((await must("GET", `/tables/QoS/${qos.uuid}`)).json.queues).toEqual({ "0": queue.uuid });
    expect((await ask("DELETE", `/tables/QoS/${qos.uuid}`)).status).toBe(409);
    await must("PATCH", "/bridges/br0/ports/br0", { qos: null });
    await must("DELETE", `/tables/QoS/${qos.uuid}`);
  });

  test("a merge patch of a map; integers beyond 2^53 keep their digits", async () => {
    await must("POST", "/bridges", { name: "br0", other_config: { a: "1", b: "2" } });
    const { json } = await must("PATCH", "/bridges/br0", {
      other_config: { a: null, b: "3", c: "" },
    });
    expect(json.row.other_config).toEqual({ b: "3", c: "" });
    expect((await must("PATCH", "/bridges/br0", { other_config: null })).json.row.other_config)
      .toEqual({});
    const big = await must("PATCH", "/bridges/br0", { external_ids: { n: "9223372036854775807" } });
    expect(big.json.row.external_ids.n).toBe("9223372036854775807");
  });

  test("If-Match keeps one from overwriting what another did", async () => {
    const made = await must("POST", "/bridges", { name: "br0" });
    const tag = made.headers.get("etag")!;
    const headers = { "if-match": tag };
    const first = await ask("PATCH", "/bridges/br0", { fail_mode: "secure" }, { headers });
    expect(first.status).toBe(200);
    const before = content();
    const late = await ask("PATCH", "/bridges/br0", { fail_mode: "standalone" }, { headers });
    expect(late.status).toBe(412);
    expect(late.headers.get("etag")).toBe(first.headers.get("etag"));
    expect((await ask("DELETE", "/bridges/br0", undefined, { headers })).status).toBe(412);
    const operations = [{ op: "remove", table: "Bridge", row: "br0", ifMatch: tag }];
    expect((await ask("POST", "/batch", { operations })).status).toBe(412);
    expect(content()).toBe(before);
    const read = await must("GET", "/tables/Bridge/br0");
    expect(read.headers.get("etag")).toBe(first.headers.get("etag"));
    const current = { headers: { "if-match": `"x", ${read.headers.get("etag")}` } };
    expect((await ask("DELETE", "/tables/Bridge/br0", undefined, current)).status).toBe(200);
  });

  test("the description of tables", async () => {
    const { json } = await must("GET", "/tables");
    const bridge = json.tables.find((table: { name: string }) => table.name === "Bridge");
    const column = (name: string) => bridge.columns.find((c: { name: string }) => c.name === name);
    expect(column("fail_mode")).toMatchObject({
      choices: ["secure", "standalone"],
      optional: true,
    });
    expect(column("ports")).toMatchObject({ refersTo: "Port" });
    expect(column("datapath_id")).toMatchObject({ writable: false });
  });
});

describe("what is wrong is refused, and nothing changes", () => {
  const deep = `{"name":"brx","external_ids":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`;
  test.each<[string, string, unknown, number]>([
    ["POST", "/bridges", {}, 400],
    ["POST", "/bridges", { name: "" }, 400],
    ["POST", "/bridges", { name: "a/b" }, 400],
    ["POST", "/bridges", { name: "x".repeat(16) }, 400],
    ["POST", "/bridges", { name: "br0" }, 409],
    ["POST", "/bridges", { name: "brx", nosuch: 1 }, 400],
    ["POST", "/bridges", { name: "brx", fail_mode: "open" }, 400],
    ["POST", "/bridges", { name: "brx", fail_mode: 5 }, 400],
    ["POST", "/bridges", { name: "brx", external_ids: [] }, 400],
    ["POST", "/bridges", { name: "brx", external_ids: { a: 1 } }, 400],
    ["POST", "/bridges", { name: "brx", datapath_id: "1" }, 400],
    ["POST", "/bridges", { name: "brx", _uuid: crypto.randomUUID() }, 400],
    ["POST", "/bridges", '{"name":"brx","__proto__":{"fail_mode":"secure"}}', 400],
    ["POST", "/bridges", { name: "brx", ports: [crypto.randomUUID()] }, 409],
    ["POST", "/bridges", { name: "brx", ports: ["../../x"] }, 400],
    ["POST", "/bridges", { name: "brx", flood_vlans: [4096] }, 400],
    ["POST", "/bridges", { name: "brx", flood_vlans: [1, 1] }, 400],
    ["POST", "/bridges", { name: "brx", flood_vlans: [1.5] }, 400],
    ["POST", "/bridges", deep, 400],
    ["POST", "/bridges?wait=-1", { name: "brx" }, 400],
    ["POST", "/bridges?wait=61", { name: "brx" }, 400],
    ["POST", "/bridges?atomic=yes", { name: "brx" }, 400],
    ["POST", "/bridges?x=1", { name: "brx" }, 400],
    ["POST", "/bridges/nosuch/ports", { name: "p" }, 404],
    ["POST", "/bridges/br0/ports", { name: "br0" }, 409],
    ["POST", "/bridges/br0/ports", { name: "p", tag: "5" }, 400],
    ["POST", "/bridges/br0/ports", { name: "p", tag: 4096 }, 400],
    ["POST", "/bridges/br0/ports", { name: "p", interfaces: [] }, 400],
    ["POST", "/bridges/br0/ports", { name: "p", interfaces: ["x"] }, 400],
    ["PATCH", "/bridges/br0", { name: "br1" }, 409],
    ["PATCH", "/bridges/br0/ports/nosuch", {}, 404],
    ["PATCH", "/bridges/br0/ports/br0", { error: "x" }, 400],
    ["DELETE", "/bridges/nosuch", undefined, 404],
    ["DELETE", "/bridges/br0", { x: 1 }, 400],
    ["DELETE", "/tables/Open_vSwitch/Open_vSwitch", undefined, 409],
    ["POST", "/tables/Open_vSwitch", {}, 409],
    ["PATCH", "/tables/Open_vSwitch/Open_vSwitch", { cur_cfg: 99 }, 400],
    ["PATCH", "/tables/Open_vSwitch/Open_vSwitch", { bridges: ["@x"] }, 400],
    ["POST", "/tables/Controller?place=Bridge/br0/ports", { target: "tcp:1.1.1.1" }, 400],
    ["POST", "/tables/Controller?place=Bridge/br0", { target: "tcp:1.1.1.1" }, 400],
    ["POST", "/tables/Controller?place=Bridge/nosuch/controller", { target: "tcp:1.1.1.1" }, 404],
    ["POST", "/batch", { operations: [] }, 400],
    ["POST", "/batch", { operations: [{ op: "drop", table: "Bridge" }] }, 400],
    ["POST", "/batch", { operations: [{ op: "create", table: "Port", as: "p", values: {} }] }, 400],
    ["POST", "/batch", {
      operations: [
        { op: "create", table: "Bridge", values: { name: "brx" } },
        { op: "remove", table: "Bridge", row: "nosuch" },
      ],
    }, 400],
    ["POST", "/batch", {
      operations: [
        { op: "create", table: "Bridge", values: { name: "brx" } },
        { op: "create", table: "Bridge", values: { name: "brx" } },
      ],
    }, 409],
  ])("%s %s %j: %i", async (method, path, body, status) => {
    await must("POST", "/bridges", { name: "br0" });
    const before = content();
    const count = commits.length;
    const reply = await ask(method, path, body);
    expect(`${reply.status} ${reply.json?.detail}`).toStartWith(`${status} `);
    expect(reply.headers.get("content-type")).toBe("application/problem+json");
    expect(content()).toBe(before);
    expect(commits.length).toBe(count);
  });
});

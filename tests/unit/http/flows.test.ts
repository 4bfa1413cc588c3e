/** Flows over the API of a whole daemon without devices. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { flowsSchema } from "../../../src/http/routes/flows.ts";
import { TestDaemon } from "./daemon.ts";

let it: TestDaemon;
beforeAll(async () => {
  it = await TestDaemon.start();
  expect((await it.ask("POST", "/bridges", { name: "br0", fail_mode: "secure" })).status).toBe(201);
}, 20_000);
afterAll(() => it.stop(), 20_000);
afterEach(() => it.ask("DELETE", "/bridges/br0/flows?all=true"));

const path = "/bridges/br0/flows";
const text = async (filter = ""): Promise<string[]> => {
  const query = `?filter=${encodeURIComponent(filter)}`;
  const { text } = await it.ask("GET", path + query, undefined, { accept: "text/plain" });
  const [head, ...lines] = text.split("\n").filter(Boolean);
  expect(head).toBe("NXST_FLOW reply (xid=0x4):");
  return lines.map((line) =>
    line.replace(/duration=[\d.]+s/, "duration=T").replace(/idle_age=\d+, /, "")
  );
};
const add = (body: unknown, headers = {}) => it.ask("POST", path, body, headers);

test("as curl -d sends them: ovs-ofctl's text as a form", async () => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const reply = await add("priority=100,in_port=1,actions=output:2", headers);
  expect(reply.status).toBe(201);
  expect(reply.json).toEqual({ flows: 1 });
  expect(await text()).toEqual([
    " cookie=0x0, duration=T, table=0, n_packets=0, n_bytes=0, " +
    "priority=100,in_port=1 actions=output:2",
  ]);
});

test("several lines, with comments", async () => {
  const lines =
    "# two flows\npriority=2,tcp,tp_dst=80,actions=drop # no web\n\ntable=1,actions=1\n";
  expect((await add(lines)).json).toEqual({ flows: 2 });
  expect(await text("table=1")).toHaveLength(1);
});

test("as JSON, match as text or object", async () => {
  const flow = {
    table: 2,
    priority: 7,
    cookie: "0xfeedfacecafebeef",
    match: { tcp: true, nw_src: "10.0.0.0/8", tp_dst: 443 },
    actions: "output:2,controller",
    idleTimeout: 30,
    flags: ["send_flow_rem"],
  };
  expect((await add(flow)).status).toBe(201);
  expect((await add({ flows: [{ match: "arp", actions: "normal" }] })).status).toBe(201);
  const { json } = await it.ask("GET", `${path}?sort=-priority`);
  const { flows } = flowsSchema.parse(json);
  expect(flows[1]).toMatchObject({
    table: 2,
    priority: 7,
    cookie: "0xfeedfacecafebeef",
    match: "tcp,nw_src=10.0.0.0/8,tp_dst=443",
    actions: "output:2,CONTROLLER:65535",
    idleTimeout: 30,
    flags: ["send_flow_rem"],
    packets: 0,
  });
  expect(flows[0]).toMatchObject({ match: "arp", actions: "NORMAL", priority: 32768 });
});

test("changed and removed, loosely and strictly", async () => {
  await add("priority=1,tcp,actions=1\npriority=2,tcp,tp_dst=80,actions=1\nudp,actions=1");
  await it.ask("PATCH", path, "tcp,actions=2");
  await it.ask("PATCH", `${path}?strict=true`, "priority=1,tcp,actions=3");
  const actions = async () => (await text()).map((line) => line.replace(/.*priority=/, "")).sort();
  expect(await actions()).toEqual([
    "1,tcp actions=output:3",
    "2,tcp,tp_dst=80 actions=output:2",
    " cookie=0x0, duration=T, table=0, n_packets=0, n_bytes=0, udp actions=output:1",
  ].sort());
  await it.ask("DELETE", `${path}?strict=true&filter=priority=1,tcp`);
  expect(await text()).toHaveLength(2);
  await it.ask("DELETE", `${path}?filter=tcp`);
  expect(await text()).toHaveLength(1);
});

describe("what is wrong is refused, and nothing changes", () => {
  test.each<[string, unknown, number, string]>([
    ["POST", "nonsense", 400, "flow 1"],
    ["POST", "", 400, "no flow"],
    ["POST", "# nothing", 400, "no flow"],
    ["POST", "priority=1,actions=1\npriority=2,actions=nosuch", 400, "flow 2"],
    ["POST", "tcp,nw_src=1.2.3.4/99,actions=1", 400, "flow 1"],
    ["POST", "tp_dst=80,actions=1", 400, "flow 1"],
    ["POST", "table=254,actions=1", 400, "flow 1"],
    ["POST", "table=1,actions=1\ntable=255,tcp,actions=group:7", 400, "flow 2"],
    ["POST", { actions: "1", nosuch: 1 }, 400, ""],
    ["POST", { match: "tcp,actions=drop", actions: "1" }, 400, ""],
    ["POST", { match: { nw_src: "1.1.1.1,actions=drop" }, actions: "1" }, 400, ""],
    ["POST", { match: { "tcp,actions": "drop" }, actions: "1" }, 400, ""],
    ["POST", { priority: 65536, actions: "1" }, 400, ""],
    ["POST", { table: 254, actions: "1" }, 400, ""],
    ["POST", { flows: [] }, 400, ""],
    ["POST", "actions=1\n".repeat(5001), 413, "5000"],
    ["POST", "x".repeat(1 << 21), 413, "larger"],
    ["PATCH", "tcp", 400, "action"],
    ["DELETE", undefined, 400, "all=true"],
  ])("%s %p: %i", async (method, body, status, detail) => {
    await add("cookie=0x5,actions=1");
    const before = await text();
    const reply = await it.ask(method, path, body);
    expect(`${reply.status} ${reply.json?.detail}`).toStartWith(`${status} `);
    expect(reply.type).toBe("application/problem+json");
    expect(reply.json.detail).toContain(detail);
    expect(await text()).toEqual(before);
  });

  test.each(["filter=nosuch=1", "filter=table=999", "sort=cookie", "limit=x", "nosuch=1"])(
    "GET ?%s",
    async (query) => {
      expect((await it.ask("GET", `${path}?${query}`)).status).toBe(400);
    },
  );

  test("of a bridge that is not there", async () => {
    for (const what of ["flows", "macs", "connections"]) {
      expect((await it.ask("GET", `/bridges/nosuch/${what}`)).status).toBe(404);
    }
    expect((await it.ask("POST", "/bridges/nosuch/flows", "actions=1")).status).toBe(404);
    expect((await it.ask("GET", "/datapath/flows?bridge=nosuch")).status).toBe(404);
  });
});

test("what else can be seen", async () => {
  const macs = await it.ask("GET", "/bridges/br0/macs", undefined, { accept: "text/plain" });
  expect(macs.text).toStartWith(" port  VLAN  MAC                Age\n");
  expect((await it.ask("GET", "/bridges/br0/macs")).json).toMatchObject({ macs: [], total: 0 });
  expect((await it.ask("GET", "/bridges/br0/connections")).json).toMatchObject({ connections: [] });
  expect((await it.ask("GET", "/datapath/flows")).json).toEqual({ flows: [], total: 0 });
  expect((await it.ask("GET", "/counters")).json.counters).toBeObject();
  expect((await it.ask("GET", "/logs/levels")).json.levels.http).toBe("info");
});

test("the audit log says what was added", async () => {
  await add("priority=9,actions=drop");
  const { json } = await it.ask("GET", "/audit?limit=1");
  expect(json.entries[0].detail).toBe("added 1 flow(s) on br0: priority=9,actions=drop");
});

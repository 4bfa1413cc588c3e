/** Operating a whole daemon without devices: groups, meters, history, backups, traces, captures. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../../support/eventually.ts";
import { TestDaemon } from "./daemon.ts";

let it: TestDaemon;
beforeAll(async () => {
  it = await TestDaemon.start();
  expect((await it.ask("POST", "/bridges", { name: "br0" })).status).toBe(201);
}, 20_000);
afterAll(() => it.stop(), 20_000);

describe("groups", () => {
  const path = "/bridges/br0/groups";
  const GROUP = "group_id=1,type=select,bucket=weight=2,output:1,bucket=output:2";

  test("come and go, as JSON and as ovs-ofctl's text", async () => {
    const added = await it.ask("POST", path, GROUP);
    expect([added.status, added.json?.detail]).toEqual([201, undefined]);
    const { json } = await it.ask("GET", path);
    expect(json.groups).toMatchObject([{ group: 1, type: "select", references: 0 }]);
    const { text } = await it.ask("GET", path, undefined, { accept: "text/plain" });
    expect(text).toBe(
      "NXST_GROUP_DESC reply (xid=0x2):\n group_id=1,type=select," +
        "bucket=bucket_id:0,weight:2,actions=output:1,bucket=bucket_id:1,actions=output:2\n",
    );
    expect((await it.ask("PATCH", path, "group_id=1,type=all,bucket=output:1")).status).toBe(200);
    expect((await it.ask("GET", path)).json.groups[0].type).toBe("all");
    expect((await it.ask("DELETE", `${path}?group=1`)).status).toBe(200);
    expect((await it.ask("GET", path)).json.groups).toEqual([]);
  });

  test.each(["group_id=1", "group_id=1,type=nosuch,bucket=output:1", "nonsense"])(
    "%p is refused",
    async (text) => {
      expect((await it.ask("POST", path, text)).status).toBe(400);
      expect((await it.ask("GET", path)).json.groups).toEqual([]);
    },
  );
});

test("meters come and go", async () => {
  const path = "/bridges/br0/meters";
  expect((await it.ask("POST", path, "meter=7,kbps,band=type=drop,rate=1000")).status).toBe(201);
  expect((await it.ask("GET", path)).json.meters).toMatchObject([{ meter: 7, packets: 0 }]);
  const { text } = await it.ask("GET", path, undefined, { accept: "text/plain" });
  expect(text).toContain("meter=7 kbps bands=\ntype=drop rate=1000");
  expect((await it.ask("POST", path, "meter=7,kbps,band=type=drop,rate=1")).status).toBe(400);
  expect((await it.ask("POST", path, "meter=8")).status).toBe(400);
  expect((await it.ask("DELETE", `${path}?meter=7`)).status).toBe(200);
  expect((await it.ask("GET", path)).json.meters).toEqual([]);
});

describe("history", () => {
  test("names who changed what, shows differences, and goes back", async () => {
    const before = (await it.ask("GET", "/history?limit=1")).json.newest;
    const made = await it.ask("POST", "/bridges", { name: "br1" });
    expect(made.status).toBe(201);
    const { json } = await it.ask("GET", "/history?limit=1");
    expect(json.newest).toBe(before + 1);
    expect(json.revisions[0].author).toMatchObject({ user: "root", who: "http:127.0.0.1" });
    const shown = (await it.ask("GET", `/history/${before + 1}`)).json;
    expect(Object.keys(shown.changes)).toContain("Bridge");
    const trial = await it.ask("POST", `/history/${before}/rollback`, { dryRun: true });
    expect(trial.json).toMatchObject({ revision: null });
    expect((await it.ask("GET", "/bridges/br1")).status).toBe(200);
    const back = await it.ask("POST", `/history/${before}/rollback`, {});
    expect(back.json.revision).toBe(before + 2);
    expect((await it.ask("GET", "/tables/Bridge/br1")).status).toBe(404);
    const { changes } = (await it.ask("GET", `/history/${before}/diff`)).json;
    expect(changes).toEqual({});
  });

  test.each(["/history/999999", "/history/x", "/history/999999/diff"])(
    "%s is not there",
    async (path) => expect((await it.ask("GET", path)).status).toBe(404),
  );

  test("changes wait for confirmation, and are taken back", async () => {
    expect((await it.ask("GET", "/confirm")).json.pending).toBe(false);
    const refused = await it.ask("DELETE", "/confirm");
    expect(refused.status).toBe(409);
    expect((await it.ask("POST", "/confirm", { seconds: 600 })).json.pending).toBe(true);
    expect((await it.ask("POST", "/confirm", { seconds: 60 })).status).toBe(409);
    await it.ask("POST", "/bridges", { name: "br2" });
    expect((await it.ask("DELETE", "/confirm")).json.pending).toBe(false);
    expect((await it.ask("GET", "/tables/Bridge/br2")).status).toBe(404);
    await it.ask("POST", "/confirm", { seconds: 600 });
    expect((await it.ask("POST", "/confirm/keep")).json.pending).toBe(false);
    expect((await it.ask("POST", "/confirm", { seconds: 0 })).status).toBe(400);
  });
});

describe("backups", () => {
  test("bring back what was there", async () => {
    const answer = await it.fetch("GET", "/api/v1/backup");
    expect(answer.headers.get("content-disposition")).toMatch(/attachment; filename="solovs-rev/);
    const file = new Uint8Array(await answer.arrayBuffer());
    expect(new TextDecoder().decode(file.subarray(0, 15))).toBe("SQLite format 3");
    await it.ask("POST", "/bridges", { name: "later" });
    const restored = await it.fetch("POST", "/api/v1/restore", { body: file });
    expect(restored.status).toBe(200);
    expect(await restored.json()).toMatchObject({ dropped: [] });
    expect((await it.ask("GET", "/tables/Bridge/later")).status).toBe(404);
    expect((await it.ask("GET", "/tables/Bridge/br0")).status).toBe(200);
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["noise", new Uint8Array(5000).fill(7)],
    ["a cut file", new TextEncoder().encode("SQLite format 3\0 and no more")],
  ])("%s is refused, and nothing changes", async (_, body) => {
    const newest = (await it.ask("GET", "/history?limit=1")).json.newest;
    const answer = await it.fetch("POST", "/api/v1/restore", { body });
    expect(answer.status).toBe(400);
    expect(await answer.text()).not.toContain("/tmp");
    expect((await it.ask("GET", "/history?limit=1")).json.newest).toBe(newest);
  });

  test("one that is too large is refused", async () => {
    const body = new Uint8Array((15 << 20) + 1);
    const answer = await it.fetch("POST", "/api/v1/restore", { body });
    expect(answer.status).toBe(413);
  });
});

describe("traces", () => {
  test("say what would happen, and change nothing", async () => {
    const body = { bridge: "br0", flow: "in_port=LOCAL,icmp" };
    const { status, json } = await it.ask("POST", "/trace", body);
    expect(status).toBe(200);
    expect(json.text).toContain('bridge("br0")');
    const { text } = await it.ask("POST", "/trace", body, { accept: "text/plain" });
    expect(text).toContain("Datapath actions: ");
  });

  test.each([
    { bridge: "nosuch", flow: "ip" },
    { bridge: "br0", flow: "nonsense=1" },
    { bridge: "br0", flow: "--ct-next" },
    { bridge: "--names", flow: "ip" },
    { bridge: "br0", flow: "ip", connectionStates: ["nosuch"] },
    { bridge: "br0", flow: "ip", more: 1 },
  ])("%j is refused", async (body) => {
    expect((await it.ask("POST", "/trace", body)).status).toBe(400);
  });
});

test("tables with a path of their own", async () => {
  expect((await it.ask("GET", "/interfaces?name=br0")).json.rows).toMatchObject([{ name: "br0" }]);
  const target = "ptcp:0:127.0.0.1";
  const made = await it.ask("POST", "/managers", { target });
  expect(made.status).toBe(201);
  const path = `/managers/${encodeURIComponent(target)}`;
  const { headers } = await it.fetch("GET", `/api/v1${path}`);
  const etag = headers.get("etag")!;
  const change = (tag: string) => it.ask("PATCH", path, { max_backoff: 2000 }, { "if-match": tag });
  expect((await change('"old"')).status).toBe(412);
  expect((await change(etag)).status).toBe(200);
  expect((await change(etag)).status).toBe(412);
  expect((await it.ask("DELETE", path)).status).toBe(200);
  expect((await it.ask("GET", path)).status).toBe(404);
});

test.each([
  ["flows", "priority=1,ip,actions=drop", "priority=2,ip,actions=drop"],
  ["groups", "group_id=5,type=all,bucket=output:1", "group_id=5,type=all,bucket=output:2"],
  ["meters", "meter=5,kbps,band=type=drop,rate=1000", "meter=5,kbps,band=type=drop,rate=2000"],
])("%s that somebody else has changed meanwhile are left alone", async (what, text, other) => {
  const path = `/bridges/br0/${what}`;
  const tag = async () => (await it.fetch("GET", `/api/v1${path}`)).headers.get("etag")!;
  const selection = { flows: "?filter=ip", groups: "?group=5", meters: "?meter=5" }[what]!;
  const first = await tag();
  expect(await tag()).toBe(first);
  expect((await it.ask("POST", path, text, { "if-match": '"old"' })).status).toBe(412);
  expect(await tag()).toBe(first);
  expect((await it.ask("POST", path, text, { "if-match": first })).status).toBe(201);
  const second = await tag();
  expect(second).not.toBe(first);
  expect((await it.ask("PATCH", path, other, { "if-match": first })).status).toBe(412);
  expect((await it.ask("DELETE", `${path}${selection}`, undefined, { "if-match": first })).status)
    .toBe(412);
  expect(await tag()).toBe(second);
  expect((await it.ask("PATCH", path, other, { "if-match": second })).status).toBe(200);
  const done = await it.ask("DELETE", `${path}${selection}`, undefined, { "if-match": "*" });
  expect(done.status).toBe(200);
});

test("a user that somebody else has changed meanwhile is left alone", async () => {
  const password = "a password for tests";
  const made = await it.ask("POST", "/users", { name: "eve", role: "reader", password });
  expect(made.status).toBe(201);
  const { headers } = await it.fetch("GET", "/api/v1/users/eve");
  const tag = { "if-match": headers.get("etag")! };
  expect((await it.ask("PATCH", "/users/eve", { role: "operator" }, tag)).status).toBe(200);
  expect((await it.ask("PATCH", "/users/eve", { role: "admin" }, tag)).status).toBe(412);
  expect((await it.ask("DELETE", "/users/eve", undefined, tag)).status).toBe(412);
  expect((await it.ask("GET", "/users/eve")).json.role).toBe("operator");
  expect((await it.ask("DELETE", "/users/eve")).status).toBe(204);
  expect((await it.ask("GET", "/users/eve")).status).toBe(404);
});

test(
  "packets for controllers are told as they come, of a bridge that was made anew too",
  async () => {
    const make = async () => {
      expect((await it.ask("POST", "/bridges", { name: "seen0" })).status).toBe(201);
      const flow = "priority=9,icmp,actions=controller";
      expect((await it.ask("POST", "/bridges/seen0/flows", flow)).status).toBe(201);
    };
    // A traced packet reaches controllers as a real one does.
    const send = async () => {
      const body = { bridge: "seen0", flow: "in_port=LOCAL,icmp" };
      expect((await it.ask("POST", "/trace/packet", body)).status).toBe(200);
    };
    await make();
    const answer = await it.fetch("GET", "/api/v1/bridges/seen0/packet-ins/stream");
    const reader = answer.body!.getReader();
    const decoder = new TextDecoder();
    let text = "";
    const packets = () => [...text.matchAll(/^event: packet-in\ndata: (.*)\n\n/gm)];
    const until = async (found: () => boolean): Promise<void> => {
      while (!found()) text += decoder.decode((await reader.read()).value);
    };
    await until(() => text.includes("event: ready"));
    await send();
    await until(() => packets().length === 1);
    const data = JSON.parse(packets()[0]![1]!);
    expect(data).toMatchObject({ table: 0, inPortName: "seen0" });
    expect(Buffer.from(data.data, "base64").readUInt16BE(12)).toBe(0x0800);
    expect((await it.ask("DELETE", "/bridges/seen0")).status).toBe(200);
    await make();
    await send();
    await until(() => packets().length === 2);
    await reader.cancel();
    await it.ask("DELETE", "/bridges/seen0");
  },
  20_000,
);

test("what passes a patch port is captured, both ways, until the capture ends", async () => {
  const patch = (name: string, peer: string) => ({ name, type: "patch", options: { peer } });
  expect((await it.ask("POST", "/bridges", { name: "brp" })).status).toBe(201);
  for (const [bridge, port] of [["br0", patch("pa", "pb")], ["brp", patch("pb", "pa")]] as const) {
    expect((await it.ask("POST", `/bridges/${bridge}/ports`, port)).status).toBe(201);
  }
  const begin = async (bridge: string, port: string, filter: string): Promise<string> => {
    const { status, json } = await it.ask("POST", "/captures", { bridge, port, filter });
    expect([status, json.detail]).toEqual([201, undefined]);
    return json.id;
  };
  const captures = [await begin("br0", "pa", ""), await begin("brp", "pb", "arp")];
  captures.push(await begin("brp", "pb", "ip"));
  const send = async () => {
    const body = { bridge: "br0", flow: "in_port=LOCAL,icmp,dl_dst=ff:ff:ff:ff:ff:ff" };
    expect((await it.ask("POST", "/trace/packet", body)).status).toBe(200);
  };
  await send();
  const seen = async (id: string) => (await it.ask("GET", `/captures/${id}`)).json;
  await eventually("both ends are seen", async () => (await seen(captures[2]!)).packets > 0);
  const [out, filtered, into] = await Promise.all(captures.map(seen));
  expect(out.list).toMatchObject([{ direction: "out" }]);
  expect(into.list).toMatchObject([{ direction: "in" }]);
  expect(filtered.list).toEqual([]);
  for (const id of captures) expect((await it.ask("DELETE", `/captures/${id}`)).status).toBe(204);
  const { json } = await it.ask("POST", "/trace", {
    bridge: "br0",
    flow: "in_port=LOCAL,icmp,dl_dst=ff:ff:ff:ff:ff:ff",
  });
  expect(json.text).not.toContain("userspace");
  expect((await it.ask("DELETE", "/bridges/brp")).status).toBe(200);
  expect((await it.ask("DELETE", "/bridges/br0/ports/pa")).status).toBe(200);
}, 20_000);

test("what comes by a tunnel is captured without its outer headers", async () => {
  const port = { name: "vx", type: "vxlan", options: { remote_ip: "192.0.2.9", key: "flow" } };
  expect((await it.ask("POST", "/bridges/br0/ports", port)).status).toBe(201);
  const { json: begun } = await it.ask("POST", "/captures", { bridge: "br0", port: "vx" });
  const flow = "in_port=vx,icmp,tun_src=192.0.2.9,tun_id=5,dl_src=02:00:00:00:00:07";
  expect((await it.ask("POST", "/trace/packet", { bridge: "br0", flow })).status).toBe(200);
  await eventually(
    "it is seen",
    async () => (await it.ask("GET", `/captures/${begun.id}`)).json.packets > 0,
  );
  const { list } = (await it.ask("GET", `/captures/${begun.id}`)).json;
  expect(list).toMatchObject([{ direction: "in" }]);
  expect(Buffer.from(list[0].data, "base64").subarray(6, 12).toHex()).toBe("020000000007");
  expect((await it.ask("DELETE", `/captures/${begun.id}`)).status).toBe(204);
  expect((await it.ask("DELETE", "/bridges/br0/ports/vx")).status).toBe(200);
}, 20_000);

test("a flow is checked without being added", async () => {
  const path = "/bridges/br0/flows/check";
  const before = (await it.ask("GET", "/bridges/br0/flows")).json.total;
  expect((await it.ask("POST", path, "tcp,tp_dst=80,actions=drop")).json)
    .toMatchObject({ table: 0, match: "tcp,tp_dst=80", actions: "drop" });
  expect((await it.ask("POST", path, "tp_dst=80,actions=drop")).status).toBe(400);
  expect((await it.ask("POST", path, "actions=nosuch")).status).toBe(400);
  expect((await it.ask("GET", "/bridges/br0/flows")).json.total).toBe(before);
});

test("levels of the log are changed while it runs", async () => {
  const { levels } = (await it.ask("PATCH", "/logs/levels", { levels: { http: "dbg" } })).json;
  expect(levels.http).toBe("dbg");
  expect((await it.ask("PATCH", "/logs/levels", { levels: { nosuch: "dbg" } })).status).toBe(404);
  expect((await it.ask("PATCH", "/logs/levels", { levels: { http: "loud" } })).status).toBe(400);
  expect((await it.ask("GET", "/logs/levels")).json.levels.http).toBe("dbg");
});

test("what cannot be captured says why", async () => {
  const body = { bridge: "br0", port: "nosuch" };
  const { status, json } = await it.ask("POST", "/captures", body);
  expect([status, json.detail]).toEqual([422, "bridge br0 has no port nosuch that is up"]);
  expect((await it.ask("POST", "/captures", { ...body, seconds: 601 })).status).toBe(400);
  expect((await it.ask("GET", "/captures/nosuch")).status).toBe(404);
  expect((await it.ask("GET", "/captures")).json.captures).toEqual([]);
});

test("words of flows, devices, statistics, and what the switch is", async () => {
  const { fields, actions } = (await it.ask("GET", "/vocabulary")).json;
  expect(fields.find((one: { name: string }) => one.name === "tcp_dst")).toMatchObject({
    bits: 16,
  });
  expect(actions).toContain("output");
  expect((await it.ask("GET", "/devices")).json.local).toBe(true);
  const reading = (await it.ask("GET", "/statistics")).json;
  expect(reading.ports.map((one: { name: string }) => one.name)).toContain("br0");
  expect((await it.ask("GET", "/statistics/history?span=3600")).json.stepSeconds).toBe(10);
  expect((await it.ask("GET", "/about")).json.probes.length).toBeGreaterThan(3);
});

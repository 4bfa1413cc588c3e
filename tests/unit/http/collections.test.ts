/** Lists: each has filters, order and pages, and refuses what it does not know. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ROUTES } from "../../../src/http/app.ts";
import { pagedLines } from "../../../src/http/routes/collection.ts";
import { parseQueues } from "../../../src/http/routes/queues.ts";
import { TestDaemon } from "./daemon.ts";

let it: TestDaemon;
const BRIDGES = ["brc", "bra", "brb"];
beforeAll(async () => {
  it = await TestDaemon.start();
  for (const name of BRIDGES) {
    const body = { name, protocols: name === "brb" ? ["OpenFlow10"] : [] };
    expect((await it.ask("POST", "/bridges", body)).status).toBe(201);
  }
}, 20_000);
afterAll(() => it.stop(), 20_000);

const names = async (query: string): Promise<string[]> => {
  const { status, json } = await it.ask("GET", `/bridges?${query}`);
  expect([query, status]).toEqual([query, 200]);
  return json.bridges.map(({ name }: { name: string }) => name);
};

test("order, pages and filters", async () => {
  expect(await names("sort=-name")).toEqual(["brc", "brb", "bra"]);
  expect(await names("sort=failMode,-name")).toEqual(["brc", "brb", "bra"]);
  expect(await names("sort=name&limit=1&offset=1")).toEqual(["brb"]);
  expect(await names("name=bra")).toEqual(["bra"]);
  expect(await names("protocols=OpenFlow10")).toEqual(["brb"]);
  expect(await names("protocols=&sort=name")).toEqual(["bra", "brc"]);
  expect(await names("offset=7")).toEqual([]);
  const { json } = await it.ask("GET", "/bridges?limit=1");
  expect(json).toMatchObject({ total: 3, offset: 0 });
});

const lists = ROUTES.filter(({ method, path, operation }) =>
  method === "GET" && operation.query !== undefined &&
  operation.query.safeParse({ sort: "x" }).error?.issues[0]?.code !== "unrecognized_keys" &&
  !/stream$|events$/.test(path)
).map(({ path, operation }) => [path, operation] as const);

test("every list is one", () => {
  expect(lists.map(([path]) => path.replace("/api/v1/", ""))).toEqual([
    ...["tokens", "users", "audit", "bridges", "bridges/:name/flows", "bridges/:name/groups"],
    ...["bridges/:name/meters", "bridges/:name/macs", "bridges/:name/connections"],
    ...["datapath/flows", "conntrack", "captures", "logs", "devices", "history", "tables/:table"],
    ...["interfaces", "mirrors", "controllers", "managers", "qos", "queues"],
  ]);
});

describe.each(lists)("%s", (path, { alsoAnswers = [] }) => {
  const at = path.replace("/api/v1", "").replace(":name", "bra").replace(":table", "Bridge");

  test.each(["limit=1", "limit=1&offset=1"])("?%s", async (query) => {
    expect((await it.ask("GET", `${at}?${query}`)).status).toBe(200);
  });

  test.each(["sort=nosuch", "nosuch=1", "limit=0", "limit=x", "offset=-1", "limit=1&limit=2"])(
    "?%s is refused",
    async (query) => {
      const { status, json } = await it.ask("GET", `${at}?${query}`);
      expect([query, status]).toEqual([query, 400]);
      expect(json.detail).toBeString();
    },
  );

  if (!alsoAnswers.includes("text/plain")) return;
  test("the text is the tool's", async () => {
    const { status, type } = await it.ask("GET", at, undefined, { accept: "text/plain" });
    expect([status, type]).toEqual([200, "text/plain; charset=utf-8"]);
  });
});

test("a text takes no filters", async () => {
  const { status } = await it.ask("GET", "/bridges?name=bra", undefined, { accept: "text/plain" });
  expect(status).toBe(400);
});

test.each(["/bridges", "/datapath/flows", "/conntrack"])(
  "of a text, too, no more than was asked for: %s",
  async (path) => {
    const reply = await it.ask("GET", `${path}?limit=1`, undefined, { accept: "text/plain" });
    if (path === "/bridges") expect(reply.status).toBe(400);
    else expect([reply.status, reply.text.split("\n").length < 3]).toEqual([200, true]);
  },
);

test("the audit log, the history and the log", async () => {
  const audit = async (query: string) => (await it.ask("GET", `/audit?${query}`)).json;
  const posts = await audit("method=POST&path=/api/v1/bridges&sort=id&limit=2");
  expect(posts).toMatchObject({ total: 3, offset: 0, entries: [{ status: 201 }, {}] });
  const ids = posts.entries.map(({ id }: { id: number }) => id);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  const below = await audit(`method=POST&path=/api/v1/bridges&before=${ids[1]}`);
  expect(below.entries.map(({ id }: { id: number }) => id)).toEqual([ids[0]]);
  const [all, page] = [await audit("sort=-id&limit=100000"), await audit("limit=1&offset=1")];
  expect(all.total).toBe(all.entries.length);
  expect(page).toEqual({ total: all.total, offset: 1, entries: [all.entries[1]] });

  const history = async (query: string) => (await it.ask("GET", `/history?${query}`)).json;
  const [last] = (await history("limit=1")).revisions;
  expect(await history(`revision=${last.revision}`)).toMatchObject({ total: 1, revisions: [last] });
  expect((await history(`kind=${last.kind}&author.user=nobody`)).revisions).toEqual([]);
  const own = await history(`author.user=${last.author.user}&sort=revision`);
  expect(own.total).toBeGreaterThanOrEqual(3);
  expect(own.revisions.at(-1)).toEqual(last);
  const every = await history("sort=-revision");
  expect(await history("limit=1&offset=2"))
    .toMatchObject({ total: every.total, revisions: [every.revisions[2]] });
  expect((await history(`before=${last.revision}`)).total).toBe(every.total - 1);

  const logs = async (query: string) => (await it.ask("GET", `/logs?${query}`)).json;
  const { lines, total } = await logs("contains=%7CINFO%7C");
  expect(total).toBeGreaterThan(1);
  expect((await logs("contains=%7CINFO%7C&sort=-id&limit=1&offset=1")).lines)
    .toEqual([lines.at(-2)]);
  expect(await logs("contains=no+such+text")).toMatchObject({ lines: [], total: 0 });
});

test("lines of a tool: by text, by number, by page", () => {
  const lines = ["a, packets:9, x", "b, packets:10", "c, packets:2, x"];
  const query = { limit: 10, offset: 0 };
  expect(pagedLines(lines, { ...query, sort: "-packets" }).lines.map((one) => one[0]).join(""))
    .toBe("bac");
  expect(pagedLines(lines, { ...query, contains: "x", limit: 1, offset: 1 })).toEqual({
    lines: [lines[2]!],
    total: 2,
  });
});

test("queues of a port, from the tool's text", () => {
  const text = "QoS: p2 linux-htb\nmax-rate: 100\n\nDefault:\n  min-rate: 1\n  tx_packets: 7\n\n" +
    "Queue 7:\n  max-rate: 5\n  tx_packets: 0\n";
  expect(parseQueues(text)).toEqual({
    type: "linux-htb",
    settings: { "max-rate": 100 },
    queues: [
      { queue: "Default", values: { "min-rate": 1, tx_packets: 7 } },
      { queue: "7", values: { "max-rate": 5, tx_packets: 0 } },
    ],
  });
  expect(parseQueues("QoS not configured on p1\n")).toEqual({
    type: null,
    settings: {},
    queues: [],
  });
});

test("the ETag of a bridge guards it, by whichever path", async () => {
  const { headers } = await it.fetch("GET", "/api/v1/bridges/bra");
  const tag = { "if-match": headers.get("etag")! };
  const body = { external_ids: { a: "1" } };
  expect((await it.ask("PATCH", "/bridges/bra", body, tag)).status).toBe(200);
  expect((await it.ask("PATCH", "/bridges/bra", body, tag)).status).toBe(412);
  expect((await it.ask("DELETE", "/tables/Bridge/bra", undefined, tag)).status).toBe(412);
});

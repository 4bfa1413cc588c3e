/** Bytes that no decent client sends, and more connections than any should have: over real sockets. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createApp } from "../../../src/http/app.ts";
import { HttpSource } from "../../../src/http/source.ts";
import { TestDaemon } from "./daemon.ts";
import { Bench } from "./source.ts";

let it: TestDaemon;
let port: number;
beforeAll(async () => {
  it = await TestDaemon.start();
  port = Number(new URL(it.daemon.httpUrl!).port);
}, 20_000);
afterAll(() => it.stop(), 20_000);

const open = (at: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket: Socket = connect(at, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });

/** Sends these bytes and gives the first line of what comes back; "" if the connection is closed. */
async function first(text: string, at = port): Promise<string> {
  const socket = await open(at);
  try {
    return await new Promise<string>((resolve) => {
      socket.once("data", (data) => resolve(data.toString("latin1").split("\r\n")[0]!));
      socket.once("close", () => resolve(""));
      socket.write(text, "latin1");
    });
  } finally {
    socket.destroy();
  }
}

const content = () => JSON.stringify([...it.daemon.replica.rows("Bridge").values()]);
const isAlive = async () => (await fetch(`${it.daemon.httpUrl}/healthz`)).status === 200;
const HOST = "Host: 127.0.0.1\r\n";

test.each([
  ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", /^(HTTP\/1\.1 4\d\d.*)?$/],
  ["no host", "GET /api/v1/bridges HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400/],
  ["a path upwards", `GET /../../etc/passwd HTTP/1.1\r\n${HOST}\r\n`, /^HTTP\/1\.1 404/],
  ["an escaped one", `GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n${HOST}\r\n`, /^HTTP\/1\.1 404/],
  ["a NUL", `GET /api/v1/bridges/%00 HTTP/1.1\r\n${HOST}\r\n`, /^HTTP\/1\.1 401/],
  ["double slashes", `GET //api/v1/bridges HTTP/1.1\r\n${HOST}\r\n`, /^HTTP\/1\.1 404/],
  [
    "a length that is no number",
    `POST /api/v1/login HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`,
    /^(HTTP\/1\.1 4\d\d.*)?$/,
  ],
  [
    "two lengths",
    `POST /api/v1/login HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`,
    /^(HTTP\/1\.1 4\d\d.*)?$/,
  ],
  [
    "a body announced too large",
    `POST /api/v1/login HTTP/1.1\r\n${HOST}Content-Length: 99999999\r\n\r\n`,
    /^HTTP\/1\.1 413/,
  ],
  [
    "endless headers",
    `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(1 << 20)}\r\n\r\n`,
    /^(HTTP\/1\.1 4\d\d.*)?$/,
  ],
])("%s", async (_, text, expected) => {
  const before = content();
  expect(await first(text)).toMatch(expected);
  expect(content()).toBe(before);
  expect(await isAlive()).toBe(true);
});

const JSON_TYPE = { "content-type": "application/json" };

test.each<[string, number, string, string, unknown, Record<string, string>]>([
  ["wrong types: a number for a name", 400, "POST", "/bridges", { name: 7 }, {}],
  ["wrong types: a text for a number", 400, "POST", "/bridges/brh/ports", {
    name: "px",
    tag: "x",
  }, {}],
  ["wrong types: a list for an object", 400, "PATCH", "/bridges/brh", [1], {}],
  ["an unknown field", 400, "POST", "/bridges", { name: "brx", nosuch: 1 }, {}],
  ["an unknown field of a batch", 400, "POST", "/batch", { operations: [{ op: "x" }] }, {}],
  ["an unknown parameter", 400, "POST", "/bridges?nosuch=1", { name: "brx" }, {}],
  ["no JSON", 400, "POST", "/bridges", '{"name":', {}],
  ["a body too large", 413, "POST", "/bridges", { name: "x".repeat(70_000) }, {}],
  ["flows too large", 413, "POST", "/bridges/brh/flows", "#".repeat((1 << 20) + 1), {}],
  ["a bad token", 401, "POST", "/bridges", { name: "brx" }, { authorization: "Bearer solovs_x" }],
  ["no bearer", 401, "DELETE", "/bridges/brh", undefined, { authorization: "Basic YTpi" }],
  ["a path that is escaped", 404, "DELETE", "/bridges/..%2fbridges%2fbrh", undefined, {}],
  ["a path with a NUL", 404, "DELETE", "/bridges/brh%00", undefined, {}],
  ["another site's page", 403, "POST", "/bridges", { name: "brx" }, {
    origin: "http://attacker.example",
  }],
  ["another site's page, as browsers say", 403, "DELETE", "/bridges/brh", undefined, {
    "sec-fetch-site": "cross-site",
  }],
  ["a foreign host name", 421, "POST", "/bridges", { name: "brx" }, { host: "attacker.example" }],
])("%s: %d, and nothing has changed", async (_, status, method, path, body, headers) => {
  if ((await it.ask("GET", "/bridges/brh")).status === 404) {
    expect((await it.ask("POST", "/bridges", { name: "brh" })).status).toBe(201);
  }
  const flows = async () => (await it.ask("GET", "/bridges/brh")).json.flows;
  const before = [content(), await flows()];
  const answer = await it.ask(method, path, body, { ...JSON_TYPE, ...headers });
  expect([answer.status, answer.json?.status]).toEqual([status, status]);
  expect(answer.json.detail).toBeString();
  expect([content(), await flows()]).toEqual(before);
});

test("a body that does not come is given up, and others are served meanwhile", async () => {
  const bench = await Bench.open();
  const app = createApp({
    source: new HttpSource(bench.parts),
    access: bench.access,
    logger: bench.log.logger("http"),
    bodyDeadlineMs: 500,
  });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => app.fetch(request, { address: "127.0.0.1" }),
  });
  const head = `POST /api/v1/login HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{`;
  const slow = first(head, server.port);
  expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).toBe(200);
  expect(await slow).toMatch(/^HTTP\/1\.1 408/);
  await server.stop(true);
  bench.close();
}, 20_000);

test(
  "1,000 connections that say nothing, and 100 streams, keep nobody from being served",
  async () => {
    const idle = await Promise.all(Array.from({ length: 1000 }, () => open(port)));
    const controller = new AbortController();
    const { signal } = controller;
    const streams = await Promise.all(
      Array.from({ length: 100 }, () => it.fetch("GET", "/api/v1/events", { signal })),
    );
    expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
    const made = await it.ask("POST", "/bridges", { name: "busy0" });
    expect(made.status).toBe(201);
    expect((await it.ask("DELETE", "/bridges/busy0")).status).toBe(200);
    controller.abort();
    for (const socket of idle) socket.destroy();
    expect(await isAlive()).toBe(true);
  },
  120_000,
);

/** Bytes that no decent client sends, and more connections than any should have: over real sockets. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { TestDaemon } from "./daemon.ts";

let it: TestDaemon;
let port: number;
beforeAll(async () => {
  it = await TestDaemon.start();
  port = Number(new URL(it.daemon.httpUrl!).port);
}, 20_000);
afterAll(() => it.stop(), 20_000);

const open = (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket: Socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });

/** Sends these bytes and gives the first line of what comes back; "" if the connection is closed. */
async function first(text: string): Promise<string> {
  const socket = await open();
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

test(
  "1,000 connections that say nothing, and 100 streams, keep nobody from being served",
  async () => {
    const idle = await Promise.all(Array.from({ length: 1000 }, open));
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
  20_000,
);

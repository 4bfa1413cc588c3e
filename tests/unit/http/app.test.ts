import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ROUTES } from "../../../src/http/app.ts";
import { problemSchema } from "../../../src/http/problem.ts";
import { readBody } from "../../../src/http/request.ts";
import { bridgeSchema, bridgesSchema } from "../../../src/http/routes/bridges.ts";
import { statusSchema } from "../../../src/http/routes/status.ts";
import { hostAllowed, SECURITY_HEADERS } from "../../../src/http/security.ts";
import { HttpStartError, startHttp } from "../../../src/http/server.ts";
import { openSideFile } from "../../../src/db/storage/sqlite.ts";
import { Bench } from "./source.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
  await bench.replica.transact((txn) => {
    const [root] = bench.replica.rows("Open_vSwitch").keys();
    const port = (name: string, columns: object, status: object) =>
      txn.insert("Port", {
        name,
        interfaces: [txn.insert("Interface", { name, ...status })],
        ...columns,
      });
    const up = {
      ofport: 1,
      link_state: "up",
      statistics: new Map([["rx_packets", 7], ["rx_bytes", 700]]),
    };
    const br0 = txn.insert("Bridge", {
      name: "br0",
      ports: [
        port("eth0", { tag: 5 }, up),
        port("<b>x</b>", { vlan_mode: "trunk" }, { ofport: -1, error: "no device named <b>x</b>" }),
      ],
      controller: [txn.insert("Controller", { target: "tcp:127.0.0.1:6633" })],
    });
    const br1 = txn.insert("Bridge", { name: "br1" });
    txn.update("Open_vSwitch", root!, { bridges: [br0, br1], next_cfg: 4, cur_cfg: 3 });
  });
});
afterAll(() => bench.close());

const get = (path: string) => bench.ask("GET", path, { as: "reader" });

describe("the API", () => {
  test("every GET answers as its schema says", async () => {
    for (const { method, path, operation } of ROUTES) {
      // The switch of this bench runs no bridge; streams do not end; metrics are text.
      if (/\/(?:flows|groups|meters|queues|macs|connections|stream|events|metrics)$/.test(path)) {
        continue;
      }
      // Neither has it a history, nor connections, nor captures: daemon.test.ts asks for those.
      if (/\/(?:history|confirm|backup|captures|conntrack)\b|v1\/(?!tables)\w+\/:id/.test(path)) {
        continue;
      }
      if (method !== "GET" || path === "/readyz" || operation.response === undefined) continue;
      const reply = await bench.ask(
        "GET",
        path
          .replace("users/:name", "users/admin").replace(":name", "br0").replace(":port", "eth0")
          .replace(":table", "Bridge")
          .replace(":id", "br0"),
        { as: "admin" },
      );
      expect([path, reply.status]).toEqual([path, 200]);
      expect(reply.headers.get("content-type")).toStartWith("application/json");
      expect(reply.headers.get("cache-control")).toBe("no-store");
      expect(operation.response.safeParse(reply.json).error).toBeUndefined();
    }
  });

  test("status", async () => {
    expect(statusSchema.parse((await get("/api/v1/status")).json)).toEqual({
      version: "0.1.0",
      ovsVersion: "3.1.0",
      uptimeSeconds: 61,
      datapathType: "netdev",
      bridges: 2,
      ports: 2,
      configuration: { nextCfg: 4, curCfg: 3, inForce: false },
      counters: { miss: 3 },
    });
  });

  test("ready when the configuration is in force", async () => {
    expect((await bench.ask("GET", "/readyz")).status).toBe(503);
    const [root] = bench.replica.rows("Open_vSwitch").keys();
    await bench.replica.transact((txn) => txn.update("Open_vSwitch", root!, { cur_cfg: 4 }));
    expect((await bench.ask("GET", "/readyz")).status).toBe(200);
  });

  test("bridges, sorted, with what the switch made of them", async () => {
    const { bridges } = bridgesSchema.parse((await get("/api/v1/bridges")).json);
    expect(bridges.map(({ name, flows, datapathId }) => [name, flows, datapathId])).toEqual([
      ["br0", 12, "0000020000000001"],
      ["br1", null, null],
    ]);
    const [br0] = bridges;
    expect(br0!.controllers).toEqual([{ target: "tcp:127.0.0.1:6633", connected: true }]);
    expect(br0!.ports.map(({ name }) => name)).toEqual(["<b>x</b>", "eth0"]);
    expect(br0!.ports[0]!.interfaces[0]).toMatchObject({
      ofport: -1,
      error: "no device named <b>x</b>",
      linkState: null,
    });
    expect(br0!.ports[1]!.interfaces[0]!.statistics).toEqual({ rx_packets: 7, rx_bytes: 700 });
  });

  test("one bridge, and one that is not there", async () => {
    expect(bridgeSchema.parse((await get("/api/v1/bridges/br1")).json).name).toBe("br1");
    const missing = await get("/api/v1/bridges/br%22x");
    expect(missing.status).toBe(404);
    expect(missing.headers.get("content-type")).toBe("application/problem+json");
    expect(problemSchema.parse(missing.json).detail).toBe('There is no bridge "br\\"x".');
  });
});

describe("errors are problem documents", () => {
  test.each([
    ["/nothing", 404],
    ["/api/v1/", 404],
    ["/api/v2/status", 404],
    ["/api/v1/bridges/..%2f..%2fetc%2fpasswd", 404],
    ["/api/v1/bridges/%ff", 404],
    ["/../../etc/passwd", 404],
    ["/api/v1/bridges?x=1", 400],
    ["/api/v1/audit?limit=0", 400],
    ["/api/v1/audit?limit=1&limit=2", 400],
    ["/api/v1/audit?__proto__=1", 400],
    ["/api/v1/bridges?__proto__=1", 400],
    ["/api/v1/bridges?constructor=1", 400],
  ])("GET %s", async (path, status) => {
    const reply = await bench.ask("GET", path, { as: "admin" });
    expect(reply.status).toBe(status);
    expect(problemSchema.parse(reply.json).status).toBe(status);
  });

  test.each([
    ["PUT", "/api/v1/bridges"],
    ["DELETE", "/api/v1/status"],
    ["POST", "/healthz"],
    ["OPTIONS", "/api/v1/users"],
    ["POST", "/"],
  ])("%s %s: 405 with what is allowed", async (method, path) => {
    const reply = await bench.ask(method, path, { as: "admin" });
    expect(reply.status).toBe(405);
    expect(reply.headers.get("allow")).toContain("GET");
    problemSchema.parse(reply.json);
  });

  const user = { name: "bob", role: "reader", password: "long enough one" };
  test.each<[string, unknown]>([
    ["not JSON", "{"],
    ["empty", ""],
    ["null", "null"],
    ["an array", "[]"],
    ["deeply nested", "[".repeat(60_000)],
    ["an unknown member", { ...user, isAdmin: true }],
    ["a prototype", `{"name":"bob","role":"reader","password":"long enough one","__proto__":{}}`],
    ["a missing member", { name: "bob", role: "reader" }],
    ["a wrong type", { ...user, name: 5 }],
    ["a wrong word", { ...user, role: "root" }],
  ])("a body that is %s", async (_, body) => {
    const reply = await bench.ask("POST", "/api/v1/users", { as: "admin", body });
    expect(reply.status).toBe(400);
    problemSchema.parse(reply.json);
    expect(bench.store.user("bob")).toBeUndefined();
  });

  test("a body that is too large is refused, announced or not", async () => {
    const body = JSON.stringify({ ...user, name: "x".repeat(65 * 1024) });
    const reply = await bench.ask("POST", "/api/v1/users", { as: "admin", body });
    expect(reply.status).toBe(413);
    problemSchema.parse(reply.json);
    const endless = new Request("http://x/", {
      method: "POST",
      body: new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1000)) }),
    });
    await expect(readBody(endless, 10_000)).rejects.toMatchObject({ status: 413 });
  });

  test("a body that never ends is given up", async () => {
    let cancelled = false;
    const body = new ReadableStream({ cancel: () => void (cancelled = true) });
    const request = new Request("http://x/", { method: "POST", body });
    await expect(readBody(request, 100, 10)).rejects.toMatchObject({ status: 408 });
    expect(cancelled).toBe(true);
  });

  test("a body that is no UTF-8", async () => {
    const request = new Request("http://x/", { method: "POST", body: new Uint8Array([0xff]) });
    await expect(readBody(request, 100)).rejects.toMatchObject({ status: 400 });
  });

  test("what goes wrong inside is in the log and not in the answer", async () => {
    const broken = await Bench.open(() => ({
      uptimeMs: () => {
        throw new Error("secret detail");
      },
    }));
    const reply = await broken.ask("GET", "/api/v1/status", { as: "reader" });
    expect(reply.status).toBe(500);
    problemSchema.parse(reply.json);
    expect(reply.text).not.toContain("secret");
    expect(broken.lines.at(-1)).toContain("secret detail");
    expect(reply.headers.get("x-content-type-options")).toBe("nosniff");
    broken.close();
  });
});

describe("browsers", () => {
  test.each([
    ["127.0.0.1:8080", true],
    ["[::1]:8080", true],
    ["10.0.0.1", true],
    ["localhost", true],
    ["LOCALHOST:8080", true],
    ["switch.example:8080", true],
    ["attacker.example", false],
    ["127.0.0.1.attacker.example", false],
    ["localhost.attacker.example", false],
    ["127.0.0.1:8080@attacker.example", false],
    ["", false],
    ["a b", false],
  ])("Host %s: %p", (host, allowed) => {
    expect(hostAllowed(host, ["switch.example"])).toBe(allowed);
  });

  test("a foreign host is refused before anything is read", async () => {
    const headers = { host: "attacker.example" };
    const reply = await bench.ask("GET", "/api/v1/bridges", { as: "reader", headers });
    expect(reply.status).toBe(421);
    expect(reply.text).not.toContain("br0");
    expect((await bench.app.request("/healthz")).status).toBe(400);
  });

  test("every response bears the security headers and none allows another origin", async () => {
    const paths = ["/", "/console.js", "/console.css", "/healthz", "/nothing", "/api/v1/bridges"];
    for (const path of paths) {
      const headers = { origin: "http://attacker.example" };
      const response = await bench.ask("GET", path, { as: "reader", headers });
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
        expect(response.headers.get(name)).toBe(value);
      }
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("the page loads nothing from elsewhere and has nothing inline", async () => {
    const html = (await get("/")).text;
    expect(html).toStartWith("<!DOCTYPE html>");
    for (const [, url] of html.matchAll(/(?:src|href)="([^"]*)"/g)) {
      expect(url).toMatch(/^(\/|data:)/);
    }
    expect(html).not.toMatch(/<style|style="|\son[a-z]+="|<script(?![^>]*src=)/);
    const script = (await get("/console.js")).text;
    // Namespaces of SVG and MathML are names; the library of components is what may know innerHTML.
    const urls = [...script.matchAll(/https?:\/\/[a-z0-9.]*/g)].map(([url]) => url);
    expect(urls.filter((url) => url !== "http://www.w3.org")).toEqual([]);
    expect(script).not.toMatch(/insertAdjacentHTML|document\.write|\beval\(|new Function\(/);
    const css = await get("/console.css");
    expect(css.headers.get("content-type")).toStartWith("text/css");
    expect(css.text).not.toMatch(/https?:\/\/|@import/);
  });
});

describe("the server", () => {
  test("listens, answers, offers the set-up once, and gives the port back", async () => {
    const side = openSideFile(":memory:");
    const start = (port: number) =>
      startHttp({
        address: "127.0.0.1",
        port,
        parts: bench.parts,
        sideTables: side.tables,
        logger: bench.log.logger("http"),
      });
    const server = start(0);
    const response = await fetch(`${server.url}/healthz`);
    expect(await response.json()).toEqual({ status: "ok" });
    expect(bench.lines.some((line) => line.includes(server.setupUrl!))).toBe(true);
    expect(() => start(server.port)).toThrow(
      new HttpStartError(
        `HTTP: 127.0.0.1:${server.port} is in use by another program; ` +
          "choose another with --http ADDR:PORT",
      ),
    );
    const token = new URL(server.setupUrl!).hash.slice("#setup=".length);
    const made = await fetch(`${server.url}/api/v1/setup`, {
      method: "POST",
      body: JSON.stringify({ token, name: "root", password: "a long password" }),
    });
    expect(made.status).toBe(201);
    await server.close();
    const again = start(server.port);
    expect(again.setupUrl).toBeUndefined();
    const cookie = made.headers.get("set-cookie")!.split(";")[0]!;
    const session = await fetch(`${again.url}/api/v1/session`, { headers: { cookie } });
    expect(await session.json()).toMatchObject({ user: "root" });
    await again.close();
    side.close();
  });
});

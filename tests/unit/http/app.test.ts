import { describe, expect, test } from "bun:test";
import { createApp, MAX_BODY_BYTES, ROUTES } from "../../../src/http/app.ts";
import { problemSchema } from "../../../src/http/problem.ts";
import { bridgeSchema, bridgesSchema } from "../../../src/http/routes/bridges.ts";
import { statusSchema } from "../../../src/http/routes/status.ts";
import { hostAllowed, SECURITY_HEADERS } from "../../../src/http/security.ts";
import { HttpStartError, startHttp } from "../../../src/http/server.ts";
import { LogSink } from "../../../src/log/log.ts";
import { sourceOf } from "./source.ts";

const lines: string[] = [];
const logger = new LogSink((line) => lines.push(line)).logger("http");
const app = createApp({ source: sourceOf(), logger, hostNames: ["Switch.example"] });

const ask = (path: string, init: RequestInit = {}) =>
  app.request(path, { ...init, headers: { host: "127.0.0.1:8080", ...init.headers } });

describe("the API", () => {
  test("every route answers as its schema says", async () => {
    for (const route of ROUTES) {
      const response = await ask(route.path.replace(":name", "br0"));
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("application/json");
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(route.response.safeParse(await response.json()).error).toBeUndefined();
    }
  });

  test("status", async () => {
    const status = statusSchema.parse(await (await ask("/api/v1/status")).json());
    expect(status).toEqual({
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

  test("status of an empty database", async () => {
    const empty = createApp({ source: sourceOf({}), logger });
    const response = await empty.request("/api/v1/status", { headers: { host: "localhost" } });
    expect(statusSchema.parse(await response.json()).ovsVersion).toBeNull();
    const bridges = await empty.request("/api/v1/bridges", { headers: { host: "localhost" } });
    expect(await bridges.json()).toEqual({ bridges: [] });
  });

  test("bridges, sorted, with what the switch made of them", async () => {
    const { bridges } = bridgesSchema.parse(await (await ask("/api/v1/bridges")).json());
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
    expect(bridgeSchema.parse(await (await ask("/api/v1/bridges/br1")).json()).name).toBe("br1");
    const missing = await ask("/api/v1/bridges/br%22x");
    expect(missing.status).toBe(404);
    expect(missing.headers.get("content-type")).toBe("application/problem+json");
    expect(problemSchema.parse(await missing.json()).detail).toBe('There is no bridge "br\\"x".');
  });
});

describe("errors are problem documents", () => {
  test.each([["/nothing", 404], ["/api/v1/", 404], ["/api/v2/status", 404]])(
    "GET %s",
    async (path, status) => {
      const response = await ask(path);
      expect(response.status).toBe(status);
      expect(problemSchema.parse(await response.json())).toMatchObject({ status, instance: path });
    },
  );

  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s is refused", async (method) => {
    for (const path of ["/", "/healthz", "/api/v1/bridges/br0"]) {
      const response = await ask(path, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
      problemSchema.parse(await response.json());
    }
  });

  test("HEAD answers without a body", async () => {
    const response = await ask("/api/v1/status", { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  });

  test("a body that is too large", async () => {
    const response = await ask("/api/v1/status", {
      method: "POST",
      body: "x".repeat(MAX_BODY_BYTES + 1),
      headers: { "content-length": String(MAX_BODY_BYTES + 1) },
    });
    expect(response.status).toBe(413);
    problemSchema.parse(await response.json());
  });

  test("a failure inside says nothing of itself, but the log does", async () => {
    const broken = createApp({
      source: {
        ...sourceOf(),
        uptimeMs: () => {
          throw new Error("secret detail");
        },
      },
      logger,
    });
    const response = await broken.request("/api/v1/status", { headers: { host: "localhost" } });
    expect(response.status).toBe(500);
    const text = await response.text();
    problemSchema.parse(JSON.parse(text));
    expect(text).not.toContain("secret");
    expect(lines.at(-1)).toContain("secret detail");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
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
    const response = await ask("/api/v1/bridges", { headers: { host: "attacker.example" } });
    expect(response.status).toBe(421);
    expect(await response.text()).not.toContain("br0");
    expect((await app.request("/healthz")).status).toBe(400);
  });

  test("every response bears the security headers and none allows another origin", async () => {
    const paths = ["/", "/console.js", "/console.css", "/healthz", "/nothing", "/api/v1/bridges"];
    for (const path of paths) {
      const response = await ask(path, { headers: { origin: "http://attacker.example" } });
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
        expect(response.headers.get(name)).toBe(value);
      }
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("the page loads nothing from elsewhere and has nothing inline", async () => {
    const html = await (await ask("/")).text();
    expect(html).toStartWith("<!DOCTYPE html>");
    for (const [, url] of html.matchAll(/(?:src|href)="([^"]*)"/g)) {
      expect(url).toMatch(/^(\/|data:)/);
    }
    expect(html).not.toMatch(/<style|style="|\son[a-z]+="|<script(?![^>]*src=)/);
    const script = await (await ask("/console.js")).text();
    expect(script).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|https?:\/\//);
    const css = await ask("/console.css");
    expect(css.headers.get("content-type")).toStartWith("text/css");
    expect(await css.text()).not.toMatch(/https?:\/\/|@import/);
  });
});

describe("the server", () => {
  test("listens, answers, and gives the port back", async () => {
    const server = startHttp({ address: "127.0.0.1", port: 0, source: sourceOf(), logger });
    const response = await fetch(`${server.url}/healthz`);
    expect(await response.json()).toEqual({ status: "ok" });
    expect(() => startHttp({ address: "127.0.0.1", port: server.port, source: sourceOf(), logger }))
      .toThrow(
        new HttpStartError(
          `HTTP: 127.0.0.1:${server.port} is in use by another program; ` +
            "choose another with --http ADDR:PORT",
        ),
      );
    await server.close();
    const again = startHttp({
      address: "127.0.0.1",
      port: server.port,
      source: sourceOf(),
      logger,
    });
    await again.close();
  });
});

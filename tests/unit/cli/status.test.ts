/** `solovs status` and `solovs top`: their texts, and that they find the switch by its socket. */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { ApiClient } from "../../../src/cli/status/client.ts";
import { status } from "../../../src/cli/status/status.ts";
import { bitRate, columns, duration, topText } from "../../../src/cli/status/text.ts";
import { top } from "../../../src/cli/top/top.ts";
import { TestDaemon } from "../http/daemon.ts";

let it: TestDaemon;
beforeAll(async () => {
  it = await TestDaemon.start();
}, 20_000);
afterAll(() => it.stop(), 20_000);

async function written(work: () => Promise<number>): Promise<{ code: number; text: string }> {
  let text = "";
  const spy = spyOn(process.stdout, "write").mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  try {
    return { code: await work(), text };
  } finally {
    spy.mockRestore();
  }
}

test("numbers", () => {
  expect([0, 999, 1234, 56_700, 4e8].map(bitRate))
    .toEqual(["0 bit/s", "999 bit/s", "1.23 kbit/s", "56.7 kbit/s", "400 Mbit/s"]);
  expect([0, 59, 61, 7322, 90_000].map(duration))
    .toEqual(["0 s", "59 s", "1 min 1 s", "2 h 2 min", "1 d 1 h"]);
  expect(columns([["a", "1"], ["bcd", "22"]], new Set([1]))).toEqual(["a     1", "bcd  22"]);
});

describe("the switch", () => {
  test("is shown on one page, and what is wrong makes the exit code 1", async () => {
    const runDir = it.daemon.runDir;
    const empty = await written(() => status({ runDir, json: false }));
    expect(empty.code).toBe(0);
    expect(empty.text).toContain("no bridge; make one");
    await it.ask("POST", "/bridges", { name: "br0" });
    await it.ask("POST", "/bridges/br0/ports", { name: "gone0" });
    const { code, text } = await written(() => status({ runDir, json: false }));
    expect(code).toBe(1);
    expect(text).toMatch(/^br0 /m);
    expect(text).toMatch(/^! br0 gone0: /m);
    const json = await written(() => status({ runDir, json: true }));
    expect(JSON.parse(json.text)).toMatchObject({ bridges: [{ name: "br0" }] });
  }, 20_000);

  test("is watched for so many readings", async () => {
    const { code, text } = await written(() => top({ runDir: it.daemon.runDir, count: 2 }));
    expect(code).toBe(0);
    expect(text).toMatch(/^bridge +port +link/m);
    expect(text).toContain("br0");
  }, 20_000);

  test("is asked by a socket that is its owner's alone, without login", async () => {
    const path = join(it.daemon.runDir, "http.sock");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const ask = (method: string, url: string, body?: object) =>
      fetch(`http://localhost/api/v1${url}`, {
        unix: path,
        method,
        ...(body && { body: JSON.stringify(body) }),
      });
    expect(await (await ask("GET", "/session")).json())
      .toMatchObject({ user: "local", role: "admin", csrfToken: null });
    expect((await ask("POST", "/bridges", { name: "br1" })).status).toBe(201);
    const { entries } = await (await ask("GET", "/audit?limit=1")).json() as {
      entries: object[];
    };
    expect(entries[0]).toMatchObject({ user: "local", via: "socket", address: "unix" });
    // It is no user: it has neither tokens nor a password.
    expect((await ask("POST", "/tokens", { name: "x", role: "reader" })).status).toBe(403);
    expect((await ask("POST", "/password", { old: "x", new: "0123456789" })).status).toBe(404);
  }, 20_000);
});

test("what cannot be reached is said", async () => {
  expect(() => new ApiClient({ runDir: "/nosuch" })).toThrow("is 'solovs run' running?");
  expect(() => new ApiClient({ runDir: "/x", url: "http://127.0.0.1:1", token: "" }))
    .toThrow("wants a token");
  const client = new ApiClient({ runDir: "/x", url: "http://127.0.0.1:1", token: "t" });
  await expect(client.get("/status")).rejects.toThrow("does not answer");
});

test("a screen of top is no larger than the terminal, the busiest first", () => {
  const port = (name: string, rxBps: number) => ({
    bridge: "br0",
    name,
    ofport: 1,
    kind: "device",
    linkUp: true,
    linkSpeedBps: null,
    rxPackets: 0,
    txPackets: 0,
    rxBytes: 0,
    txBytes: 0,
    drops: 0,
    rxBps,
    txBps: 0,
    rxPps: 0,
    txPps: 0,
  });
  const text = topText(
    {
      time: new Date(0).toISOString(),
      transaction: "",
      ports: Array.from({ length: 50 }, (_, i) => port(`p${i}`, i)),
      total: [0, 0, 0, 0],
      hits: 0,
      misses: 0,
      drops: 0,
      flows: 1,
      datapathFlows: 0,
    },
    10,
    40,
  );
  const lines = text.split("\n");
  expect(lines).toHaveLength(10);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(40);
  expect(lines[4]).toContain("p49");
});

/** Set-up, login, sessions, tokens, users, throttling, the audit log. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { IDLE_MS, SESSION_LIFE_MS, SETUP_LIFE_MS } from "../../../src/http/auth/access.ts";
import { LIMITS } from "../../../src/http/auth/store.ts";
import { type AskOptions, Bench, PASSWORD, type Reply } from "./source.ts";

const ENTRY = {
  timeMs: 0,
  user: "u",
  via: "session",
  address: "",
  method: "POST",
  path: "/",
  status: 200,
  detail: "",
};

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.open();
});
afterEach(() => bench.close());

const login = (name: string, password = PASSWORD, address = "127.0.0.1"): Promise<Reply> =>
  bench.ask("POST", "/api/v1/login", { body: { name, password }, address });

const cookieOf = (reply: Reply): string => reply.headers.get("set-cookie")!.split(";")[0]!;

/** A browser that is logged in. */
async function browser(name: string) {
  const opened = await login(name);
  expect(opened.status).toBe(200);
  const cookie = cookieOf(opened);
  return (method: string, path: string, options: AskOptions = {}) =>
    bench.ask(method, path, {
      ...options,
      headers: { cookie, "x-csrf-token": opened.json.csrfToken, ...options.headers },
    });
}

describe("set-up", () => {
  const setUp = (token: string, password = PASSWORD) =>
    bench.ask("POST", "/api/v1/setup", { body: { token, name: "root", password } });

  test("the link makes the first admin, once", async () => {
    const token = bench.access.offerSetUp()!;
    expect((await setUp("nonsense")).status).toBe(403);
    expect((await setUp(token, "short")).status).toBe(400);
    const made = await setUp(token);
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ user: "root", role: "admin" });
    const me = await bench.ask("GET", "/api/v1/session", { headers: { cookie: cookieOf(made) } });
    expect(me.json).toEqual(made.json);
    expect((await setUp(token)).status).toBe(403);
    expect(bench.access.offerSetUp()).toBeUndefined();
    expect(bench.store.user("root")!.passwordHash).toStartWith("$argon2id$");
  });

  test("it expires, and a later one takes its place", async () => {
    const first = bench.access.offerSetUp()!;
    const second = bench.access.offerSetUp()!;
    expect((await setUp(first)).status).toBe(403);
    bench.nowMs += SETUP_LIFE_MS;
    const late = await setUp(second);
    expect(late.status).toBe(403);
    expect(late.json.detail).toContain("restart solovs");
    expect(bench.store.users()).toEqual([]);
  });

  test("two at once: one wins", async () => {
    const token = bench.access.offerSetUp()!;
    const replies = await Promise.all([setUp(token), setUp(token)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 403]);
    expect(bench.store.users()).toHaveLength(1);
  });

  test("without a user nobody gets in, and the answer says how to begin", async () => {
    const reply = await bench.ask("GET", "/api/v1/status");
    expect(reply.status).toBe(401);
    expect(reply.json.detail).toContain("set-up link");
    expect((await login("admin", "admin")).status).toBe(401);
  });
});

describe("sessions", () => {
  beforeEach(() => bench.addUser("ann", "admin"));

  test("the cookie is for this site and no script", async () => {
    const reply = await login("ann");
    const attributes = reply.headers.get("set-cookie")!.split("; ");
    expect(attributes).toContain("HttpOnly");
    expect(attributes).toContain("SameSite=Strict");
    expect(attributes).toContain("Path=/");
    expect(reply.text).not.toContain(cookieOf(reply).split("=")[1]!);
  });

  test("wrong password, unknown user: the same answer", async () => {
    const wrong = await login("ann", "wrong password");
    const unknown = await login("nobody", "wrong password");
    expect(wrong.status).toBe(401);
    expect(unknown.json).toEqual(wrong.json);
    expect(wrong.headers.get("set-cookie")).toBeNull();
  });

  test("a change needs the session's CSRF token", async () => {
    const ask = await browser("ann");
    const body = { name: "bob", role: "reader", password: PASSWORD };
    for (const token of ["", "0".repeat(64)]) {
      const headers = { "x-csrf-token": token };
      expect((await ask("POST", "/api/v1/users", { body, headers })).status).toBe(403);
    }
    expect(bench.store.user("bob")).toBeUndefined();
    expect((await ask("POST", "/api/v1/users", { body })).status).toBe(201);
  });

  test("posts from other sites are refused, whatever they carry", async () => {
    const ask = await browser("ann");
    const body = { name: "bob", role: "reader", password: PASSWORD };
    const foreign = [
      { origin: "http://attacker.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: "http://127.0.0.1:9999" },
    ];
    for (const headers of foreign) {
      const reply = await ask("POST", "/api/v1/users", { body, headers });
      expect(reply.status).toBe(403);
      const entry = { name: "ann", password: PASSWORD };
      const login = await bench.ask("POST", "/api/v1/login", { body: entry, headers });
      expect(login.status).toBe(403);
      expect(login.headers.get("set-cookie")).toBeNull();
    }
    expect(bench.store.user("bob")).toBeUndefined();
    const headers = { origin: "http://127.0.0.1:8080", "sec-fetch-site": "same-origin" };
    expect((await ask("POST", "/api/v1/users", { body, headers })).status).toBe(201);
  });

  test("it ends: by logging out, unused, and at last in any case", async () => {
    const first = await browser("ann");
    expect((await first("POST", "/api/v1/logout")).status).toBe(204);
    expect((await first("GET", "/api/v1/session")).status).toBe(401);
    const second = await browser("ann");
    bench.nowMs += IDLE_MS;
    expect((await second("GET", "/api/v1/session")).status).toBe(401);
    const third = await browser("ann");
    const start = bench.nowMs;
    while (bench.nowMs - start + IDLE_MS / 2 < SESSION_LIFE_MS) {
      bench.nowMs += IDLE_MS / 2;
      expect((await third("GET", "/api/v1/session")).status).toBe(200);
    }
    bench.nowMs += IDLE_MS / 2;
    expect((await third("GET", "/api/v1/session")).status).toBe(401);
  });

  test("a user's oldest ends when there are too many", async () => {
    const oldest = await browser("ann");
    for (let i = 0; i < LIMITS.sessionsOfUser; i++) {
      expect((await oldest("GET", "/api/v1/session")).status).toBe(200);
      bench.nowMs++;
      await login("ann");
    }
    expect((await oldest("GET", "/api/v1/session")).status).toBe(401);
  });

  test("a new password ends the others", async () => {
    const [here, there] = [await browser("ann"), await browser("ann")];
    const next = "an entirely new one";
    const wrong = await here("POST", "/api/v1/password", { body: { old: "nonsense", new: next } });
    expect(wrong.status).toBe(403);
    const body = { old: PASSWORD, new: next };
    expect((await here("POST", "/api/v1/password", { body })).status).toBe(204);
    expect((await here("GET", "/api/v1/session")).status).toBe(200);
    expect((await there("GET", "/api/v1/session")).status).toBe(401);
    expect((await login("ann")).status).toBe(401);
    expect((await login("ann", next)).status).toBe(200);
  });
});

describe("guessing", () => {
  beforeEach(() => bench.addUser("ann", "admin"));

  test("gets slower and slower; waiting helps, and so does success", async () => {
    for (let i = 0; i < 5; i++) expect((await login("ann", "wrong password")).status).toBe(401);
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      // Even with the right password: else waiting would be of no use.
      const refused = await login("ann");
      expect(refused.status).toBe(429);
      const seconds = Number(refused.headers.get("retry-after"));
      waits.push(seconds);
      bench.nowMs += seconds * 1000;
      expect((await login("ann", "wrong password")).status).toBe(401);
    }
    expect(waits).toEqual([1, 2, 4, 8]);
    bench.nowMs += 16_000;
    expect((await login("ann")).status).toBe(200);
    expect((await login("ann", "wrong password")).status).toBe(401);
  });

  test("is counted by name from everywhere, and by address for all names", async () => {
    for (let i = 0; i < 5; i++) await login("ann", "wrong password", `10.0.0.${i}`);
    expect((await login("ann", "wrong password", "10.0.0.9")).status).toBe(429);
    for (let i = 0; i < 5; i++) await login(`user${i}`, "wrong password", "10.0.1.1");
    expect((await login("other", "wrong password", "10.0.1.1")).status).toBe(429);
    bench.addUser("bob", "reader");
    expect((await login("bob", PASSWORD, "10.0.2.2")).status).toBe(200);
  });

  test("tries at the same time count too", async () => {
    const tries = await Promise.all(Array.from({ length: 10 }, () => login("ann", "wrong one…")));
    expect(tries.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(tries.filter(({ status }) => status === 429)).toHaveLength(5);
  });
});

describe("tokens", () => {
  beforeEach(() => bench.addUser("ann", "operator"));

  const make = async (body: object, name = "ann"): Promise<Reply> =>
    (await browser(name))("POST", "/api/v1/tokens", { body });
  const use = (token: string, method = "GET", path = "/api/v1/session", body?: unknown) =>
    bench.ask(method, path, { headers: { authorization: `Bearer ${token}` }, body });

  test("it authenticates until it expires", async () => {
    const made = await make({ name: "backup", role: "reader", days: 2 });
    expect(made.status).toBe(201);
    const { token } = made.json;
    expect(token).toMatch(/^solovs_[\w-]{43}$/);
    expect((await use(token)).json).toEqual({ user: "ann", role: "reader", csrfToken: null });
    const list = await use(token, "GET", "/api/v1/tokens");
    expect(list.json.tokens).toHaveLength(1);
    expect(list.text).not.toContain(token);
    bench.nowMs += 2 * 24 * 3600_000;
    expect((await use(token)).status).toBe(401);
  });

  test("it can do no more than its user may", async () => {
    expect((await make({ name: "x", role: "admin" })).status).toBe(403);
    const { token } = (await make({ name: "x", role: "operator" })).json;
    await bench.access.changeUser("ann", "reader");
    expect((await use(token)).json.role).toBe("reader");
    expect((await use(token, "POST", "/api/v1/tokens", { name: "y", role: "reader" })).status)
      .toBe(403);
  });

  test("removed while a body is on its way, it does nothing any more", async () => {
    const authorization = `Bearer ${bench.token("admin")}`;
    const [token] = bench.store.tokens("admin");
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await Bun.sleep(1);
        bench.store.removeToken(token!.id);
        const text = JSON.stringify({ name: "bob", role: "admin", password: PASSWORD });
        controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      },
    });
    const headers = { host: "127.0.0.1:8080", authorization };
    const reply = await bench.app.request(
      "/api/v1/users",
      { method: "POST", headers, body },
      { address: "127.0.0.1" },
    );
    expect(reply.status).toBe(401);
    expect(bench.store.user("bob")).toBeUndefined();
    expect(bench.access.audit.read(1)).toMatchObject([{ user: "admin", status: 401 }]);
  });

  test("removed, it is nobody's; others' are not seen", async () => {
    const { token, id } = (await make({ name: "x", role: "reader" })).json;
    bench.addUser("bob", "reader");
    const bob = await browser("bob");
    expect((await bob("GET", "/api/v1/tokens")).json.tokens).toEqual([]);
    expect((await bob("DELETE", `/api/v1/tokens/${id}`)).status).toBe(404);
    expect((await use(token)).status).toBe(200);
    expect((await use(token, "DELETE", `/api/v1/tokens/${id}`)).status).toBe(204);
    expect((await use(token)).status).toBe(401);
  });

  test.each(["Bearer", "Bearer x", "Basic YTpi", "bearer \u00e9", "Bearer solovs_ x"])(
    "Authorization: %s is nobody, with a good cookie too",
    async (authorization) => {
      const ask = await browser("ann");
      expect((await ask("GET", "/api/v1/session", { headers: { authorization } })).status)
        .toBe(401);
    },
  );
});

describe("users", () => {
  test("added, changed, removed; the last admin stays", async () => {
    const body = { name: "bob", role: "admin", password: PASSWORD };
    const ask = (method: string, path: string, given?: unknown) =>
      bench.ask(method, path, { as: "admin", body: given });
    expect((await ask("DELETE", "/api/v1/users/admin")).status).toBe(409);
    expect((await ask("PATCH", "/api/v1/users/admin", { role: "reader" })).status).toBe(409);
    expect((await ask("POST", "/api/v1/users", body)).status).toBe(201);
    expect((await ask("POST", "/api/v1/users", body)).status).toBe(409);
    const bob = await browser("bob");
    expect((await ask("PATCH", "/api/v1/users/bob", { role: "reader" })).json.role).toBe("reader");
    expect((await bob("GET", "/api/v1/session")).status).toBe(401);
    expect((await ask("PATCH", "/api/v1/users/bob", {})).status).toBe(400);
    expect((await ask("GET", "/api/v1/users")).json.users.map((u: { name: string }) => u.name))
      .toEqual(["admin", "bob"]);
    expect((await ask("DELETE", "/api/v1/users/bob")).status).toBe(204);
    expect((await ask("DELETE", "/api/v1/users/bob")).status).toBe(404);
    expect((await login("bob")).status).toBe(401);
    expect((await bench.ask("GET", "/api/v1/users", { as: "admin" })).text).not.toContain("argon2");
  });

  test.each(["", "a b", "../x", "<b>", "x".repeat(33), ".a"])("%p is no name", async (name) => {
    const body = { name, role: "reader", password: PASSWORD };
    expect((await bench.ask("POST", "/api/v1/users", { as: "admin", body })).status).toBe(400);
  });
});

describe("the audit log", () => {
  test("who, when, what, from where; no secrets", async () => {
    const ask = (method: string, path: string, body?: unknown) =>
      bench.ask(method, path, { as: "admin", body, address: "192.0.2.7" });
    const password = "bob's own secret";
    await ask("POST", "/api/v1/users", { name: "bob", role: "reader", password });
    await ask("DELETE", "/api/v1/users/nobody");
    await bench.ask("POST", "/api/v1/users", { as: "reader", body: {} });
    await login("bob", "wrong password");
    await login("my-password-in-the-wrong-field", "wrong password");
    await bench.ask("GET", "/api/v1/users", { as: "admin" });
    const { json, text } = await ask("GET", "/api/v1/audit");
    expect(
      json.entries.map((
        e: Record<string, unknown>,
      ) => [e["user"], e["via"], e["path"], e["status"]]),
    ).toEqual([
      ["", "none", "/api/v1/login", 401],
      ["bob", "none", "/api/v1/login", 401],
      ["reader", "token test", "/api/v1/users", 403],
      ["admin", "token test", "/api/v1/users/nobody", 404],
      ["admin", "token test", "/api/v1/users", 201],
    ]);
    expect(json.entries.at(-1)).toMatchObject({
      time: "2026-01-01T00:00:00.000Z",
      address: "192.0.2.7",
      detail: "added user bob, reader",
    });
    expect(text).not.toContain(password);
    expect(text).not.toContain("my-password");
    const page = await ask("GET", "/api/v1/audit?limit=1&before=3");
    expect(page.json.entries.map((e: { id: number }) => e.id)).toEqual([2]);
  });

  test("what is answered is on the disk; what is asked at once is written together", async () => {
    const remove = (n: number): Promise<Reply> =>
      bench.ask("DELETE", `/api/v1/users/nobody${n}`, { as: "admin" });
    for (let n = 1; n <= 5; n++) {
      await remove(n);
      // From the file, past whatever waits to be written.
      expect(bench.store.audit(100)).toHaveLength(n);
    }
    const writes: number[] = [];
    const addAudit = bench.store.addAudit.bind(bench.store);
    bench.store.addAudit = (entries) => {
      writes.push(entries.length);
      addAudit(entries);
    };
    await Promise.all(Array.from({ length: 40 }, (_, n) => remove(n)));
    await Promise.all(Array.from({ length: 40 }, (_, n) => remove(n)));
    expect(bench.store.audit(100)).toHaveLength(85);
    expect(writes.length).toBeLessThan(40);
  });

  test("what waits is written at the end, and what comes after it at once", async () => {
    const waits = bench.access.audit.add(ENTRY);
    expect(bench.store.audit(10)).toHaveLength(0);
    bench.access.audit.close();
    expect(bench.store.audit(10)).toHaveLength(1);
    await waits;
    void bench.access.audit.add(ENTRY);
    expect(bench.store.audit(10)).toHaveLength(2);
  });

  test("nobody can fill it without being known", async () => {
    for (let i = 0; i < 20; i++) {
      await login("x", "wrong password");
      await bench.ask("POST", "/api/v1/login", { body: "nonsense" });
      await bench.ask("DELETE", "/api/v1/users/x");
    }
    expect(bench.access.audit.read(100)).toHaveLength(5);
  });

  test("a disk that fails does not change the answer, and the log tells", async () => {
    bench.token("admin");
    bench.nowMs += 3600_000;
    bench.side.tables.db.run("PRAGMA query_only = ON");
    const reply = await bench.ask("DELETE", "/api/v1/users/nobody", { as: "admin" });
    expect(reply.status).toBe(404);
    expect(bench.lines.at(-1)).toContain("the audit log lacks");
    const body = { name: "bob", role: "reader", password: PASSWORD };
    expect((await bench.ask("POST", "/api/v1/users", { as: "admin", body })).status).toBe(503);
    bench.side.tables.db.run("PRAGMA query_only = OFF");
    expect(bench.store.user("bob")).toBeUndefined();
  });

  test("it is bounded", () => {
    const entry = { ...ENTRY, path: "/".repeat(5000) };
    bench.side.tables.db.run("PRAGMA synchronous = OFF");
    bench.store.addAudit(Array(LIMITS.auditEntries + 5).fill(entry));
    const [newest] = bench.store.audit(1);
    expect(newest!.path).toHaveLength(LIMITS.auditText);
    const all = bench.store.audit(LIMITS.auditEntries * 2);
    expect(all).toHaveLength(LIMITS.auditEntries);
  }, 20_000);
});

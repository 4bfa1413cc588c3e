/** A switch without devices for the HTTP tests: a database in memory, and a slow path that acts on it. */
import { expect } from "bun:test";
import { Database } from "../../../src/db/database.ts";
import type { OvsdbSession } from "../../../src/db/session.ts";
import { openReplica, type Replica } from "../../../src/db/replica.ts";
import { openVSwitchSchema } from "../../../src/db/schema/openvswitch.ts";
import { OvsdbServer } from "../../../src/db/server.ts";
import { openSideFile } from "../../../src/db/storage/sqlite.ts";
import { volatileStorage } from "../../../src/db/storage/storage.ts";
import { type Connection, createApp, ROUTES } from "../../../src/http/app.ts";
import { Access } from "../../../src/http/auth/access.ts";
import type { Role } from "../../../src/http/auth/roles.ts";
import { AccessStore } from "../../../src/http/auth/store.ts";
import { hashSecret } from "../../../src/http/auth/secrets.ts";
import { type HttpParts, HttpSource } from "../../../src/http/source.ts";
import { LogSink } from "../../../src/log/log.ts";
import { CaptureError } from "../../../src/slowpath/observe.ts";
import { openOperate } from "../../../src/slowpath/operate.ts";
import type { Vswitch } from "../../../src/slowpath/vswitch.ts";

export const PASSWORD = "correct horse battery";
/** argon2id of PASSWORD, as cheap as it can be: tests hash often. */
const PASSWORD_HASH = await Bun.password.hash(PASSWORD, {
  algorithm: "argon2id",
  memoryCost: 8,
  timeCost: 1,
});

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any
  readonly json: any;
}

export interface AskOptions {
  /** Sends a token of a user with this role. */
  readonly as?: Role;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly address?: string;
}

/** All of the HTTP API but its socket. */
export class Bench {
  readonly lines: string[] = [];
  readonly log = new LogSink((line) => this.lines.push(line));
  readonly side = openSideFile(":memory:");
  readonly store = new AccessStore(this.side.tables);
  nowMs = Date.UTC(2026, 0, 1);
  readonly access = new Access({
    store: this.store,
    logger: this.log.logger("http"),
    now: () => this.nowMs,
  });
  readonly app;
  private readonly tokens = new Map<Role, string>();

  private constructor(
    readonly database: Database,
    readonly session: OvsdbSession,
    readonly replica: Replica,
    readonly parts: HttpParts,
  ) {
    this.app = createApp({
      source: new HttpSource(parts),
      access: this.access,
      logger: this.log.logger("http"),
      hostNames: ["Switch.example"],
    });
  }

  static async open(
    changed: (parts: HttpParts) => Partial<HttpParts> = () => ({}),
  ): Promise<Bench> {
    const logger = new LogSink(() => {}).logger("db");
    const server = new OvsdbServer(logger);
    const database = Database.open(openVSwitchSchema, volatileStorage(), { logger });
    server.addDatabase(database);
    const session = server.openSession("test");
    const replica = await openReplica(session, [
      "Open_vSwitch",
      "Bridge",
      "Port",
      "Interface",
      "Controller",
      "QoS",
      "Queue",
      "Mirror",
    ]);
    await replica.transact((txn) => void txn.insert("Open_vSwitch", { ovs_version: "3.1.0" }));
    const parts: HttpParts = {
      version: "0.1.0",
      uptimeMs: () => 61_500,
      database,
      replica,
      vswitch: vswitchOf(),
      log: new LogSink(() => {}),
    };
    return new Bench(database, session, replica, { ...parts, ...changed(parts) });
  }

  addUser(name: string, role: Role): void {
    this.store.addUser({ name, role, passwordHash: PASSWORD_HASH, createdMs: this.nowMs });
  }

  /** A token of a user named after the role. */
  token(role: Role): string {
    const known = this.tokens.get(role);
    if (known !== undefined) return known;
    this.addUser(role, role);
    const token = `solovs_${role}`;
    this.store.addToken({
      hash: hashSecret(token),
      user: role,
      name: "test",
      role,
      createdMs: this.nowMs,
      expiresMs: this.nowMs + 365 * 24 * 3600_000,
    });
    this.tokens.set(role, token);
    return token;
  }

  async ask(method: string, path: string, options: AskOptions = {}): Promise<Reply> {
    const { as, body, headers, address = "127.0.0.1" } = options;
    const init: RequestInit = {
      method,
      headers: {
        host: "127.0.0.1:8080",
        ...(as && { authorization: `Bearer ${this.token(as)}` }),
        ...headers,
      },
    };
    if (body !== undefined) init.body = typeof body === "string" ? body : JSON.stringify(body);
    const connection: Connection = { address };
    const response = await this.app.request(path, init, connection);
    const text = await response.text();
    const reply = {
      status: response.status,
      headers: response.headers,
      text,
      json: isJsonType(response.headers) ? JSON.parse(text) : undefined,
    };
    if (response.ok) holdToDeclaration(method, path, reply);
    return reply;
  }

  close(): void {
    this.session.close();
    this.side.close();
  }
}

/** A slow path that has done nothing. */
export function vswitchOf(changed: Partial<Vswitch> = {}): Vswitch {
  return {
    status: () => ({ datapathType: "netdev", bridges: 2, ports: 2, counters: { miss: 3 } }),
    bridges: () => [{
      name: "br0",
      datapathId: "0000020000000001",
      failMode: "secure",
      ports: [],
      flows: 12,
      controllers: [{ target: "tcp:127.0.0.1:6633", connected: true }],
    }],
    operate: openOperate({
      bridges: () => new Map(),
      backend: () => undefined,
      counters: () => ({ miss: 3 }),
    }),
    observe: {
      ports: () => [],
      bonds: () => [],
      devices: () => [],
      capture: () => {
        throw new CaptureError("there are no devices here");
      },
      onPacketIn: () => () => {},
      vocabulary: () => ({ fields: [], words: ["tcp"], actions: ["drop"], ports: ["LOCAL"] }),
    },
    settled: () => Promise.resolve(),
    close: () => Promise.resolve(),
    ...changed,
  };
}

const isJsonType = (headers: Headers): boolean => /json/.test(headers.get("content-type") ?? "");

/** Every answer of every test is held to what its route declares. */
function holdToDeclaration(method: string, path: string, reply: Reply): void {
  const { pathname } = new URL(path, "http://localhost");
  const candidates = ROUTES.filter((route) =>
    route.method === method &&
    new RegExp(`^${route.path.replaceAll(".", "\\.").replace(/:\w+/g, "[^/]+")}$`).test(pathname)
  );
  const [first, ...others] = candidates;
  if (first === undefined) return;
  // A fixed path comes before one with a parameter.
  const route = others.find((other) => !other.path.includes(":")) ?? first;
  const { status = 200, response, alsoAnswers = [] } = route.operation;
  expect(`${method} ${path}: ${reply.status}`).toBe(`${method} ${path}: ${status}`);
  const type = reply.headers.get("content-type")?.split(";")[0];
  if (type !== undefined && alsoAnswers.includes(type)) return;
  if (response === undefined) expect(reply.text).toBe("");
  else {
    expect(type).toBe("application/json");
    expect(response.safeParse(reply.json).error).toBeUndefined();
  }
}

/**
 * Acts on the database as a switch does: after each change it writes what became of interfaces,
 * together with `cur_cfg`. Those named `gone…` cannot be set up. Returns what ends it.
 */
export function actAsSwitch({ replica }: Bench): () => void {
  let busy = false;
  let stopped = false;
  const act = async (): Promise<void> => {
    const [root] = replica.rows("Open_vSwitch").values();
    if (stopped || busy || root === undefined || root.cur_cfg >= root.next_cfg) return;
    busy = true;
    const { next_cfg } = root;
    await replica.transact((txn) => {
      txn.update("Open_vSwitch", root._uuid, { cur_cfg: next_cfg });
      for (const { _uuid, name } of replica.rows("Interface").values()) {
        const gone = name.startsWith("gone");
        const error = gone ? `could not open network device ${name}` : undefined;
        txn.update("Interface", _uuid, { ofport: gone ? -1 : 1, error });
      }
    }).catch((error) => {
      if (!stopped) throw error;
    });
    busy = false;
    await act();
  };
  const end = replica.onChange(() => void act());
  return () => {
    stopped = true;
    end();
  };
}

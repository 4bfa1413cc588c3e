/**
 * Managers: `ovs-vsctl set-manager` makes the database listen on, or connect to, what it names; the
 * Manager rows show how each fares; and a manager that goes away and comes back is found again.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectSession } from "../../src/db/rpc/client.ts";
import { type DatabaseService, startDatabaseService } from "../../src/db/service.ts";
import { LogSink } from "../../src/log/log.ts";
import { eventually } from "../support/eventually.ts";
import { must } from "../support/exec.ts";

const quiet = new LogSink(() => {}, "off").logger("test");

/** A manager that waits to be called: it keeps what the database sends, and can ask. */
class Manager {
  received = "";
  connections = 0;
  private socket: { write(text: string): number; end(): unknown } | undefined;
  private listener: ReturnType<typeof Bun.listen> | undefined;

  constructor(private readonly path: string) {}

  start(): void {
    rmSync(this.path, { force: true });
    this.listener = Bun.listen({
      unix: this.path,
      socket: {
        open: (socket) => {
          this.connections++;
          this.socket = socket;
        },
        data: (_, bytes) => {
          this.received += bytes.toString();
        },
      },
    });
  }

  ask(method: string, ...params: unknown[]): void {
    this.socket?.write(JSON.stringify({ id: 1, method, params }));
  }

  stop(): void {
    this.listener?.stop(true);
  }
}

describe.skipIf(Bun.which("ovs-vsctl") === null)("managers", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-db-managers-"));
  const log: string[] = [];
  let service: DatabaseService;

  beforeAll(() => {
    service = startDatabaseService({
      dbFile: `${dir}/conf.sqlite`,
      sockets: [`punix:${dir}/db.sock`],
      logger: new LogSink((line) => log.push(line)).logger("db"),
      statusEveryMs: 50,
    });
  });
  afterAll(() => {
    service.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const vsctl = async (...args: string[]) =>
    (await must(["ovs-vsctl", `--db=unix:${dir}/db.sock`, "--no-wait", ...args])).trim();

  test("ptcp: is listened on, with its port in the row, until it is deleted", async () => {
    await vsctl("set-manager", "ptcp:0:127.0.0.1");
    const uuid = await vsctl("--bare", "--columns=_uuid", "list", "manager");
    const status = () => vsctl("get", "manager", uuid, "status", "is_connected");
    const port = await eventually(
      "the port is shown",
      async () => /bound_port="(\d+)"/.exec(await status())?.[1],
    );
    const remote = `tcp:127.0.0.1:${port}`;
    const session = await connectSession(remote, { who: "test", logger: quiet });
    expect(await session.request("echo", [1])).toEqual([1]);
    await eventually("it shows as connected", async () => (await status()).endsWith("true"));
    let closed = false;
    session.onClose(() => closed = true);
    await vsctl("del-manager");
    await eventually("the manager's connection ends", () => closed);
    await expect(connectSession(remote, { who: "test", logger: quiet })).rejects.toThrow("connect");
  });

  test("unix: is connected to, served, lost, and found again", async () => {
    const peer = new Manager(`${dir}/manager.sock`);
    peer.start();
    await vsctl("set-manager", `unix:${dir}/manager.sock`);
    await eventually("it is called", () => peer.connections === 1);
    peer.ask("list_dbs");
    await eventually("it is answered", () => peer.received.includes('"Open_vSwitch"'));
    const uuid = await vsctl("--bare", "--columns=_uuid", "list", "manager");
    const status = () => vsctl("get", "manager", uuid, "status", "is_connected");
    await eventually("it shows as active", async () => /state=ACTIVE.*\ntrue/.test(await status()));
    peer.stop();
    await eventually(
      "it shows as lost",
      async () => /state=(BACKOFF|CONN).*\nfalse/.test(await status()),
    );
    peer.start();
    await eventually("it is called again", () => peer.connections === 2);
    await vsctl("del-manager");
    peer.stop();
  }, 15_000);

  test("a target that makes no sense is an error in the log, and harms nothing", async () => {
    await vsctl("set-manager", "bogus:1");
    await eventually("it is logged", () => log.some((line) => /\|ERR\|.*bogus:1/.test(line)));
    expect(await vsctl("get-manager")).toBe("bogus:1");
    await vsctl("del-manager");
  });
});

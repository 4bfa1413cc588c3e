import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { controlCommands, ControlError, DatabaseFiles } from "../../../src/db/control.ts";
import { Database } from "../../../src/db/database.ts";
import { Remotes } from "../../../src/db/remotes.ts";
import { connectSession } from "../../../src/db/rpc/client.ts";
import { defaultListenerLimits } from "../../../src/db/rpc/listener.ts";
import { parseRemote } from "../../../src/db/rpc/remote.ts";
import { OvsdbServer } from "../../../src/db/server.ts";
import { openStorage } from "../../../src/db/storage/open.ts";
import { insert, must, quietLogger, zooSchema } from "./fixture.ts";

const logger = quietLogger();
let dir: string;
let server: OvsdbServer;
let remotes: Remotes;
let run: (command: string, ...args: string[]) => string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "solovs-db-control-"));
  server = new OvsdbServer(logger);
  remotes = new Remotes(server, logger, defaultListenerLimits);
  const files = new DatabaseFiles(server, logger);
  const commands = controlCommands({ server, remotes, files });
  run = (command, ...args) => commands.get(`ovsdb-server/${command}`)?.run(args) ?? "no command";
  for (const kind of ["sqlite", "ovsdb-file"] as const) {
    const schema = { ...zooSchema, name: kind === "sqlite" ? "lite" : "zoo" };
    Database.open(schema, openStorage(join(dir, kind), logger, kind), { logger }).close();
  }
});
afterEach(() => {
  remotes.close();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

test("databases of both kinds come and go", async () => {
  run("add-db", join(dir, "sqlite"));
  run("add-db", join(dir, "ovsdb-file"));
  expect(run("list-dbs")).toBe("_Server\nlite\nzoo\n");
  expect(run("get-db-storage-status", "zoo")).toBe("status: ok");
  const zoo = server.databases.get("zoo") as Database;
  await must(zoo, insert("Zoo", { name: "z" }), { op: "comment", comment: "x".repeat(5000) });
  const before = statSync(join(dir, "ovsdb-file")).size;
  run("compact");
  expect(statSync(join(dir, "ovsdb-file")).size).toBeLessThan(before - 4000);
  run("remove-db", "zoo");
  expect(run("list-dbs")).toBe("_Server\nlite\n");
  run("add-db", join(dir, "ovsdb-file"));
  expect(server.databases.get("zoo")?.tables.get("Zoo")?.rows.size).toBe(1);
});

test("remotes come and go", async () => {
  run("add-db", join(dir, "sqlite"));
  const remote = `punix:${dir}/sock`;
  run("add-remote", remote);
  expect(run("list-remotes")).toBe(`${remote}\n`);
  const session = await connectSession(`unix:${dir}/sock`, { who: "test", logger });
  const closed = new Promise((resolve) => session.onClose(resolve));
  expect(await session.request("list_dbs", [])).toEqual(["_Server", "lite"]);
  run("remove-remote", remote);
  await closed;
  expect(run("list-remotes")).toBe("");
});

test.each([
  ["remove-db", "nope", "Failed to find the database."],
  ["remove-db", "_Server", "Cannot remove reserved database."],
  ["compact", "nope", "no database by that name"],
  ["compact", "_Server", "cannot compact built-in databases"],
  ["remove-remote", "ptcp:1", "no such remote"],
  ["add-remote", "db:a,b", '"db:a,b": invalid syntax'],
  ["add-remote", "db:a,b,c", '"db:a,b,c": no database named a'],
  ["add-remote", "db:_Server,b,c", '"db:_Server,b,c": no table named b'],
  ["add-db", "/nonexistent/x", "open failed (No such file or directory)"],
])("%s %s: %s", (command, arg, message) => {
  expect(() => run(command, arg)).toThrow(ControlError);
  expect(() => run(command, arg)).toThrow(message);
});

test.each<[string, object]>([
  ["punix:/a/b", { kind: "unix", passive: true, path: "/a/b" }],
  ["unix:x", { kind: "unix", passive: false, path: "x" }],
  ["ptcp:", { kind: "tcp", passive: true, host: "0.0.0.0", port: 6640 }],
  ["ptcp:1:[::1]", { kind: "tcp", passive: true, host: "::1", port: 1 }],
  ["tcp:[fe80::1]:99", { kind: "tcp", passive: false, host: "fe80::1", port: 99 }],
  ["tcp:host", { kind: "tcp", passive: false, host: "host", port: 6640 }],
  ["ssl:host:1", { kind: "ssl", passive: false, host: "host", port: 1 }],
  ["pssl:0:127.0.0.1", { kind: "ssl", passive: true, host: "127.0.0.1", port: 0 }],
])("%s is %j", (text, remote) => {
  expect(parseRemote(text)).toEqual(remote as ReturnType<typeof parseRemote>);
});

test.each(["", "x", "unix:", "tcp:", "tcp:h:99999", "tcp:h:x", "ptcp:x", "ssl:", "pssl:x"])(
  "%j is no remote",
  (text) => {
    expect(() => parseRemote(text)).toThrow("bad remote");
  },
);

import { describe, expect, test } from "bun:test";
import {
  parseListenAddress,
  parseLogLevel,
  parsePassiveRemote,
} from "../../../src/cli/arguments.ts";
import { defaultDatabase, defaultRunDir } from "../../../src/cli/options.ts";

describe("--http", () => {
  test.each(
    [
      ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
      ["[::1]:80", { host: "::1", port: 80 }],
      ["localhost:0", { host: "localhost", port: 0 }],
      [":8080", { host: "0.0.0.0", port: 8080 }],
      ["none", "none"],
    ] as const,
  )("%s", (text, value) => {
    expect(parseListenAddress(text)).toEqual(value as ReturnType<typeof parseListenAddress>);
  });

  test.each(["", "8080", "127.0.0.1", "127.0.0.1:", "a:65536", "a:-1", "[127.0.0.1]:80", "::1:80"])(
    "rejects %p and says which form is right",
    (text) => expect(() => parseListenAddress(text)).toThrow("127.0.0.1:8080"),
  );
});

describe("--remote", () => {
  test.each([
    "ptcp:6640",
    "ptcp:",
    "ptcp:0:127.0.0.1",
    "ptcp:6640:[::1]",
    "pssl:6640",
    "punix:/run/x.sock",
  ])(
    "%s",
    (text) => expect(parsePassiveRemote(text)).toBe(text),
  );

  test.each(["", "tcp:127.0.0.1:6640", "ptcp:99999", "unix:/x", "punix:", "ssl:6640"])(
    "rejects %p",
    (text) => expect(() => parsePassiveRemote(text)).toThrow("ptcp:PORT"),
  );
});

describe("--log-level", () => {
  test("of all modules, and of one", () => {
    expect(parseLogLevel("dbg")).toEqual({ level: "dbg" });
    expect(parseLogLevel("db:warn")).toEqual({ module: "db", level: "warn" });
  });

  test.each(["", "debug", ":dbg", "db:", "db:loud", "toString"])(
    "rejects %p",
    (text) => expect(() => parseLogLevel(text)).toThrow("off, emer, err"),
  );
});

describe("defaults", () => {
  test("follow the environment of the stock clients", () => {
    expect(defaultRunDir({})).toBe("/var/run/openvswitch");
    expect(defaultRunDir({ OVS_RUNDIR: "/tmp/r" })).toBe("/tmp/r");
    expect(defaultRunDir({ OVS_RUNDIR: "" })).toBe("/var/run/openvswitch");
    expect(defaultDatabase({})).toBe("/var/lib/solovs/solovs.db");
    expect(defaultDatabase({ OVS_DBDIR: "/tmp/d" })).toBe("/tmp/d/solovs.db");
  });
});

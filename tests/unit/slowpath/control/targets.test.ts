import { describe, expect, test } from "bun:test";
import { parseTarget } from "../../../../src/slowpath/control/targets.ts";

describe("connection targets", () => {
  test.each([
    ["tcp:10.0.0.1:6633", { kind: "tcp", host: "10.0.0.1", port: 6633 }],
    ["tcp:10.0.0.1", { kind: "tcp", host: "10.0.0.1", port: 6653 }],
    ["tcp:[::1]:7", { kind: "tcp", host: "::1", port: 7 }],
    ["tcp:[fe80::1%eth0]", { kind: "tcp", host: "fe80::1%eth0", port: 6653 }],
    ["ptcp:", { kind: "ptcp", host: "0.0.0.0", port: 6653 }],
    ["ptcp:0:127.0.0.1", { kind: "ptcp", host: "127.0.0.1", port: 0 }],
    ["ptcp:6633:[::]", { kind: "ptcp", host: "::", port: 6633 }],
    ["ssl:10.0.0.1", { kind: "ssl", host: "10.0.0.1", port: 6653 }],
    ["pssl:0:127.0.0.1", { kind: "pssl", host: "127.0.0.1", port: 0 }],
    ["unix:/a/b", { kind: "unix", path: "/a/b" }],
    ["punix:x.mgmt", { kind: "punix", path: "/run/x.mgmt" }],
  ])("%s", (text, target) => {
    expect(parseTarget(text, "/run")).toEqual({ ok: true, target } as never);
  });

  test.each([
    ["", "unknown kind"],
    ["tcp", "tcp:HOST"],
    ["tcp:", "tcp:HOST"],
    ["tcp:a:b", "not a port number"],
    ["tcp:a:0", "not a port number"],
    ["tcp:a:65536", "not a port number"],
    ["tcp:::1:5", "tcp:HOST"],
    ["ptcp:x", "not a port number"],
    ["unix:", "file name"],
    ["ssl:", "ssl:HOST"],
    ["pssl:x", "not a port number"],
    ["udp:1.2.3.4", "unknown kind"],
  ])('"%s" says what is wrong', (text, problem) => {
    const parsed = parseTarget(text, "/run");
    expect(parsed.ok ? "" : parsed.error).toContain(problem);
  });
});

import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Vlog, VlogError } from "../../../src/cli/roles/vlog.ts";

const MODULES = ["jsonrpc", "ovsdb_server", "vlog"];

function recording(): { vlog: Vlog; lines: string[] } {
  const lines: string[] = [];
  return { vlog: new Vlog("ovsdb-server", MODULES, (line) => lines.push(line)), lines };
}

describe("levels", () => {
  test("information is written, debugging is not", () => {
    const { vlog, lines } = recording();
    const logger = vlog.logger("jsonrpc");
    logger.dbg("quiet");
    logger.info("loud");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\|00001\|jsonrpc\|INFO\|loud\n$/);
    expect(logger.enabled("dbg")).toBe(false);
  });

  test("a module, a destination and a level may be given in any order", () => {
    for (const spec of ["jsonrpc:console:dbg", "DBG,jsonrpc,console", "console jsonrpc"]) {
      const { vlog, lines } = recording();
      vlog.set(spec);
      vlog.logger("jsonrpc").dbg("one");
      vlog.logger("ovsdb_server").dbg("two");
      expect(lines).toHaveLength(1);
    }
  });

  test("off silences, and no specification at all means everything", () => {
    const { vlog, lines } = recording();
    vlog.set("off");
    vlog.logger("jsonrpc").emer("nothing");
    expect(lines).toEqual([]);
    vlog.set(undefined);
    vlog.logger("jsonrpc").dbg("all");
    expect(lines).toHaveLength(1);
  });

  test.each([
    ["nonsense", 'no destination, level, or module "nonsense"'],
    ["info:dbg", "cannot specify multiple levels"],
    ["file:console", "cannot specify multiple destinations"],
    ["jsonrpc:vlog", "cannot specify multiple modules"],
    ["pattern", "missing destination"],
    ["pattern:nowhere:x", 'unknown destination "nowhere"'],
    ["facility:nobody", "invalid facility"],
  ])("%s is refused", (spec, message) => {
    expect(() => recording().vlog.set(spec)).toThrow(new VlogError(message));
  });

  test("are listed", () => {
    const { vlog } = recording();
    vlog.set("jsonrpc:file:err");
    vlog.setRateLimits(["vlog"], false);
    expect(vlog.listLevels().split("\n")).toEqual([
      "                 console    syslog    file",
      "                 -------    ------    ------",
      "jsonrpc           INFO       INFO        ERR",
      "ovsdb_server      INFO       INFO       INFO",
      "vlog              INFO       INFO       INFO    (rate limiting disabled)",
      "",
    ]);
  });
});

describe("patterns", () => {
  test.each([
    ["%A: %c-%p %m%%", "ovsdb-server: jsonrpc-WARN text%\n"],
    ["%-10c|%8p|%04N", "jsonrpc   |    WARN|0001\n"],
    ["<%B>1", "<132>1\n"],
    ["%P", `${process.pid}\n`],
  ])("%s", (pattern, expected) => {
    const { vlog, lines } = recording();
    vlog.set(`PATTERN:console:${pattern}`);
    vlog.logger("jsonrpc").warn("text");
    expect(lines).toEqual([expected]);
  });

  test("the facility is part of the priority", () => {
    const { vlog, lines } = recording();
    vlog.set("FACILITY:daemon");
    vlog.set("PATTERN:ANY:<%B>");
    vlog.logger("jsonrpc").info("text");
    expect(lines).toEqual(["<29>\n"]);
  });

  test("a message cannot forge a line", () => {
    const { vlog, lines } = recording();
    vlog.set("PATTERN:console:%m");
    vlog.logger("jsonrpc").info("one\n2026|two\nthree");
    expect(lines).toEqual(["one\\n2026|two\nthree\n"]);
  });
});

test("what repeats is limited, unless the limit is switched off", () => {
  const { vlog, lines } = recording();
  const logger = vlog.logger("jsonrpc");
  for (let i = 0; i < 1000; i++) logger.warn(`bad message ${i}`);
  expect(lines.length).toBeGreaterThanOrEqual(60);
  expect(lines.length).toBeLessThan(200);
  vlog.setRateLimits([], false);
  lines.length = 0;
  for (let i = 0; i < 100; i++) logger.warn(`bad message ${i}`);
  expect(lines).toHaveLength(100);
  expect(() => vlog.setRateLimits(["nobody"], true)).toThrow("unknown module");
});

test("the log file is appended to, and opened anew after it was moved away", () => {
  const dir = mkdtempSync(join(tmpdir(), "vlog-"));
  try {
    const { vlog } = recording();
    const path = join(dir, "a.log");
    expect(() => vlog.reopenFile()).toThrow("Logging to file not configured");
    vlog.openFile(path);
    renameSync(path, join(dir, "b.log"));
    vlog.reopenFile();
    vlog.logger("jsonrpc").info("after");
    vlog.closeFile();
    vlog.logger("jsonrpc").info("closed");
    expect(readFileSync(join(dir, "b.log"), "utf8")).toContain("|vlog|INFO|closing log file\n");
    const text = readFileSync(path, "utf8");
    expect(text).toContain(`|vlog|INFO|opened log file ${path}\n`);
    expect(text).toContain("|jsonrpc|INFO|after\n");
    expect(text).not.toContain("closed");
    expect(() => vlog.openFile(join(dir, "none", "x"))).toThrow("No such file or directory");
  } finally {
    rmSync(dir, { recursive: true });
  }
});

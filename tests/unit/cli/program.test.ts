import { describe, expect, spyOn, test } from "bun:test";
import { effectiveCapabilities, missingCapabilities } from "../../../src/cli/capabilities.ts";
import { stockProgram } from "../../../src/cli/names.ts";
import { runCommandLine } from "../../../src/cli/program.ts";
import { parseReport } from "../../runner/junit.ts";

/** Runs a command line in this process; what it printed and its exit code. */
async function commandLine(argv0: string, ...words: string[]) {
  const printed = { out: "", err: "" };
  const out = spyOn(process.stdout, "write").mockImplementation((text) => {
    printed.out += String(text);
    return true;
  });
  const err = spyOn(process.stderr, "write").mockImplementation((text) => {
    printed.err += String(text);
    return true;
  });
  try {
    return { code: await runCommandLine(argv0, words), ...printed };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

describe("command line", () => {
  test("--version and --help", async () => {
    const version = await commandLine("solovs", "--version");
    expect(version).toMatchObject({ code: 0, err: "" });
    expect(version.out).toMatch(/^solovs \d+\.\d+\.\d+ \(behaves as Open vSwitch 3\.1\.0\)\n$/);
    const help = await commandLine("solovs", "--help");
    expect(help.code).toBe(0);
    expect(help.out).toContain("lab");
    expect(help.out).not.toContain("lab-host");
    expect((await commandLine("solovs", "run", "--help")).out).toContain("--run-dir <dir>");
  });

  test.each([
    [["--nonsense"], "unknown option '--nonsense'"],
    [["run", "--nonsense"], "unknown option '--nonsense'"],
    [["labb"], "unknown command 'labb'; the commands are: run, lab, "],
    [["run", "now"], "too many arguments"],
    [["run", "--http", "nowhere"], "127.0.0.1:8080"],
    [["--remote", "tcp:1.2.3.4:5"], "ptcp:PORT"],
    [["--log-level", "loud"], "off, emer, err"],
    [["lab", "--http"], "argument missing"],
  ])("%p exits 2 and says what to do", async (words, expected) => {
    const { code, err, out } = await commandLine("solovs", ...words);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toContain(expected);
    expect(err).toContain("Run 'solovs");
  });

  test("the names of stock programs are recognised, and nothing else is", async () => {
    const { code, err } = await commandLine("/usr/bin/ovsdb-tool", "create");
    expect(code).toBe(2);
    expect(err).toContain("ovsdb-tool of the package openvswitch-common");
    expect(stockProgram("solovs")).toBeUndefined();
    expect(stockProgram("/x/toString")).toBeUndefined();
  });
});

describe("capabilities", () => {
  const status = (hex: string) => `Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t${hex}\n`;
  test("are read from /proc/PID/status", () => {
    expect(effectiveCapabilities(status("000001ffffffffff"))).toBe(0x1ffffffffffn);
    expect(effectiveCapabilities("")).toBe(0n);
    expect(missingCapabilities(["CAP_NET_ADMIN", "CAP_NET_RAW"], status("0000000000003000")))
      .toEqual([]);
    expect(missingCapabilities(["CAP_NET_ADMIN", "CAP_NET_RAW"], status("0000000000002000")))
      .toEqual(["CAP_NET_ADMIN"]);
  });
});

describe("the test runner's report reader", () => {
  test("counts each case once, with the reasons of skipped ones", () => {
    const counts = parseReport(`<testsuites><testsuite name="g [skipped: needs root]">
      <testcase name="a" classname="g [skipped: needs &quot;root&quot;]"><skipped /></testcase>
      <testcase name="b" classname="h" time="0" />
      <testcase name="c" classname="h"><failure type="E" message="&lt;skipped&gt;">x</failure></testcase>
      <testcase name="d" classname="h"><skipped message="TODO" /></testcase>
      </testsuite></testsuites>`);
    expect(counts).toMatchObject({ passed: 1, failed: 1, skipped: 2 });
    expect([...counts.reasons]).toEqual([
      ["needs 'root'", 1],
      ["h > d", 1],
    ]);
  });
});

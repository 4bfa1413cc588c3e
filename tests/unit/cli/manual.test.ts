/** The manual page says every command and every option, and is roff that man(1) takes. */
import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");

function run(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, "main.ts", ...words], {
    cwd: ROOT,
  });
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return stdout.toString();
}

const page = run("manual");
/** As it reads, without roff's markup. */
const text = page.replaceAll("\\-", "-").replaceAll(/\\f[BIR]/g, "");

test.each(["run", "config", "db"])("every option of %s is in it", (command) => {
  const options = [...run(command, "--help").matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)]
    .map(([, option = ""]) => option).filter((option) => option !== "--help");
  expect(options.filter((option) => !text.includes(option))).toEqual([]);
});

test("every command is in it", () => {
  const help = run("--help");
  const commands = [...help.slice(help.indexOf("Commands:")).matchAll(/^ {2}([a-z-]+)/gm)]
    .map(([, command = ""]) => command).filter((command) => command !== "help");
  expect(commands.length).toBeGreaterThan(8);
  expect(commands.filter((command) => !text.includes(`solovs ${command}`))).toEqual([]);
});

test("no line is a request of roff that is not meant as one", () => {
  const requests = page.split("\n").filter((line) => /^[.']/.test(line))
    .map((line) => line.split(/[ "]/)[0]);
  expect([...new Set(requests)].sort()).toEqual([".SH", ".SS", ".TH", ".TP", ".\\"]);
  expect(text).not.toContain("undefined");
});

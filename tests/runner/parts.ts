/**
 * The parts of `npm test`: each a few commands whose outcome is counted. A check (format, lint, types,
 * build) counts as one test.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Counts, noCounts, parseReport } from "./junit.ts";

/** A test file that runs longer than this hangs. */
const FILE_TIMEOUT_MS = 300_000;
/** Files that take longer on a slow machine: they fetch and unpack a Debian. */
const SLOW_FILES: Readonly<Record<string, number>> = { "image.test.ts": 1_200_000 };
/** A single test without a timeout of its own. */
const TEST_TIMEOUT_MS = 20_000;

export interface Part {
  readonly name: string;
  readonly title: string;
  /** Run once more if it fails, and named in the summary: other programs share its machine. */
  readonly twice?: boolean;
  run(): Promise<Counts>;
}

interface Ended {
  code: number;
  output: string;
  timedOut: boolean;
}

/** Runs a command to its end with its output collected, or passed through when `show` is set. */
async function command(
  words: readonly string[],
  options: { show?: boolean; timeoutMs?: number } = {},
): Promise<Ended> {
  const child = Bun.spawn([...words], {
    stdin: "ignore",
    stdout: options.show === true ? "inherit" : "pipe",
    stderr: options.show === true ? "inherit" : "pipe",
    env: { ...process.env, NO_COLOR: "1" },
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, options.timeoutMs ?? FILE_TIMEOUT_MS);
  const read = (stream: typeof child.stdout) =>
    stream instanceof ReadableStream ? new Response(stream).text() : "";
  const [out, err, code] = await Promise.all([
    read(child.stdout),
    read(child.stderr),
    child.exited,
  ]);
  clearTimeout(timer);
  return { code, output: out + err, timedOut };
}

/** A command that passes by exiting 0; its output is shown otherwise. */
function check(name: string, title: string, words: readonly string[]): Part {
  return {
    name,
    title,
    async run() {
      const ended = await command(words);
      const counts = noCounts();
      if (ended.code === 0) counts.passed = 1;
      else {
        counts.failed = 1;
        console.log(ended.output.trimEnd());
      }
      return counts;
    },
  };
}

/** Runs `bun test` on some files; what it prints is shown, the counts come from its report. */
async function bunTest(bun: string, files: readonly string[]): Promise<Counts> {
  const directory = mkdtempSync(join(tmpdir(), "solovs-tests-"));
  const report = join(directory, "report.xml");
  try {
    const timeoutMs = SLOW_FILES[basename(files[0] ?? "")] ?? FILE_TIMEOUT_MS;
    const ended = await command([
      bun,
      "test",
      "--only-failures",
      `--timeout=${TEST_TIMEOUT_MS}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files,
    ], { show: true, timeoutMs });
    const counts = existsSync(report) ? parseReport(readFileSync(report, "utf8")) : noCounts();
    if (ended.code !== 0 && counts.failed === 0) {
      // A crash, a hang, or an error outside of any test: the report does not know of it.
      counts.failed = 1;
      const how = ended.timedOut ? `was stopped after ${timeoutMs / 1000} s` : "failed";
      console.log(`bun test ${how} outside of a test (exit code ${ended.code})`);
    }
    return counts;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function testFiles(directory: string): string[] {
  return [...new Bun.Glob(`${directory}/**/*.test.ts`).scanSync(".")].sort().map((f) => `./${f}`);
}

export function parts(bun: string): Part[] {
  const tool = (name: string) => join("node_modules/.bin", name);
  return [
    check("fmt", "format check", [tool("deno"), "fmt", "--check", "--quiet"]),
    check("lint", "lint", [tool("deno"), "lint", "--quiet"]),
    check("types", "type check", [tool("tsc"), "--noEmit"]),
    // The console is typed for browsers, everything else is not.
    check("types", "type check of the console", [
      tool("tsc"),
      "--noEmit",
      "-p",
      "src/http/console/app",
    ]),
    check("compile", "compile", ["./compile.sh"]),
    {
      name: "unit",
      title: "unit tests",
      run: () => bunTest(bun, testFiles("tests/unit")),
    },
    {
      name: "fuzz",
      title: "fuzz targets, a few seconds each (FUZZ_SECONDS, FUZZ_SEED)",
      run: () => bunTest(bun, testFiles("tests/fuzz")),
    },
    // A process to each file, one after the other: they make network namespaces and start switches.
    ...["conformance", "integration"].flatMap((kind) =>
      testFiles(`tests/${kind}`).map((file): Part => ({
        name: "integration",
        title: `${kind}: ${file.replace(/^.*\//, "").replace(/\.test\.ts$/, "")}`,
        twice: true,
        run: () => bunTest(bun, [file]),
      }))
    ),
  ];
}

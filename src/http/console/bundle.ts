/**
 * Bundles the console. A macro: it runs while the program itself is bundled (compile.sh), or loaded
 * from its sources (tests, `bun main.ts`), and its result stands in the place of the call.
 *
 * It calls `bun build` as a process of its own, for a bundler cannot wait for itself.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Bundle {
  readonly script: string;
  readonly style: string;
}

export function bundleConsole(): Bundle {
  const directory = mkdtempSync(join(tmpdir(), "solovs-console-"));
  try {
    const { exitCode, stderr } = Bun.spawnSync([
      process.execPath,
      "build",
      join(import.meta.dir, "app/main.tsx"),
      "--production",
      "--target=browser",
      "--entry-naming=console.[ext]",
      `--outdir=${directory}`,
    ]);
    if (exitCode !== 0) throw new Error(`the console cannot be bundled:\n${stderr.toString()}`);
    const read = (name: string): string => readFileSync(join(directory, name), "utf8");
    return { script: read("console.js"), style: read("console.css") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

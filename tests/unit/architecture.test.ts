/**
 * The rules of ARCHITECTURE.md that a machine can check: who may import whom, how long a file may
 * get, and what may not stand in one.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const LONGEST_FILE_LINES = 500;

/** Each room and what it may import beside itself. `log` is a leaf that all may use. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["cli"],
  cli: ["http", "slowpath", "db", "fastpath", "openflow", "packet", "linux", "log"],
  http: ["slowpath", "db", "log"],
  slowpath: ["fastpath", "openflow", "packet", "db", "log"],
  fastpath: ["linux", "packet", "log"],
  openflow: ["packet", "log"],
  packet: ["log"],
  db: ["log"],
  linux: ["log"],
  log: [],
};

/** Libraries, and the only rooms that may use them. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  "bun:ffi": ["linux"],
  "bun:sqlite": ["db"],
  "drizzle-orm": ["db", "http"],
  commander: ["cli"],
  hono: ["http"],
  preact: ["http"],
  uplot: ["http"],
  "@dagrejs/dagre": ["http"],
  zod: ["db", "http", "cli"],
};

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function roomOf(path: string): string {
  return path === "main.ts" ? "main" : path.split("/")[1] ?? "";
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^;"']*?\bfrom\s*"([^"]+)"|\bimport\(\s*"([^"]+)"|(?:^|\n)\s*import\s+"([^"]+)"/g;
  return [...code.matchAll(pattern)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** Settings of build tools and types of files that are not code are no part of the program. */
const sources = [...new Bun.Glob("src/**/*.ts").scanSync(ROOT)]
  .filter((path) => !/\.(?:config|d)\.ts$/.test(path));

const files: readonly SourceFile[] = ["main.ts", ...sources]
  .sort().map((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    return { path, room: roomOf(path), text, imports: importsOf(text) };
  });

/** The library that a bare specifier names, without the path inside it. */
function libraryOf(specifier: string): string {
  if (specifier.startsWith("@")) return specifier.split("/").slice(0, 2).join("/");
  return specifier.includes(":") ? specifier : specifier.split("/")[0]!;
}

describe("architecture", () => {
  test("the import scanner sees every form", () => {
    const text =
      `import a from "./a.ts";\nimport type { B } from "./b.ts";\nimport {\n  c,\n} from "./c.ts";
export * from "./d.ts";\nexport { e } from "./e.ts";\nimport "./f.ts";\nawait import("./g.ts");
// import "./no.ts";\n/* import "./no.ts" */\nconst s = "from x";`;
    expect(importsOf(text)).toEqual(["a", "b", "c", "d", "e", "f", "g"].map((n) => `./${n}.ts`));
  });

  test("each room imports only the rooms below it", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const allowed = MAY_IMPORT[file.room];
      if (allowed === undefined) {
        wrong.push(`${file.path}: there is no room ${file.room} in MAY_IMPORT`);
        continue;
      }
      for (const specifier of file.imports.filter((name) => name.startsWith("."))) {
        const target = normalize(join(dirname(file.path), specifier));
        if (target === "package.json" && file.room === "cli") continue; // the version
        const room = target.startsWith("src/") || target === "main.ts" ? roomOf(target) : target;
        if (room !== file.room && !allowed.includes(room)) {
          wrong.push(`${file.path}: ${file.room} may not import ${target}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("each library is used only in the rooms meant for it", () => {
    const wrong: string[] = [];
    for (const file of files) {
      for (const specifier of file.imports.filter((name) => !name.startsWith("."))) {
        const library = libraryOf(specifier);
        if (library.startsWith("node:") || library === "bun") continue;
        if (!library.startsWith("bun:") && builtinModules.includes(library)) {
          wrong.push(`${file.path}: write node:${library}`);
        } else if (LIBRARIES[library] === undefined) {
          wrong.push(`${file.path}: ${library} is not in LIBRARIES`);
        } else if (!LIBRARIES[library].includes(file.room)) {
          wrong.push(`${file.path}: ${library} is not for ${file.room}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test(`no file is longer than ${LONGEST_FILE_LINES} lines`, () => {
    const long = files
      .map((file) => ({ path: file.path, lines: file.text.split("\n").length - 1 }))
      .filter((file) => file.lines > LONGEST_FILE_LINES);
    expect(long).toEqual([]);
  });

  test("no file is a drawer for odds and ends", () => {
    const drawers = files.filter(({ path }) => /\b(utils?|helpers?|misc|manager)\b/.test(path));
    expect(drawers.map((file) => file.path)).toEqual([]);
  });

  test("no module keeps mutable state, exports a default, or holds a note to do something", () => {
    const wrong: string[] = [];
    for (const { path, text } of files) {
      if (/^(?:export )?(?:let|var)\b/m.test(text)) wrong.push(`${path}: let at module level`);
      if (/^export default\b/m.test(text)) wrong.push(`${path}: default export`);
      if (/\b(?:TODO|FIXME|XXX)\b/.test(text)) wrong.push(`${path}: TODO, FIXME or XXX`);
      if (/:\s*any\b|\bas any\b|<any>[\w(]/.test(withoutComments(text))) wrong.push(`${path}: any`);
    }
    expect(wrong).toEqual([]);
  });
});

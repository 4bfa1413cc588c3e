/** The console's files: their size, their texts, and that nothing in them becomes HTML by itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CHINESE } from "../../../src/http/console/app/core/chinese.ts";
import { translator } from "../../../src/http/console/app/core/translate.ts";
import { Bench } from "./source.ts";

const APP = join(import.meta.dir, "../../../src/http/console/app");
const MOST_TRANSFER_BYTES = 500_000;

const sources = [...new Bun.Glob("**/*.{ts,tsx}").scanSync(APP)].map((path) => ({
  path,
  text: readFileSync(join(APP, path), "utf8"),
}));

/** What `t()` is called with: one text, perhaps in several parts. */
function textsOf(source: string): string[] {
  const calls = source.matchAll(/\bt\(\s*((?:"(?:[^"\\]|\\.)*"\s*\+?\s*)+)/g);
  return [...calls].map(([, parts = ""]) =>
    [...parts.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([whole]) => JSON.parse(whole)).join("")
  );
}

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
});
afterAll(() => bench.close());

describe("texts", () => {
  const texts = [...new Set(sources.flatMap(({ text }) => textsOf(text)))];

  test("every text has a Chinese one, with the same parameters", () => {
    expect(texts.length).toBeGreaterThan(300);
    expect(texts.filter((text) => CHINESE[text] === undefined)).toEqual([]);
    const parameters = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([one]) => one).sort();
    const wrong = Object.entries(CHINESE).filter(([english, chinese]) =>
      String(parameters(english)) !== String(parameters(chinese))
    );
    expect(wrong).toEqual([]);
  });

  test("pages and their groups have Chinese names", () => {
    const pages = sources.find(({ path }) => path === "ui/pages.tsx")!.text;
    const names = [...pages.matchAll(/page\("([^"]+)", "[^"]+", "([^"]+)"/g)]
      .flatMap(([, group = "", title = ""]) => [group, title]);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => CHINESE[name] === undefined)).toEqual([]);
  });

  test("parameters are put in, in either language", () => {
    expect(translator("en")("{n} flows", { n: 3 })).toBe("3 flows");
    expect(translator("zh")("{n} flows", { n: 3 })).toBe("3 条流表");
    expect(translator("zh")("nobody has said this")).toBe("nobody has said this");
  });
});

test("no part of the console turns text into HTML or style into code", () => {
  for (const { path, text } of sources) {
    const found = /dangerouslySetInnerHTML|innerHTML|insertAdjacentHTML|document\.write|\beval\(/
      .exec(text);
    expect([path, found?.[0]]).toEqual([path, undefined]);
  }
});

describe("transfer", () => {
  const ask = (path: string, headers = {}) =>
    bench.app.request(path, { headers: { host: "localhost", ...headers } }, {});

  test("all of it, compressed, is small", async () => {
    let bytes = 0;
    for (const path of ["/", "/console.js", "/console.css"]) {
      const response = await ask(path, { "accept-encoding": "gzip, br" });
      expect(response.headers.get("content-encoding")).toBe("gzip");
      const body = new Uint8Array(await response.arrayBuffer());
      bytes += body.length;
      const plain = await (await ask(path)).text();
      expect(new TextDecoder().decode(Bun.gunzipSync(body))).toBe(plain);
    }
    expect(bytes).toBeLessThan(MOST_TRANSFER_BYTES);
  });

  test("what has not changed is not sent again", async () => {
    const first = await ask("/console.js");
    const etag = first.headers.get("etag")!;
    const again = await ask("/console.js", { "if-none-match": etag });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe("");
    expect((await ask("/console.js", { "if-none-match": '"other"' })).status).toBe(200);
  });
});

/**
 * The console's files: in the executable as text, sent compressed, and only when they have changed
 * (RFC 9110 §13.1.2). Everything in the console comes from here.
 */
import { bundleConsole } from "./bundle.ts" with { type: "macro" };
import html from "./index.html" with { type: "text" };
import apiHtml from "./api.html" with { type: "text" };
import apiScript from "./api.js" with { type: "text" };

const { script, style } = bundleConsole();

interface ConsoleFile {
  readonly type: string;
  readonly text: string;
}

const FILES: ReadonlyMap<string, ConsoleFile> = new Map([
  // The types of Bun know `.html` as a bundle; the import attribute makes it text.
  ["/", { type: "text/html; charset=utf-8", text: html as unknown as string }],
  ["/console.css", { type: "text/css; charset=utf-8", text: style }],
  ["/console.js", { type: "text/javascript; charset=utf-8", text: script }],
  ["/api", { type: "text/html; charset=utf-8", text: apiHtml as unknown as string }],
  ["/api.js", { type: "text/javascript; charset=utf-8", text: apiScript }],
]);

export const consolePaths: readonly string[] = [...FILES.keys()];

/** What a compressed file's bytes and tag are; made when it is first asked for. */
interface Prepared {
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

/** Answers with the files, compressed once for all requests. */
export function createConsole(): (path: string, header: Header) => Response {
  const prepared = new Map<string, Prepared>();
  return (path, header) => {
    const file = FILES.get(path);
    if (file === undefined) throw new Error(`${path} is no file of the console`);
    let ready = prepared.get(path);
    if (ready === undefined) {
      ready = {
        gzip: Bun.gzipSync(file.text, { level: 9 }),
        etag: `"${new Bun.CryptoHasher("sha256").update(file.text).digest("hex").slice(0, 24)}"`,
      };
      prepared.set(path, ready);
    }
    const headers = { etag: ready.etag, "cache-control": "no-cache", vary: "accept-encoding" };
    const known = header("if-none-match")?.split(",").map((tag) => tag.trim());
    if (known?.includes(ready.etag)) return new Response(null, { status: 304, headers });
    const typed = { ...headers, "content-type": file.type };
    if (!/\bgzip\b/.test(header("accept-encoding") ?? "")) {
      return new Response(file.text, { headers: typed });
    }
    return new Response(ready.gzip, { headers: { ...typed, "content-encoding": "gzip" } });
  };
}

type Header = (name: string) => string | undefined;

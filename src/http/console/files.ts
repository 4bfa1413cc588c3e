/** The console's files, bundled into the executable as text. */
import html from "./index.html" with { type: "text" };
import css from "./style.css" with { type: "text" };
import script from "./page.js" with { type: "text" };
import apiHtml from "./api.html" with { type: "text" };
import apiScript from "./api.js" with { type: "text" };

export interface ConsoleFile {
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

export const consoleFiles: readonly ConsoleFile[] = [
  // The types of Bun know `.html` as a bundle; the import attribute makes it text.
  { path: "/", type: "text/html; charset=utf-8", text: html as unknown as string },
  { path: "/console.css", type: "text/css; charset=utf-8", text: css },
  { path: "/console.js", type: "text/javascript; charset=utf-8", text: script },
  {
    path: "/api",
    type: "text/html; charset=utf-8",
    text: apiHtml as unknown as string,
  },
  { path: "/api.js", type: "text/javascript; charset=utf-8", text: apiScript },
];

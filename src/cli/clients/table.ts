/**
 * Tables as the clients print them: as a table, a list, HTML, CSV or JSON, with cells as OVSDB text,
 * bare, or JSON.
 */
import type { Json, JsonObject } from "../../db/json.ts";
import type { ColumnType } from "../../db/schema/type.ts";
import { type Atom, atomToText } from "../../db/values/atom.ts";
import { type Datum, datumToText } from "../../db/values/datum.ts";
import { parseDatum } from "../../db/values/parse.ts";
import { formatDate } from "./dates.ts";
import { Fatal } from "./fatal.ts";
import type { OptionDeclaration } from "./getopt.ts";
import { jsonText } from "./json-text.ts";

const FORMATS = ["table", "list", "html", "csv", "json"] as const;
const CELL_FORMATS = ["string", "bare", "json"] as const;

export interface TableStyle {
  format: typeof FORMATS[number];
  cells: typeof CELL_FORMATS[number];
  headings: boolean;
  pretty: boolean;
  /** In bytes, in the format `table`; 0: no limit. */
  maxColumnWidth: number;
}

export const defaultTableStyle = (): TableStyle => ({
  format: "list",
  cells: "string",
  headings: true,
  pretty: false,
  maxColumnWidth: 0,
});

export type TableOptionKey = "format" | "data" | "no-headings" | "pretty" | "bare" | "column-width";

export const tableOptions: readonly OptionDeclaration<TableOptionKey>[] = [
  { name: "format", letter: "f", value: "required", key: "format" },
  { name: "data", letter: "d", value: "required", key: "data" },
  { name: "no-headings", value: "none", key: "no-headings" },
  { name: "pretty", value: "none", key: "pretty" },
  { name: "bare", value: "none", key: "bare" },
  { name: "max-column-width", value: "required", key: "column-width" },
];

/** Throws `Fatal` for a format that there is not. */
export function applyTableOption(style: TableStyle, key: TableOptionKey, value: string): void {
  switch (key) {
    case "format": {
      const format = FORMATS.find((name) => name === value);
      if (format === undefined) throw new Fatal(`unknown output format "${value}"`);
      style.format = format;
      return;
    }
    case "data": {
      const cells = CELL_FORMATS.find((name) => name === value);
      if (cells === undefined) throw new Fatal(`unknown data format "${value}"`);
      style.cells = cells;
      return;
    }
    case "no-headings":
      style.headings = false;
      return;
    case "pretty":
      style.pretty = true;
      return;
    case "bare":
      style.format = "list";
      style.cells = "bare";
      style.headings = false;
      return;
    case "column-width":
      style.maxColumnWidth = Number.parseInt(value, 10) || 0;
      return;
    default: {
      const never: never = key;
      return never;
    }
  }
}

/** Fixed text; or a value, with the type that says how it is written; or nothing. */
export type Cell =
  | { readonly text: string }
  | { readonly json: Json; readonly type?: ColumnType }
  | undefined;

export interface Table {
  readonly caption?: string;
  /** Print the time above it. */
  readonly timestamp?: boolean;
  readonly headings: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Values that a newer schema allows are shown all the same. */
const unconstrained = (type: ColumnType): ColumnType => ({
  key: { type: type.key.type },
  ...(type.value === undefined ? {} : { value: { type: type.value.type } }),
  min: type.min,
  max: type.max,
});

const bareAtom = (atom: Atom, type: ColumnType["key"]): string =>
  type.type === "string" ? String(atom) : atomToText(atom, type.type);

function bareDatum({ keys, values }: Datum, type: ColumnType): string {
  return keys.map((key, i) => {
    const text = bareAtom(key, type.key);
    return type.value === undefined ? text : `${text}=${bareAtom(values?.[i] as Atom, type.value)}`;
  }).join(" ");
}

const byteLength = (text: string): number => Buffer.byteLength(text);

/** Prints tables in one style; in some formats an empty line stands between one and the next. */
export class TablePrinter {
  private first = true;

  constructor(readonly style: TableStyle, private readonly now: () => Date = () => new Date()) {}

  print(table: Table): string {
    switch (this.style.format) {
      case "table":
        return this.top(table) + this.table(table);
      case "list":
        return this.top(table) + this.list(table);
      case "csv":
        return this.top(table) + this.csv(table);
      case "html":
        return this.html(table);
      case "json":
        return this.json(table);
      default: {
        const never: never = this.style.format;
        return never;
      }
    }
  }

  private cell(cell: Cell): string {
    if (cell === undefined) return "";
    if ("text" in cell) return cell.text;
    const { json, type } = cell;
    if (this.style.cells === "json" || type === undefined) return jsonText(json);
    try {
      const datum = parseDatum(json, unconstrained(type));
      return this.style.cells === "bare" ? bareDatum(datum, type) : datumToText(datum, type);
    } catch {
      // A difference, or what some other server sends: shown as it came.
      return jsonText(json);
    }
  }

  private time(): string {
    return formatDate("%Y-%m-%d %H:%M:%S.###", this.now(), true);
  }

  private top({ timestamp, caption }: Table): string {
    const gap = this.first ? "" : "\n";
    this.first = false;
    return gap + (timestamp === true ? `${this.time()}\n` : "") +
      (caption === undefined ? "" : `${caption}\n`);
  }

  private table({ headings, rows }: Table): string {
    const { maxColumnWidth, headings: shown } = this.style;
    const texts = rows.map((row) => headings.map((_, x) => this.cell(row[x])));
    const widths = headings.map((heading, x) => {
      const widest = texts.reduce((width, row) => Math.max(width, byteLength(row[x] ?? "")), 0);
      const width = maxColumnWidth > 0 ? Math.min(widest, maxColumnWidth) : widest;
      return shown ? Math.max(width, byteLength(heading)) : width;
    });
    const line = (words: readonly string[]): string =>
      `${words.map((word, x) => fit(word, widths[x] as number)).join(" ").replace(/ +$/, "")}\n`;
    const head = shown ? line(headings) + line(widths.map((width) => "-".repeat(width))) : "";
    return head + texts.map(line).join("");
  }

  private list({ headings, rows }: Table): string {
    return rows.map((row) =>
      headings.map((heading, x) =>
        (this.style.headings ? `${heading.padEnd(20)}: ` : "") + `${this.cell(row[x])}\n`
      ).join("")
    ).join("\n");
  }

  private csv({ headings, rows }: Table): string {
    const line = (words: readonly string[]): string => `${words.map(csvCell).join(",")}\n`;
    return (this.style.headings ? line(headings) : "") +
      rows.map((row) => line(headings.map((_, x) => this.cell(row[x])))).join("");
  }

  private html({ caption, timestamp, headings, rows }: Table): string {
    const row = (cells: string): string => `  <tr>\n${cells}  </tr>\n`;
    return (timestamp === true ? `${this.time()}\n` : "") + "<table border=1>\n" +
      (caption === undefined ? "" : htmlCell("caption", caption)) +
      (this.style.headings ? row(headings.map((name) => htmlCell("th", name)).join("")) : "") +
      rows.map((cells) =>
        row(
          headings.map((heading, x) => {
            const text = this.cell(cells[x]);
            if (heading !== "_uuid") return htmlCell("td", text);
            const short = escapeHtml(text.slice(0, 8));
            return `    <td><a name="${escapeHtml(text)}">${short}</a></td>\n`;
          }).join(""),
        )
      ).join("") +
      "</table>\n";
  }

  private json({ caption, timestamp, headings, rows }: Table): string {
    const json: JsonObject = {
      ...(caption === undefined ? {} : { caption }),
      ...(timestamp === true ? { time: this.time() } : {}),
      headings,
      data: rows.map((row) =>
        headings.map((_, x): Json => {
          const cell = row[x];
          return cell === undefined ? null : "text" in cell ? cell.text : cell.json;
        })
      ),
    };
    return `${jsonText(json, this.style.pretty)}\n`;
  }
}

/** Exactly so many bytes: filled up with spaces, or cut. */
function fit(text: string, width: number): string {
  const length = byteLength(text);
  if (length <= width) return text + " ".repeat(width - length);
  return Buffer.from(text).subarray(0, width).toString();
}

function csvCell(text: string): string {
  return /[\n",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => HTML_ESCAPES[character] as string);

/** UUIDs in a cell become links to the rows that they name. */
function htmlCell(element: string, text: string): string {
  const uuid = /([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/gi;
  const content = text.split(uuid).map((part, i) =>
    i % 2 === 0 ? escapeHtml(part) : `<a href="#${part}">${part.slice(0, 8)}</a>`
  ).join("");
  return `    <${element}>${content}</${element}>\n`;
}

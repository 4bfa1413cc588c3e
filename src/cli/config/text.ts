/** Revisions and changes as people read them. */
import { isArray, type Json } from "../../db/json.ts";
import type { Author, Difference, RowChange, Shown, Summary } from "./replies.ts";

type Names = { readonly [uuid: string]: string };
type Columns = { readonly [column: string]: Json };

/** `2026-11-22 11:49:25`, in the local time zone. */
export function timeText(ms: number): string {
  const date = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `90 s`, `5 min`, `2 h`. */
export function durationText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 360) / 10} h`;
}

/** Control characters of strangers must not reach a terminal. */
export const printable = (text: string): string =>
  // deno-lint-ignore no-control-regex -- they are what is looked for
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) =>
    c === "\n" ? " / " : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

function shortAuthor({ who, user, uid, pid }: Author): string {
  const name = user ?? (uid === undefined ? undefined : `uid ${uid}`);
  return printable(name === undefined ? who : pid ? `${name}[${pid}]` : name);
}

function longAuthor(author: Author): string {
  const { who, uid, pid, command } = author;
  if (uid === undefined) return printable(who);
  const user = author.user === undefined ? `uid ${uid}` : `${author.user} (uid ${uid})`;
  const process = pid ? `, pid ${pid}${command === undefined ? "" : `: ${command}`}` : "";
  return printable(`${user}${process}`);
}

const counts = ({ inserted, modified, deleted }: Summary): string =>
  `+${inserted} ~${modified} -${deleted}`;

/** One line each; `+` rows inserted, `~` modified, `-` deleted. */
export function logText(revisions: readonly Summary[]): string {
  const rows = revisions.map((revision) => [
    String(revision.revision),
    timeText(revision.time_ms),
    shortAuthor(revision.author),
    counts(revision),
    printable(revision.comment ?? revision.author.command ?? ""),
  ]);
  const widths = [0, 1, 2, 3].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, i) => {
      const width = widths[i] ?? 0;
      return i === 0 ? cell.padStart(width) : cell.padEnd(width);
    }).join("  ").trimEnd() + "\n"
  ).join("");
}

export function showText(revision: Shown): string {
  return `revision ${revision.revision}\n` +
    `when     ${timeText(revision.time_ms)}\n` +
    `who      ${longAuthor(revision.author)}\n` +
    (revision.comment === null ? "" : `comment  ${printable(revision.comment)}\n`) +
    `\n${changesText(revision) || "no rows changed\n"}`;
}

/** Table by table, row by row: what was inserted (`+`), deleted (`-`), modified (`~`). */
export function changesText({ changes, names }: Pick<Difference, "changes" | "names">): string {
  let text = "";
  for (const [table, rows] of Object.entries(changes)) {
    for (const [uuid, change] of Object.entries(rows)) {
      text += rowText(table, uuid, change, names);
    }
  }
  return text;
}

function rowText(table: string, uuid: string, change: RowChange, names: Names): string {
  const { old, new: now } = change;
  const sign = old === undefined ? "+" : now === undefined ? "-" : "~";
  const label = change.name === undefined
    ? names[uuid] ?? `${table} ${uuid}`
    : `${table} ${change.name}`;
  const lines = old === undefined || now === undefined ? wholeRow(old ?? now ?? {}, names) : [
    ...Object.keys(now).map((column) => columnText(column, old[column], now[column], names)),
    ...Object.entries(change.members ?? {}).map(([column, { removed, added }]) =>
      `${column}: ${memberTexts(removed, added, names)}`
    ),
  ];
  return `${sign} ${printable(label)}\n${lines.map((line) => `    ${line}\n`).join("")}`;
}

const wholeRow = (columns: Columns, names: Names): string[] =>
  Object.entries(columns).map(([column, value]) => `${column}: ${valueText(value, names)}`);

/** Of sets and maps, only the members that came and went. */
function columnText(
  column: string,
  old: Json | undefined,
  now: Json | undefined,
  names: Names,
): string {
  const [before, after] = [members(old, names), members(now, names)];
  if (before === undefined || after === undefined || before.size + after.size <= 2) {
    return `${column}: ${valueText(old ?? null, names)} -> ${valueText(now ?? null, names)}`;
  }
  return `${column}: ${memberTexts(old ?? null, now ?? null, names)}`;
}

/** What only one of two values has. */
function memberTexts(old: Json, now: Json, names: Names): string {
  const before = members(old, names) ?? new Map<string, string>();
  const after = members(now, names) ?? new Map<string, string>();
  const parts: string[] = [];
  for (const [key, value] of before) {
    const kept = after.get(key);
    if (kept === undefined) parts.push(`-${memberText(key, value)}`);
    else if (kept !== value) parts.push(`${key}: ${value} -> ${kept}`);
  }
  for (const [key, value] of after) if (!before.has(key)) parts.push(`+${memberText(key, value)}`);
  return parts.join(", ");
}

const memberText = (key: string, value: string): string => value === "" ? key : `${key}=${value}`;

/** Members as text → value as text, which is empty in sets; undefined for no value at all. */
function members(value: Json | undefined, names: Names): Map<string, string> | undefined {
  if (value === undefined) return undefined;
  const [kind, content] = isArray(value) ? value : [];
  if (kind === "set" && isArray(content)) {
    return new Map(content.map((member) => [atomText(member, names), ""]));
  }
  if (kind === "map" && isArray(content)) {
    return new Map(
      content.map((pair) => {
        const [key = null, member = null] = isArray(pair) ? pair : [];
        return [atomText(key, names), atomText(member, names)];
      }),
    );
  }
  return new Map([[atomText(value, names), ""]]);
}

function valueText(value: Json, names: Names): string {
  const [kind] = isArray(value) ? value : [];
  const all = [...members(value, names) ?? []].map(([key, member]) => memberText(key, member));
  if (kind === "set") return `[${all.join(", ")}]`;
  return kind === "map" ? `{${all.join(", ")}}` : all.join("");
}

function atomText(atom: Json, names: Names): string {
  if (isArray(atom) && atom[0] === "uuid" && typeof atom[1] === "string") {
    return printable(names[atom[1]] ?? atom[1]);
  }
  if (typeof atom !== "string") return String(atom);
  return /^[A-Za-z_][\w.:/-]*$/.test(atom) ? atom : JSON.stringify(printable(atom));
}

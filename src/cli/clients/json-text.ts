/** JSON as the clients print it: members sorted, reals as C's `%.15g`, pretty if asked for. */
import { isArray, type Json, type JsonObject } from "../../db/json.ts";
import { compareAtoms, realToText } from "../../db/values/atom.ts";
import { nameOrder } from "./hash-order.ts";

const SPACES_PER_LEVEL = 2;

export function jsonText(json: Json, pretty = false): string {
  return write(json, pretty ? 0 : undefined, (names) => names.sort(compareAtoms));
}

/** On one line, with members in the order in which stock clients keep them. */
export const unsortedJsonText = (json: Json): string => write(json, undefined, nameOrder);

/** `depth` is undefined where all goes on one line. */
function write(
  json: Json,
  depth: number | undefined,
  order: (names: string[]) => readonly string[],
): string {
  if (typeof json === "bigint") return json.toString();
  if (typeof json === "number") return Number.isSafeInteger(json) ? String(json) : realToText(json);
  if (typeof json !== "object" || json === null) return JSON.stringify(json);
  const inner = depth === undefined ? undefined : depth + 1;
  const line = (level: number | undefined): string =>
    level === undefined ? "" : `\n${" ".repeat(level * SPACES_PER_LEVEL)}`;
  if (isArray(json)) {
    if (json.length === 0) return "[]";
    return `[${line(inner)}${
      json.map((element) => write(element, inner, order)).join(`,${line(inner)}`)
    }]`;
  }
  const object = json as JsonObject;
  const colon = depth === undefined ? ":" : ": ";
  const members = order(Object.keys(object)).map((name) =>
    `${JSON.stringify(name)}${colon}${write(object[name] as Json, inner, order)}`
  );
  return `{${line(inner)}${members.join(`,${line(inner)}`)}}`;
}

/** Names of ports and tables in texts: ovs-ofctl's `--names`. */
import type { PortNames } from "../../packet/text.ts";
import type { TunnelFields } from "../tunnel-fields.ts";
import { parseTable } from "./scan.ts";

export interface TableNames {
  nameOf(table: number): string | undefined;
  numberOf(name: string): number | undefined;
}

/** What is known of the switch that a text is about. */
export interface TextNames extends PortNames {
  readonly tables?: TableNames;
  /** Where the values of tunnel options lie in matches. */
  readonly tunnelFields?: TunnelFields;
}

/** As it is if it is a plain word, else quoted. */
export const quoteName = (name: string): string =>
  /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? name : JSON.stringify(name);

export function formatTable(table: number, names?: TextNames): string {
  const name = names?.tables?.nameOf(table);
  return name === undefined ? String(table) : quoteName(name);
}

/** A table by number (0..255) or by a name that is known. */
export function parseTableName(text: string, names?: TextNames): number | undefined {
  const number = parseTable(text);
  if (number !== undefined || names?.tables === undefined) return number;
  if (!text.startsWith('"')) return names.tables.numberOf(text);
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === "string" ? names.tables.numberOf(name) : undefined;
  } catch {
    return undefined;
  }
}

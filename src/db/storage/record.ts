/**
 * Records of Open vSwitch's own database files (ovsdb(5)): a header line
 * `OVSDB JSON <length> <sha1>\n`, then `<length>` bytes of JSON that end in a newline. The first
 * record is the schema, each other one a transaction.
 */
import { createHash } from "node:crypto";
import type { Json } from "../json.ts";
import { isObject, type JsonObject, stringify } from "../json.ts";
import { parseJsonText } from "../rpc/json-stream.ts";

const sha1 = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");

export function encodeRecord(json: Json): Uint8Array {
  const body = Buffer.from(`${stringify(json)}\n`);
  return Buffer.concat([Buffer.from(`OVSDB JSON ${body.length} ${sha1(body)}\n`), body]);
}

export interface ReadRecords {
  readonly records: readonly JsonObject[];
  /** Where the last good record starts and ends. */
  readonly lastStart: number;
  readonly end: number;
  /** What is wrong with the bytes after that, if there are any. */
  readonly problem: string | undefined;
  /** True if a good record follows the bad one: not a torn end, but damage. */
  readonly damaged: boolean;
}

const MAX_HEADER_BYTES = 100;

/** Reads as many records as are good. Never throws for what is in the bytes. */
export function decodeRecords(bytes: Uint8Array): ReadRecords {
  const records: JsonObject[] = [];
  let lastStart = 0;
  let end = 0;
  while (end < bytes.length) {
    const record = decodeRecord(bytes, end);
    if (typeof record === "string") {
      return { records, lastStart, end, problem: record, damaged: hasGoodRecord(bytes, end + 1) };
    }
    records.push(record.json);
    lastStart = end;
    end = record.end;
  }
  return { records, lastStart, end, problem: undefined, damaged: false };
}

function decodeRecord(
  bytes: Uint8Array,
  start: number,
): string | { readonly json: JsonObject; readonly end: number } {
  const newline = bytes.subarray(start, start + MAX_HEADER_BYTES).indexOf(0x0a);
  const header = Buffer.from(bytes.subarray(start, start + Math.max(newline, 0)))
    .toString("latin1");
  const [, length = "", hash = ""] = /^OVSDB JSON (\d{1,15}) ([0-9a-f]{40})$/.exec(header) ?? [];
  if (hash === "") return `parse error at offset ${start} in header line "${header}"`;
  const from = start + newline + 1;
  const end = from + Number(length);
  const where = `${length} bytes starting at offset ${from}`;
  if (end > bytes.length) return `record cut short: ${bytes.length - from} of ${where}`;
  const body = bytes.subarray(from, end);
  if (sha1(body) !== hash) return `${where} have a wrong SHA-1 hash`;
  try {
    const json = parseJsonText(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return isObject(json) ? { json, end } : `${where} are no JSON object`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `${where} are not valid JSON (${reason})`;
  }
}

function hasGoodRecord(bytes: Uint8Array, from: number): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = from;; at++) {
    at = buffer.indexOf("OVSDB JSON ", at, "latin1");
    if (at < 0) return false;
    if (typeof decodeRecord(bytes, at) !== "string") return true;
  }
}

/**
 * Many field names in few characters, as descriptions of table features have them: runs of numbered
 * names as `reg0...reg15`, names with a common beginning as `tun_{id,src}`.
 */
import { type Field, FIELD_LIST } from "../../packet/layout.ts";

/** A common beginning counts up to and with its last underscore. */
function commonPrefix(a: string, b: string): number {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  return a.slice(0, same).lastIndexOf("_") + 1;
}

function areSequential(a: string, b: string): boolean {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const [first, second] = [a.slice(same), b.slice(same)];
  return /^\d{1,9}$/.test(first) && /^\d{1,9}$/.test(second) &&
    Number(first) + 1 === Number(second);
}

/** How many names at the beginning count on; two are told better by themselves. */
function numberedRun(names: readonly string[]): number {
  let run = 1;
  while (run < names.length && areSequential(names[run - 1]!, names[run]!)) run++;
  return run === 2 ? 1 : run;
}

function prefixRun(names: readonly string[], skip: number): { run: number; length: number } {
  if (names.length < 2) return { run: names.length, length: 0 };
  const tail = names.map((name) => name.slice(skip));
  const length = commonPrefix(tail[0]!, tail[1]!);
  if (length === 0) return { run: 1, length };
  let run = 2;
  while (run < tail.length && commonPrefix(tail[0]!, tail[run]!) > 0) run++;
  return { run, length };
}

function shorten(names: readonly string[], skip: number): string {
  const groups: string[] = [];
  for (let rest = names; rest.length > 0;) {
    const prefix = prefixRun(rest, skip);
    const numbered = numberedRun(rest);
    const run = Math.max(prefix.run, numbered);
    const first = rest[0]!.slice(skip);
    if (numbered >= prefix.run) {
      groups.push(run > 1 ? `${first}...${rest[run - 1]!.slice(skip)}` : first);
    } else {
      const inner = shorten(rest.slice(0, run), skip + prefix.length);
      groups.push(`${first.slice(0, prefix.length)}{${inner}}`);
    }
    rest = rest.slice(run);
  }
  return groups.join(skip > 0 ? "," : " ");
}

/** Where a field stands among the others in such a list: by the first of these that it begins with. */
const GROUPS: readonly RegExp[] = [
  /^(dp_hash|recirc_id|packet_type)$/,
  /^conj_id$/,
  /^tun_(?!metadata)/,
  /^tun_metadata/,
  /^metadata$/,
  /^in_port/,
  /^actset_output$/,
  /^skb_priority$/,
  /^pkt_mark$/,
  /^ct_/,
  /^x*reg/,
  /^/,
];

const ORDER: readonly Field[] = FIELD_LIST
  .map((field) => ({ field, group: GROUPS.findIndex((group) => group.test(field.name)) }))
  .sort((a, b) => a.group - b.group || a.field.id - b.field.id)
  .map(({ field }) => field);

/** The fields in the order in which they are told, each once. */
export function inTellingOrder(fields: Iterable<Field>): Field[] {
  const set = new Set(fields);
  return ORDER.filter((field) => set.has(field));
}

/** `fields` in telling order. */
export const formatFieldNames = (fields: readonly Field[]): string =>
  shorten(fields.map(({ name }) => name), 0);

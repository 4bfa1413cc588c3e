/**
 * Lists of things that are no rows of the database, with the filters, order and pages that rows have:
 * `?MEMBER=VALUE` (equal to it; of a list: contains it; empty: is null), `sort=-member,other`,
 * `limit`, `offset`. The answer says `total`, how many the filters leave.
 */
import { z } from "zod";
import { HttpProblem } from "../problem.ts";
import { type Operation, operation, queryInteger } from "./route.ts";

type Item = Readonly<Record<string, unknown>>;
type Scalar = string | number | boolean | null;

const LIMIT = 10_000;

const pageQuery = z.object({
  sort: z.string().max(200).optional()
    .describe("Members, separated by commas; `-` before one for the other way round."),
  limit: queryInteger(1, 100_000).optional().describe(`${LIMIT} unless set.`),
  offset: queryInteger(0, 1e9).default(0),
}).catchall(z.string().max(1000));

/** What a list takes besides, and how long a page of it is unless somebody says so. */
export interface ListOptions {
  readonly query?: z.ZodRawShape;
  readonly limit?: number;
}

/** `author.user` is a member of a member. */
const memberOf = (item: Item, name: string): unknown =>
  name.split(".").reduce<unknown>((at, part) => (at as Item | undefined)?.[part], item);

const isScalar = (value: unknown): value is Scalar =>
  value === null || ["string", "number", "boolean"].includes(typeof value);

const textOf = (value: Scalar): string => (value === null ? "" : String(value));

function fits(value: unknown, wanted: string): boolean {
  if (Array.isArray(value)) {
    return wanted === "" ? value.length === 0 : value.some((each) => fits(each, wanted));
  }
  return isScalar(value) && textOf(value) === wanted;
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [left, right] = [a, b].map((each) => isScalar(each) ? textOf(each) : "") as [
    string,
    string,
  ];
  return left < right ? -1 : left > right ? 1 : 0;
}

export interface Page {
  readonly sort?: string | undefined;
  readonly limit?: number | undefined;
  readonly offset: number;
}

/** `members`: what may be named. Throws a problem that lists them. */
export function paged<T extends Item>(
  items: readonly T[],
  { sort, limit = LIMIT, offset, ...filters }: Page & Readonly<Record<string, unknown>>,
  members: ReadonlySet<string>,
): { readonly items: readonly T[]; readonly total: number; readonly offset: number } {
  const known = (name: string): string => {
    if (members.has(name)) return name;
    const list = [...members].join(", ");
    throw new HttpProblem(400, `There is no ${JSON.stringify(name)} here; there are ${list}.`);
  };
  const wanted = Object.entries(filters)
    .map(([name, value]) => [known(name), String(value)] as const);
  const order = (sort ?? "").split(",").filter(Boolean).map((word) => {
    const down = word.startsWith("-");
    return { name: known(down ? word.slice(1) : word), sign: down ? -1 : 1 };
  });
  const left = items.filter((item) =>
    wanted.every(([name, value]) => fits(memberOf(item, name), value))
  );
  if (order.length > 0) {
    left.sort((a, b) => {
      for (const { name, sign } of order) {
        const by = compare(memberOf(a, name), memberOf(b, name)) * sign;
        if (by !== 0) return by;
      }
      return 0;
    });
  }
  return { items: left.slice(offset, offset + limit), total: left.length, offset };
}

/**
 * How many of the first items are enough for this page; undefined: all, for they are chosen from or
 * sorted. `own`: what the list takes besides, and its page's length.
 */
export function enoughFor(query: unknown, own: Required<ListOptions>): number | undefined {
  const { limit = own.limit, offset, ...rest } = query as Page & Record<string, unknown>;
  const chosen = Object.entries(rest).some(([name, value]) =>
    value !== undefined && !Object.hasOwn(own.query, name)
  );
  return chosen ? undefined : offset + limit;
}

/**
 * What the operation lists under `key` gets filters, order and pages; its text has none of them. One
 * that lists no more than `enoughFor` says must give `total` itself.
 */
export function collection(
  key: string,
  declared: Operation & { readonly response: z.ZodObject },
  options: ListOptions = {},
): Operation {
  const { query: own = {}, limit = LIMIT } = options;
  const list = declared.response.shape[key] as unknown as z.ZodArray<z.ZodObject>;
  const members = new Set(
    Object.entries(list.element.shape).flatMap(([name, type]) =>
      type instanceof z.ZodObject ? Object.keys(type.shape).map((part) => `${name}.${part}`) : name
    ),
  );
  const description = "Any other parameter is a filter: `MEMBER=VALUE`.";
  return operation({
    ...declared,
    description: declared.description === undefined
      ? description
      : `${declared.description} ${description}`,
    query: pageQuery.extend({
      ...own,
      limit: pageQuery.shape.limit.describe(`${limit} unless set.`),
    }),
    response: declared.response.extend({
      total: z.number().int().describe("How many the filters leave."),
      offset: z.number().int(),
    }),
    async handle(call) {
      const output = await declared.handle(call);
      const query = Object.fromEntries(
        Object.entries(call.query as object).filter(([name]) => !Object.hasOwn(own, name)),
      ) as unknown as Page;
      if (output.json === undefined) {
        const { offset, ...rest } = query;
        if (offset === 0 && Object.values(rest).every((value) => value === undefined)) {
          return output;
        }
        throw new HttpProblem(400, "The text is the tool's own, whole: filters go with JSON.");
      }
      const json = output.json as Readonly<Record<string, unknown>>;
      const all = (json[key] ?? []) as readonly Item[];
      const { items, ...page } = paged(all, { limit, ...query }, members);
      return { ...output, json: { ...page, ...json, [key]: items, offset: page.offset } };
    },
  });
}

/** For lists whose members are lines of a tool. */
export const linesQuery = {
  contains: z.string().max(1000).optional().describe("Only lines with this text in them."),
  sort: z.enum(["packets", "-packets", "bytes", "-bytes"]).optional()
    .describe("By the numbers that the lines say; `-`: the largest first."),
  limit: queryInteger(1, 200_000).optional().describe("1000 unless set; of text: all."),
  offset: queryInteger(0, 1e9).default(0),
} as const;

export interface LinesPage extends Page {
  readonly contains?: string | undefined;
}

/** Neither filter, order nor page is asked for: the tool's own text will do. */
export const isWhole = ({ contains, sort, limit, offset }: LinesPage): boolean =>
  contains === undefined && sort === undefined && limit === undefined && offset === 0;

export function pagedLines(
  lines: readonly string[],
  { contains = "", sort, limit = 1000, offset }: LinesPage,
): { readonly lines: readonly string[]; readonly total: number } {
  const left = lines.filter((line) => line.includes(contains));
  if (sort !== undefined) {
    const sign = sort.startsWith("-") ? -1 : 1;
    // `packets:7` of a flow; `packets=7` of a connection, once for each direction.
    const number = new RegExp(`\\b${sort.replace("-", "")}[:=](\\d+)`, "g");
    const sum = (line: string): number =>
      [...line.matchAll(number)].reduce((all, [, digits]) => all + Number(digits), 0);
    const by = new Map(left.map((line) => [line, sum(line)]));
    left.sort((a, b) => (by.get(a)! - by.get(b)!) * sign);
  }
  return { lines: left.slice(offset, offset + limit), total: left.length };
}

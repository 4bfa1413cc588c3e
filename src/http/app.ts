/**
 * The admin API and its first page, as a Hono app without a socket.
 *
 * routes/table.ts says which routes there are and who may use them; routes/route.ts what a route
 * is. Here is what happens to a request, in this order:
 *
 *     host name ─ cross-site ─ who (token, cookie) ─ may they, CSRF ─ query ─ body ─ handle ─ audit
 *
 * Invariants
 * - Nothing of a request is read that is not needed to refuse it: nobody but who may call a route
 *   gets a body read, and every step that refuses leaves everything as it was.
 * - Every request with a method other than GET by somebody who is known, and every password or set-up
 *   token that was tried, leaves an entry in the audit log, on the disk before the answer goes out.
 * - Errors are problem documents (problem.ts); their texts carry nothing internal.
 * - Every response bears the headers of security.ts; requests for foreign host names are refused.
 *
 * Limits: bodies up to the operation's size and BODY_DEADLINE_MS (request.ts).
 */
import { type Context, Hono } from "hono";
import type { z } from "zod";
import { OvsdbError } from "../db/error.ts";
import type { Logger } from "../log/log.ts";
import type { Access } from "./auth/access.ts";
import { LOCAL, type Principal } from "./auth/roles.ts";
import { consolePaths, createConsole } from "./console/files.ts";
import { HttpProblem, problem } from "./problem.ts";
import { authenticate, authorize, readBody, readBytes, refuseCrossSite } from "./request.ts";
import { type Call, DEFAULT_BODY_BYTES, type Output, type Route } from "./routes/route.ts";
import { ROUTES } from "./routes/table.ts";
import { protect } from "./security.ts";
import type { HttpSource } from "./source.ts";

export { ROUTES } from "./routes/table.ts";

export interface AppOptions {
  readonly source: HttpSource;
  readonly access: Access;
  readonly logger: Logger;
  /** Names, besides localhost, under which browsers may reach the server. */
  readonly hostNames?: readonly string[];
  /** A body must have arrived this long after its headers; BODY_DEADLINE_MS unless set. */
  readonly bodyDeadlineMs?: number;
  /** It is spoken to over TLS: cookies are for that alone. */
  readonly secure?: boolean;
}

/** What the socket knows of a request; `app.fetch(request, this)`. */
export interface Connection {
  readonly address?: string;
  /** It came by the socket in the run directory. */
  readonly local?: boolean;
  /** Takes the connection's idle timeout away. */
  readonly keepOpen?: () => void;
}

type AppContext = Context<{ Bindings: Connection }>;

export function createApp(options: AppOptions): Hono<{ Bindings: Connection }> {
  const { logger, hostNames = [] } = options;
  const app = new Hono<{ Bindings: Connection }>();
  app.use(async (c, next) => {
    await next();
    options.source.countRequest(countedMethod(c.req.method), c.res.status);
  });
  app.use(protect(hostNames.map((name) => name.toLowerCase())));
  const methods = new Map<string, string[]>();
  for (const route of ROUTES) {
    app.on(route.method, route.path, (c) => answer(c, route, options));
    const known = methods.get(route.path) ?? [];
    known.push(...(route.method === "GET" ? ["GET", "HEAD"] : [route.method]));
    methods.set(route.path, known);
  }
  const answerConsole = createConsole();
  for (const path of consolePaths) {
    app.get(path, (c) => answerConsole(path, (name) => c.req.header(name)));
    methods.set(path, ["GET", "HEAD"]);
  }
  for (const [path, allowed] of methods) {
    app.all(path, (c) => {
      const allow = allowed.join(", ");
      const detail = `${c.req.method} does nothing here; what can be done: ${allow}.`;
      return problem(405, detail, c.req.path, { headers: { allow } });
    });
  }
  app.notFound((c) =>
    problem(404, "There is nothing at this path; /api/v1/openapi.json lists all.", c.req.path)
  );
  app.onError((error, c) => failure(error, c.req.method, c.req.path, logger));
  return app;
}

/** Methods are counted by name, but nobody may make up as many as they like. */
const countedMethod = (method: string): string =>
  ["GET", "HEAD", "POST", "PATCH", "DELETE"].includes(method) ? method : "other";

/** The answer to an error that a handler threw. */
function failure(error: unknown, method: string, path: string, logger: Logger): Response {
  if (error instanceof HttpProblem) return error.response(path);
  if (error instanceof OvsdbError && error.tag === "I/O error") {
    logger.err(`${method} ${path}: ${error.message}`);
    return problem(503, "The database could not be written; the log says why.", path);
  }
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  logger.err(`${method} ${path}: ${text}`);
  return problem(500, "The request failed inside the server; its log says why.", path);
}

async function answer(c: AppContext, route: Route, options: AppOptions): Promise<Response> {
  const { access, logger } = options;
  const { method, path } = c.req;
  const header = (name: string): string | undefined => c.req.header(name);
  const addressOf = (): string => c.env?.address ?? "unknown";
  // Who changes something and goes is not known any more afterwards.
  const changer = route.method === "GET" ? undefined : addressOf();
  let principal: Principal | undefined;
  let output: Output | undefined;
  let response: Response;
  let failed: unknown;
  try {
    refuseCrossSite(method, header);
    const local = c.env?.local === true;
    if (route.needs !== "anyone") principal = local ? LOCAL : authenticate(access, header);
    authorize(access, route.needs, method, principal, header);
    const call: Call = {
      source: options.source,
      access,
      principal,
      get address() {
        return changer ?? addressOf();
      },
      path,
      params: c.req.param() as Readonly<Record<string, string>>,
      query: readQuery(c.req.url, route.operation.query),
      body: await readInput(c.req.raw, route, options.bodyDeadlineMs),
      header,
      get signal() {
        return c.req.raw.signal;
      },
      keepOpen: () => c.env?.keepOpen?.(),
      stillAllowed: () => local || isAllowed(access, route, header),
    };
    // A body may take its time: what was revoked meanwhile does nothing any more.
    if (principal !== undefined && changer !== undefined && !call.stillAllowed()) {
      throw new HttpProblem(401, "This login or token ended while the request was sent.");
    }
    output = await route.operation.handle(call);
    response = respond(output, route);
    const cookie = options.secure === true && response.headers.get("set-cookie");
    if (cookie) response.headers.set("set-cookie", `${cookie}; Secure`);
  } catch (error) {
    failed = error;
    response = failure(error, method, path, logger);
  }
  if (route.method !== "GET" && (principal !== undefined || isJudged(route, response.status))) {
    const via = principal?.via;
    const problem = failed instanceof HttpProblem ? failed : undefined;
    // Only when it is on the disk: an answer is a promise that what it says is not lost.
    await access.audit.add({
      timeMs: access.time,
      user: principal?.user ?? output?.user ?? problem?.extras.user ?? "",
      via: via === undefined ? "none" : via.kind === "token" ? `token ${via.name}` : via.kind,
      address: changer ?? addressOf(),
      method,
      path,
      status: response.status,
      detail: output?.audit ?? problem?.message ?? "",
    });
  }
  return response;
}

/**
 * Of requests by nobody, those that tried a secret are recorded; not the others, nor those that the
 * throttle refused: else anybody could push everything else out of the log.
 */
const isJudged = ({ needs }: Route, status: number): boolean =>
  needs === "anyone" && (status < 300 || status === 401 || status === 403);

/**
 * Whether who asked may go on listening: tokens expire, users go. Where that cannot be found out,
 * nobody may.
 */
function isAllowed(access: Access, { needs, method }: Route, header: Call["header"]): boolean {
  try {
    authorize(access, needs, method, authenticate(access, header), header);
    return true;
  } catch {
    return false;
  }
}

function respond(output: Output, { operation }: Route): Response {
  const { json, text, bytes, stream, headers = {} } = output;
  const status = output.status ?? operation.status ?? 200;
  const common = { "cache-control": "no-store", ...headers };
  if (stream !== undefined) {
    return new Response(stream, {
      status,
      headers: { "content-type": "text/event-stream", ...common },
    });
  }
  if (bytes !== undefined) return new Response(bytes, { status, headers: common });
  if (text !== undefined) {
    return new Response(text, {
      status,
      headers: { "content-type": "text/plain; charset=utf-8", ...common },
    });
  }
  if (json === undefined) return new Response(null, { status, headers: common });
  return new Response(JSON.stringify(json), {
    status,
    headers: { "content-type": "application/json", ...common },
  });
}

function readQuery(url: string, schema: z.ZodType | undefined): unknown {
  if (schema === undefined && !url.includes("?")) return {};
  const query: Record<string, string> = Object.create(null);
  const at = url.indexOf("?");
  for (const [name, value] of new URLSearchParams(at < 0 ? "" : url.slice(at))) {
    if (name in query) throw new HttpProblem(400, `${JSON.stringify(name)} is given twice.`);
    // Schemas that take any name leave this one out without a word.
    if (name === "__proto__") throw new HttpProblem(400, `There is no "__proto__" here.`);
    query[name] = value;
  }
  if (schema === undefined) {
    const [unknown] = Object.keys(query);
    if (unknown === undefined) return {};
    throw new HttpProblem(400, `This takes no query; ${JSON.stringify(unknown)} was given.`);
  }
  return checked({ ...query }, schema, "query");
}

async function readInput(
  request: Request,
  { operation, method }: Route,
  deadlineMs: number | undefined,
): Promise<unknown> {
  const { body: schema, bodyText, bodyBinary, maxBodyBytes = DEFAULT_BODY_BYTES } = operation;
  if (method === "GET") return undefined;
  if (bodyBinary !== undefined) return await readBytes(request, maxBodyBytes, deadlineMs);
  const text = await readBody(request, maxBodyBytes, deadlineMs);
  if (schema === undefined) {
    if (text === "") return undefined;
    throw new HttpProblem(400, "This takes no body.");
  }
  const start = text.trimStart()[0];
  // curl -d sends forms' media type, whatever the text is: so the text itself decides.
  const json = bodyText === undefined || start === "{" || start === "[";
  return checked(json ? parseJson(text) : { text }, schema, "body");
}

function parseJson(text: string): unknown {
  try {
    // Whoever sends that means harm, and what reads it might leave it out without a word.
    return JSON.parse(
      text,
      !text.includes("__proto__") ? undefined : (key, value) => {
        if (key === "__proto__") throw new SyntaxError("__proto__ is no member");
        return value;
      },
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : "";
    throw new HttpProblem(400, `The body is not JSON: ${why}.`);
  }
}

function checked(value: unknown, schema: z.ZodType, what: "query" | "body"): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.slice(0, 20).map(({ path, message }) => ({
    where: path.map(String).join("."),
    message,
  }));
  const first = errors[0];
  const where = first === undefined || first.where === "" ? "" : `${first.where}: `;
  throw new HttpProblem(400, `The ${what} is wrong: ${where}${first?.message ?? ""}.`, {
    members: { errors },
  });
}

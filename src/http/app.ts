/**
 * The admin API and its first page, as a Hono app without a socket.
 *
 *     /healthz                  is the process alive
 *     /api/v1/status            the switch as a whole
 *     /api/v1/bridges[/NAME]    bridges with their ports, errors, flow counts
 *     /                         a page that shows the same
 *
 * Invariants
 * - Read-only: GET and HEAD; anything else on a known path is 405 with Allow. Configuration goes
 *   through the database, by the tools that speak its protocol.
 * - `ROUTES` declares each API route once, with the schema of its answer: the OpenAPI document is
 *   to be made from it. Tests hold the answers to the schemas.
 * - Errors are problem documents (problem.ts); their texts carry nothing internal.
 * - Every response bears the headers of security.ts; requests for foreign host names are refused.
 *
 * Limits: bodies up to MAX_BODY_BYTES (nothing here reads one).
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import type { Logger } from "../log/log.ts";
import { consoleFiles } from "./console/files.ts";
import { problem } from "./problem.ts";
import { bridgeSchema, bridgesSchema, readBridge, readBridges } from "./routes/bridges.ts";
import { readStatus, statusSchema } from "./routes/status.ts";
import { protect } from "./security.ts";
import type { HttpSource } from "./source.ts";

export const MAX_BODY_BYTES = 64 * 1024;

export interface Route {
  /** Hono's syntax: `:name` is a parameter. */
  readonly path: string;
  readonly summary: string;
  readonly response: z.ZodType;
  /** The answer, or undefined for 404. */
  read(source: HttpSource, parameters: Readonly<Record<string, string>>): unknown;
  /** What a 404 means here. */
  readonly missing?: (parameters: Readonly<Record<string, string>>) => string;
}

export const healthSchema = z.object({ status: z.literal("ok") });

export const ROUTES: readonly Route[] = [
  {
    path: "/healthz",
    summary: "Whether the process answers",
    response: healthSchema,
    read: () => ({ status: "ok" }),
  },
  {
    path: "/api/v1/status",
    summary: "The switch as a whole",
    response: statusSchema,
    read: readStatus,
  },
  {
    path: "/api/v1/bridges",
    summary: "All bridges with their ports",
    response: bridgesSchema,
    read: readBridges,
  },
  {
    path: "/api/v1/bridges/:name",
    summary: "One bridge with its ports",
    response: bridgeSchema,
    read: (source, { name = "" }) => readBridge(source, name),
    missing: ({ name }) => `There is no bridge ${JSON.stringify(name)}.`,
  },
];

export interface AppOptions {
  readonly source: HttpSource;
  readonly logger: Logger;
  /** Names, besides localhost, under which browsers may reach the server. */
  readonly hostNames?: readonly string[];
}

export function createApp({ source, logger, hostNames = [] }: AppOptions): Hono {
  const app = new Hono();
  app.use(protect(hostNames.map((name) => name.toLowerCase())));
  app.use(bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (c) =>
      problem(413, `The body is larger than ${MAX_BODY_BYTES} bytes.`, c.req.path, {
        connection: "close",
      }),
  }));
  for (const route of ROUTES) {
    app.get(route.path, (c) => answer(c, route, source));
    app.all(route.path, refuseMethod);
  }
  for (const { path, type, text } of consoleFiles) {
    app.get(path, (c) => c.body(text, 200, { "content-type": type, "cache-control": "no-cache" }));
    app.all(path, refuseMethod);
  }
  app.notFound((c) =>
    problem(404, "There is nothing at this path. The API starts at /api/v1/status.", c.req.path)
  );
  app.onError((error, c) => {
    logger.err(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`);
    return problem(500, "The request failed inside the server; its log says why.", c.req.path);
  });
  return app;
}

function answer(c: Context, route: Route, source: HttpSource): Response {
  const parameters = c.req.param();
  const found = route.read(source, parameters);
  if (found === undefined) {
    return problem(404, route.missing?.(parameters) ?? "There is no such thing.", c.req.path);
  }
  return c.json(found as object, 200, { "cache-control": "no-store" });
}

function refuseMethod(c: Context): Response {
  const detail = `${c.req.method} does nothing here: this API is read-only.`;
  return problem(405, detail, c.req.path, { allow: "GET, HEAD" });
}

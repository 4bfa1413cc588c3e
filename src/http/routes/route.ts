/**
 * What a route is: one declaration from which come the check of the request, the answer, the OpenAPI
 * document (../openapi.ts) and the tests that hold each route to its schema.
 *
 * An *operation* says what is taken, given and done; the table (table.ts) says at which method and
 * path, and who may.
 */
import { z } from "zod";
import type { Access } from "../auth/access.ts";
import type { Needs, Principal } from "../auth/roles.ts";
import { HttpProblem } from "../problem.ts";
import type { HttpSource } from "../source.ts";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** One request, checked. */
export interface Call<Query = unknown, Body = unknown> {
  readonly source: HttpSource;
  readonly access: Access;
  /** Undefined where anyone may call and nobody has shown who they are. */
  readonly principal: Principal | undefined;
  /** Where the request came from. */
  readonly address: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** In lower case. */
  readonly header: (name: string) => string | undefined;
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
  /** The connection may be idle from now on without being closed. */
  readonly keepOpen: () => void;
  /** For whoever goes on sending: whether the caller may still read this. */
  readonly stillAllowed: () => boolean;
}

export interface Output {
  readonly json?: unknown;
  /** Instead of `json`. */
  readonly text?: string;
  /** Instead of both: a file; `headers` say its type. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** Instead of all: an event stream. */
  readonly stream?: ReadableStream<Uint8Array>;
  /** Unless it is the operation's. */
  readonly status?: 200 | 201 | 204;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the audit log: what was done, in words. */
  readonly audit?: string;
  /** For the audit log, where the request itself makes somebody known. */
  readonly user?: string;
}

export interface Operation<Query = unknown, Body = unknown> {
  readonly summary: string;
  readonly description?: string;
  /** For the page: routes of one tag stand together. */
  readonly tag: string;
  /** Members are strings as they come; unknown ones are refused unless the schema takes them. */
  readonly query?: z.ZodType<Query>;
  /** Of a JSON body; or, with `bodyText`, of `{ text }`, where the body is not JSON. */
  readonly body?: z.ZodType<Body>;
  /** The body may also be text: media types that it is documented with. */
  readonly bodyText?: string;
  /** The body is a file, given to the handler as a Uint8Array: what it may be, in words. */
  readonly bodyBinary?: string;
  /** DEFAULT_BODY_BYTES unless set. */
  readonly maxBodyBytes?: number;
  readonly response?: z.ZodType;
  /** Media types besides JSON that it can answer with. */
  readonly alsoAnswers?: readonly string[];
  /** 200 unless set. */
  readonly status?: 200 | 201 | 204;
  /** Request headers that it reads. */
  readonly headers?: Readonly<Record<string, string>>;
  handle(call: Call<Query, Body>): Output | Promise<Output>;
}

export interface Route {
  readonly needs: Needs;
  readonly method: Method;
  /** Hono's syntax: `:name` is a parameter. */
  readonly path: string;
  readonly operation: Operation;
}

export const DEFAULT_BODY_BYTES = 64 * 1024;

/** Ties the handler's types to the schemas. */
export function operation<Query = unknown, Body = unknown>(
  declared: Operation<Query, Body>,
): Operation {
  return declared as Operation;
}

/** The caller, on a route that needs one. */
export function caller({ principal }: Pick<Call, "principal">): Principal {
  if (principal === undefined) throw new HttpProblem(401, "Log in first.");
  return principal;
}

/** A number in a query. */
export const queryInteger = (min: number, max: number) =>
  z.string().regex(/^\d{1,15}$/, "a whole number is wanted").transform(Number)
    .pipe(z.number().min(min).max(max));

export const queryFlag = z.enum(["true", "false"]).transform((text) => text === "true");

/** Errors as problem documents, RFC 9457: `application/problem+json`, one shape for all of them. */
import { z } from "zod";

/** A problem may have further members (RFC 9457 §3.2), which the route's description names. */
export const problemSchema = z.looseObject({
  /** "about:blank": the title is the status's own (RFC 9457 §4.2.1). */
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().describe("What is wrong here, and what to do."),
  instance: z.string().describe("The path that was asked for."),
});
export type Problem = z.infer<typeof problemSchema>;

export const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;
export type ProblemStatus = keyof typeof TITLES;

export interface ProblemExtras {
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the document. */
  readonly members?: Readonly<Record<string, unknown>>;
  /** For the audit log: the user who was meant. */
  readonly user?: string;
}

/** Thrown by whoever handles a request; answered as a problem document. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";

  constructor(
    readonly status: ProblemStatus,
    detail: string,
    readonly extras: ProblemExtras = {},
  ) {
    super(detail);
  }

  response(instance: string): Response {
    return problem(this.status, this.message, instance, this.extras);
  }
}

export function problem(
  status: ProblemStatus,
  detail: string,
  instance: string,
  { headers = {}, members = {} }: ProblemExtras = {},
): Response {
  const body: Problem = {
    ...members,
    type: "about:blank",
    title: TITLES[status],
    status,
    detail,
    instance,
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...headers,
      "content-type": "application/problem+json",
      "cache-control": "no-store",
    },
  });
}

/** Errors as problem documents, RFC 9457: `application/problem+json`, one shape for all of them. */
import { z } from "zod";

export const problemSchema = z.object({
  /** "about:blank": the title is the status's own (RFC 9457 §4.2.1). */
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.number().int(),
  /** What is wrong here, and what to do. */
  detail: z.string(),
  /** The path that was asked for. */
  instance: z.string(),
});
export type Problem = z.infer<typeof problemSchema>;

const TITLES = {
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  421: "Misdirected Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;
export type ProblemStatus = keyof typeof TITLES;

/** `headers` are added to the response's. */
export function problem(
  status: ProblemStatus,
  detail: string,
  instance: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body: Problem = { type: "about:blank", title: TITLES[status], status, detail, instance };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...headers,
      "content-type": "application/problem+json",
      "cache-control": "no-store",
    },
  });
}

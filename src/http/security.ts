/**
 * What keeps a browser from being used against the switch.
 *
 * - DNS rebinding: a page of any site can make its own name resolve to 127.0.0.1 and then read this
 *   API as its own origin. The Host header still carries that name, so only IP addresses, localhost
 *   and names given by the administrator are answered; others get 421 (RFC 9110 §15.5.20).
 * - No CORS headers at all: other origins cannot read anything.
 * - The console loads nothing from elsewhere, and the CSP says so; inline scripts do not run, so
 *   that a port's name from the database can never become code.
 */
import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** The host of a Host header, without its port and in lower case; undefined if it is malformed. */
function hostOf(header: string): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?$/i.exec(header);
  return match?.[1]?.toLowerCase();
}

function isAddress(host: string): boolean {
  return host.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(host);
}

/** Whether a request that names this host in its Host header may be answered. */
export function hostAllowed(header: string, names: readonly string[]): boolean {
  const host = hostOf(header);
  if (host === undefined) return false;
  return isAddress(host) || host === "localhost" || host.endsWith(".localhost") ||
    names.includes(host);
}

/** Puts SECURITY_HEADERS on every response, and refuses foreign hosts. `names`: lower case. */
export function protect(names: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header("host");
    if (host === undefined) {
      c.res = problem(400, "The request has no Host header.", c.req.path);
    } else if (!hostAllowed(host, names)) {
      c.res = problem(
        421,
        "This server does not answer under that name. Use its IP address or localhost.",
        c.req.path,
      );
    } else await next();
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.res.headers.set(name, value);
  };
}

/**
 * Reading a request: who sends it, whether another site made a browser send it, and its body within
 * bounds of size and time. Everything wrong throws an `HttpProblem`.
 */
import type { Access } from "./auth/access.ts";
import { secretOf } from "./auth/cookie.ts";
import { allows, type Needs, type Principal } from "./auth/roles.ts";
import { sameSecret } from "./auth/secrets.ts";
import { HttpProblem } from "./problem.ts";

/** A body must have arrived this long after its headers. */
export const BODY_DEADLINE_MS = 10_000;

type Header = (name: string) => string | undefined;

const isSafe = (method: string): boolean => method === "GET" || method === "HEAD";

/**
 * Browsers say where a request comes from (Fetch Metadata, Origin); programs that are no browsers
 * say nothing. What another origin sends may not change anything.
 */
export function refuseCrossSite(method: string, header: Header): void {
  if (isSafe(method)) return;
  const site = header("sec-fetch-site");
  const origin = header("origin");
  const sameSite = site === undefined || site === "same-origin" || site === "none";
  if (
    sameSite && (origin === undefined || hostOfOrigin(origin) === header("host")?.toLowerCase())
  ) {
    return;
  }
  throw new HttpProblem(403, "This request comes from a page of another site, and was refused.");
}

function hostOfOrigin(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/i.exec(origin)?.[1]?.toLowerCase();
}

/** A token in Authorization, else the session of the cookie. A bad token is nobody, cookie or not. */
export function authenticate(access: Access, header: Header): Principal | undefined {
  const authorization = header("authorization");
  if (authorization !== undefined) {
    const token = /^Bearer +([A-Za-z0-9_-]{1,100})$/i.exec(authorization)?.[1];
    const principal = token === undefined ? undefined : access.byToken(token);
    if (principal !== undefined) return principal;
    throw unauthorized("This token is not valid: it has expired, was removed, or never existed.");
  }
  const secret = secretOf(header("cookie"));
  return secret === undefined ? undefined : access.bySession(secret);
}

/** Refuses whoever may not call the route, and changes by cookie without the session's CSRF token. */
export function authorize(
  access: Access,
  needs: Needs,
  method: string,
  principal: Principal | undefined,
  header: Header,
): void {
  if (needs === "anyone") return;
  if (principal === undefined) {
    throw unauthorized(
      access.isSetUp
        ? "Log in at /, or send a token: Authorization: Bearer TOKEN."
        : "This switch has no user yet: open the set-up link that solovs wrote to its log.",
    );
  }
  if (!allows(principal.role, needs)) {
    throw new HttpProblem(403, `This needs the role ${needs}; you are ${principal.role}.`);
  }
  const { via } = principal;
  if (via.kind !== "session" || isSafe(method)) return;
  if (!sameSecret(header("x-csrf-token") ?? "", via.csrf)) {
    throw new HttpProblem(
      403,
      "With a session's cookie a change needs the header X-CSRF-Token: csrfToken of " +
        "/api/v1/session.",
    );
  }
}

const unauthorized = (detail: string): HttpProblem =>
  new HttpProblem(401, detail, { headers: { "www-authenticate": 'Bearer realm="solovs"' } });

/** The body as text. A client that is too slow, sends too much, or no UTF-8 is refused. */
export async function readBody(
  request: Request,
  maxBytes: number,
  deadlineMs = BODY_DEADLINE_MS,
): Promise<string> {
  const bytes = await readBytes(request, maxBytes, deadlineMs);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new HttpProblem(400, "The body is not UTF-8 text.");
  }
}

/** The body as it is. */
export async function readBytes(
  request: Request,
  maxBytes: number,
  deadlineMs = BODY_DEADLINE_MS,
): Promise<Uint8Array> {
  const tooLarge = (): HttpProblem =>
    new HttpProblem(413, `The body is larger than ${maxBytes} bytes.`, {
      headers: { connection: "close" },
    });
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new HttpProblem(408, `The body did not arrive within ${deadlineMs / 1000} s.`, {
          headers: { connection: "close" },
        }),
      );
    }, deadlineMs);
  });
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.length;
      if (size > maxBytes) throw tooLarge();
      chunks.push(value);
    }
  } catch (error) {
    reader.cancel().catch(() => {
      // The client has gone: then there is nothing to stop.
    });
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

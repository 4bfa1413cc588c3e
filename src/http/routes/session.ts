/** Set-up, login, logout: how a browser (or curl with a cookie jar) gets a session. */
import { z } from "zod";
import { type Login, SESSION_LIFE_MS } from "../auth/access.ts";
import { roleSchema } from "../auth/roles.ts";
import { clearedCookie, sessionCookie } from "../auth/cookie.ts";
import { newPassword, oldPassword, userName } from "./names.ts";
import { caller, operation, type Output } from "./route.ts";

const tag = "Login";

export const sessionSchema = z.object({
  user: z.string(),
  role: roleSchema,
  csrfToken: z.string().nullable().describe(
    "Changes made with the cookie must carry it in the header X-CSRF-Token; null for a token.",
  ),
});

function opened({ secret, principal }: Login, status: 200 | 201, audit: string): Output {
  const { user, role, via } = principal;
  return {
    status,
    json: { user, role, csrfToken: via.kind === "session" ? via.csrf : null },
    headers: { "set-cookie": sessionCookie(secret, SESSION_LIFE_MS) },
    audit,
    user,
  };
}

export const setUp = operation({
  tag,
  summary: "Make the first admin, with the link from the log",
  description:
    "The daemon logs a one-time link when it starts without users; `token` is what follows `#setup=` " +
    "in it. Answers with a session, as login does.",
  body: z.strictObject({ token: z.string().max(100), name: userName, password: newPassword }),
  status: 201,
  response: sessionSchema,
  async handle({ access, body: { token, name, password }, address }) {
    return opened(await access.setUp(token, name, password, address), 201, `set up admin ${name}`);
  },
});

export const login = operation({
  tag,
  summary: "Log in",
  description: "Sets the session's cookie. After five failures each further one takes longer.",
  body: z.strictObject({ name: z.string().max(64), password: oldPassword }),
  response: sessionSchema,
  async handle({ access, body: { name, password }, address }) {
    return opened(await access.login(name, password, address), 200, "logged in");
  },
});

export const showSession = operation({
  tag,
  summary: "Who you are",
  response: sessionSchema,
  handle(call) {
    const { user, role, via } = caller(call);
    return { json: { user, role, csrfToken: via.kind === "session" ? via.csrf : null } };
  },
});

export const logout = operation({
  tag,
  summary: "End the session",
  status: 204,
  handle(call) {
    const { via } = caller(call);
    if (via.kind === "session") call.access.store.removeSession(via.hash);
    return { headers: { "set-cookie": clearedCookie() }, audit: "logged out" };
  },
});

export const changePassword = operation({
  tag,
  summary: "Change your own password",
  description: "Your other sessions end.",
  body: z.strictObject({ old: oldPassword, new: newPassword }),
  status: 204,
  async handle(call) {
    await call.access.changePassword(caller(call), call.body.old, call.body.new, call.address);
    return { audit: "changed their own password" };
  },
});

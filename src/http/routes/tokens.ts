/** `/api/v1/tokens`: what scripts authenticate with. */
import { z } from "zod";
import { LONGEST_TOKEN_DAYS } from "../auth/access.ts";
import { roleSchema } from "../auth/roles.ts";
import type { Token } from "../auth/store.ts";
import { HttpProblem } from "../problem.ts";
import { collection } from "./collection.ts";
import { instant, toInstant } from "./names.ts";
import { caller, operation } from "./route.ts";

const tag = "Tokens";

export const tokenSchema = z.object({
  id: z.number().int(),
  user: z.string(),
  name: z.string(),
  role: roleSchema,
  created: instant,
  expires: instant,
  lastUsed: instant.nullable(),
});
export const tokensSchema = z.object({ tokens: z.array(tokenSchema) });
export const newTokenSchema = tokenSchema.extend({
  token: z.string().describe("Send it as `Authorization: Bearer TOKEN`. It is shown only now."),
});

const shown = ({ id, user, name, role, createdMs, expiresMs, seenMs }: Token) => ({
  id,
  user,
  name,
  role,
  created: toInstant(createdMs),
  expires: toInstant(expiresMs),
  lastUsed: seenMs === null ? null : toInstant(seenMs),
});

export const listTokens = collection("tokens", {
  tag,
  summary: "Your tokens; for an admin, everybody's",
  response: tokensSchema,
  handle(call) {
    const { user, role } = caller(call);
    const tokens = call.access.store.tokens(role === "admin" ? undefined : user);
    return { json: { tokens: tokens.map(shown) } };
  },
});

export const createToken = operation({
  tag,
  summary: "Make a token of yours",
  description: "Its role is at most your own. Only a session can make tokens, not another token.",
  body: z.strictObject({
    name: z.string().regex(/^[\x21-\x7e]{1,64}$/, "1 to 64 visible ASCII characters"),
    role: roleSchema,
    days: z.number().int().min(1).max(LONGEST_TOKEN_DAYS).default(90),
  }),
  status: 201,
  response: newTokenSchema,
  handle(call) {
    const { name, role, days } = call.body;
    const { secret, token } = call.access.addToken(caller(call), name, role, days);
    return {
      json: { ...shown(token), token: secret },
      headers: { location: `/api/v1/tokens/${token.id}` },
      audit: `made token ${token.id} ${name}, ${role}, for ${days} days`,
    };
  },
});

export const removeToken = operation({
  tag,
  summary: "Remove a token of yours; an admin, anybody's",
  status: 204,
  handle(call) {
    const { id = "" } = call.params;
    if (!/^\d{1,15}$/.test(id)) throw new HttpProblem(404, "A token's id is a number.");
    const token = call.access.removeToken(caller(call), Number(id));
    return { audit: `removed token ${id} ${token.name} of ${token.user}` };
  },
});

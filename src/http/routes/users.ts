/** `/api/v1/users`: who may log in, and as what. */
import { z } from "zod";
import { roleSchema } from "../auth/roles.ts";
import type { User } from "../auth/store.ts";
import { instant, newPassword, toInstant, userName } from "./names.ts";
import { ifMatchHeader, refuseUnlessMatch, tagOf } from "../entity-tag.ts";
import { collection } from "./collection.ts";
import { type Call, operation } from "./route.ts";

const tag = "Users";

export const userSchema = z.object({ name: z.string(), role: roleSchema, created: instant });
export const usersSchema = z.object({ users: z.array(userSchema) });

const shown = ({ name, role, createdMs }: User) => ({ name, role, created: toInstant(createdMs) });

const headers = ifMatchHeader("the user");
const userTag = ({ name, role, createdMs, passwordHash }: User): string =>
  tagOf(JSON.stringify([name, role, createdMs, passwordHash]));
const ifUnchanged = (
  { access, header, params: { name = "" } }: Pick<Call, "access" | "header" | "params">,
) => refuseUnlessMatch(header("if-match"), () => userTag(access.user(name)), `The user ${name}`);

export const showUser = operation({
  tag,
  summary: "One user",
  response: userSchema,
  handle({ access, params: { name = "" } }) {
    const user = access.user(name);
    return { json: shown(user), headers: { etag: userTag(user) } };
  },
});

export const listUsers = collection("users", {
  tag,
  summary: "All users",
  response: usersSchema,
  handle: ({ access }) => ({ json: { users: access.store.users().map(shown) } }),
});

export const createUser = operation({
  tag,
  summary: "Add a user",
  body: z.strictObject({ name: userName, role: roleSchema, password: newPassword }),
  status: 201,
  response: userSchema,
  async handle({ access, body: { name, role, password } }) {
    const user = await access.addUser(name, role, password);
    return {
      json: shown(user),
      headers: { location: `/api/v1/users/${name}` },
      audit: `added user ${name}, ${role}`,
    };
  },
});

export const changeUser = operation({
  tag,
  summary: "Change a user's role or password",
  description: "The user's sessions end; tokens stay, and may do no more than the new role.",
  headers,
  body: z.strictObject({ role: roleSchema.optional(), password: newPassword.optional() })
    .refine(({ role, password }) => role !== undefined || password !== undefined, {
      message: "give a role or a password",
    }),
  response: userSchema,
  async handle(call) {
    const { access, params: { name = "" }, body: { role, password } } = call;
    ifUnchanged(call);
    const user = await access.changeUser(name, role, password);
    const what = [role && `role ${role}`, password && "a new password"].filter(Boolean);
    return {
      json: shown(user),
      headers: { etag: userTag(user) },
      audit: `gave user ${name} ${what.join(" and ")}`,
    };
  },
});

export const removeUser = operation({
  tag,
  summary: "Remove a user, with sessions and tokens",
  headers,
  status: 204,
  handle(call) {
    const { access, params: { name = "" } } = call;
    ifUnchanged(call);
    access.removeUser(name);
    return { audit: `removed user ${name}` };
  },
});

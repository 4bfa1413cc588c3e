/** `/api/v1/users`: who may log in, and as what. */
import { z } from "zod";
import { roleSchema } from "../auth/roles.ts";
import type { User } from "../auth/store.ts";
import { instant, newPassword, toInstant, userName } from "./names.ts";
import { operation } from "./route.ts";

const tag = "Users";

export const userSchema = z.object({ name: z.string(), role: roleSchema, created: instant });
export const usersSchema = z.object({ users: z.array(userSchema) });

const shown = ({ name, role, createdMs }: User) => ({ name, role, created: toInstant(createdMs) });

export const listUsers = operation({
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
  body: z.strictObject({ role: roleSchema.optional(), password: newPassword.optional() })
    .refine(({ role, password }) => role !== undefined || password !== undefined, {
      message: "give a role or a password",
    }),
  response: userSchema,
  async handle({ access, params: { name = "" }, body: { role, password } }) {
    const user = await access.changeUser(name, role, password);
    const what = [role && `role ${role}`, password && "a new password"].filter(Boolean);
    return { json: shown(user), audit: `gave user ${name} ${what.join(" and ")}` };
  },
});

export const removeUser = operation({
  tag,
  summary: "Remove a user, with sessions and tokens",
  status: 204,
  handle({ access, params: { name = "" } }) {
    access.removeUser(name);
    return { audit: `removed user ${name}` };
  },
});

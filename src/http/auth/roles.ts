/** Roles: each may do all that the one before it may. */
import { z } from "zod";

/** `reader` sees everything but secrets; `operator` configures; `admin` decides who may. */
export const ROLES = ["reader", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

export const roleSchema = z.enum(ROLES);

/** What a route asks of whoever calls it. */
export type Needs = "anyone" | Role;

export const allows = (role: Role | undefined, needs: Needs): boolean =>
  needs === "anyone" || (role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(needs));

/** The lesser of two roles. */
export const lesser = (a: Role, b: Role): Role => (allows(a, b) ? b : a);

/** A role as it was stored: one that is not known allows least. */
export const storedRole = (text: string): Role => ROLES.find((role) => role === text) ?? "reader";

/** Whoever has shown who they are. */
export interface Principal {
  readonly user: string;
  readonly role: Role;
  readonly via:
    | { readonly kind: "session"; readonly hash: string; readonly csrf: string }
    | { readonly kind: "token"; readonly id: number; readonly name: string }
    /** By the socket in the run directory, which only its owner may open. */
    | { readonly kind: "socket" };
}

/** Whoever may open the database's own socket can do everything anyway. */
export const LOCAL: Principal = { user: "local", role: "admin", via: { kind: "socket" } };

/**
 * Who may use the HTTP API, and what was done through it, as tables of the database's SQLite file
 * (`../../db/storage/side-tables.ts`). `npx drizzle-kit generate --config
 * src/http/auth/drizzle.config.ts` writes the migration for a change here; then name the new file in
 * `migrations.ts`. Times are milliseconds since 1970.
 */
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const users = sqliteTable("side_users", {
  name: text().primaryKey(),
  /** `reader`, `operator` or `admin`. */
  role: text().notNull(),
  /** argon2id, in PHC notation. */
  passwordHash: text("password_hash").notNull(),
  createdMs: integer("created_ms").notNull(),
});

/** Logins of browsers. */
export const sessions = sqliteTable("side_sessions", {
  /** SHA-256 of the cookie's value, hexadecimal. */
  hash: text().primaryKey(),
  user: text().notNull(),
  createdMs: integer("created_ms").notNull(),
  /** The session ends then, or earlier if it is not used. */
  expiresMs: integer("expires_ms").notNull(),
  /** Last use, to within a minute. */
  seenMs: integer("seen_ms").notNull(),
  address: text().notNull(),
});

/** For scripts. A token can do what its role allows and its user may. */
export const tokens = sqliteTable("side_tokens", {
  id: integer().primaryKey({ autoIncrement: true }),
  /** SHA-256 of the token, hexadecimal. */
  hash: text().notNull().unique(),
  user: text().notNull(),
  name: text().notNull(),
  role: text().notNull(),
  createdMs: integer("created_ms").notNull(),
  expiresMs: integer("expires_ms").notNull(),
  /** To within a minute. */
  seenMs: integer("seen_ms"),
});

/** Every request that changes something, or tries to. The oldest go when there are too many. */
export const audit = sqliteTable("side_audit", {
  id: integer().primaryKey({ autoIncrement: true }),
  timeMs: integer("time_ms").notNull(),
  /** A user's name; what was given as one where a login failed. */
  user: text().notNull(),
  /** `session`, `token NAME`, `setup` or `login`. */
  via: text().notNull(),
  address: text().notNull(),
  method: text().notNull(),
  path: text().notNull(),
  status: integer().notNull(),
  /** What was done or why it was refused, in words; never a secret. */
  detail: text().notNull(),
});

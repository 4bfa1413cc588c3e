/**
 * Users, sessions, tokens and the audit log as stored rows. Says nothing about who may do what.
 *
 * Every request asks who sends it: users, sessions and tokens that were found are kept in memory
 * until one of their tables changes. Nobody else writes these tables while the daemon runs.
 *
 * Secrets are stored as hashes: of passwords argon2id, of session and token values (256 random bits,
 * so nobody can guess them) SHA-256. Limits: see LIMITS; beyond them adding is refused, but for the
 * audit log, whose oldest entries go.
 */
import { and, asc, desc, eq, lt, lte, ne, sql } from "drizzle-orm";
import type { SideTables } from "../../db/storage/side-tables.ts";
import { accessMigrations } from "./migrations.ts";
import { type Role, storedRole } from "./roles.ts";
import { audit, sessions, tokens, users } from "./tables.ts";

export const LIMITS = {
  users: 256,
  /** A user's sessions; one more ends the oldest. */
  sessionsOfUser: 16,
  tokensOfUser: 64,
  auditEntries: 10_000,
  /** Characters of one text in the audit log. */
  auditText: 300,
} as const;

export interface User {
  readonly name: string;
  readonly role: Role;
  readonly passwordHash: string;
  readonly createdMs: number;
}

export interface Session {
  readonly hash: string;
  readonly user: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly seenMs: number;
  readonly address: string;
}

export interface Token {
  readonly id: number;
  readonly user: string;
  readonly name: string;
  readonly role: Role;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly seenMs: number | null;
}

export type NewToken = Omit<Token, "id" | "seenMs"> & { readonly hash: string };
export type AuditEntry = typeof audit.$inferSelect;
export type NewAuditEntry = Omit<AuditEntry, "id">;

const typed = <T extends { readonly role: string }>(row: T): Omit<T, "role"> & { role: Role } => ({
  ...row,
  role: storedRole(row.role),
});

const cut = (text: string): string => [...text].slice(0, LIMITS.auditText).join("");

export class AccessStore {
  private readonly db;
  private readonly insertAudit;
  private readonly known = {
    users: new Map<string, User>(),
    sessions: new Map<string, Session>(),
    tokens: new Map<string, Token>(),
  };

  /** Makes the tables if they are not there. Throws `StorageError`. */
  constructor(private readonly side: SideTables) {
    side.migrate(accessMigrations);
    this.db = side.db;
    const { placeholder } = sql;
    this.insertAudit = this.db.insert(audit).values({
      timeMs: placeholder("timeMs"),
      user: placeholder("user"),
      via: placeholder("via"),
      address: placeholder("address"),
      method: placeholder("method"),
      path: placeholder("path"),
      status: placeholder("status"),
      detail: placeholder("detail"),
    }).returning({ id: audit.id }).prepare();
  }

  /** A change of users, sessions or tokens, all or nothing. */
  private change<T>(work: () => T): T {
    try {
      return this.side.atomically(work);
    } finally {
      for (const kept of Object.values(this.known)) kept.clear();
    }
  }

  // Users

  users(): User[] {
    return this.db.select().from(users).orderBy(asc(users.name)).all().map(typed);
  }

  user(name: string): User | undefined {
    return remember(this.known.users, name, () => {
      const row = this.db.select().from(users).where(eq(users.name, name)).get();
      return row && typed(row);
    });
  }

  /** False if there is one of that name. */
  addUser(user: User): boolean {
    return this.change(() => {
      const added = this.db.insert(users).values(user).onConflictDoNothing()
        .returning({ name: users.name }).all();
      return added.length > 0;
    });
  }

  /** Sessions end when a password or a role changes; `keep` is one that goes on. */
  changeUser(
    name: string,
    change: { readonly role?: Role; readonly passwordHash?: string },
    keep = "",
  ): void {
    this.change(() => {
      this.db.update(users).set(change).where(eq(users.name, name)).run();
      this.db.delete(sessions).where(and(eq(sessions.user, name), ne(sessions.hash, keep))).run();
    });
  }

  /** With all sessions and tokens. */
  removeUser(name: string): void {
    this.change(() => {
      this.db.delete(users).where(eq(users.name, name)).run();
      this.db.delete(sessions).where(eq(sessions.user, name)).run();
      this.db.delete(tokens).where(eq(tokens.user, name)).run();
    });
  }

  // Sessions

  session(hash: string): Session | undefined {
    const { sessions: known } = this.known;
    return remember(
      known,
      hash,
      () => this.db.select().from(sessions).where(eq(sessions.hash, hash)).get(),
    );
  }

  /** Those that have expired go, and a user's oldest when there are too many. */
  addSession(session: Session): void {
    this.change(() => {
      this.db.delete(sessions).where(lte(sessions.expiresMs, session.createdMs)).run();
      const own = this.db.select({ hash: sessions.hash }).from(sessions)
        .where(eq(sessions.user, session.user)).orderBy(desc(sessions.createdMs)).all();
      for (const { hash } of own.slice(LIMITS.sessionsOfUser - 1)) this.deleteSession(hash);
      this.db.insert(sessions).values(session).run();
    });
  }

  sessionSeen(hash: string, seenMs: number): void {
    this.change(() => {
      this.db.update(sessions).set({ seenMs }).where(eq(sessions.hash, hash)).run();
    });
  }

  removeSession(hash: string): void {
    this.change(() => this.deleteSession(hash));
  }

  private deleteSession(hash: string): void {
    this.db.delete(sessions).where(eq(sessions.hash, hash)).run();
  }

  // Tokens

  /** Of one user, or of all. */
  tokens(user?: string): Token[] {
    const { hash: _, ...shown } = columnsOfTokens;
    return this.db.select(shown).from(tokens)
      .where(user === undefined ? undefined : eq(tokens.user, user))
      .orderBy(asc(tokens.id)).all().map(typed);
  }

  tokenByHash(hash: string): Token | undefined {
    return remember(this.known.tokens, hash, () => {
      const row = this.db.select().from(tokens).where(eq(tokens.hash, hash)).get();
      return row && typed(row);
    });
  }

  token(id: number): Token | undefined {
    return this.tokens().find((token) => token.id === id);
  }

  addToken(token: NewToken): number {
    return this.change(() =>
      this.db.insert(tokens).values(token).returning({ id: tokens.id }).get().id
    );
  }

  tokenSeen(id: number, seenMs: number): void {
    this.change(() => {
      this.db.update(tokens).set({ seenMs }).where(eq(tokens.id, id)).run();
    });
  }

  removeToken(id: number): void {
    this.change(() => this.db.delete(tokens).where(eq(tokens.id, id)).run());
  }

  // Audit log

  addAudit(entries: readonly NewAuditEntry[]): void {
    this.side.atomically(() => {
      let last = 0;
      for (const entry of entries) {
        const { user, path, detail } = entry;
        const short = { user: cut(user), path: cut(path), detail: cut(detail) };
        last = this.insertAudit.get({ ...entry, ...short }).id;
      }
      this.db.delete(audit).where(lte(audit.id, last - LIMITS.auditEntries)).run();
    });
  }

  /** Newest first, those older than `before` if it is given. */
  audit(limit: number, before = Number.MAX_SAFE_INTEGER): AuditEntry[] {
    return this.db.select().from(audit).where(lt(audit.id, before))
      .orderBy(desc(audit.id)).limit(limit).all();
  }

  countAudit(before = Number.MAX_SAFE_INTEGER): number {
    return this.db.select({ count: sql<number>`count(*)` }).from(audit).where(lt(audit.id, before))
      .get()?.count ?? 0;
  }

  countUsers(): number {
    return this.db.select({ count: sql<number>`count(*)` }).from(users).get()?.count ?? 0;
  }
}

/** What is not there is not remembered: anybody may ask for it. */
function remember<T>(known: Map<string, T>, key: string, find: () => T | undefined): T | undefined {
  const at = known.get(key);
  if (at !== undefined) return at;
  const found = find();
  if (found !== undefined) known.set(key, found);
  return found;
}

const columnsOfTokens = {
  id: tokens.id,
  hash: tokens.hash,
  user: tokens.user,
  name: tokens.name,
  role: tokens.role,
  createdMs: tokens.createdMs,
  expiresMs: tokens.expiresMs,
  seenMs: tokens.seenMs,
};

/**
 * Who is there: set-up of the first user, logins, sessions, tokens.
 *
 *     first start ──> one-time link in the log ──> setUp ──> first admin
 *     login ──> session (cookie + CSRF token)          token ──> Authorization: Bearer …
 *                            └────────> authenticate ────────┘──> Principal
 *
 * Invariants
 * - There is no default password. While there is no user, the only way in is the link, which lives
 *   SETUP_LIFE_MS and works once; after that a restart makes another.
 * - A token does no more than its role allows and its user's role allows now.
 * - There is always an admin once there is a user.
 * - Secrets are compared as hashes and never logged, but for the set-up link.
 *
 * Limits: a session lives SESSION_LIFE_MS, and IDLE_MS when it is not used; a token at most
 * LONGEST_TOKEN_DAYS. Model for the link: PocketBase's installer.
 */
import { StorageError } from "../../db/storage/storage.ts";
import type { Logger } from "../../log/log.ts";
import { HttpProblem } from "../problem.ts";
import { AuditLog } from "./audit-log.ts";
import { allows, lesser, type Principal, type Role } from "./roles.ts";
import { csrfOf, hashSecret, newSecret, Passwords, sameSecret, TooBusy } from "./secrets.ts";
import { type AccessStore, LIMITS, type Session, type Token, type User } from "./store.ts";
import { Throttle } from "./throttle.ts";

const MINUTE_MS = 60_000;
export const SETUP_LIFE_MS = 30 * MINUTE_MS;
export const SESSION_LIFE_MS = 24 * 60 * MINUTE_MS;
export const IDLE_MS = 60 * MINUTE_MS;
export const LONGEST_TOKEN_DAYS = 366;
export const TOKEN_PREFIX = "solovs_";

export interface AccessOptions {
  readonly store: AccessStore;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface Login {
  /** The cookie's value. */
  readonly secret: string;
  readonly principal: Principal;
}

export class Access {
  readonly store: AccessStore;
  readonly audit: AuditLog;
  private readonly now: () => number;
  private readonly passwords = new Passwords();
  private readonly throttle: Throttle;
  private setupLink: { readonly hash: string; readonly endsMs: number } | undefined;

  constructor(options: AccessOptions) {
    this.store = options.store;
    this.audit = new AuditLog(options.store, options.logger);
    this.now = options.now ?? Date.now;
    this.throttle = new Throttle(this.now);
  }

  get time(): number {
    return this.now();
  }

  // Set-up

  get isSetUp(): boolean {
    return this.store.countUsers() > 0;
  }

  /** The secret of a new one-time link; undefined if there are users. Earlier links end. */
  offerSetUp(): string | undefined {
    if (this.isSetUp) return undefined;
    const secret = newSecret();
    this.setupLink = { hash: hashSecret(secret), endsMs: this.now() + SETUP_LIFE_MS };
    return secret;
  }

  /** Makes the first admin. */
  async setUp(secret: string, name: string, password: string, address: string): Promise<Login> {
    const keys = [`setup ${address}`];
    this.admit(keys);
    const link = this.setupLink;
    if (this.isSetUp || !link || !sameSecret(hashSecret(secret), link.hash)) {
      throw new HttpProblem(403, "This set-up link is not valid: it was used, or is another's.");
    }
    if (this.now() >= link.endsMs) {
      throw new HttpProblem(403, "This set-up link has expired: restart solovs to get another.");
    }
    // It is used up before anything is awaited.
    this.setupLink = undefined;
    try {
      const passwordHash = await this.hashed(password);
      const user: User = { name, role: "admin", passwordHash, createdMs: this.now() };
      if (this.isSetUp || !this.store.addUser(user)) {
        throw new HttpProblem(409, "Somebody else has set this switch up meanwhile: log in.");
      }
      this.throttle.succeeded(keys);
      return this.open(user, address);
    } catch (error) {
      if (!this.isSetUp) this.setupLink = link;
      throw error;
    }
  }

  // Login

  async login(name: string, password: string, address: string): Promise<Login> {
    const keys = [`name ${name}`, `address ${address}`];
    this.admit(keys);
    const known = this.store.user(name);
    const fits = await this.verified(password, known?.passwordHash);
    // It may have gone or got another password while the hash was computed.
    const user = this.store.user(name);
    if (!fits || user === undefined || user.passwordHash !== known?.passwordHash) {
      throw new HttpProblem(401, "The name or the password is wrong.", {
        ...(known && { user: name }),
      });
    }
    this.throttle.succeeded(keys);
    return this.open(user, address);
  }

  /** Counts a try as failed until it has succeeded; refuses it if there were too many. */
  private admit(keys: readonly string[]): void {
    const waitMs = this.throttle.waitMs(keys);
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000);
      throw new HttpProblem(429, `Too many failures: wait ${seconds} s and try again.`, {
        headers: { "retry-after": String(seconds) },
      });
    }
    this.throttle.failed(keys);
  }

  private open({ name, role }: User, address: string): Login {
    const secret = newSecret();
    const createdMs = this.now();
    const hash = hashSecret(secret);
    this.store.addSession({
      hash,
      user: name,
      createdMs,
      expiresMs: createdMs + SESSION_LIFE_MS,
      seenMs: createdMs,
      address,
    });
    const via = { kind: "session", hash, csrf: csrfOf(secret) } as const;
    return { secret, principal: { user: name, role, via } };
  }

  // Authentication

  /** Whose session this is; undefined if it is nobody's, or over. */
  bySession(secret: string): Principal | undefined {
    const session = this.store.session(hashSecret(secret));
    const user = session && this.live(session) ? this.store.user(session.user) : undefined;
    if (session === undefined || user === undefined) return undefined;
    const { hash } = session;
    if (this.now() - session.seenMs > MINUTE_MS) {
      unlessDiskFails(() => this.store.sessionSeen(hash, this.now()));
    }
    const via = { kind: "session", hash, csrf: csrfOf(secret) } as const;
    return { user: user.name, role: user.role, via };
  }

  private live({ expiresMs, seenMs }: Session): boolean {
    return this.now() < Math.min(expiresMs, seenMs + IDLE_MS);
  }

  byToken(secret: string): Principal | undefined {
    const token = this.store.tokenByHash(hashSecret(secret));
    if (token === undefined || this.now() >= token.expiresMs) return undefined;
    const user = this.store.user(token.user);
    if (user === undefined) return undefined;
    const { id, name, seenMs } = token;
    if (this.now() - (seenMs ?? 0) > MINUTE_MS) {
      unlessDiskFails(() => this.store.tokenSeen(id, this.now()));
    }
    return {
      user: user.name,
      role: lesser(token.role, user.role),
      via: { kind: "token", id, name },
    };
  }

  // Users and tokens

  async addUser(name: string, role: Role, password: string): Promise<User> {
    if (this.store.countUsers() >= LIMITS.users) {
      throw new HttpProblem(409, `There are ${LIMITS.users} users already: remove one first.`);
    }
    const passwordHash = await this.hashed(password);
    const user: User = { name, role, passwordHash, createdMs: this.now() };
    if (!this.store.addUser(user)) {
      throw new HttpProblem(409, `There is a user ${JSON.stringify(name)} already.`);
    }
    return user;
  }

  /** `password` undefined: it stays. Ends the user's sessions. */
  async changeUser(name: string, role?: Role, password?: string): Promise<User> {
    const passwordHash = password === undefined ? undefined : await this.hashed(password);
    const user = this.user(name);
    if (role !== undefined && role !== "admin") this.keepAnAdmin(user);
    this.store.changeUser(name, { ...(role && { role }), ...(passwordHash && { passwordHash }) });
    return this.user(name);
  }

  removeUser(name: string): void {
    this.keepAnAdmin(this.user(name));
    this.store.removeUser(name);
  }

  /** A user's own, who must know the old one; other sessions of the user end. */
  async changePassword(
    { user, via }: Principal,
    old: string,
    next: string,
    address: string,
  ): Promise<void> {
    const keys = [`name ${user}`, `address ${address}`];
    this.admit(keys);
    const known = this.user(user).passwordHash;
    if (!await this.verified(old, known)) {
      throw new HttpProblem(403, "The old password is wrong.");
    }
    this.throttle.succeeded(keys);
    const passwordHash = await this.hashed(next);
    if (this.user(user).passwordHash !== known) {
      throw new HttpProblem(409, "The password was changed meanwhile.");
    }
    this.store.changeUser(user, { passwordHash }, via.kind === "session" ? via.hash : "");
  }

  /** Throws a problem when there is none of this name. */
  user(name: string): User {
    const user = this.store.user(name);
    if (user === undefined) {
      throw new HttpProblem(404, `There is no user ${JSON.stringify(name)}.`);
    }
    return user;
  }

  private keepAnAdmin(user: User): void {
    const others = this.store.users().filter(({ name, role }) =>
      role === "admin" && name !== user.name
    );
    if (user.role === "admin" && others.length === 0) {
      throw new HttpProblem(409, `${user.name} is the only admin: make another one first.`);
    }
  }

  /** Returns the token itself, which is stored nowhere. */
  addToken(
    principal: Principal,
    name: string,
    role: Role,
    days: number,
  ): { readonly secret: string; readonly token: Token } {
    if (!allows(principal.role, role)) {
      throw new HttpProblem(403, `You are ${principal.role}: a token of yours cannot be ${role}.`);
    }
    if (principal.via.kind !== "session") {
      throw new HttpProblem(403, "A token cannot make tokens: log in with a password.");
    }
    const { user } = principal;
    const [now, own] = [this.now(), this.store.tokens(user)];
    for (const { id, expiresMs } of own) if (expiresMs <= now) this.store.removeToken(id);
    if (own.filter(({ expiresMs }) => expiresMs > now).length >= LIMITS.tokensOfUser) {
      throw new HttpProblem(409, `You have ${LIMITS.tokensOfUser} tokens: remove one first.`);
    }
    const secret = `${TOKEN_PREFIX}${newSecret()}`;
    const token = {
      user,
      name,
      role,
      createdMs: now,
      expiresMs: now + days * 24 * 60 * MINUTE_MS,
    };
    const id = this.store.addToken({ ...token, hash: hashSecret(secret) });
    return { secret, token: { ...token, id, seenMs: null } };
  }

  /** Admins may remove anyone's. */
  removeToken({ user, role }: Principal, id: number): Token {
    const token = this.store.token(id);
    if (token === undefined || (token.user !== user && role !== "admin")) {
      throw new HttpProblem(404, `You have no token ${id}.`);
    }
    this.store.removeToken(id);
    return token;
  }

  private hashed(password: string): Promise<string> {
    return unlessBusy(this.passwords.hash(password));
  }

  private verified(password: string, hash: string | undefined): Promise<boolean> {
    return unlessBusy(this.passwords.verify(password, hash));
  }
}

/** Notes of last use: a disk that is full is no reason to let nobody look. */
function unlessDiskFails(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
}

async function unlessBusy<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof TooBusy)) throw error;
    throw new HttpProblem(503, "Too many logins at once: try again in a few seconds.", {
      headers: { "retry-after": "2" },
    });
  }
}

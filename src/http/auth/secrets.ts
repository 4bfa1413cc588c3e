/** Random secrets, their hashes, and passwords. */

/** 256 random bits, in base64url: 43 characters. */
export function newSecret(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
}

/** SHA-256, hexadecimal. */
export const hashSecret = (secret: string): string =>
  new Bun.CryptoHasher("sha256").update(secret).digest("hex");

/** What a page must send with a change, for one session: the cookie alone does not tell it. */
export const csrfOf = (secret: string): string => hashSecret(`csrf ${secret}`);

/** In constant time, for texts of one length. */
export function sameSecret(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && crypto.timingSafeEqual(x, y);
}

export const PASSWORD_LENGTH = { min: 10, max: 256 } as const;

/** 19 MiB and two passes (OWASP's minimum for argon2id): a small box must bear a few at once. */
const ARGON2 = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;
/** Hashes computed at once, and callers that may wait. Each takes a core and 19 MiB for a moment. */
const AT_ONCE = 2;
const MOST_WAITING = 32;

/** Too many ask at once for what is costly. */
export class TooBusy extends Error {
  override readonly name = "TooBusy";
}

export class Passwords {
  private running = 0;
  private readonly waiting: (() => void)[] = [];
  private dummy: Promise<string> | undefined;

  hash(password: string): Promise<string> {
    return this.inTurn(() => Bun.password.hash(password, ARGON2));
  }

  /** With no hash (there is no such user) it takes as long as with one, and says false. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const against = hash ?? await (this.dummy ??= this.hash(newSecret()));
    const fits = await this.inTurn(() => Bun.password.verify(password, against));
    return fits && hash !== undefined;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= AT_ONCE) {
      if (this.waiting.length >= MOST_WAITING) throw new TooBusy("too many logins at once");
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.running++;
    try {
      return await work();
    } finally {
      // A turn is handed over, so that nobody slips in between.
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}

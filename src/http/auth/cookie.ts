/**
 * The session's cookie. HttpOnly: no script reads it. SameSite=Strict: other sites' requests do not
 * carry it. Without TLS it cannot be `Secure`: whoever listens on the network reads it, so reach the
 * API over the loopback or a tunnel.
 */
const NAME = "solovs_session";
const ATTRIBUTES = "Path=/; HttpOnly; SameSite=Strict";

export const sessionCookie = (secret: string, lifeMs: number): string =>
  `${NAME}=${secret}; Max-Age=${Math.floor(lifeMs / 1000)}; ${ATTRIBUTES}`;

export const clearedCookie = (): string => `${NAME}=; Max-Age=0; ${ATTRIBUTES}`;

/** The session's secret in a Cookie header. */
export function secretOf(header: string | undefined): string | undefined {
  for (const part of (header ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2);
    if (name === NAME && value !== undefined && value !== "") return value;
  }
  return undefined;
}

/**
 * Entity tags, and changes that are refused when what they are of is not what the client has seen
 * (RFC 9110 §8.8.3, §13.1.1).
 */
import { HttpProblem } from "./problem.ts";

/** The tag of what this text says all of. */
export function tagOf(content: string): string {
  return `"${new Bun.CryptoHasher("sha256").update(content).digest("hex").slice(0, 32)}"`;
}

/** `header`: If-Match as it came. `what`: in words, at the beginning of a sentence. */
export function refuseUnlessMatch(
  header: string | undefined,
  current: () => string,
  what: string,
): void {
  if (header === undefined || header.trim() === "*") return;
  const tag = current();
  if (header.split(",").some((each) => each.trim() === tag)) return;
  throw new HttpProblem(412, `${what} changed meanwhile: read it again.`, {
    headers: { etag: tag },
  });
}

export const ifMatchHeader = (what: string) => ({
  "If-Match": `The ETag of ${what}: the change is refused (412) if something else has changed ` +
    "it since.",
} as const);

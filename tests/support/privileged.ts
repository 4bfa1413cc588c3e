/**
 * What a privileged test needs from the machine. When something is missing the test shows up as
 * skipped, its name ending in the reason; it never counts as passed.
 */
import { describe } from "bun:test";

/** Undefined when all is there, else what is missing, for people. */
export function missing(tools: readonly string[]): string | undefined {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "needs root";
  const absent = ["ip", ...tools].filter((tool) => Bun.which(tool) === null);
  return absent.length > 0 ? `not installed: ${absent.join(", ")}` : undefined;
}

/** `describe`, for tests that need root and these programs. */
export function describePrivileged(
  name: string,
  tools: readonly string[],
  body: () => void,
): void {
  const reason = missing(tools);
  if (reason === undefined) describe(name, body);
  else describe.skip(`${name} [skipped: ${reason}]`, body);
}

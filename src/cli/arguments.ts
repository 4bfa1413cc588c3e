/**
 * Option arguments: text to value. Each function throws commander's `InvalidArgumentError`, whose
 * message says which forms are accepted.
 */
import { InvalidArgumentError } from "commander";
import { isIP } from "node:net";
import { parseRemote } from "../db/rpc/remote.ts";
import { LOG_LEVELS } from "../log/log.ts";
import type { LogLevel } from "../log/log.ts";
import type { LevelChange, ListenAddress } from "./options.ts";

/** A decimal port number; 0 only where the kernel may choose. */
function parsePort(text: string, lowest: 0 | 1): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= lowest && port <= 65535 ? port : undefined;
}

/** `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` (all addresses), or `none`. */
export function parseListenAddress(text: string): ListenAddress | "none" {
  // Not undefined: commander would take that for an argument that is missing.
  if (text === "none") return text;
  const match = /^(?:\[([^\]]*)\]|([^:\s]*)):(\d+)$/.exec(text);
  const port = parsePort(match?.[3] ?? "", 0);
  const [bracketed, plain] = [match?.[1], match?.[2]];
  if (port === undefined || (bracketed !== undefined && isIP(bracketed) !== 6)) {
    throw new InvalidArgumentError(
      "Give ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or 'none' for no HTTP API.",
    );
  }
  return { host: bracketed ?? (plain || "0.0.0.0"), port };
}

/**
 * A place where the database is to be served, as it was written: `ptcp:PORT[:ADDRESS]`, `pssl:`
 * likewise, or `punix:FILE`. Active remotes (`tcp:`, `ssl:`, `unix:`) belong into the database, as
 * managers.
 */
export function parsePassiveRemote(text: string): string {
  try {
    if (parseRemote(text).passive) return text;
  } catch {
    // The message below says it with the forms that are meant here.
  }
  throw new InvalidArgumentError(
    "Give ptcp:PORT, ptcp:PORT:ADDRESS (such as ptcp:6640:127.0.0.1), pssl: likewise, or " +
      "punix:FILE.",
  );
}

/** `LEVEL` or `MODULE:LEVEL`. */
export function parseLogLevel(text: string): LevelChange {
  const colon = text.lastIndexOf(":");
  const [module, level] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  const isLevel = (word: string): word is LogLevel =>
    (LOG_LEVELS as readonly string[]).includes(word);
  if (!isLevel(level) || (colon >= 0 && module === "")) {
    throw new InvalidArgumentError(
      `Give one of ${LOG_LEVELS.join(", ")}, or MODULE:LEVEL such as db:dbg.`,
    );
  }
  return module === "" ? { level } : { module, level };
}

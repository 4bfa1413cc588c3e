/** How a command of `ofctl` is declared. */
import type { Session } from "./session.ts";

export interface OfctlCommand {
  readonly name: string;
  /** As `list-commands` shows it; undefined: known by those who need it, and not shown. */
  readonly usage: string | undefined;
  readonly minimum: number;
  readonly maximum: number;
  /** Refused with `--read-only`. */
  readonly writes: boolean;
  /** Resolves with the exit code, or nothing for 0. */
  run(session: Session, args: readonly string[]): Promise<number | void>;
}

export const MANY = Number.MAX_SAFE_INTEGER;

export const command = (
  name: string,
  usage: string | undefined,
  [minimum, maximum]: readonly [number, number],
  mode: "ro" | "rw",
  run: OfctlCommand["run"],
): OfctlCommand => ({ name, usage, minimum, maximum, writes: mode === "rw", run });

/**
 * Exit codes and the errors that carry them. A command ends by returning its exit code, or by
 * throwing a `CommandError`, whose message is shown to the user as it is: it says what to do next.
 */
export const EXIT = {
  ok: 0,
  /** The command could not do what was asked. */
  failure: 1,
  /** The command line was wrong; nothing was done. */
  usage: 2,
} as const;

export class CommandError extends Error {
  constructor(message: string, readonly exitCode: number = EXIT.failure) {
    super(message);
    this.name = "CommandError";
  }
}

/** What an error says, for a message to the user: no stack, no class name. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

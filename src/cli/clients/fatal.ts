/**
 * How a client of Open vSwitch's kind ends: with a message after the program's name and exit code 1,
 * or with a bare exit code.
 */
export class Fatal extends Error {
  override readonly name = "Fatal";
  /** `exitCode` is 1 unless the tool says otherwise. */
  constructor(message: string, readonly exitCode = 1) {
    super(message);
  }
}

/** Ends the program without a message. */
export class Exit extends Error {
  override readonly name = "Exit";
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

/** What the C library calls the errors that a connection can meet: stock clients print these. */
const ERRNO_TEXTS: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  EAFNOSUPPORT: "Address family not supported by protocol",
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  EEXIST: "File exists",
  EHOSTUNREACH: "No route to host",
  EISDIR: "Is a directory",
  ENETUNREACH: "Network is unreachable",
  ENOENT: "No such file or directory",
  ENOTDIR: "Not a directory",
  ENOTSOCK: "Socket operation on non-socket",
  EPERM: "Operation not permitted",
  EPROTO: "Protocol error",
  ETIMEDOUT: "Connection timed out",
};

/** The C library's text for a system error code such as `ENOENT`. */
export const errnoText = (code: string): string => ERRNO_TEXTS[code] ?? code;

/** The code of a system error, looked for in the error and in what caused it. */
export function errnoOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return code;
  }
  return undefined;
}

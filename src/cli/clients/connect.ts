/** How the clients reach a database server: the notation of remotes, and the words for failures. */
import { OvsdbError } from "../../db/error.ts";
import { connectSession } from "../../db/rpc/client.ts";
import type { TlsSettings } from "../../db/tls/settings.ts";
import { Tls } from "../../db/tls/tls.ts";
import type { OvsdbSession } from "../../db/session.ts";
import { LogSink } from "../../log/log.ts";
import { errnoOf, errnoText } from "./fatal.ts";

/** A connection that could not be had, or that ended. */
export class ConnectionFailed extends Error {
  override readonly name = "ConnectionFailed";
  constructor(readonly remote: string, readonly why: string) {
    super(`${remote}: ${why}`);
  }
}

/** The socket of the daemon on this machine. */
export const defaultRemote = (env: NodeJS.ProcessEnv): string => `unix:${runDir(env)}/db.sock`;

export const runDir = (env: NodeJS.ProcessEnv): string =>
  env["OVS_RUNDIR"] ?? "/var/run/openvswitch";

export const logDir = (env: NodeJS.ProcessEnv): string =>
  env["OVS_LOGDIR"] ?? "/var/log/openvswitch";

/** A client has no log of its own for this: what fails is told by the promise or by `onClose`. */
const silent = () => new LogSink(() => {}, "off").logger("ovsdb");

/** `A,B,…`: several servers of which any will do. */
const remotesOf = (text: string): string[] => text.split(/[,\s]+(?=p?[a-z]+:)/);

/** Connects to the first that answers; `settings` are for `ssl:`. Rejects with `ConnectionFailed`. */
export async function connect(
  remotes: string,
  program: string,
  settings: TlsSettings = {},
): Promise<OvsdbSession> {
  let failure: unknown;
  const tls = new Tls(() => settings, silent());
  for (const remote of remotesOf(remotes)) {
    try {
      return await connectSession(remote, { who: program, logger: silent(), tls });
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      failure = error;
    }
  }
  throw new ConnectionFailed(remotes, failureText(failure));
}

/** What stock clients print, where the cause is one of theirs. */
function failureText(error: unknown): string {
  const code = errnoOf(error);
  if (code !== undefined && code !== "ENOTFOUND" && code !== "EAI_AGAIN") return errnoText(code);
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof OvsdbError ? cause.message : errnoText("EAFNOSUPPORT");
}

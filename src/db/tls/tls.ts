/**
 * TLS for connections of both kinds, JSON-RPC and OpenFlow: `ssl:HOST:PORT` and `pssl:PORT[:HOST]`.
 *
 * `Tls` stands for one configuration, which may change while it is in use: `settings` is asked again,
 * and files are looked at again, each time that `context()` is called. That happens with each
 * connection made, and once a second for each place listened on; what is connected stays so.
 *
 * - Both ends prove who they are: a peer without a certificate signed by the CA in `caCert` is
 *   refused. Names in certificates are not compared with host names, as in Open vSwitch, whose
 *   certificates carry the names of switches: whoever the CA signed is a peer.
 * - TLS 1.2 and 1.3 only. Renegotiation and compression do not exist in the library (BoringSSL).
 * - A handshake has 10 s. A listener holds at most 256 unfinished ones; one more ends the oldest, so
 *   that idle connections cannot keep a quick client out.
 * - With `bootstrapCaCert` and no such file yet, the first server that is connected to is believed:
 *   the self-signed certificate at the end of its chain is stored, that connection is dropped, and
 *   the next is checked against it. Listeners take nobody until then.
 * - `caCert` `none` checks nobody, and says so in the log.
 *
 * References: ovs-vswitchd(8) and ovsdb-server(1), "Public Key Infrastructure Options"; RFC 5246,
 * RFC 8446, RFC 8996.
 *
 * `settings.ts` what is configured · `context.ts` files read and checked · `handshake.ts` who is at
 * the other end, and why a handshake failed · `connect.ts` · `bootstrap.ts` · `listen.ts`
 */
import { statSync } from "node:fs";
import type { Logger } from "../../log/log.ts";
import { loadContext, type TlsContext } from "./context.ts";
import { TlsError, type TlsSettings } from "./settings.ts";

type Loaded = { readonly context: TlsContext } | { readonly error: TlsError };

export class Tls {
  private stamp: string | undefined;
  private loaded: Loaded | undefined;
  private lastProblem: string | undefined;

  constructor(private readonly settings: () => TlsSettings, readonly logger: Logger) {}

  /**
   * What to make a connection with now: the same object for as long as settings and files are the
   * same. Throws `TlsError`, also logged once, if it cannot be had.
   */
  context(): TlsContext {
    const loaded = this.load();
    if ("context" in loaded) return loaded.context;
    throw loaded.error;
  }

  private load(): Loaded {
    let stamp: string;
    try {
      const settings = this.settings();
      stamp = JSON.stringify([settings, filesOf(settings).map(fileStamp)]);
      if (this.loaded !== undefined && stamp === this.stamp) return this.loaded;
      this.loaded = { context: loadContext(settings) };
      for (const warning of this.loaded.context.warnings) this.logger.warn(`TLS: ${warning}`);
      this.lastProblem = undefined;
      this.stamp = stamp;
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.loaded = { error };
      // Files that do not fit together may be half replaced: look again each time.
      this.stamp = undefined;
      if (error.message !== this.lastProblem) this.logger.err(error.message);
      this.lastProblem = error.message;
    }
    return this.loaded;
  }
}

const filesOf = (settings: TlsSettings): string[] =>
  [
    settings.privateKey,
    settings.certificate,
    settings.caCert,
    settings.bootstrapCaCert,
    settings.peerCaCert,
  ].filter((file) => file !== undefined);

/** Changes when the file is replaced or written. */
function fileStamp(file: string): string {
  try {
    const found = statSync(file, { throwIfNoEntry: false });
    return found === undefined ? "" : `${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

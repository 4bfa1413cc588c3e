/** The TLS options of a command line as the database's settings. */
import { resolve } from "node:path";
import type { TlsSettings } from "../db/tls/settings.ts";
import type { ServerOptions } from "./options.ts";

/** File names are made absolute: messages that name them are then of use to anybody. */
export function tlsSettings(options: ServerOptions): TlsSettings {
  const file = (name: string | undefined): string | undefined =>
    name === undefined || name === "none" || name.startsWith("db:") ? name : resolve(name);
  return {
    privateKey: file(options.privateKey),
    certificate: file(options.certificate),
    caCert: file(options.caCert),
    bootstrapCaCert: file(options.bootstrapCaCert),
    peerCaCert: file(options.peerCaCert),
    protocols: options.sslProtocols,
    ciphers: options.sslCiphers,
  };
}

/** Who is at the other end of a TLS connection, why a handshake failed, and the options for both. */
import type { Socket, TLSOptions } from "bun";
import type { TlsContext } from "./context.ts";

/** Time from the connection to the end of the handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** What was agreed on, for the log. */
export interface TlsPeer {
  /** `TLSv1.3`. */
  readonly version: string;
  /** The common name in its certificate; undefined if it has none. */
  readonly commonName: string | undefined;
}

/** A socket with whatever data. */
export type AnySocket = Pick<
  Socket<unknown>,
  "getPeerCertificate" | "remoteAddress" | "remotePort"
>;

/** What Bun's TLS sockets have and its types do not say. */
type TlsSocket = AnySocket & {
  getTLSVersion?(): string;
  getServername?(): string | undefined;
};

export function peerOf(socket: AnySocket): TlsPeer {
  const certificate = socket.getPeerCertificate() as
    | { subject?: { CN?: string | string[] } }
    | null;
  const name = certificate?.subject?.CN;
  return {
    version: (socket as TlsSocket).getTLSVersion?.() ?? "TLS",
    commonName: Array.isArray(name) ? name.join("/") : name,
  };
}

export const peerText = ({ version, commonName }: TlsPeer): string =>
  `${version}, ${commonName === undefined ? "no name" : `"${printable(commonName)}"`}`;

/** The name of the server that the client meant, if it said. */
export const serverNameOf = (socket: AnySocket): string | undefined =>
  (socket as TlsSocket).getServername?.();

/** A certificate may hold anything. */
export const printable = (text: string): string =>
  // deno-lint-ignore no-control-regex
  text.slice(0, 128).replace(/[\x00-\x1f\x7f"]/g, "?");

type Options = TLSOptions & { readonly minVersion: number; readonly maxVersion: number };

/** `trust` is checked by the caller where it is not a CA. */
export function socketOptions(context: TlsContext, side: "client" | "server"): Options {
  const { trust, ciphers } = context;
  const checked = trust.kind === "ca";
  return {
    key: context.key,
    cert: context.certificates,
    ...(checked ? { ca: trust.pem } : {}),
    ...(ciphers === undefined ? {} : { ciphers }),
    requestCert: side === "client" || checked,
    // On the client's side the library would also compare names: connect.ts decides there.
    rejectUnauthorized: side === "server" && checked,
    minVersion: context.minVersion,
    maxVersion: context.maxVersion,
  };
}

const REASONS: Readonly<Record<string, string>> = {
  PEER_DID_NOT_RETURN_A_CERTIFICATE:
    "it sent no certificate; give it a private key and certificate",
  HTTP_REQUEST: "it speaks HTTP, not TLS",
  HTTPS_PROXY_REQUEST: "it speaks HTTP, not TLS",
  WRONG_VERSION_NUMBER: "it does not speak TLS",
  UNSUPPORTED_PROTOCOL: "it speaks no version of TLS that is allowed here",
  UNSUPPORTED_PROTOCOL_VERSION: "it speaks no version of TLS that is allowed here",
  TLSV1_ALERT_PROTOCOL_VERSION: "it speaks no version of TLS that is allowed here",
  NO_SHARED_CIPHER: "there is no cipher that both ends allow",
  SSLV3_ALERT_HANDSHAKE_FAILURE: "it refused (handshake failure): ciphers, or our certificate",
  TLSV1_ALERT_UNKNOWN_CA: "it does not know the CA that signed our certificate",
  TLSV1_ALERT_CERTIFICATE_REQUIRED: "it wants a certificate",
  SSLV3_ALERT_BAD_CERTIFICATE: "it does not accept our certificate",
  SSLV3_ALERT_CERTIFICATE_EXPIRED: "it finds our certificate expired",
  ECONNRESET: "it closed the connection during the handshake",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; compare the clocks",
  DEPTH_ZERO_SELF_SIGNED_CERT: "NOT_SIGNED",
  SELF_SIGNED_CERT_IN_CHAIN: "NOT_SIGNED",
  UNABLE_TO_GET_ISSUER_CERT: "NOT_SIGNED",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "NOT_SIGNED",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "NOT_SIGNED",
  CERT_SIGNATURE_FAILURE: "NOT_SIGNED",
};

/** In words, from an error of the library: `error:100000c0:SSL routines:…:REASON`, or a code. */
export function handshakeProblem(error: Error | null | undefined, context: TlsContext): string {
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  const key = code === undefined || code === "EPROTO" ? message?.split(":").at(-1) : code;
  const reason = REASONS[key ?? ""];
  if (reason === "NOT_SIGNED") {
    const { trust } = context;
    return `its certificate is not signed by the CA${
      trust.kind === "ca" ? ` in ${trust.file}` : ""
    }`;
  }
  return reason ?? (key ?? "the handshake failed").toLowerCase().replaceAll("_", " ");
}

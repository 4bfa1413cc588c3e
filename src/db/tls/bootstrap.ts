/** Learning the CA from the first server (ovs-vswitchd(8), `--bootstrap-ca-cert`). */
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Logger } from "../../log/log.ts";
import { type AnySocket, printable } from "./handshake.ts";
import { TlsError } from "./settings.ts";

interface PeerCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: PeerCertificate;
}

/** Longest chain that is followed. */
const MAX_CHAIN = 10;

/**
 * Stores the last certificate of the peer's chain in `file`, which must not be there yet. Throws
 * `TlsError`: also when all went well, for this connection was made without any check.
 */
export function bootstrap(socket: AnySocket, file: string, logger: Logger): never {
  const fail = (problem: string, reason?: string): never => {
    const error = new TlsError(`cannot bootstrap the CA certificate: ${problem}`, reason);
    logger.err(error.message);
    throw error;
  };
  // `false`: not abbreviated, with issuers.
  const detailed = socket as unknown as { getPeerCertificate(abbreviated: false): unknown };
  let last = detailed.getPeerCertificate(false) as PeerCertificate | null;
  if (!last?.raw) fail("the server sent no certificate");
  let length = 1;
  while (last?.issuerCertificate?.raw && last.issuerCertificate !== last && length < MAX_CHAIN) {
    last = last.issuerCertificate;
    length++;
  }
  const certificate = new X509Certificate(last!.raw!);
  if (!certificate.checkIssued(certificate) || !certificate.verify(certificate.publicKey)) {
    fail(
      length === 1
        ? "the server sent only its own; it must send its CA's too (there: --peer-ca-cert)"
        : "the last one that the server sent is not self-signed",
    );
  }
  try {
    writeFileSync(file, certificate.toString(), { flag: "wx", mode: 0o444 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      fail(`writing ${file} failed`, (error as Error).message);
    }
  }
  const subject = printable(certificate.subject.replaceAll("\n", ", "));
  logger.info(
    `successfully bootstrapped CA cert to ${file}: ${subject}, ` +
      `SHA-256 ${certificate.fingerprint256}: compare it with the CA's`,
  );
  throw new TlsError(`the CA certificate was stored in ${file}; connecting again with it`);
}

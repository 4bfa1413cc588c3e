/** From settings to what a TLS connection is made with: files read, checked, and their faults told. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { parseProtocols, TlsError, type TlsSettings } from "./settings.ts";

/** Whom a connection believes. */
export type Trust =
  | { readonly kind: "ca"; readonly file: string; readonly pem: string }
  /** Nobody is checked: `--ca-cert=none`. */
  | { readonly kind: "none" }
  /** The CA is still to be learnt, from the first server that is connected to. */
  | { readonly kind: "bootstrap"; readonly file: string };

export interface TlsContext {
  /** PEM. */
  readonly key: string;
  /** PEM: our certificate first, then those on the way to our CA's, which peers may bootstrap from. */
  readonly certificates: string;
  readonly trust: Trust;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly ciphers: string | undefined;
  /** What the user should know, though it is no error. */
  readonly warnings: readonly string[];
}

const LARGEST_FILE_BYTES = 1 << 20;

/** Reads the files. Throws `TlsError`, which names the file and says what to do. */
export function loadContext(settings: TlsSettings): TlsContext {
  const keyFile = needed(settings.privateKey, "private key", "--private-key");
  const certificateFile = needed(settings.certificate, "certificate", "--certificate");
  const { ignored, ...range } = parseProtocols(settings.protocols);
  const keyText = readPem(keyFile, "private key");
  const key = parseKey(keyFile, keyText);
  const ownText = readPem(certificateFile, "certificate");
  const own = parseCertificates(certificateFile, ownText, "certificate");
  if (!own[0]!.checkPrivateKey(key)) {
    throw new TlsError(
      `the private key in ${keyFile} does not belong to the certificate in ${certificateFile}; ` +
        "give the two that were made together",
    );
  }
  const trust = loadTrust(settings);
  const peerCa = settings.peerCaCert;
  if (peerCa !== undefined) {
    parseCertificates(peerCa, readPem(peerCa, "CA certificate for peers"), "CA certificate");
  }
  const chain = peerCa !== undefined
    ? readPem(peerCa, "CA certificate for peers")
    : trust.kind === "ca"
    ? issuersAmong(own, trust.pem)
    : "";
  checkCiphers(settings.ciphers);
  const warnings = ignored.map((name) => `${name} is not spoken: it is broken (RFC 8996)`);
  const ends = Date.parse(own[0]!.validTo);
  if (ends < Date.now()) {
    warnings.push(`the certificate in ${certificateFile} expired on ${own[0]!.validTo}`);
  }
  if (trust.kind === "none") {
    warnings.push("certificates of peers are not checked (CA certificate: none): this is insecure");
  }
  return {
    key: keyText,
    certificates: `${ownText.trimEnd()}\n${chain}`,
    trust,
    ...range,
    ciphers: settings.ciphers,
    warnings,
  };
}

function needed(file: string | undefined, what: string, option: string): string {
  if (file !== undefined && file !== "") return file;
  throw new TlsError(
    `no ${what} is configured: give ${option}, or use "ovs-vsctl set-ssl PRIVATE-KEY ` +
      'CERTIFICATE CA-CERT"',
  );
}

function readPem(file: string, what: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    const size = fstatSync(fd).size;
    if (size > LARGEST_FILE_BYTES) throw new Error("it is larger than 1 MiB");
    const bytes = Buffer.alloc(size);
    let read = 0;
    while (read < size) {
      const count = readSync(fd, bytes, read, size - read, null);
      if (count === 0) break;
      read += count;
    }
    return bytes.toString("latin1", 0, read);
  } catch (error) {
    throw new TlsError(`cannot read the ${what} ${file}`, systemReason(error));
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const systemReason = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return "no such file; make it with ovs-pki(8), or correct the name";
    case "EACCES":
    case "EPERM":
      return "permission denied; the user that solovs runs as must be able to read it";
    case "EISDIR":
      return "it is a directory; give the PEM file";
    default:
      return message;
  }
};

function parseKey(file: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const reason = /ENCRYPTED/.test(text)
      ? "it is encrypted; store it without a pass phrase (openssl pkey -in … -out …)"
      : (error as Error).message;
    throw new TlsError(`${file} holds no usable private key in PEM form`, reason);
  }
}

const BLOCK =
  /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g;

const blocks = (text: string): string[] => text.match(BLOCK) ?? [];

function parseCertificates(file: string, text: string, what: string): X509Certificate[] {
  const found = blocks(text);
  if (found.length === 0) {
    throw new TlsError(`${file} holds no ${what} in PEM form; give the file that ovs-pki made`);
  }
  return found.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new TlsError(`${file} holds a damaged ${what}`, (error as Error).message);
    }
  });
}

function loadTrust({ caCert, bootstrapCaCert }: TlsSettings): Trust {
  if (caCert === "none") return { kind: "none" };
  const file = bootstrapCaCert ?? needed(caCert, "CA certificate", "--ca-cert");
  if (bootstrapCaCert !== undefined && !exists(file)) return { kind: "bootstrap", file };
  const pem = readPem(file, "CA certificate");
  parseCertificates(file, pem, "CA certificate");
  return { kind: "ca", file, pem: blocks(pem).join("\n") };
}

const exists = (file: string): boolean => statSync(file, { throwIfNoEntry: false }) !== undefined;

/**
 * The CA's certificates that lead on from ours. A CA that signs only the others' is left out: sent
 * with ours, it would be what a peer that bootstraps believes.
 */
function issuersAmong(own: readonly X509Certificate[], caPem: string): string {
  const chain: string[] = [];
  let last = own.at(-1)!;
  const candidates = blocks(caPem).map((pem) => ({ pem, certificate: new X509Certificate(pem) }));
  for (let left = candidates.length; left > 0 && !last.checkIssued(last); left--) {
    const issuer = candidates.find(({ certificate }) => last.checkIssued(certificate));
    if (issuer === undefined) break;
    chain.push(issuer.pem);
    last = issuer.certificate;
  }
  return chain.map((pem) => `${pem}\n`).join("");
}

function checkCiphers(ciphers: string | undefined): void {
  if (ciphers === undefined) return;
  try {
    createSecureContext({ ciphers });
  } catch (error) {
    throw new TlsError(
      `ciphers "${ciphers}" are not known here (OpenSSL's names and classes are, its @ commands ` +
        "are not); HIGH:!aNULL:!MD5 is a good choice",
      (error as Error).message,
    );
  }
}

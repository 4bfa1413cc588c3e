/**
 * The server's certificate: the administrator's own, or one that is made at the first start and kept.
 *
 * A certificate that nobody signed cannot tell a browser whom it talks to; it keeps those from
 * reading along who only listen, and browsers ask once whether to believe it. Its fingerprint is
 * logged, so that it can be compared.
 *
 * ECDSA on P-256, X.509 v3 (RFC 5280), written in DER here: a dozen values deep, no more.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";

export interface ServerCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** SHA-256 of the certificate, as browsers show it. */
  readonly fingerprint: string;
}

export interface CertificateFiles {
  readonly certificate: string;
  readonly privateKey: string;
}

/** The certificate cannot be had; `message` says what to do. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
}

/** Twenty years: nobody renews what nobody signed. */
const LIFE_MS = 20 * 365 * 24 * 3600_000;

/** Reads both files. Throws `CertificateError`. */
export function readCertificate(files: CertificateFiles): ServerCertificate {
  const read = (file: string): string => {
    try {
      return readFileSync(file, "utf8");
    } catch (error) {
      throw new CertificateError(`${file}: ${error instanceof Error ? error.message : error}`);
    }
  };
  const [certificate, privateKey] = [read(files.certificate), read(files.privateKey)];
  try {
    const { fingerprint256 } = new X509Certificate(certificate);
    return { certificate, privateKey, fingerprint: fingerprint256 };
  } catch {
    throw new CertificateError(`${files.certificate}: this is no certificate in PEM`);
  }
}

/** The one that is kept in these files, or a new one that is stored there. */
export function keptCertificate(
  files: CertificateFiles,
  names: readonly string[],
): ServerCertificate {
  if (existsSync(files.certificate) && existsSync(files.privateKey)) return readCertificate(files);
  const made = makeCertificate(["localhost", hostname(), "127.0.0.1", "::1", ...names]);
  try {
    writeFileSync(files.privateKey, made.privateKey, { mode: 0o600 });
    writeFileSync(files.certificate, made.certificate, { mode: 0o644 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CertificateError(`the certificate made for HTTPS cannot be kept: ${why}`);
  }
  return made;
}

/** A new key and a certificate for these host names and addresses, signed by itself. */
export function makeCertificate(names: readonly string[], now = Date.now()): ServerCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const name = sequence(set(sequence(oid(OID.commonName), utf8String(names[0] ?? "solovs"))));
  const spki = publicKey.export({ type: "spki", format: "der" });
  const serial = randomBytes(16);
  // Positive, and as short as DER wants it.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = sequence(
    explicit(0, integer([2])),
    integer([...serial]),
    algorithm,
    name,
    sequence(time(now - 24 * 3600_000), time(now + LIFE_MS)),
    name,
    new Uint8Array(spki),
    explicit(
      3,
      sequence(
        extension(OID.basicConstraints, true, sequence()),
        extension(OID.keyUsage, true, bitString(new Uint8Array([0x80]), 7)),
        extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
        extension(OID.subjectAltName, false, sequence(...[...new Set(names)].map(altName))),
      ),
    ),
  );
  const signature = sign("sha256", body, privateKey);
  const der = sequence(body, algorithm, bitString(new Uint8Array(signature), 0));
  return {
    certificate: pem("CERTIFICATE", der),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    fingerprint: createHash("sha256").update(der).digest("hex").toUpperCase()
      .replace(/..(?=.)/g, "$&:"),
  };
}

const OID = {
  ecdsaWithSha256: [1, 2, 840, 10045, 4, 3, 2],
  commonName: [2, 5, 4, 3],
  basicConstraints: [2, 5, 29, 19],
  keyUsage: [2, 5, 29, 15],
  extendedKeyUsage: [2, 5, 29, 37],
  subjectAltName: [2, 5, 29, 17],
  serverAuth: [1, 3, 6, 1, 5, 5, 7, 3, 1],
} as const;

/** Tag, length, content (X.690 §8.1, §10.1). */
function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80
    ? [length]
    : length < 0x100
    ? [0x81, length]
    : [0x82, length >> 8, length & 0xff];
  return new Uint8Array([tag, ...size, ...content]);
}

const sequence = (...parts: readonly Uint8Array[]): Uint8Array => tlv(0x30, ...parts);
const set = (...parts: readonly Uint8Array[]): Uint8Array => tlv(0x31, ...parts);
const explicit = (n: number, part: Uint8Array): Uint8Array => tlv(0xa0 + n, part);
const integer = (bytes: readonly number[]): Uint8Array => tlv(0x02, new Uint8Array(bytes));
const utf8String = (text: string): Uint8Array => tlv(0x0c, new TextEncoder().encode(text));
const bitString = (bytes: Uint8Array, unused: number): Uint8Array =>
  tlv(0x03, new Uint8Array([unused]), bytes);

function oid(arcs: readonly number[]): Uint8Array {
  const [first = 0, second = 0, ...rest] = arcs;
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, new Uint8Array(bytes));
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
function time(ms: number): Uint8Array {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14) + "Z";
  const late = new Date(ms).getUTCFullYear() >= 2050;
  return tlv(late ? 0x18 : 0x17, new TextEncoder().encode(late ? text : text.slice(2)));
}

const extension = (id: readonly number[], critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(
    oid(id),
    ...(critical ? [tlv(0x01, new Uint8Array([0xff]))] : []),
    tlv(0x04, value),
  );

/** A host name, or an address in network byte order. */
function altName(name: string): Uint8Array {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(name)) {
    return tlv(0x87, new Uint8Array(name.split(".").map(Number)));
  }
  if (name.includes(":")) return tlv(0x87, ipv6Bytes(name));
  return tlv(0x82, new TextEncoder().encode(name));
}

function ipv6Bytes(text: string): Uint8Array {
  const [head = "", tail] = text.split("::");
  const words = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((word) => parseInt(word, 16));
  const [left, right] = [words(head), words(tail ?? "")];
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return new Uint8Array(all.flatMap((word) => [word >> 8, word & 0xff]));
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

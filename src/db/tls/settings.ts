/**
 * What is configured about TLS: names of files, protocol versions, ciphers; and where it stands in a
 * database. Names are those of the options of Open vSwitch's programs (ovsdb-server(1), "Public Key
 * Infrastructure Options").
 */
import type { Database } from "../database.ts";
import { OvsdbError } from "../error.ts";

/** TLS cannot be used as it is configured, or a handshake failed; `details` is for people. */
export class TlsError extends OvsdbError {
  constructor(details: string, ioError?: string) {
    super("TLS error", details, undefined, ioError);
  }
}

export interface TlsSettings {
  /** PEM file. */
  readonly privateKey?: string | undefined;
  /** PEM file: ours, and after it those that lead from it to the CA's. */
  readonly certificate?: string | undefined;
  /** PEM file of the CA that peers' certificates must be signed by; `none`: peers are not checked. */
  readonly caCert?: string | undefined;
  /** As `caCert`; but if there is no such file, the first peer's CA is believed and stored there. */
  readonly bootstrapCaCert?: string | undefined;
  /** PEM file of the CA that signed our certificate, to be sent to peers that bootstrap. */
  readonly peerCaCert?: string | undefined;
  /** `TLSv1.2,TLSv1.3`, also `TLSv1.2+`; unset: both. */
  readonly protocols?: string | undefined;
  /** OpenSSL's notation, for TLS 1.2 (TLS 1.3 has its own, fixed). */
  readonly ciphers?: string | undefined;
}

export interface ProtocolRange {
  /** As on the wire: 0x0303 is TLS 1.2. */
  readonly minVersion: number;
  readonly maxVersion: number;
  /** Names of versions that were asked for and are not spoken. */
  readonly ignored: readonly string[];
}

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;

const VERSIONS: ReadonlyMap<string, number | undefined> = new Map([
  ["tlsv1", undefined],
  ["tlsv1.0", undefined],
  ["tlsv1.1", undefined],
  ["tlsv1.2", TLS_1_2],
  ["tlsv1.3", TLS_1_3],
]);

/** Reads `--ssl-protocols`. Throws `TlsError` if nothing is left that may be spoken. */
export function parseProtocols(text: string | undefined): ProtocolRange {
  if (text === undefined) return { minVersion: TLS_1_2, maxVersion: TLS_1_3, ignored: [] };
  const versions: number[] = [];
  const ignored: string[] = [];
  for (const word of text.split(/[\s,]+/).filter((word) => word !== "")) {
    const andLater = word.endsWith("+");
    const name = (andLater ? word.slice(0, -1) : word).toLowerCase();
    if (!VERSIONS.has(name)) {
      throw new TlsError(`protocol "${word}" is not known; use TLSv1.2, TLSv1.3 or both`);
    }
    const version = VERSIONS.get(name);
    if (version !== undefined) versions.push(version);
    else if (!andLater) ignored.push(word);
    if (andLater) versions.push(version ?? TLS_1_2, TLS_1_3);
  }
  if (versions.length === 0) {
    throw new TlsError(
      `protocols "${text}" are refused: versions before TLS 1.2 are broken (RFC 8996); ` +
        "use TLSv1.2, TLSv1.3 or both",
    );
  }
  return { minVersion: Math.min(...versions), maxVersion: Math.max(...versions), ignored };
}

/**
 * Replaces each `db:DATABASE,TABLE,COLUMN` by what stands there now: the first value in that column.
 * Throws `TlsError` if there is no such column.
 */
export function resolveSettings(
  settings: TlsSettings,
  databases: ReadonlyMap<string, Database>,
): TlsSettings {
  const resolve = (spec: string | undefined): string | undefined =>
    spec?.startsWith("db:") ? readColumn(spec, databases) : spec;
  return {
    privateKey: resolve(settings.privateKey),
    certificate: resolve(settings.certificate),
    caCert: resolve(settings.caCert),
    bootstrapCaCert: resolve(settings.bootstrapCaCert),
    peerCaCert: resolve(settings.peerCaCert),
    protocols: resolve(settings.protocols),
    ciphers: resolve(settings.ciphers),
  };
}

function readColumn(
  spec: string,
  databases: ReadonlyMap<string, Database>,
): string | undefined {
  const [name = "", tableName = "", columnName = "", ...rest] = spec.slice("db:".length).split(",");
  const table = databases.get(name)?.tables.get(tableName);
  const column = table?.schema.columns.get(columnName);
  if (table === undefined || column === undefined || rest.length > 0) {
    throw new TlsError(`"${spec}": no such database, table or column`);
  }
  if (column.type.key.type !== "string" || column.type.value !== undefined) {
    throw new TlsError(`"${spec}": not a column of strings`);
  }
  for (const { fields } of table.rows.values()) {
    const atom = fields[column.index]?.keys[0];
    if (atom !== undefined && atom !== "") return String(atom);
  }
  return undefined;
}

/** What the columns of a row of Open_vSwitch's SSL table say. */
export function sslRowSettings(row: {
  readonly private_key: string;
  readonly certificate: string;
  readonly ca_cert: string;
  readonly bootstrap_ca_cert: boolean;
}): TlsSettings {
  const { private_key: privateKey, certificate, ca_cert: caCert } = row;
  return {
    privateKey: privateKey || undefined,
    certificate: certificate || undefined,
    ...(row.bootstrap_ca_cert
      ? { bootstrapCaCert: caCert || undefined }
      : { caCert: caCert || undefined }),
  };
}

/** The settings of the SSL row that the Open_vSwitch row refers to, if there is one. */
export function openVSwitchSettings(database: Database): TlsSettings {
  const root = database.tables.get("Open_vSwitch");
  const table = database.tables.get("SSL");
  const column = root?.schema.columns.get("ssl");
  if (root === undefined || table === undefined || column === undefined) return {};
  for (const { fields } of root.rows.values()) {
    const row = table.rows.get(String(fields[column.index]?.keys[0]));
    if (row === undefined) continue;
    const atom = (name: string) => row.fields[table.schema.columns.get(name)?.index ?? -1]?.keys[0];
    return sslRowSettings({
      private_key: String(atom("private_key") ?? ""),
      certificate: String(atom("certificate") ?? ""),
      ca_cert: String(atom("ca_cert") ?? ""),
      bootstrap_ca_cert: atom("bootstrap_ca_cert") === true,
    });
  }
  return {};
}

/** `first`, and what it leaves open as in `second`; both names for the CA count as one setting. */
export function settingsOver(first: TlsSettings, second: TlsSettings): TlsSettings {
  const ownCa = first.caCert !== undefined || first.bootstrapCaCert !== undefined;
  const ca = ownCa ? first : second;
  return {
    privateKey: first.privateKey ?? second.privateKey,
    certificate: first.certificate ?? second.certificate,
    caCert: ca.caCert,
    bootstrapCaCert: ca.bootstrapCaCert,
    peerCaCert: first.peerCaCert ?? second.peerCaCert,
    protocols: first.protocols ?? second.protocols,
    ciphers: first.ciphers ?? second.ciphers,
  };
}

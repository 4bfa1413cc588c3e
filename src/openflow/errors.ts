/**
 * OpenFlow errors: the typed error that the codec throws, and names ↔ numbers per version.
 *
 * The codec names errors independently of versions ("OFPBRC_BAD_LEN"); `encode` of an `error`
 * message looks the numbers up for the connection's version. An error that a version cannot say
 * becomes NXBRC_UNENCODABLE_ERROR there, as in Open vSwitch.
 */
import { ERROR_ROWS, type ErrorName } from "./error-table.ts";
import { NX_VENDOR, type OfVersion, ONF_VENDOR } from "./version.ts";
import { parseVersions } from "./version-range.ts";

export type { ErrorName } from "./error-table.ts";

/**
 * What decoding, encoding and validating throw, and nothing else. `offset` is the byte of the
 * message where the fault lies (0 when it is the message as a whole).
 */
export class OfError extends Error {
  override readonly name = "OfError";
  /** What Open vSwitch's tools log on the way to this error, in order. */
  readonly remarks: Remark[] = [];

  constructor(
    readonly error: ErrorName,
    readonly offset: number,
    detail: string,
    ...remarks: readonly Remark[]
  ) {
    super(`${error}: ${detail}`);
    this.remarks.push(...remarks);
  }
}

/** A line for the log of a program that shows bytes to people, by the name of Open vSwitch's module. */
export interface Remark {
  readonly module:
    | "meta_flow"
    | "nx_match"
    | "ofp_actions"
    | "ofp_bundle"
    | "ofp_connection"
    | "ofp_port"
    | "ofp_prop";
  /** Made when it is logged, which a switch does not. */
  readonly text: () => string;
  /** Said however often it happens. */
  readonly unlimited?: boolean;
}

export interface ErrorNumbers {
  /** 0 for the standard's own. */
  readonly vendor: number;
  readonly type: number;
  readonly code: number;
}

const VENDORS: Readonly<Record<string, number>> = { OF: 0, NX: NX_VENDOR, ONF: ONF_VENDOR };

function buildTables(): {
  byName: ReadonlyMap<ErrorName, ReadonlyMap<OfVersion, ErrorNumbers>>;
  byNumbers: ReadonlyMap<string, ErrorName>;
} {
  const byName = new Map<ErrorName, Map<OfVersion, ErrorNumbers>>();
  const byNumbers = new Map<string, ErrorName>();
  for (const [key, row] of Object.entries(ERROR_ROWS)) {
    const error = key as ErrorName;
    const versions = new Map<OfVersion, ErrorNumbers>();
    for (const spec of row.split(" ")) {
      const parts = /^(OF|NX|ONF)([\d.+-]+)\((\d+)(?:,(\d+))?\)$/.exec(spec);
      if (!parts) throw new Error(`error table: ${error} has a bad row "${spec}"`);
      const numbers: ErrorNumbers = {
        vendor: VENDORS[parts[1]!]!,
        type: Number(parts[3]),
        code: Number(parts[4] ?? 0),
      };
      for (const version of parseVersions(parts[2]!)) {
        if (versions.has(version)) {
          throw new Error(`error table: ${error} has two rows for ${spec}`);
        }
        versions.set(version, numbers);
        const id = numbersKey(version, numbers);
        if (!byNumbers.has(id)) byNumbers.set(id, error);
      }
    }
    byName.set(error, versions);
  }
  return { byName, byNumbers };
}

function numbersKey(version: OfVersion, { vendor, type, code }: ErrorNumbers): string {
  return `${version}/${vendor}/${type}/${code}`;
}

const TABLES = buildTables();

/** The numbers of `error` in `version`; those of NXBRC_UNENCODABLE_ERROR when it has none. */
export function errorNumbers(error: ErrorName, version: OfVersion): ErrorNumbers {
  const numbers = TABLES.byName.get(error)?.get(version) ??
    TABLES.byName.get("NXBRC_UNENCODABLE_ERROR")?.get(version);
  if (!numbers) throw new Error(`error table: no numbers for ${error} in version ${version}`);
  return numbers;
}

/** The numbers of `error` in `version`, if it has any there. */
export function definedNumbers(error: ErrorName, version: OfVersion): ErrorNumbers | undefined {
  return TABLES.byName.get(error)?.get(version);
}

/** The name that the numbers have in `version`, or undefined. */
export function errorName(version: OfVersion, numbers: ErrorNumbers): ErrorName | undefined {
  return TABLES.byNumbers.get(numbersKey(version, numbers));
}

export function isErrorName(text: string): text is ErrorName {
  return Object.hasOwn(ERROR_ROWS, text);
}

/** The `protocols` column of a bridge as a bitmap of the OpenFlow versions that are offered. */
import {
  OF10,
  OF11,
  OF12,
  OF13,
  OF14,
  OF15,
  type OfVersion,
  VERSION_NAMES,
} from "../../openflow/version.ts";

/** Versions whose messages this switch answers. */
export const OFFERED: readonly OfVersion[] = [OF10, OF11, OF12, OF13, OF14, OF15];

export interface ProtocolVersions {
  /** Bit N: wire version N. Never empty. */
  readonly versions: number;
  readonly problems: readonly string[];
}

const bitmap = (versions: readonly OfVersion[]): number =>
  versions.reduce((bits, version) => bits | (1 << version), 0);

/** An empty column means every version that there is. */
export function protocolVersions(protocols: readonly string[]): ProtocolVersions {
  if (protocols.length === 0) return { versions: bitmap(OFFERED), problems: [] };
  const problems: string[] = [];
  const chosen = OFFERED.filter((version) => protocols.includes(VERSION_NAMES[version]));
  for (const name of protocols) {
    if (!OFFERED.some((version) => VERSION_NAMES[version] === name)) {
      problems.push(`protocol ${name} is not supported yet and is not offered`);
    }
  }
  if (chosen.length > 0) return { versions: bitmap(chosen), problems };
  problems.push("none of its protocols is supported: offering all that are");
  return { versions: bitmap(OFFERED), problems };
}

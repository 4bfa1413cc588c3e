/**
 * `1.0`, `1.1-1.4`, `1.3+`: the versions in which a number of the wire format holds, as the
 * declarations of errors, actions and messages write them.
 */
import type { OfVersion } from "./version.ts";

/** The wire versions that `text` names, in order; throws on a range that is none. */
export function parseVersions(text: string): readonly OfVersion[] {
  const parts = /^1\.([0-5])(?:-1\.([0-5])|(\+))?$/.exec(text);
  if (!parts) throw new Error(`"${text}" names no OpenFlow versions`);
  const first = Number(parts[1]);
  const last = parts[3] ? 5 : Number(parts[2] ?? first);
  if (last < first) throw new Error(`"${text}" ends before it begins`);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i + 1) as OfVersion);
}

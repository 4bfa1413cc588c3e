/** What the lists of message fixtures share. */
import type { Match } from "../../../src/packet/key.ts";
import type { OfMessage } from "../../../src/openflow/messages/types.ts";
import { parseMatch } from "../../../src/openflow/text/match-parse.ts";
import type { OfVersion } from "../../../src/openflow/version.ts";

export interface Fixture {
  readonly name: string;
  readonly message: OfMessage;
  readonly versions: readonly OfVersion[];
  /** Holds what only its maker understands: stock ovs-ofctl cannot print it. */
  readonly opaque?: boolean;
  /** What decoding gives back, where a version cannot say everything. */
  readonly back?: (version: OfVersion) => OfMessage;
}

export const ALL: readonly OfVersion[] = [1, 2, 3, 4, 5, 6];
export const from = (first: OfVersion, last: OfVersion = 6): OfVersion[] =>
  ALL.filter((version) => version >= first && version <= last);

export const match: Match = parseMatch("tcp,in_port=3,dl_vlan=100,tp_dst=80");

/** The connection tracker of a datapath that has none: reads find nothing, settings are refused. */
import { DatapathError } from "../datapath.ts";
import type { Conntrack } from "./types.ts";

function refuse(): never {
  throw new DatapathError("not-supported", "this datapath does not track connections");
}

export const NO_CONNTRACK: Conntrack = {
  dump: () => Promise.resolve([]),
  flush: () => Promise.resolve(0),
  stats: () => Promise.resolve({ connections: 0, maxConnections: 0, byProtocol: {} }),
  setMaxConnections: refuse,
  setTcpSequenceChecks: refuse,
  tcpSequenceChecks: false,
  setZoneLimit: refuse,
  zoneLimits: () => Promise.resolve([]),
  setTimeoutPolicy: refuse,
  fragments: { enabledV4: false, enabledV6: false, minSizeV4: 0, minSizeV6: 0, maxFragments: 0 },
  setFragments: refuse,
};

/** The maps in which the tracker and the programs have connections in common (kernel-record.ts). */
import { BpfMap, type MapSpec } from "../../linux/bpf-map.ts";
import {
  ENTRY_KEY_BYTES,
  ENTRY_VALUE_BYTES,
  KERNEL_CONNECTIONS,
  RECORD_BYTES,
} from "./kernel-record.ts";
import type { Tracker } from "./tracker.ts";

export const CONNECTION_ENTRIES: MapSpec = {
  kind: "hash",
  name: "solovs_conns",
  keyBytes: ENTRY_KEY_BYTES,
  valueBytes: ENTRY_VALUE_BYTES,
  maxEntries: 2 * KERNEL_CONNECTIONS,
};

export const CONNECTION_RECORDS: MapSpec = {
  kind: "array",
  name: "solovs_crecs",
  keyBytes: 4,
  valueBytes: RECORD_BYTES,
  maxEntries: KERNEL_CONNECTIONS,
  mapped: true,
};

/** Descriptors, valid in every thread of the process, as long as the datapath has its programs. */
export interface SharedConnections {
  readonly entriesFd: number;
  readonly recordsFd: number;
}

/** Lets the tracker share its connections; what it returns ends that, before the descriptors close. */
export function shareConnections(
  tracker: Tracker,
  { entriesFd, recordsFd }: SharedConnections,
  nowMs: number,
): () => void {
  const entries = BpfMap.of(entriesFd, CONNECTION_ENTRIES);
  const records = BpfMap.of(recordsFd, CONNECTION_RECORDS);
  tracker.shareWithKernel(entries, records.map(), KERNEL_CONNECTIONS, nowMs);
  return () => {
    tracker.kernel = undefined;
    records.unmap();
  };
}

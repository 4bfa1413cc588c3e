/**
 * The maps of connections (../conntrack/kernel-record.ts): made when the first flow asks for them, since
 * they take 32 MiB. They live as long as the datapath, through restarts of the process: the tracker of the
 * next one finds its connections in them.
 */
import { BpfMap, type MapSpec } from "../../linux/bpf-map.ts";
import {
  CONNECTION_ENTRIES,
  CONNECTION_RECORDS,
  type SharedConnections,
} from "../conntrack/kernel-maps.ts";
import { CT_COUNTS, CT_COUNTS_BYTES } from "../conntrack/kernel-record.ts";
import type { ConnectionMaps } from "./ct-step.ts";
import type { PinnedMap, Pins } from "./pins.ts";
import { machineShards } from "./shards.ts";

interface OpenMaps extends ConnectionMaps {
  readonly connEntries: BpfMap;
  readonly connRecords: BpfMap;
  readonly connCounts: BpfMap;
}

const countsSpec = (shards: number): MapSpec => ({
  kind: "array",
  name: "solovs_ccounts",
  keyBytes: 4,
  valueBytes: CT_COUNTS_BYTES * shards,
  maxEntries: 1,
  mapped: true,
});

const NAMES: Readonly<Record<keyof OpenMaps, PinnedMap>> = {
  connEntries: "connections",
  connRecords: "connection_records",
  connCounts: "connection_counts",
};

export class Connections {
  private open: OpenMaps | undefined;
  private users: ((shared: SharedConnections) => void)[] = [];

  /** `adopt`: a process before may have left some. Throws a SystemError if they cannot be opened. */
  constructor(
    private readonly pins: Pins | undefined,
    adopt: boolean,
    private readonly shards = machineShards().count,
  ) {
    if (adopt && pins?.has(NAMES.connCounts)) {
      const open = (name: keyof OpenMaps, spec: MapSpec) =>
        BpfMap.openPinned(pins.path(NAMES[name]), spec);
      this.open = openMaps(shards, open);
    }
  }

  /** Calls `use` when there are any, at once if there are. */
  whenOpen(use: (shared: SharedConnections) => void): void {
    if (this.open) use(sharedOf(this.open));
    else this.users.push(use);
  }

  /** Made now if there are none. Throws a SystemError (ENOMEM). */
  get maps(): ConnectionMaps {
    if (this.open) return this.open;
    const { pins } = this;
    const made = openMaps(this.shards, (_name, spec) => BpfMap.create(spec));
    try {
      // The counts last: who finds them finds all.
      for (const name of Object.keys(NAMES) as (keyof OpenMaps)[]) {
        pins?.pin(NAMES[name], made[name].fd);
      }
    } catch (error) {
      close(made);
      throw error;
    }
    this.open = made;
    for (const use of this.users) use(sharedOf(made));
    this.users = [];
    return made;
  }

  /** Packets of known connections, and those that the tracker had to judge. */
  counts(): Readonly<Record<keyof typeof CT_COUNTS, number>> {
    const sum = { hits: 0, misses: 0 };
    if (!this.open) return sum;
    const words = new BigUint64Array(this.open.connCounts.map());
    for (let at = 0; at < words.length; at += CT_COUNTS_BYTES / 8) {
      sum.hits += Number(words[at + CT_COUNTS.hits]);
      sum.misses += Number(words[at + CT_COUNTS.misses]);
    }
    return sum;
  }

  close(): void {
    if (this.open) close(this.open);
    this.open = undefined;
  }
}

function openMaps(
  shards: number,
  open: (name: keyof OpenMaps, spec: MapSpec) => BpfMap,
): OpenMaps {
  const made: BpfMap[] = [];
  const keep = (name: keyof OpenMaps, spec: MapSpec): BpfMap => {
    const map = open(name, spec);
    made.push(map);
    return map;
  };
  try {
    return {
      connEntries: keep("connEntries", CONNECTION_ENTRIES),
      connRecords: keep("connRecords", CONNECTION_RECORDS),
      connCounts: keep("connCounts", countsSpec(shards)),
    };
  } catch (error) {
    for (const map of made) map.close();
    throw error;
  }
}

function close({ connEntries, connRecords, connCounts }: OpenMaps): void {
  for (const map of [connEntries, connRecords, connCounts]) map.close();
}

function sharedOf({ connEntries, connRecords }: OpenMaps): SharedConnections {
  return { entriesFd: connEntries.fd, recordsFd: connRecords.fd };
}

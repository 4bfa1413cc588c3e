/**
 * The maps that the programs use: which there are, how large, and how long they live.
 *
 *   ports      number → record (../punts.ts)             as long as the datapath
 *   portCounts number and shard → counts (abi.ts)        "
 *   flows      flow id → record (abi.ts)                 "
 *   counts     flow id and shard → counts (abi.ts)       "
 *   arguments  slot → arguments of an action program     "
 *   programs   slot → program; 0 is the main program     "
 *   meters     meter → record (../engine/shared-meters.ts) "
 *   state      each CPU's packet state (packet-state.ts) "
 *   masks      the mask table, one value                 as long as the key's layout
 *   megaflows  masked key → flow id                      "
 *   exact      whole key → flow id, generation           "
 *   settings   how the main program is to look           "
 *
 * Those of a layout are replaced all at once, with the program that uses them. What is pinned: pins.ts.
 */
import { BpfMap, type MapSpec } from "../../linux/bpf-map.ts";
import { MAX_METERS } from "../engine/meters.ts";
import { SHARED_METER_BYTES } from "../engine/shared-meters.ts";
import { PORT_RECORD_BYTES } from "../punts.ts";
import {
  ARGUMENT_BYTES,
  ARGUMENT_SLOTS,
  FLOW_COUNTS_BYTES,
  FLOW_RECORD_BYTES,
  MAX_KERNEL_MASKS,
  PORT_COUNTS_BYTES,
  PROGRAM_SLOTS,
  SETTINGS_BYTES,
} from "./abi.ts";
import type { KeyLayout } from "./key-layout.ts";
import { maskEntryBytes } from "./main-program.ts";
import { STATE_BYTES, STATE_RECORDS } from "./packet-state.ts";
import type { FlowMaps, Pins } from "./pins.ts";
import { machineShards } from "./shards.ts";

/** Ports that can have programs. */
export const MAX_KERNEL_PORTS = 8192;
/** Entries of the exact-match cache. */
const EXACT_ENTRIES = 1 << 15;

export interface DatapathMaps {
  readonly ports: BpfMap;
  readonly portCounts: BpfMap;
  readonly flows: BpfMap;
  readonly counts: BpfMap;
  readonly arguments: BpfMap;
  readonly programs: BpfMap;
  readonly state: BpfMap;
  readonly meters: BpfMap;
}

const array = (name: string, valueBytes: number, maxEntries: number) =>
  ({ kind: "array", name, keyBytes: 4, valueBytes, maxEntries, mapped: true }) as const;

const PORTS = array("solovs_ports", PORT_RECORD_BYTES, MAX_KERNEL_PORTS);
const portCounts = (shards: number) =>
  array("solovs_pcounts", PORT_COUNTS_BYTES, MAX_KERNEL_PORTS * shards);
const flowCounts = (maxFlows: number, shards: number) =>
  array("solovs_counts", FLOW_COUNTS_BYTES, maxFlows * shards);
const flowRecords = (maxFlows: number) => array("solovs_flows", FLOW_RECORD_BYTES, maxFlows);
const PROGRAMS: MapSpec = {
  kind: "prog_array",
  name: "solovs_progs",
  keyBytes: 4,
  valueBytes: 4,
  maxEntries: PROGRAM_SLOTS,
};

const STATE: MapSpec = {
  kind: "percpu_array",
  name: "solovs_state",
  keyBytes: 4,
  valueBytes: STATE_BYTES,
  maxEntries: STATE_RECORDS,
};

/**
 * New maps, or with `pins` those that outlived a process. Throws a SystemError (EPERM, ENOMEM) with
 * nothing left open.
 */
export function openDatapathMaps(maxFlows: number, pins?: Pins): DatapathMaps {
  const { count } = machineShards();
  const made: BpfMap[] = [];
  const keep = (map: BpfMap): BpfMap => {
    made.push(map);
    return map;
  };
  try {
    return {
      ports: keep(pins ? BpfMap.openPinned(pins.path("ports"), PORTS) : BpfMap.create(PORTS)),
      portCounts: keep(
        pins
          ? BpfMap.openPinned(pins.path("port_counts"), portCounts(count))
          : BpfMap.create(portCounts(count)),
      ),
      programs: keep(
        pins ? BpfMap.openPinned(pins.path("programs"), PROGRAMS) : BpfMap.create(PROGRAMS),
      ),
      flows: keep(BpfMap.create(flowRecords(maxFlows))),
      counts: keep(BpfMap.create(flowCounts(maxFlows, count))),
      arguments: keep(BpfMap.create(array("solovs_args", ARGUMENT_BYTES, ARGUMENT_SLOTS))),
      meters: keep(BpfMap.create(array("solovs_meters", SHARED_METER_BYTES, MAX_METERS))),
      state: keep(pins ? BpfMap.openPinned(pins.path("state"), STATE) : BpfMap.create(STATE)),
    };
  } catch (error) {
    for (const map of made) map.close();
    throw error;
  }
}

export interface LayoutMaps {
  readonly masks: BpfMap;
  readonly megaflows: BpfMap;
  readonly exact: BpfMap;
  readonly settings: BpfMap;
}

const SETTINGS = array("solovs_set", SETTINGS_BYTES, 1);
const masks = (layout: KeyLayout) =>
  array("solovs_masks", maskEntryBytes(layout) * MAX_KERNEL_MASKS, 1);
const megaflows = ({ bytes }: KeyLayout, maxFlows: number): MapSpec => ({
  kind: "hash",
  name: "solovs_mega",
  keyBytes: bytes,
  valueBytes: 4,
  maxEntries: maxFlows,
});

export function createLayoutMaps(layout: KeyLayout, maxFlows: number): LayoutMaps {
  const { bytes } = layout;
  return {
    masks: BpfMap.create(masks(layout)),
    megaflows: BpfMap.create(megaflows(layout, maxFlows)),
    exact: BpfMap.create({
      kind: "lru_hash",
      name: "solovs_exact",
      keyBytes: bytes,
      valueBytes: 8,
      maxEntries: EXACT_ENTRIES,
    }),
    settings: BpfMap.create(SETTINGS),
  };
}

/** The settings of the main program with this number. Throws a SystemError. */
export function openPinnedSettings(pins: Pins, programId: number): BpfMap {
  return BpfMap.openPinned(pins.flowPath("settings", programId), SETTINGS);
}

/** The maps of the main program with this number, whose key has this layout. */
export function openPinnedFlows(
  pins: Pins,
  programId: number,
  layout: KeyLayout,
  maxFlows: number,
): Omit<FlowMaps, "settings"> {
  const specs = {
    flows: flowRecords(maxFlows),
    counts: flowCounts(maxFlows, machineShards().count),
    masks: masks(layout),
    megaflows: megaflows(layout, maxFlows),
  };
  const made: BpfMap[] = [];
  const open = (name: keyof typeof specs): BpfMap => {
    const map = BpfMap.openPinned(pins.flowPath(name, programId), specs[name]);
    made.push(map);
    return map;
  };
  try {
    return {
      flows: open("flows"),
      counts: open("counts"),
      masks: open("masks"),
      megaflows: open("megaflows"),
    };
  } catch (error) {
    for (const map of made) map.close();
    throw error;
  }
}

export function closeMaps(maps: DatapathMaps | LayoutMaps | Omit<FlowMaps, "settings">): void {
  for (const map of Object.values(maps) as BpfMap[]) map.close();
}

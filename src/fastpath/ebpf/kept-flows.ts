/**
 * Flows that a process before left in the kernel, which go on forwarding: read from the maps of the
 * main program that is in force. Nobody writes these maps any more but the programs, which count.
 *
 *     prog_array[0] ──> number of the main program ──> pinned settings: layout of its keys ──┐
 *                                                      pinned masks, megaflows, flows <──────┘
 */
import type { BpfMap } from "../../linux/bpf-map.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { DP_KEY_WORDS } from "../../packet/layout.ts";
import type { DpFlowStats, InheritedFlow } from "../datapath.ts";
import {
  MAIN_SLOT,
  MASK_HEADER_BYTES,
  SETTINGS_HALF,
  SETTINGS_KEY_FORMAT,
  SETTINGS_LAYOUT,
  SETTINGS_MASKS,
} from "./abi.ts";
import { FlowRecords } from "./flow-records.ts";
import { KEY_FORMAT, KeyLayout, ZERO_BITS } from "./key-layout.ts";
import { maskEntryBytes } from "./main-program.ts";
import { closeMaps, openPinnedFlows, openPinnedSettings } from "./maps.ts";
import type { FlowMaps, Pins } from "./pins.ts";
import { machineShards } from "./shards.ts";

/** Its match is made of the packed key when it is asked for: of many flows all are kept for a while. */
class KeptFlow implements InheritedFlow {
  constructor(
    readonly handle: number,
    readonly stats: DpFlowStats,
    private readonly layout: KeyLayout,
    private readonly packed: DataView,
    private readonly mask: FlowKey,
  ) {}

  get match(): Match {
    const key = new FlowKey();
    this.layout.unpack(this.packed, key.words);
    return { key, mask: this.mask };
  }
}

export class KeptFlows {
  private readonly records: FlowRecords;

  private constructor(
    /** The half of the program slots in which their programs are. */
    readonly half: number,
    private readonly layout: KeyLayout,
    private readonly masksInUse: number,
    private readonly maps: Omit<FlowMaps, "settings">,
  ) {
    this.records = new FlowRecords(maps.flows, maps.counts, machineShards());
  }

  /**
   * Those that are in force. Throws a SystemError if what was pinned is not all there; undefined if
   * another version left them, whose keys have other words.
   */
  static open(pins: Pins, programs: BpfMap, maxFlows: number): KeptFlows | { half: number } {
    const id = new Uint8Array(4);
    // Reading a program's slot gives its number.
    programs.lookup(new Uint8Array(new Uint32Array([MAIN_SLOT]).buffer), id);
    const programId = new DataView(id.buffer).getUint32(0, true);
    const settings = openPinnedSettings(pins, programId);
    try {
      const words = new Uint32Array(settings.map());
      const half = words[SETTINGS_HALF / 4]!;
      if (words[SETTINGS_KEY_FORMAT / 4] !== KEY_FORMAT) return { half };
      const from = SETTINGS_LAYOUT / 4;
      const layout = KeyLayout.of(words.slice(from, from + DP_KEY_WORDS));
      const maps = openPinnedFlows(pins, programId, layout, maxFlows);
      return new KeptFlows(half, layout, words[SETTINGS_MASKS / 4]!, maps);
    } finally {
      settings.close();
    }
  }

  /** All of them; those in the middle of a change when their process ended are left out. */
  *[Symbol.iterator](): IterableIterator<InheritedFlow> {
    const { layout, maps } = this;
    const masks = this.readMasks();
    const { keys, values, count } = maps.megaflows.entries();
    const ids = new DataView(values.buffer);
    for (let i = 0; i < count; i++) {
      const packed = new DataView(keys.buffer, i * layout.bytes, layout.bytes);
      const mask = masks.get(packed.getUint32(layout.idAt, true));
      if (!mask) continue;
      const id = ids.getUint32(4 * i, true);
      yield new KeptFlow(id, this.stats(id), layout, packed, mask);
    }
  }

  stats(handle: number): DpFlowStats {
    return this.records.read(handle);
  }

  close(): void {
    closeMaps(this.maps);
  }

  private readMasks(): Map<number, FlowKey> {
    const { layout, maps, masksInUse } = this;
    const memory = maps.masks.map();
    const view = new DataView(memory);
    const masks = new Map<number, FlowKey>();
    for (let i = 0; i < masksInUse; i++) {
      const at = i * maskEntryBytes(layout);
      const mask = new FlowKey();
      mask.words.set(ZERO_BITS);
      layout.unpack(new DataView(memory, at + MASK_HEADER_BYTES, layout.bytes), mask.words);
      masks.set(view.getUint32(at, true), mask);
    }
    return masks;
  }
}

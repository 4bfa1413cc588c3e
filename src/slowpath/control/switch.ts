/**
 * What an OpenFlow connection may read and do of its bridge. The bridge (../bridge/bridge.ts)
 * implements it.
 */
import type { Conntrack } from "../../fastpath/conntrack/types.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { Action } from "../../openflow/actions/types.ts";
import type { BridgePort, PortCounts } from "../bridge/ports.ts";
import type { Match } from "../../packet/key.ts";
import type { PreparedPacketOut } from "../cache/upcalls.ts";
import type { Clock } from "../clock.ts";
import type { BridgeExport } from "../export/bridge-export.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { Continuations } from "./continuations.ts";
import type { KeptFlows } from "./kept-flows.ts";

/** OFPMP_DESC's texts. */
export interface SwitchDescription {
  readonly manufacturer: string;
  readonly hardware: string;
  readonly software: string;
  readonly serial: string;
  readonly datapath: string;
}

export type FragmentMode = "normal" | "drop" | "nx-match";

export interface Switch extends BridgeModel {
  readonly clock: Clock;
  readonly ports: ReadonlyMap<number, BridgePort>;
  readonly datapathId: bigint;
  readonly description: SwitchDescription;
  /** Packets that each connection may have waiting in buffers. */
  readonly packetBuffers: number;
  /** `Flow_Table.name` of a table, or "". */
  tableName(table: number): string;
  portStats(port: BridgePort): PortCounts | undefined;
  setFragmentMode(mode: FragmentMode): void;
  /**
   * OFPT_PORT_MOD: changes the configuration bits of `mask`. Switching the device on or off happens
   * in the background; its outcome shows as a port status. `source` is not told of the change.
   */
  modifyPort(port: BridgePort, bits: number, mask: number, source: object): void;
  /**
   * Runs `actions` on a packet as if it had come in by the OpenFlow port `inPort`, over the tables as
   * they are now, with the pipeline fields of `metadata`; it leaves when it is sent.
   */
  preparePacketOut(
    packet: Packet,
    inPort: number,
    actions: readonly Action[],
    metadata?: Match,
  ): PreparedPacketOut;
  /** `Open_vSwitch.other_config:bundle-idle-timeout`. */
  readonly bundleIdleMs: number;
  /** Meters are kept over a restart, and change by requests only. */
  readonly keptFlows: Pick<KeptFlows, "metersChanged">;
  /** Packets that were paused for a controller. */
  readonly continuations: Continuations;
  /** What goes to collectors. */
  readonly exports: Pick<BridgeExport, "ipfixStats">;
  /** Connections that the datapath tracks. */
  readonly conntrack: Conntrack;
  /**
   * Gives a table a name in OpenFlow's words ("" takes it away); false if the database names it
   * otherwise.
   */
  setTableName(table: number, name: string): boolean;
  /** Resolves when all changes made so far are in force for all later packets. */
  settle(): Promise<void>;
}

/**
 * The switch daemon without its database, its sockets' directory and its process: what stands between
 * an OVSDB replica and a datapath.
 */
import type { Replica } from "../db/replica.ts";
import type { Datapath } from "../fastpath/datapath.ts";
import type { Devices } from "../fastpath/devices.ts";
import type { LogSink } from "../log/log.ts";
import type { Clock } from "./clock.ts";

export interface VswitchOptions {
  /** The Open_vSwitch database: every table that a switch reads, its status columns writable. */
  readonly replica: Replica;
  /** Opens the one datapath; called when the first bridge needs it, closed by `close()`. */
  readonly openDatapath: () => Promise<Datapath>;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly log: LogSink;
  /** Where BRIDGE.mgmt, BRIDGE.snoop and ovs-vswitchd.PID.ctl are made; it must exist. */
  readonly runDir: string;
  /** Called by `ovs-appctl exit`; the process is expected to call `close()` and end. */
  readonly onExit: () => void;
}

export interface PortView {
  readonly name: string;
  readonly type: string;
  readonly ofport: number;
  readonly dpPort: number | undefined;
  readonly linkUp: boolean;
}

export interface BridgeView {
  readonly name: string;
  readonly datapathId: string;
  readonly failMode: "standalone" | "secure";
  readonly ports: readonly PortView[];
  readonly flows: number;
  readonly controllers: readonly { readonly target: string; readonly connected: boolean }[];
}

export interface VswitchStatus {
  readonly datapathType: string;
  readonly bridges: number;
  readonly ports: number;
  /** Datapath, cache and connection counters by name. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface Vswitch {
  bridges(): readonly BridgeView[];
  status(): VswitchStatus;
  /** Resolves when everything that the database held when it was called is in force. */
  settled(): Promise<void>;
  /** Closes connections, detaches ports, removes sockets. The database is left as it is. */
  close(): Promise<void>;
}

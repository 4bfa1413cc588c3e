/**
 * What a datapath implementation brings to the conformance suite: a way to open it, ports whose
 * other side the suite holds, and the cases that it cannot run, each with the reason.
 */
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { Datapath, DpPort, DpPortType, Packet } from "../../../src/fastpath/datapath.ts";

/** The suite's side of a port: what the device's peer (or the host, for an internal port) sees. */
export interface Wire {
  readonly port: DpPort;
  send(packet: Packet): void;
  /** A frame that left the datapath through the port, if there is one now. */
  receive(): Packet | undefined;
  /** The port's device vanishes. */
  lose(): Promise<void>;
}

export interface Rig {
  readonly datapath: Datapath;
  /** Makes a device of that name (internal: lets the datapath make it) and adds it as a port. */
  plug(name: string, type?: DpPortType): Promise<Wire>;
  /**
   * Actions in front of the sentinel's outputs. A datapath whose flows go different ways needs some
   * that send the sentinel the longest way, so that everything before it comes out before it.
   */
  readonly longWay?: readonly DpAction[];
  close(): Promise<void>;
}

export interface Implementation {
  readonly name: string;
  open(): Promise<Rig>;
  /** Case name → why this implementation does not run it. */
  readonly skips: Readonly<Record<string, string>>;
}

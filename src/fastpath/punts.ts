/**
 * How programs in the kernel hand packets to the userspace datapath: *punts*.
 *
 * A packet that the programs cannot deal with (no flow, a rare header, an action they lack) is sent
 * into one TAP device, for all ports, with a header in front. The process reads:
 *
 *     0            10            14          18        19      20          22       24     26
 *     | virtio-net | port number | recirc_id | version | words | decisions | 0x88b5 | zero | metadata …
 *     | header     | u32         | u32       | u8      | u8    | u16       | be16   | u16  |
 *     '------------'------------------------------ 16 bytes -----------------------------'
 *     … `words` × 4 bytes | frame, Ethernet header first …
 *
 * - Numbers are the host's, but for the Ethernet type. `recirc_id` and the metadata are words of a flow
 *   key, byte for byte: metadata from METADATA_WORD on, as many words as count. The process goes on
 *   from there as if it had come that far itself. A packet fresh from the wire has none.
 * - `decisions`: what the programs have diced for the flow's `sample` actions, which the process is
 *   to follow: bit 15 says that there are any, bit n is the n-th sample's.
 * - With PUNT_RESUME in `decisions`, the packet is in the middle of its flow's actions.
 * - The virtio-net header's offsets count from the header behind it: 16 and the metadata more than in
 *   the frame.
 * - A VLAN tag that the kernel had taken out of the frame is put back by the TAP device where it
 *   takes the 16 bytes for an Ethernet header: at byte 22, the rest 4 bytes further on.
 *
 * So that a flood of one port's punts starves no other port's, each port may have at most
 * `PUNTS_IN_FLIGHT` packets on their way. The programs count what they send, the reader what it has
 * read, both in the port's record, which is memory that both see.
 *
 * A port's record, 64 bytes, all 64-bit numbers:
 *
 *      0 punted      8 read of them     16 dropped, because too many were on their way
 *     24 dropped, because their state was lost (ebpf/packet-state.ts)
 *     32 dropped, because they recirculated too often      40 dropped by meters
 *     48 punted after the programs had found, and counted, their flow
 */
import type { TcAttachment } from "../linux/bpf.ts";
import type { TunnelDeviceKind } from "../linux/tunnel-device.ts";
import type { SharedConnections } from "./conntrack/kernel-maps.ts";
import type { DpPort, DpPortSpec } from "./datapath.ts";

export const PUNT_HEADER_BYTES = 16;
export const PUNT_ETHER_TYPE = 0x88b5;
/** Says what the header looks like; packets with another are dropped. */
export const PUNT_VERSION = 1;
/** Offsets in the header. */
export const PUNT_RECIRC_ID = 4;
export const PUNT_FORM = 8;
export const PUNT_WORDS = 9;
export const PUNT_DECISIONS = 10;
/** Of the decisions: there are some. */
export const PUNT_DECIDED = 0x8000;
/**
 * Of the decisions: the packet's flow is done up to the place in its program (engine/opcodes.ts) that the
 * other bits tell, and goes on from there. Behind the metadata, and counted by `words`, are two words
 * more: the flow's number, and the fingerprint of its program (engine/encode.ts).
 */
export const PUNT_RESUME = 0x4000;
export const PUNT_RESUME_WORDS = 2;
/** Samples of one list that can be decided. */
export const MAX_DECISIONS = 8;
/** Packets of one port on their way; a power of two is not needed. */
export const PUNTS_IN_FLIGHT = 512;
/** Room in the TAP device's queue: some ports' worth. */
export const PUNT_QUEUE = 8192;

export const PORT_RECORD_BYTES = 64;
/** Indexes of 64-bit numbers in a port's record. */
export const PORT_RECORD = {
  punted: 0,
  read: 1,
  puntDrops: 2,
  stateLost: 3,
  tooDeep: 4,
  metered: 5,
  handedOn: 6,
} as const;

/** What the reader gets: plain numbers, valid in every thread of the process. */
export interface Punts {
  /** The TAP device's descriptor, non-blocking. */
  readonly fd: number;
  /** The ports' records: a mapped array, `ports` of them. */
  readonly recordsFd: number;
  readonly ports: number;
  /** Meters (engine/shared-meters.ts): a mapped array. */
  readonly metersFd: number;
}

/** How a port with a program is opened. */
export interface ProgramOpening {
  /** To be attached and then closed; a descriptor. */
  readonly program: number;
  /** It is attached already, by a process that has gone. */
  readonly adopted?: TcAttachment;
  /** An internal port's device outlives this process. */
  readonly persistent: boolean;
  /** By clsact and cls_bpf, also where the kernel has tcx. */
  readonly clsact: boolean;
  /** Of a tunnel port: the kernel's device that is to carry it. */
  readonly device?: TunnelDeviceRequest;
}

/** A tunnel device that the program is attached to. */
export interface TunnelDeviceRequest {
  readonly kind: TunnelDeviceKind;
  /** The device's alias, which says whose it is: one of that name and alias may be replaced. */
  readonly alias: string;
}

/** The programs, as the userspace datapath sees them. */
export interface KernelSide {
  readonly punts: Punts;
  /** Calls `use` once, when the programs know connections that the tracker is to share with them. */
  whenConnections(use: (shared: SharedConnections) => void): void;
  /** The number that the port had in a process before, and that nobody else may have. */
  numberOf(spec: DpPortSpec): number | undefined;
  /** True if the number is kept for a port of a process before. */
  isKept(portNo: number): boolean;
  /** Undefined if the port is the process's alone. */
  openingFor(portNo: number, spec: DpPortSpec): ProgramOpening | undefined;
  /** The port's program is attached. */
  attached(port: DpPort, attachment: TcAttachment): void;
  /** Packets may be sent to it: as `attached`, for a port that was opened anew. */
  portAdded(port: DpPort): void;
  /** The port's program is about to be detached. */
  detaching(portNo: number): void;
  /** The port is no longer reached by its interface's number: only through this process. */
  portMoved(portNo: number): void;
}

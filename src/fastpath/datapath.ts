/**
 * The datapath: what the slow path asks of whatever moves packets.
 *
 * One interface, several implementations (DESIGN.md, idea 2): in memory (tests without root),
 * userspace (AF_PACKET, in a worker) and, later, eBPF in the kernel. One conformance suite runs the
 * same named cases over all of them.
 *
 *              create             change            read              destroy
 *   port       addPort            (by Devices)      ports, portStats  removePort
 *   flow       putFlow            putFlow (same id) flowStats         deleteFlow
 *   packet     upcall (from it)   –                 –                 execute (to it)
 *   meter      setMeter           setMeter          meterStats        deleteMeter
 *   connection `ct` action        `ct` action       conntrack.dump    conntrack.flush
 *   datapath   open function      –                 counters          close
 *
 * Invariants
 * - Commands act in the order in which they were given; `barrier()` resolves when every earlier one
 *   is in force for all later packets.
 * - Flows may live where only counters can be read, so nobody may assume to see each packet: the
 *   statistics of a flow are read, never pushed.
 * - Flow ids are small integers that the caller allocates and reuses (a slot number): statistics
 *   live in arrays indexed by them. An id may be reused after `deleteFlow` + `barrier`.
 * - Two flows never overlap with different actions: the slow path guarantees it.
 * - A packet carries its virtio-net header (below) from end to end; offloads survive.
 */
import type { PcapPortOptions } from "./pcap-replay.ts";
import type { FlowKey, Match } from "../packet/key.ts";
import type { KeyPool } from "./key-pool.ts";
import type { DpAction, TunnelKind } from "./actions.ts";
import type { Conntrack } from "./conntrack/types.ts";
import type { DpMeter, DpMeterStats } from "./meters.ts";

/** A packet outside the hot path: the frame from its Ethernet header on, without FCS. */
export interface Packet {
  readonly data: Uint8Array;
  /**
   * `struct virtio_net_hdr`, 10 bytes, little endian: flags u8, gso_type u8, hdr_len u16, gso_size
   * u16, csum_start u16, csum_offset u16. Absent means all zero: whole checksums, no segmentation.
   */
  readonly vnet?: Uint8Array;
  /** Of an upcall's packet: which part of the datapath had it, for `execute` to go on there. */
  readonly origin?: number;
}

/** How a datapath uses the machine. */
export interface Tuning {
  /** Threads that forward; at least 1. A datapath may have fewer. */
  readonly workers: number;
  /** The CPUs that they are bound to, in turn; empty: wherever they may run. */
  readonly cpus: readonly number[];
  /** They look for packets without pause, and never sleep. */
  readonly busy: boolean;
}

export type UpcallReason = "miss" | "action";

/** A packet that needs the slow path. `packet` and `key` are the receiver's to keep. */
export interface Upcall {
  readonly reason: UpcallReason;
  readonly packet: Packet;
  /**
   * Datapath key (in_port is a datapath port number); the pipeline section is zero. After a
   * recirculation its recirc_id, dp_hash, ct_… and tun_… are those of the packet there.
   */
  readonly key: FlowKey;
  /** `userdata` of the `userspace` action that sent it; 0 for a miss. */
  readonly userdata: number;
  /** Where the key may be given back by the one receiver that does something with upcalls. */
  readonly keys?: KeyPool;
}

export type DpPortType = "device" | "internal" | "tunnel" | "pcap";

/** `libpcap`: also what is used where the kernel has no packet sockets. */
export type DeviceIo = "libpcap";

export interface DpPortSpec {
  readonly name: string;
  /**
   * `device`: an existing network interface. `internal`: a TAP that the datapath makes. `tunnel`:
   * where tunnelled packets come from that `tnl_pop` takes off the wire; nothing leaves through it.
   * `pcap`: capture files instead of a wire (pcap-replay.ts).
   */
  readonly type: DpPortType;
  /** Of a `tunnel`: whose headers are taken off. */
  readonly tunnel?: TunnelKind;
  /** Of a `tunnel`: how the host's own stack carries its packets, where the datapath can ask it to. */
  readonly wire?: TunnelWire;
  /** Of a `pcap` port. */
  readonly pcap?: PcapPortOptions;
  /** Wanted Ethernet address of an internal port. */
  readonly mac?: Uint8Array;
  /** Of a `device`: how many receiving queues share its packets, flow by flow; 1 unless given. */
  readonly queues?: number;
  /** Of a `device` that this process receives: how; packet sockets unless given. */
  readonly io?: DeviceIo;
  /** Its packets are received by this process, also where the datapath could do it in the kernel. */
  readonly userspace?: boolean;
}

export interface TunnelWire {
  /** UDP port that is listened on, and sent to; 0: not over UDP. */
  readonly udpPort: number;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Headers are numbered (GRE, GTP-U). */
  readonly sequence: boolean;
  /** VXLAN's header is that of VXLAN-GPE, or says a group policy. */
  readonly gpe: boolean;
  readonly gbp: boolean;
}

export interface DpPort extends DpPortSpec {
  /** Datapath port number, 0..65534; unique in the datapath, all bridges together. */
  readonly portNo: number;
  readonly ifindex: number;
}

/** Counted by the datapath itself since the port was added; bytes without the virtio-net header. */
export interface DpPortStats {
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
  rxDropped: number;
  txDropped: number;
  rxErrors: number;
  txErrors: number;
}

export interface DpFlow {
  readonly id: number;
  /** Datapath section only. The key is valid until `putFlow` returns; the mask stays as it is. */
  readonly match: Match;
  /** Empty drops. */
  readonly actions: readonly DpAction[];
}

export interface DpFlowStats {
  packets: number;
  bytes: number;
  /** `performance.timeOrigin`-independent: milliseconds of CLOCK_MONOTONIC; 0 = never used. */
  lastUsedMs: number;
  /** OR of the TCP flags seen. */
  tcpFlags: number;
}

/** A flow of a process before, which goes on forwarding until `takeOver`. */
export interface InheritedFlow {
  readonly match: Match;
  /** So far. */
  readonly stats: DpFlowStats;
  /** For `inherit`. */
  readonly handle: number;
}

export interface FlowPlace {
  readonly place: "ebpf" | "user";
  /** Why it is not in the kernel. */
  readonly reason?: string;
}

export interface DatapathListener {
  upcall(upcall: Upcall): void;
  /** The port's device vanished or failed; the port is already removed. */
  portLost(portNo: number, reason: string): void;
}

/** An error of a command that the user can act upon: `message` says what to do. */
export class DatapathError extends Error {
  constructor(
    readonly code:
      | "no-device"
      | "exists"
      | "no-such-port"
      | "not-supported"
      | "permission"
      | "full"
      | "system",
    message: string,
  ) {
    super(message);
    this.name = "DatapathError";
  }
}

/** How much may come in by a port; a rate of 0 is no limit. */
export interface Policing {
  readonly bytesPerSec: number;
  readonly burstBytes: number;
  readonly packetsPerSec: number;
  readonly burstPackets: number;
}

/** What ports do to traffic besides forwarding it. A port begins with none of it. */
export interface PortTraffic {
  /** The kernel's queues hold back what leaves the port (shaping.ts): nothing goes around them. */
  setShaped(portNo: number, shaped: boolean): void;
  /** Acts on what this process receives: a port of which the kernel forwards is not policed. */
  setPolicing(portNo: number, policing: Policing): void;
}

export interface Datapath {
  /** What `Bridge.datapath_type` calls it: "netdev", "system", "dummy". */
  readonly type: string;
  /**
   * A packet that is output to a tunnel port is sent by the host's own stack, by its tunnel metadata, and
   * what the host receives for the tunnel comes in by the port. Else there is `tnl_push` only.
   */
  readonly hostTunnels?: boolean;
  /** Flows that fit; more are refused with a DatapathError `full`. */
  readonly maxFlows: number;
  listen(listener: DatapathListener): void;

  addPort(spec: DpPortSpec): Promise<DpPort>;
  removePort(portNo: number): Promise<void>;
  ports(): ReadonlyMap<number, DpPort>;
  portStats(portNo: number): DpPortStats | undefined;

  /**
   * True: more flows and packets are given at once, and who carries them out need not be woken for each;
   * false: that was all.
   */
  holds?(on: boolean): void;

  /** Adds the flow, or replaces the flow of that id, its statistics kept. */
  putFlow(flow: DpFlow): void;
  deleteFlow(id: number): void;
  /** Statistics in place; zero for an id never used. Valid until the id is reused. */
  flowStats(id: number): DpFlowStats;
  /** The packets of `flowStats` alone: for who goes through many flows of which most are idle. */
  flowPackets?(id: number): number;
  /**
   * Where the flow's packets are forwarded, where there is a choice: `ebpf` in the kernel, `user` in
   * this process (and why). Datapaths that forward in one place only lack this.
   */
  flowPlace?(id: number): FlowPlace;

  /**
   * Runs the actions on one packet. `inPort` is the datapath port it counts as coming from. With
   * `metadata`, a datapath key, the packet goes on with what that key says and no header does:
   * packet_type, recirc_id, dp_hash, skb_priority, pkt_mark, ct_… and tun_….
   */
  execute(
    packet: Packet,
    actions: readonly DpAction[],
    inPort: number,
    metadata?: FlowKey,
  ): void;

  /** Adds the meter, or changes it, its statistics and buckets begun anew. Ids are 32 bits. */
  setMeter(id: number, meter: DpMeter): void;
  deleteMeter(id: number): void;
  /** Undefined for a meter that is not there. Read in place: at most a moment old. */
  meterStats(id: number): DpMeterStats | undefined;
  /** The connection tracker behind the `ct` action. */
  readonly conntrack: Conntrack;
  /** Tags that a packet is parsed for, `other_config:vlan-limit`: 1 (as Open vSwitch) or 2. */
  setVlanLimit(limit: 1 | 2): void;

  /**
   * Resolves when it is so, true if flows given before may be missing in places: they are to be deleted
   * and given again. Absent where there is nothing to tune.
   */
  tune?(tuning: Tuning): Promise<boolean>;
  /** Absent where ports do nothing to traffic but forward it. */
  readonly traffic?: PortTraffic | undefined;

  barrier(): Promise<void>;
  /** Cache hits, misses, upcalls lost, and one counter per drop reason, by name. */
  counters(): Readonly<Record<string, number>>;
  /** Flows of a process before, of a datapath that goes on with them. To be read before `takeOver`. */
  inherited?(): Iterable<InheritedFlow>;
  /** The flow `id`, just put, is that flow now: its statistics go on. */
  inherit?(id: number, handle: number): void;
  /**
   * The slow path has its ports and rules: from here on it can decide. A datapath that goes on with
   * the flows of a process before keeps to them until then.
   */
  takeOver?(): Promise<void>;
  /** Removes everything. */
  close(): Promise<void>;
  /** Ends this process's part: what is forwarded in the kernel goes on, for another to adopt. */
  leave?(): Promise<void>;
}

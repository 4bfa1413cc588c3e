/**
 * What the pipeline knows of a bridge. The bridge itself (src/slowpath/bridge) implements these
 * interfaces; translation, upcalls and revalidation read nothing else.
 *
 * - Reads only: translation never changes a model. What a packet causes (counters, learned MACs,
 *   packet-ins) comes out of it as a list of effects.
 * - Whoever changes anything here except `tables` and `macs`, which report their own changes, calls
 *   `FlowCache.changed()` afterwards, so that megaflows are made again.
 * - OpenFlow port numbers are Open vSwitch's 16-bit ones (LOCAL = 0xfffe), in every version.
 */
import type { GroupMessage } from "../multicast/messages.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { PacketInReason } from "../../openflow/actions/types.ts";
import type { FlowKey } from "../../packet/key.ts";
import type { MacTable } from "../bridge/learning.ts";
import type { FrozenState } from "./frozen.ts";
import type { Onlooker } from "./look-on.ts";
import type { SamplingModel } from "./sampling.ts";
import type { FlowTables } from "./tables.ts";
import type { Xlate } from "./xlate.ts";

/** Port configuration (OFPPC_*), as mod-port sets it; all false on a new port. */
export interface PortConfig {
  readonly portDown: boolean;
  readonly noStp: boolean;
  readonly noRecv: boolean;
  readonly noRecvStp: boolean;
  readonly noFlood: boolean;
  readonly noFwd: boolean;
  readonly noPacketIn: boolean;
}

export type VlanMode = "access" | "trunk" | "native-tagged" | "native-untagged" | "dot1q-tunnel";

/** The Port row's VLAN columns, resolved: `vlan_mode` is always chosen here. */
export interface VlanConfig {
  readonly mode: VlanMode;
  /** Access or native VLAN, 0..4095; 0 where the row has none. */
  readonly tag: number;
  /** VLANs that a trunk carries; undefined: all. A native VLAN is carried in any case. */
  readonly trunks: ReadonlySet<number> | undefined;
  /** `other_config:priority-tags`. */
  readonly priorityTags: "no" | "if-nonzero" | "always";
  /** Customer VLANs that a dot1q-tunnel takes; undefined: all. */
  readonly cvlans?: ReadonlySet<number> | undefined;
  /** Ethertype of the outer tag that a dot1q-tunnel adds. */
  readonly qinqTpid?: number;
}

/** A Port row: one or more interfaces that NORMAL treats as one. Identity is the object. */
export interface BundleModel {
  readonly name: string;
  readonly vlan: VlanConfig;
  /** Two protected bundles do not talk to each other. */
  readonly protected: boolean;
  /** Its ports; one unless it is a bond. */
  readonly members: readonly PortModel[];
  /** Decides between its members, where it has several. */
  readonly bond?: BondModel | undefined;
  /** Takes LACP messages that come in by its members. */
  readonly lacp?: LacpModel | undefined;
}

/** "drop if moved": unless its source address was learned behind the bond, or not at all. */
export type BondVerdict = "accept" | "drop" | "drop if moved";

export interface MemberChoice {
  readonly port: PortModel;
  /** What is to be told what the packets are worth (`account`); undefined: nothing. */
  readonly bucket: number | undefined;
}

/** A bond (src/slowpath/bonds). When it would decide otherwise, `FlowCache.changed()` is called. */
export interface BondModel {
  /** May a packet that came by the member be switched? */
  admits(port: PortModel, isMulticast: boolean): BondVerdict;
  /** The datapath hashes packets with this basis, and they come back with this id. */
  readonly recirculation: { readonly id: number; readonly basis: number } | undefined;
  /** The member for a packet; what was looked at goes into `mask`. Undefined: it is dropped. */
  choose(key: FlowKey, mask: FlowKey | undefined, vlan: number): MemberChoice | undefined;
  account(bucket: number, bytes: number): void;
}

export interface LacpModel {
  /** A frame of type 0x8809 came in by the member. */
  receive(port: PortModel, frame: Uint8Array): void;
}

/** Multicast snooping of a bridge (src/slowpath/multicast). Groups are 4 or 16 bytes. */
export interface SnoopingModel {
  readonly isEnabled: boolean;
  /** Groups that nobody asked for go everywhere. */
  readonly floodsUnregistered: boolean;
  /** Who asked for the group; undefined: nobody. */
  members(vlan: number, address: Uint8Array): Iterable<BundleModel> | undefined;
  /** Bundles behind which there is a multicast router. */
  routers(vlan: number): Iterable<BundleModel>;
  /** Those that get every group, and every report. */
  readonly floodBundles: ReadonlySet<BundleModel>;
  readonly reportBundles: ReadonlySet<BundleModel>;
  /** A message of IGMP or MLD; undefined: the frame is none. */
  parse(frame: Uint8Array): GroupMessage | undefined;
  receive(from: BundleModel, vlan: number, message: GroupMessage): void;
}

/** Protocols by which a port finds out whether it reaches anybody. */
export type LivenessKind = "bfd" | "cfm";

export interface LivenessModel {
  /** Is a packet that came in by the port one of its messages? What was looked at goes into `mask`. */
  claims(key: FlowKey, mask: FlowKey): LivenessKind | undefined;
  receive(kind: LivenessKind, frame: Uint8Array): void;
  /** Every packet that comes in is to be told of, by `counted`. */
  readonly countsPackets: boolean;
  counted(): void;
}

export interface PatchPeer {
  readonly bridge: BridgeModel;
  readonly port: PortModel;
}

/** Counters of a port that no datapath knows: a patch port. Added to in place. */
export interface PatchStats {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/**
 * What a tunnel port does with a packet (src/slowpath/tunnels). Called during translation with the
 * packet's key; changes to the key but for headers that go out with the packet do not last.
 */
export interface TunnelModel {
  /** Packets without an Ethernet header get one when they come in, and lose it when they go. */
  readonly isLayer3: boolean;
  /** The packet leaves through the tunnel: emits what that takes. */
  send(x: Xlate): void;
  /** Only the metadata that it would leave with, if it is the host that sends. */
  prepare?(x: Xlate): void;
}

/** A Mirror row, its selection resolved. Identity is the object. */
export interface MirrorModel {
  readonly name: string;
  /** Bundles whose incoming packets are selected. */
  readonly sources: ReadonlySet<BundleModel>;
  /** Bundles whose outgoing packets are selected. */
  readonly destinations: ReadonlySet<BundleModel>;
  /** Only packets in these VLANs; undefined: any. */
  readonly vlans: ReadonlySet<number> | undefined;
  /** Where the copies go; undefined: into `outputVlan`. */
  readonly output: BundleModel | undefined;
  readonly outputVlan: number;
  /** Bytes of each packet that the mirror gets; 0: all. */
  readonly snapLength: number;
  /** Added to in place. */
  readonly stats: { packets: number; bytes: number };
}

export interface PortModel {
  readonly ofport: number;
  readonly name: string;
  /** Port number in the datapath; undefined: none (a patch port, or not attached at present). */
  readonly dpPort: number | undefined;
  /** The other end, when both are there. */
  readonly patchPeer?: PatchPeer | undefined;
  readonly patchStats?: PatchStats | undefined;
  readonly tunnel?: TunnelModel | undefined;
  /** BFD and CFM of the port. */
  readonly sessions?: LivenessModel | undefined;
  /** Its link, LACP and BFD let it be used; true unless told. */
  readonly mayEnable?: boolean;
  /** Of a patch or a tunnel: who looks on. When it changes, `FlowCache.changed()` is called. */
  readonly onlooker?: Onlooker | undefined;
  /** The datapath port of a tunnel that takes the packet off the wire instead of this port's peer. */
  takes?(x: Xlate): number | undefined;
  /** Queues that mark what leaves through them: DSCP by skb_priority (Port.qos, Queue.dscp). */
  readonly queueDscp?: ReadonlyMap<number, number> | undefined;
  readonly config: PortConfig;
  readonly linkUp: boolean;
  readonly bundle: BundleModel;
}

/** A packet for controllers, before any version's format. */
export interface PacketIn {
  /**
   * `implicit_miss`: no rule matched; for connections of versions before 1.3 only, whose default it
   * is to be asked. `explicit_miss`: a table-miss rule (priority 0, matches everything) said so:
   * OFPR_NO_MATCH from 1.3 on, OFPR_ACTION before. `no_match`: the table's own miss setting said so.
   */
  readonly reason: PacketInReason;
  /** The packet as it was when the action ran; whole. */
  readonly packet: Packet;
  /** Its flow key with `in_port` in OpenFlow numbers and the pipeline section (metadata, registers). */
  readonly key: FlowKey;
  readonly tableId: number;
  /** Cookie of the rule; all ones when no rule matched. */
  readonly cookie: bigint;
  /** How much of the packet the action asks for; 0xffff: all of it. */
  readonly maxLen: number;
  /** `controller(id=…)`: only connections with this id; 0 by default. */
  readonly controllerId: number;
  readonly userdata: Uint8Array | undefined;
  /** True for a table miss: the connection keeps the packet in a buffer. Never for an action. */
  readonly bufferable: boolean;
  /** Set on `controller(meter_id=…)`. */
  readonly meterId: number | undefined;
  /** `controller(pause)`: where the pipeline goes on when the controller resumes the packet. */
  readonly continuation?: FrozenState | undefined;
}

/** What a datapath may lack, as Open vSwitch names it. */
export type Feature =
  | "clone"
  | "check_pkt_len"
  | "add_mpls"
  | "ct_timeout"
  | "explicit_drop_action";

export interface BridgeModel {
  readonly name: string;
  /** By OpenFlow number, LOCAL included. */
  readonly ports: ReadonlyMap<number, PortModel>;
  /** In the order in which NORMAL floods. */
  readonly bundles: Iterable<BundleModel>;
  readonly tables: FlowTables;
  readonly macs: MacTable<BundleModel>;
  /** None unless told. */
  readonly snooping?: SnoopingModel;
  /** Where the values of `tun_metadataN` lie in `tun_metadata`, by N; none unless told. */
  readonly tunnelOptions?: {
    place(index: number): { readonly offset: number; readonly length: number } | undefined;
  };
  /** What the datapath can do; everything unless told. */
  readonly features?: {
    on(feature: Feature): boolean;
    number(capacity: "sample_nesting"): number;
  };
  /**
   * `skb_priority` of the packets of a queue, as the datapath below knows it; undefined: there can be
   * no such queue. The number itself unless told.
   */
  queuePriority?(queue: number): number | undefined;
  /** What of its packets goes to collectors; nothing unless told. */
  readonly sampling?: SamplingModel | undefined;
  /** At most 32, in their order. */
  readonly mirrors?: readonly MirrorModel[];
  /** `other_config:forward-bpdu`: 01:80:c2:00:00:0x is forwarded like any multicast. */
  readonly forwardBpdu: boolean;
  /**
   * `other_config:standard-push`: a tag or label that is pushed begins with the values that OpenFlow
   * gives it (1.3.5 §5.12.1), not with Open vSwitch's.
   */
  readonly standardPush?: boolean;
  /** OFPC_FRAG_* of set-config: what happens to IP fragments. */
  readonly fragMode: "normal" | "drop" | "nx-match";
  /** Number of the timeout policy of a conntrack zone, if it has one. */
  zoneTimeouts?(zone: number): number | undefined;
  /** Controllers are reached through the bridge itself (control/in-band.ts). */
  readonly inBand?: boolean;
  /** True while some connection of a version before 1.3 wants packets that match nothing. */
  wantsMisses(): boolean;
  /** True while a controller is connected, which buckets may watch; none unless told. */
  hasController?(): boolean;
  /**
   * A packet with tunnel metadata enters the tables: makes the key's tunnel section the pipeline's,
   * notes what was looked at. False: it is dropped.
   */
  receiveTunnel?(key: FlowKey, mask: FlowKey): boolean;
  /** The reverse for the mask, when translation is over; `original` as the datapath had it. */
  finishTunnel?(original: FlowKey, mask: FlowKey): void;
  /** Hands a packet to the connections (rate limits, buffers and formats are theirs). */
  packetIn(packetIn: PacketIn): void;
}

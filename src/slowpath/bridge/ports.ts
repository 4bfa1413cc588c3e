/**
 * Ports of a bridge and the bundles (Port rows) that NORMAL sees them through.
 *
 * A `BridgePort` exists while its interface is attached: a device or TAP of the datapath, or a patch
 * port, which no datapath knows. What OpenFlow says of it (config, state, features, speed) is
 * derived from its device here and nowhere else.
 */
import type { DpPortStats } from "../../fastpath/datapath.ts";
import type { Bond } from "../bonds/bond.ts";
import type { BundleLacp } from "../bonds/bonds.ts";
import type { Device, DeviceCounters } from "../../fastpath/devices.ts";
import type { PcapPortOptions } from "../../fastpath/pcap-replay.ts";
import {
  PORT_CONFIG,
  PORT_FEATURES,
  PORT_STATE,
  type PortDescription,
} from "../../openflow/messages/types.ts";
import { PORTS } from "../../openflow/version.ts";
import {
  type BridgeModel,
  type BundleModel,
  type PatchPeer,
  type PatchStats,
  type PortConfig,
  type PortModel,
  type TunnelModel,
  type VlanConfig,
} from "../pipeline/model.ts";
import type { Onlooker } from "../pipeline/look-on.ts";
import type { Xlate } from "../pipeline/xlate.ts";
import type { TunnelConfig } from "../tunnels/config.ts";
import { terminates } from "../tunnels/receive.ts";
import type { PortSessions } from "../liveness/sessions.ts";
import type { PortQueues } from "../qos/port-queues.ts";
import type { Tunnels } from "../tunnels/tunnels.ts";
import { sameMac } from "./identity.ts";
import { PLAIN_TRUNK } from "./vlan.ts";

/** The datapath's counts of a port with those that only its device keeps. */
export type PortCounts = Partial<DpPortStats & DeviceCounters> & {
  /** What only such devices count, by name. */
  readonly custom?: ReadonlyMap<string, number>;
};

/** How an interface is realised. */
export type PortKind = "device" | "internal" | "patch" | "tunnel" | "pcap";

export class Bundle implements BundleModel {
  vlan: VlanConfig = PLAIN_TRUNK;
  protected = false;
  readonly members: BridgePort[] = [];
  /** While two or more of its interfaces are attached. */
  bond: Bond<BridgePort> | undefined;
  lacp: BundleLacp | undefined;
  /** It is to speak LACP, but is not configured yet. */
  awaitsLacp = false;

  constructor(readonly name: string) {}
}

const NO_SETTINGS: ReadonlyMap<string, string> = new Map();
const NO_QUEUES: ReadonlyMap<number, number> = new Map();
const DEFAULT_CONFIG: PortConfig = {
  portDown: false,
  noStp: false,
  noRecv: false,
  noRecvStp: false,
  noFlood: false,
  noFwd: false,
  noPacketIn: false,
};

export interface BridgePortSpec {
  readonly bridge: BridgeModel;
  readonly name: string;
  readonly kind: PortKind;
  /** As people see it: "system", "dummy", "dummy-internal", "patch", … */
  readonly typeName: string;
  readonly ofport: number;
  readonly dpPort: number | undefined;
  readonly bundle: Bundle;
  /** Clock time. */
  readonly createdAt: number;
  /** Ethernet address of a port without a device. */
  readonly mac?: Uint8Array;
}

export class BridgePort implements PortModel {
  readonly bridge: BridgeModel;
  readonly name: string;
  readonly kind: PortKind;
  readonly typeName: string;
  readonly ofport: number;
  readonly dpPort: number | undefined;
  readonly bundle: Bundle;
  readonly createdAt: number;
  readonly patchStats: PatchStats | undefined;
  config: PortConfig = DEFAULT_CONFIG;
  patchPeer: PatchPeer | undefined;
  /** DSCP of what leaves through a queue, by the queue's number; in the bits of the IP header. */
  queueDscp: ReadonlyMap<number, number> = NO_QUEUES;
  /** What the device is set to, as far as it tells. */
  settings: () => ReadonlyMap<string, string> = () => NO_SETTINGS;
  /** Queues that the device has by itself. */
  queues: readonly number[] = [];
  /** Queues that were made for it; undefined: it cannot have any. */
  qos: PortQueues | undefined;
  /** Not all may come in (Interface.ingress_policing_rate and the like). */
  policed = false;
  /** The switch's tunnels, whose packets may be meant for this port's addresses. */
  tunnels: Tunnels<BridgePort> | undefined;
  /** Of a tunnel port: what it does with a packet, and its options as they are in force. */
  tunnel: TunnelModel | undefined;
  tunnelConfig: TunnelConfig | undefined;
  onlooker: Onlooker | undefined;
  /** BFD and CFM, if they are asked for. */
  sessions: PortSessions | undefined;
  /** It is to have them, but is not configured yet. */
  awaitsSessions = false;
  /** Of a pcap port: the files in use. */
  pcap: PcapPortOptions | undefined;
  /** `options:peer` of a patch port. */
  peerName: string | undefined;
  device: Device | undefined;
  /** Whether it is taken into use: a moment after its link came up. */
  enabled = false;
  /** Times that the link went down or up while attached. */
  linkResets = 0;
  private readonly patchMac: Uint8Array;

  constructor(spec: BridgePortSpec) {
    this.bridge = spec.bridge;
    this.name = spec.name;
    this.kind = spec.kind;
    this.typeName = spec.typeName;
    this.ofport = spec.ofport;
    this.dpPort = spec.dpPort;
    this.bundle = spec.bundle;
    this.createdAt = spec.createdAt;
    this.patchMac = spec.mac ?? new Uint8Array(6);
    this.patchStats = this.kind === "patch" || this.kind === "tunnel"
      ? { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 }
      : undefined;
  }

  /** There is no device: nothing but the switch knows of the port. */
  get isVirtual(): boolean {
    return this.kind !== "device" && this.kind !== "internal";
  }

  get isLocal(): boolean {
    return this.ofport === PORTS.LOCAL;
  }

  get mac(): Uint8Array {
    return this.isVirtual ? this.patchMac : this.device?.mac ?? this.patchMac;
  }

  get linkUp(): boolean {
    return this.isVirtual || this.device?.linkUp === true;
  }

  get adminUp(): boolean {
    return this.isVirtual || this.device?.adminUp === true;
  }

  takes(x: Xlate): number | undefined {
    return this.tunnels && terminates(x, this.tunnels, this, this.mac);
  }

  private get isUp(): boolean {
    return this.linkUp && !this.config.portDown;
  }

  get mayEnable(): boolean {
    const { lacp, awaitsLacp } = this.bundle;
    return this.isUp && (this.sessions?.isLive ?? !this.awaitsSessions) &&
      (lacp?.mayEnable(this) ?? !awaitsLacp);
  }

  /** Takes the device's new state in. Returns true if anything that OpenFlow shows changed. */
  setDevice(device: Device): boolean {
    const old = this.device;
    this.device = device;
    if (old && old.linkUp !== device.linkUp) this.linkResets++;
    const portDown = !device.adminUp;
    const configChanged = this.config.portDown !== portDown;
    if (configChanged) this.config = { ...this.config, portDown };
    return configChanged || old?.linkUp !== device.linkUp || !sameMac(old.mac, device.mac) ||
      old.linkSpeedBps !== device.linkSpeedBps || old.fullDuplex !== device.fullDuplex;
  }

  describe(): PortDescription {
    const speed = (this.device?.linkSpeedBps ?? 0) / 1000;
    const features = this.isVirtual ? 0 : featuresOf(this.device);
    const live = this.enabled && this.isUp;
    return {
      port: this.ofport,
      hwAddr: this.mac,
      name: this.name,
      config: configBits(this.config),
      state: (this.linkUp ? 0 : PORT_STATE.LINK_DOWN) | (live ? PORT_STATE.LIVE : 0),
      current: features,
      advertised: 0,
      supported: 0,
      peer: 0,
      currentSpeed: speed,
      maxSpeed: 0,
    };
  }
}

const CONFIG_BITS: readonly (readonly [keyof PortConfig, number])[] = [
  ["portDown", PORT_CONFIG.PORT_DOWN],
  ["noStp", PORT_CONFIG.NO_STP],
  ["noRecv", PORT_CONFIG.NO_RECV],
  ["noRecvStp", PORT_CONFIG.NO_RECV_STP],
  ["noFlood", PORT_CONFIG.NO_FLOOD],
  ["noFwd", PORT_CONFIG.NO_FWD],
  ["noPacketIn", PORT_CONFIG.NO_PACKET_IN],
];

export function configBits(config: PortConfig): number {
  let bits = 0;
  for (const [name, bit] of CONFIG_BITS) if (config[name]) bits |= bit;
  return bits;
}

/** `config` with the bits of `mask` taken from `bits` (OFPT_PORT_MOD). */
export function withConfigBits(
  config: PortConfig,
  bits: number,
  mask: number,
): { -readonly [K in keyof PortConfig]: PortConfig[K] } {
  const changed: Partial<Record<keyof PortConfig, boolean>> = {};
  for (const [name, bit] of CONFIG_BITS) if (mask & bit) changed[name] = (bits & bit) !== 0;
  return { ...config, ...changed };
}

const SPEEDS: readonly (readonly [bps: number, full: number, half: number])[] = [
  [10e6, PORT_FEATURES["10MB-FD"], PORT_FEATURES["10MB-HD"]],
  [100e6, PORT_FEATURES["100MB-FD"], PORT_FEATURES["100MB-HD"]],
  [1e9, PORT_FEATURES["1GB-FD"], PORT_FEATURES["1GB-HD"]],
  [10e9, PORT_FEATURES["10GB-FD"], 0],
  [40e9, PORT_FEATURES["40GB-FD"], 0],
  [100e9, PORT_FEATURES["100GB-FD"], 0],
  [1e12, PORT_FEATURES["1TB-FD"], 0],
];

function featuresOf(device: Device | undefined): number {
  if (device?.linkSpeedBps === undefined) return 0;
  const row = SPEEDS.find(([bps]) => bps === device.linkSpeedBps);
  const speed = row ? (device.fullDuplex === false ? row[2] : row[1]) : PORT_FEATURES.OTHER;
  return device.kind === undefined || device.kind === "veth" || device.kind === "tun"
    ? speed | PORT_FEATURES.COPPER
    : speed;
}

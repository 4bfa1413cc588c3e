/**
 * What the console shows of the running switch beside its flows: traffic of every port as it is
 * counted now, the host's devices, and the words that a flow is written in.
 *
 * All of it is read in place and cheap: counters are in memory that the datapath shares, devices in
 * the live view that rtnetlink keeps. Nothing here changes anything.
 */
import { type Capture, CaptureError, openCapture } from "../fastpath/capture.ts";
import type { Devices } from "../fastpath/devices.ts";
import { ACTION_WORDS } from "../openflow/text/actions-parse.ts";
import { MATCH_WORDS } from "../openflow/text/match.ts";
import { formatMac } from "../packet/address.ts";
import { FIELD_ROWS } from "../packet/fields.ts";
import { FIELDS } from "../packet/layout.ts";
import { RESERVED_PORTS } from "../packet/text.ts";
import type { Bridge } from "./bridge/bridge.ts";
import { lookOnAt } from "./bridge/onlookers.ts";
import type { PacketIn } from "./pipeline/model.ts";

/** Totals since the port was attached. */
export interface PortReading {
  readonly bridge: string;
  readonly name: string;
  readonly ofport: number;
  /** `device`, `internal`, `patch` …: how the interface is realised. */
  readonly kind: string;
  readonly linkUp: boolean;
  /** Bits per second; null where the device has no notion of speed. */
  readonly linkSpeedBps: number | null;
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Packets dropped or in error, both directions. */
  readonly drops: number;
}

/** One network interface of the host. */
export interface DeviceReading {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string | null;
  readonly mtu: number;
  readonly adminUp: boolean;
  readonly linkUp: boolean;
  readonly loopback: boolean;
  /** rtnetlink kind: `veth`, `bridge` …; null for hardware. */
  readonly kind: string | null;
  readonly driver: string | null;
  readonly linkSpeedBps: number | null;
  /** The bridge that has it as a port. */
  readonly bridge: string | null;
}

/** A match field, for completion and explanation. */
export interface FieldWord {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly bits: number;
  readonly format: string;
  readonly maskable: boolean;
  readonly writable: boolean;
  /** What the match must say too for the field to exist. */
  readonly needs: string | null;
}

export interface Vocabulary {
  readonly fields: readonly FieldWord[];
  /** Words that stand for several fields: `tcp`, `arp` … */
  readonly words: readonly string[];
  readonly actions: readonly string[];
  /** Names of ports that every bridge has: `LOCAL`, `NORMAL` … */
  readonly ports: readonly string[];
}

/** A packet that was sent to controllers. */
export interface PacketInView {
  readonly reason: string;
  readonly table: number;
  /** Hexadecimal, with 0x: of the flow that sent it; all ones: none did. */
  readonly cookie: string;
  readonly inPort: number;
  readonly inPortName: string | null;
  /** The frame, its first bytes. */
  readonly data: Uint8Array;
  readonly bytes: number;
}

const PACKET_IN_BYTES = 512;

export { type Capture, type CapturedPacket, CaptureError } from "../fastpath/capture.ts";

/** A bond as it is now. */
export interface BondReading {
  readonly bridge: string;
  readonly port: string;
  readonly mode: string;
  readonly lacp: "negotiated" | "configured" | "off";
  readonly members: readonly {
    readonly name: string;
    /** Packets go by it. */
    readonly enabled: boolean;
    /** The one where all goes by one. */
    readonly active: boolean;
  }[];
}

export interface Observe {
  bonds(): readonly BondReading[];
  ports(): readonly PortReading[];
  devices(): readonly DeviceReading[];
  vocabulary(): Vocabulary;
  /** Looks on at a port. Throws `CaptureError`. */
  capture(bridge: string, port: string, filter: string): Capture;
  /** Tells every packet-in of a running bridge, until the function returned is called. */
  onPacketIn(bridge: string, listener: (packetIn: PacketInView) => void): () => void;
}

export interface ObserveContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly devices: Devices;
}

export interface OpenObserve extends Observe {
  /** A bridge was made: those who watch one of its name watch it. */
  created(bridge: Bridge): void;
}

export function openObserve({ bridges, devices }: ObserveContext): OpenObserve {
  /** Bridge's name → who watches its packet-ins, whether it is there now or not. */
  const watchers = new Map<string, Set<(bridge: Bridge) => void>>();
  return {
    created(bridge) {
      for (const watch of watchers.get(bridge.name) ?? []) watch(bridge);
    },
    ports: () => [...bridges().values()].flatMap(readPorts),
    bonds: () => [...bridges().values()].flatMap(readBonds),
    devices: () => readDevices(bridges().values(), devices),
    vocabulary,
    capture(bridgeName, portName, filter) {
      const bridge = bridges().get(bridgeName);
      const port = bridge?.portByName(portName);
      if (bridge === undefined || port === undefined) {
        throw new CaptureError(`bridge ${bridgeName} has no port ${portName} that is up`);
      }
      if (port.isVirtual) return lookOnAt(bridge, port, filter);
      const device = devices.get(port.name);
      if (device === undefined || port.dpPort === undefined) {
        throw new CaptureError(
          `${portName} is no device of the host now, so nobody can look on at it`,
        );
      }
      const internal = port.kind === "internal";
      return openCapture({ ifindex: device.ifindex, internal, filter });
    },
    onPacketIn(bridgeName, tell) {
      let leave = (): void => {};
      const watch = (bridge: Bridge): void => {
        const { packetInListeners } = bridge.agents;
        const listener = (packetIn: PacketIn): void => tell(viewOf(bridge, packetIn));
        packetInListeners.add(listener);
        leave = () => void packetInListeners.delete(listener);
      };
      const present = bridges().get(bridgeName);
      if (present !== undefined) watch(present);
      const others = watchers.get(bridgeName) ?? new Set();
      watchers.set(bridgeName, others.add(watch));
      return () => {
        leave();
        others.delete(watch);
        if (others.size === 0 && watchers.get(bridgeName) === others) watchers.delete(bridgeName);
      };
    },
  };
}

function viewOf(bridge: Bridge, { reason, packet, key, tableId, cookie }: PacketIn): PacketInView {
  const inPort = key.get(FIELDS.in_port);
  return {
    reason,
    table: tableId,
    cookie: `0x${cookie.toString(16)}`,
    inPort,
    inPortName: bridge.ports.get(inPort)?.name ?? null,
    data: packet.data.slice(0, PACKET_IN_BYTES),
    bytes: packet.data.length,
  };
}

const readBonds = (bridge: Bridge): BondReading[] =>
  [...bridge.bundles].flatMap(({ name, bond }) => {
    if (bond === undefined) return [];
    const members = [...bond.members.values()].map((member) => ({
      name: member.port.name,
      enabled: member.enabled,
      active: bond.active === member,
    }));
    return [{
      bridge: bridge.name,
      port: name,
      mode: bond.settings.mode,
      lacp: bond.lacpStatus,
      members: members.sort((a, b) => (a.name < b.name ? -1 : 1)),
    }];
  });

function readPorts(bridge: Bridge): PortReading[] {
  return [...bridge.ports.values()].map((port) => {
    const counted = port.dpPort === undefined
      ? undefined
      : bridge.backend.datapath.portStats(port.dpPort);
    const traffic = port.patchStats ?? counted;
    return {
      bridge: bridge.name,
      name: port.name,
      ofport: port.ofport,
      kind: port.kind,
      linkUp: port.linkUp,
      linkSpeedBps: port.device?.linkSpeedBps ?? null,
      rxPackets: traffic?.rxPackets ?? 0,
      txPackets: traffic?.txPackets ?? 0,
      rxBytes: traffic?.rxBytes ?? 0,
      txBytes: traffic?.txBytes ?? 0,
      drops: counted === undefined
        ? 0
        : counted.rxDropped + counted.txDropped + counted.rxErrors + counted.txErrors,
    };
  });
}

function readDevices(bridges: Iterable<Bridge>, devices: Devices): DeviceReading[] {
  const bridgeOf = new Map<string, string>();
  for (const bridge of bridges) {
    for (const port of bridge.ports.values()) bridgeOf.set(port.name, bridge.name);
  }
  return [...devices.list()].map((device) => ({
    name: device.name,
    ifindex: device.ifindex,
    mac: device.mac.length === 6 ? formatMac(device.mac) : null,
    mtu: device.mtu,
    adminUp: device.adminUp,
    linkUp: device.linkUp,
    loopback: device.loopback,
    kind: device.kind ?? null,
    driver: device.driver ?? null,
    linkSpeedBps: device.linkSpeedBps ?? null,
    bridge: bridgeOf.get(device.name) ?? null,
  })).sort((a, b) => a.ifindex - b.ifindex);
}

function vocabulary(): Vocabulary {
  return {
    fields: FIELD_ROWS.map(([name, row]) => ({
      name,
      aliases: row.aliases ?? [],
      bits: row.bits,
      format: row.format,
      maskable: row.maskable ?? false,
      writable: row.writable ?? false,
      needs: row.prerequisite ?? null,
    })),
    words: MATCH_WORDS,
    actions: ACTION_WORDS,
    ports: [...RESERVED_PORTS.keys()],
  };
}

/**
 * Dummy network devices (Open vSwitch's netdev-dummy): they exist because a switch asks for them,
 * and what arrives at them is what `netdev-dummy/receive` says, or what another dummy sends over a
 * socket. Together with the dummy datapath they make a switch that needs no privilege at all.
 *
 *              create        change                         read            destroy
 *   netdev     make          make (again), set…             get, stats      remove
 *   packet     receive, or a connected dummy                transmitted     –
 *
 * - Options as in Open vSwitch: `ifindex`, `pcap` (both ways), `rxq_pcap`, `tx_pcap`, `stream`,
 *   `pstream` (netdev-connection.ts).
 * - Addresses are aa:55:aa:55:00:00 and up, in the order in which devices are made.
 * - A dummy counts packets and bytes, received and sent, and tells these again under other names.
 *   It has one queue.
 * - A frame longer than the MTU (and its Ethernet and VLAN header) is not sent.
 */
import {
  type Device,
  DeviceError,
  type DeviceMaker,
  DummyDevices,
  type MadeStats,
} from "../devices.ts";
import type { Packet } from "../datapath.ts";
import { type ConnectionState, NetdevConnection } from "./netdev-connection.ts";
import { PcapFile } from "../pcap-file.ts";

const PMD_SETTINGS = [
  "configured_rx_queues",
  "configured_tx_queues",
  "requested_rx_queues",
  "requested_tx_queues",
];
const MIN_MTU = 68;
const MAX_MTU = 65535;
const ETH_HEADER_BYTES = 14;
const VLAN_HEADER_BYTES = 4;
const ETH_TYPE_VLAN = 0x8100;
const FIRST_ADDRESS = 0xaa550000;

export interface NetdevStats {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

interface Netdev {
  readonly name: string;
  readonly stats: NetdevStats;
  readonly connection: NetdevConnection;
  readonly type: string;
  options: ReadonlyMap<string, string>;
  rxPcap: PcapFile | undefined;
  txPcap: PcapFile | undefined;
}

export interface DummyNetdevsOptions {
  /** Interface types that are dummies here. */
  readonly types: ReadonlySet<string>;
  /** What goes wrong with a capture file or a socket. */
  readonly warn: (message: string) => void;
}

export class DummyNetdevs extends DummyDevices implements DeviceMaker {
  readonly maker: DeviceMaker = this;
  readonly queues = [0];
  private readonly netdevs = new Map<string, Netdev>();
  private nextAddress = FIRST_ADDRESS;
  private deliver: (name: string, packet: Packet) => void = () => {};

  constructor(private readonly options: DummyNetdevsOptions) {
    super();
  }

  /** Takes what arrives at any of the devices. */
  onReceive(deliver: (name: string, packet: Packet) => void): void {
    this.deliver = deliver;
  }

  makes(type: string): boolean {
    return this.options.types.has(type);
  }

  make(name: string, options: ReadonlyMap<string, string>, type = "dummy"): Device {
    let netdev = this.netdevs.get(name);
    const isNew = netdev === undefined;
    if (!netdev) {
      netdev = {
        name,
        stats: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
        connection: new NetdevConnection({
          received: (frame) => this.receive(name, { data: frame }),
          warn: (text) => this.options.warn(`${name}: ${text}`),
        }),
        type,
        options: new Map(),
        rxPcap: undefined,
        txPcap: undefined,
      };
      this.netdevs.set(name, netdev);
    }
    if (isNew || !sameOptions(netdev.options, options)) this.configure(netdev, options);
    const ifindex = Number(options.get("ifindex") ?? 0) || 0;
    if (!isNew) {
      return this.get(name)?.ifindex === ifindex ? this.get(name)! : this.put(name, { ifindex });
    }
    const n = this.nextAddress++;
    const mac = Uint8Array.of(0xaa, 0x55, n >>> 24, n >>> 16, n >>> 8, n);
    return this.put(name, { ifindex, mac, minMtu: MIN_MTU, maxMtu: MAX_MTU });
  }

  override remove(name: string): void {
    const netdev = this.netdevs.get(name);
    if (netdev) {
      this.netdevs.delete(name);
      closeFiles(netdev);
      netdev.connection.close();
    }
    super.remove(name);
  }

  stats(name: string): MadeStats | undefined {
    const stats = this.netdevs.get(name)?.stats;
    if (!stats) return undefined;
    const { rxPackets, rxBytes, txPackets, txBytes } = stats;
    const custom = new Map([
      ["rx_custom_packets_1", rxPackets],
      ["rx_custom_packets_2", rxPackets],
      ["rx_q0_bytes", rxBytes],
      ["rx_q0_packets", rxPackets],
      ["tx_q0_bytes", txBytes],
      ["tx_q0_packets", txPackets],
    ]);
    return { ...stats, custom };
  }

  override setMtu(name: string, mtu: number): Promise<void> {
    if (mtu >= MIN_MTU && mtu <= MAX_MTU) return super.setMtu(name, mtu);
    return Promise.reject(new DeviceError("invalid", `${name}: Invalid argument`));
  }

  settings(name: string): ReadonlyMap<string, string> {
    const netdev = this.netdevs.get(name);
    const shown = new Map<string, string>();
    for (const key of ["ifindex", "pstream", "stream"]) {
      const value = netdev?.options.get(key);
      if (value !== undefined) shown.set(key, value);
    }
    // The kind that is polled tells of its queues, of which it has one.
    if (netdev?.type === "dummy-pmd") { for (const key of PMD_SETTINGS) shown.set(key, "1"); }
    return new Map([...shown].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  has(name: string): boolean {
    return this.netdevs.has(name);
  }

  names(): Iterable<string> {
    return this.netdevs.keys();
  }

  /** Undefined for a device that is connected to nothing, or is not there. */
  connectionState(name: string): ConnectionState | undefined {
    return this.netdevs.get(name)?.connection.state;
  }

  /** A frame arrives at the device. */
  receive(name: string, packet: Packet): void {
    const netdev = this.netdevs.get(name);
    if (!netdev) return;
    netdev.rxPcap?.write(packet.data);
    netdev.stats.rxPackets++;
    netdev.stats.rxBytes += packet.data.length;
    this.deliver(name, packet);
  }

  /** The switch has sent a frame out of the device. */
  transmitted(name: string, { data }: Packet): void {
    const netdev = this.netdevs.get(name);
    const device = this.get(name);
    if (!netdev || !device || data.length < ETH_HEADER_BYTES) return;
    const isTagged = ((data[12]! << 8) | data[13]!) === ETH_TYPE_VLAN;
    const longest = device.mtu + ETH_HEADER_BYTES + (isTagged ? VLAN_HEADER_BYTES : 0);
    if (data.length > longest) return;
    netdev.stats.txPackets++;
    netdev.stats.txBytes += data.length;
    netdev.connection.send(data);
    netdev.txPcap?.write(data);
  }

  override close(): void {
    for (const name of [...this.netdevs.keys()]) this.remove(name);
  }

  private configure(netdev: Netdev, options: ReadonlyMap<string, string>): void {
    netdev.options = new Map(options);
    netdev.connection.configure(options.get("stream"), options.get("pstream"));
    closeFiles(netdev);
    const both = options.get("pcap");
    netdev.rxPcap = this.openPcap(both ?? options.get("rxq_pcap"));
    netdev.txPcap = both === undefined ? this.openPcap(options.get("tx_pcap")) : netdev.rxPcap;
  }

  private openPcap(path: string | undefined): PcapFile | undefined {
    if (path === undefined) return undefined;
    try {
      return new PcapFile(path);
    } catch (error) {
      this.options.warn(`${path}: failed to open pcap file for writing (${String(error)})`);
      return undefined;
    }
  }
}

function closeFiles(netdev: Netdev): void {
  netdev.rxPcap?.close();
  netdev.txPcap?.close();
  netdev.rxPcap = netdev.txPcap = undefined;
}

function sameOptions(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

/**
 * The datapath port that a dummy datapath gives a device (ovs-vswitchd(8), `--enable-dummy`): the
 * first number in its name if that is free, and 100 more for a name that begins with "br"; else the
 * first free one from 1.
 */
export function dummyPortNumber(name: string, isTaken: (portNo: number) => boolean): number {
  const digits = /\d+/.exec(name)?.[0];
  if (digits !== undefined) {
    const wanted = (name.startsWith("br") ? 100 : 0) + Number(digits);
    if (wanted > 0 && wanted < 0xffff && !isTaken(wanted)) return wanted;
  }
  let portNo = 1;
  while (isTaken(portNo)) portNo++;
  return portNo;
}

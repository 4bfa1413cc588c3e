/** `Devices` over rtnetlink: see devices.ts for what it promises. */
import { close, ERRNO, SystemError } from "../linux/libc.ts";
import { Ethtool } from "../linux/ethtool.ts";
import {
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_UP,
  type Link,
  type LinkAttributes,
  openLinkEvents,
  RouteSocket,
  type RouteWatch,
  watchLinks,
} from "../linux/rtnetlink.ts";
import { HostShaper } from "./shaping.ts";
import type { Logger } from "../log/log.ts";
import {
  type Device,
  type DeviceCounters,
  DeviceError,
  type DeviceListener,
  DeviceListeners,
  type Devices,
} from "./devices.ts";

/** Opens the live view of the host's devices. It does not keep the process alive by itself. */
export async function openDevices(logger: Logger): Promise<Devices> {
  const devices = new HostDevices(logger);
  await devices.watch();
  return devices;
}

class HostDevices implements Devices {
  private readonly events = openLinkEvents();
  readonly shaper = new HostShaper();
  private readonly route = new RouteSocket();
  private readonly ethtool = new Ethtool();
  private readonly byName = new Map<string, Device>();
  private readonly nameOf = new Map<number, string>();
  private readonly listeners = new DeviceListeners();
  private linkWatch: RouteWatch | undefined;
  private closed = false;

  constructor(private readonly logger: Logger) {}

  /** Subscribes, then reads everything: a change in between is seen twice rather than never. */
  async watch(): Promise<void> {
    const watch = await watchLinks(
      this.events,
      (link, removed) => this.changed(link.ifindex, removed),
      (reason) => {
        if (this.closed) return;
        this.logger.warn(`link events: ${reason}; reading all links again`);
        void this.watch().catch((error: unknown) => {
          this.logger.err(`device changes are no longer seen: ${String(error)}`);
        });
      },
    );
    if (this.closed) return watch.close();
    this.linkWatch = watch;
    const present = new Set<number>();
    for (const link of this.route.links()) {
      present.add(link.ifindex);
      this.update(link);
    }
    for (const ifindex of [...this.nameOf.keys()]) {
      if (!present.has(ifindex)) this.forget(ifindex);
    }
  }

  get(name: string): Device | undefined {
    return this.byName.get(name);
  }

  list(): Iterable<Device> {
    return this.byName.values();
  }

  onChange(listener: DeviceListener): () => void {
    return this.listeners.add(listener);
  }

  counters(name: string): DeviceCounters | undefined {
    const stats = this.byName.has(name) ? this.route.link(name)?.stats64 : undefined;
    return stats && decodeCounters(stats);
  }

  setMtu(name: string, mtu: number): Promise<void> {
    return this.set(name, `cannot set the MTU of ${name} to ${mtu}`, { mtu });
  }

  setMac(name: string, mac: Uint8Array): Promise<void> {
    return this.set(name, `cannot set the Ethernet address of ${name}`, { address: mac });
  }

  setUp(name: string, up: boolean): Promise<void> {
    const what = `cannot switch ${name} ${up ? "on" : "off"}`;
    return this.set(name, what, {}, up ? IFF_UP : 0, IFF_UP);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.linkWatch?.close();
    close(this.events);
    this.route.close();
    this.ethtool.close();
    this.shaper.close();
  }

  // deno-lint-ignore require-await -- errors must reject, not throw
  private async set(
    name: string,
    what: string,
    attributes: LinkAttributes,
    flags = 0,
    change = 0,
  ): Promise<void> {
    const link = this.route.link(name);
    if (!link) throw new DeviceError("no-device", `${what}: there is no such device`);
    try {
      this.route.setLink(link.ifindex, attributes, flags, change);
      this.changed(link.ifindex, false);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new DeviceError(deviceErrorCode(error.errno), `${what}: ${error.message}`);
    }
  }

  /** Reads the link's state of now: an event tells of a state that may be past already. */
  private changed(ifindex: number, removed: boolean): void {
    if (this.closed) return;
    const link = removed ? undefined : this.route.link(ifindex);
    if (link) this.update(link);
    else this.forget(ifindex);
  }

  private update(link: Link): void {
    const { name } = link;
    if (name === undefined) return this.forget(link.ifindex);
    const oldName = this.nameOf.get(link.ifindex);
    if (oldName !== undefined && oldName !== name) this.forget(link.ifindex);
    const device = this.describe(name, link);
    const old = this.byName.get(name);
    if (old && sameDevice(old, device)) return;
    if (old && old.ifindex !== device.ifindex) this.forget(old.ifindex);
    this.byName.set(name, device);
    this.nameOf.set(link.ifindex, name);
    this.listeners.tell(name, device);
  }

  private forget(ifindex: number): void {
    const name = this.nameOf.get(ifindex);
    if (name === undefined) return;
    this.nameOf.delete(ifindex);
    if (this.byName.get(name)?.ifindex !== ifindex) return;
    this.byName.delete(name);
    this.listeners.tell(name, undefined);
  }

  private describe(name: string, link: Link): Device {
    const driver = this.ethtool.driver(name);
    const linkUp = (link.flags & IFF_LOWER_UP) !== 0;
    const speed = this.ethtool.link(name);
    const kind = link.linkInfo?.kind;
    return {
      name,
      ifindex: link.ifindex,
      mac: link.address?.slice() ?? new Uint8Array(0),
      mtu: link.mtu ?? 0,
      adminUp: (link.flags & IFF_UP) !== 0,
      linkUp,
      loopback: (link.flags & IFF_LOOPBACK) !== 0,
      ...(link.minMtu === undefined ? {} : { minMtu: link.minMtu }),
      ...(link.maxMtu === undefined ? {} : { maxMtu: link.maxMtu }),
      ...(kind === undefined ? {} : { kind }),
      ...(driver
        ? {
          driver: driver.driver,
          driverVersion: driver.version,
          firmwareVersion: driver.firmware,
        }
        : {}),
      ...(speed ? { linkSpeedBps: speed.speedMbps * 1e6, fullDuplex: speed.fullDuplex } : {}),
    };
  }
}

function deviceErrorCode(errno: number): DeviceError["code"] {
  switch (errno) {
    case ERRNO.ENODEV:
      return "no-device";
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return "permission";
    case ERRNO.EINVAL:
    case ERRNO.ERANGE:
    case ERRNO.EADDRNOTAVAIL:
      return "invalid";
    default:
      return "system";
  }
}

/** `struct rtnl_link_stats64`: numbers of 64 bits in host byte order; kernels add to its end. */
function decodeCounters(stats: Uint8Array): DeviceCounters | undefined {
  if (stats.length < 16 * 8) return undefined;
  const view = new DataView(stats.buffer, stats.byteOffset, stats.byteLength);
  const counter = (index: number): number => Number(view.getBigUint64(index * 8, true));
  return {
    rxMulticast: counter(8),
    collisions: counter(9),
    rxOverErrors: counter(11),
    rxCrcErrors: counter(12),
    rxFrameErrors: counter(13),
    rxMissedErrors: counter(15),
  };
}

function sameDevice(a: Device, b: Device): boolean {
  return a.ifindex === b.ifindex && a.mtu === b.mtu && a.adminUp === b.adminUp &&
    a.linkUp === b.linkUp && a.linkSpeedBps === b.linkSpeedBps && a.fullDuplex === b.fullDuplex &&
    a.kind === b.kind && a.driver === b.driver && a.minMtu === b.minMtu && a.maxMtu === b.maxMtu &&
    a.mac.length === b.mac.length && a.mac.every((byte, i) => byte === b.mac[i]);
}

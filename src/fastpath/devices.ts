/**
 * Devices: a live view of the host's network interfaces.
 *
 * The reconciler asks it whether a device exists and what state it is in, and is told of every
 * change at once: the kernel's link events arrive on the event loop within a millisecond or so.
 * Nothing polls.
 *
 *              create        change                     read        destroy
 *   device     (the host)    setMtu, setMac, setUp      get, list,  (the host)
 *                                                       counters
 *   listener   onChange      –                          –           the function it returned
 *
 * - Two implementations: `openDevices` (rtnetlink.ts next to it) and `DummyDevices` for tests.
 * - Records are immutable: a change makes a new one. A renamed device is reported as gone under its
 *   old name and as there under the new one.
 * - The view is that of the network namespace of the thread that opened it.
 * - After a `set…` resolves, `get` shows the new state.
 */
import type { DpPortStats } from "./datapath.ts";
import type { Shaper } from "./shaping.ts";

/** What the host says of one network interface. */
export interface Device {
  readonly name: string;
  readonly ifindex: number;
  /** Ethernet address, 6 bytes; shorter or empty for devices without one. */
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly minMtu?: number;
  readonly maxMtu?: number;
  /** IFF_UP: switched on by the administrator. */
  readonly adminUp: boolean;
  /** Carrier: switched on, and the layer below is up too. */
  readonly linkUp: boolean;
  readonly loopback: boolean;
  /** rtnetlink kind: "veth", "tun", "bridge" …; absent for hardware. */
  readonly kind?: string;
  /** Driver's name and version as ethtool tells them. */
  readonly driver?: string;
  readonly driverVersion?: string;
  readonly firmwareVersion?: string;
  /** Bits per second; absent when the device has no notion of speed or no link. */
  readonly linkSpeedBps?: number;
  readonly fullDuplex?: boolean;
}

/** What a device counts and a datapath port cannot know: `struct rtnl_link_stats64`. */
export interface DeviceCounters {
  readonly rxMulticast: number;
  readonly collisions: number;
  readonly rxOverErrors: number;
  readonly rxCrcErrors: number;
  readonly rxFrameErrors: number;
  readonly rxMissedErrors: number;
}

export type DeviceListener = (name: string, device: Device | undefined) => void;

export interface Devices {
  get(name: string): Device | undefined;
  list(): Iterable<Device>;
  /** Read from the kernel now; undefined when there is no such device, or it does not count. */
  counters(name: string): DeviceCounters | undefined;
  /** Calls `listener` for each device that appears, changes or goes (`undefined`). */
  onChange(listener: DeviceListener): () => void;
  /** All throw (reject with) a `DeviceError` that says what to do. */
  setMtu(name: string, mtu: number): Promise<void>;
  setMac(name: string, mac: Uint8Array): Promise<void>;
  setUp(name: string, up: boolean): Promise<void>;
  close(): void;
  /** Queues of the devices; absent where there are none. */
  readonly shaper?: Shaper;
  /** Where devices exist because a switch wants them: the dummy ones. */
  readonly maker?: DeviceMaker;
}

/** What a made device counts; `custom` has names of its own. */
export type MadeStats = Partial<DpPortStats> & { readonly custom: ReadonlyMap<string, number> };

/** Makes the devices that a switch asks for, and counts what passes them. */
export interface DeviceMaker {
  /** Whether an interface of that type (`Interface.type`, "system" for none) is made here. */
  makes(type: string): boolean;
  /** Makes the device, or gives it other options (`Interface.options`). */
  make(name: string, options: ReadonlyMap<string, string>, type: string): Device;
  remove(name: string): void;
  /** All that such a device counts; undefined when there is none of that name. */
  stats(name: string): MadeStats | undefined;
  /** Its settings, as `dpif/show` tells them; empty when it has none or there is none of that name. */
  settings(name: string): ReadonlyMap<string, string>;
  /** Queues that it has without anybody having made them. */
  readonly queues: readonly number[];
}

export class DeviceError extends Error {
  constructor(
    readonly code: "no-device" | "permission" | "invalid" | "system",
    message: string,
  ) {
    super(message);
    this.name = "DeviceError";
  }
}

/** The listeners' side, which both implementations share. */
export class DeviceListeners {
  private readonly listeners = new Set<DeviceListener>();

  add(listener: DeviceListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(name: string, device: Device | undefined): void {
    for (const listener of [...this.listeners]) listener(name, device);
  }
}

/** Devices that exist only here: tests say what appears and what goes. */
export class DummyDevices implements Devices {
  private readonly devices = new Map<string, Device>();
  private readonly listeners = new DeviceListeners();
  private lastIfindex = 0;

  get(name: string): Device | undefined {
    return this.devices.get(name);
  }

  list(): Iterable<Device> {
    return this.devices.values();
  }

  onChange(listener: DeviceListener): () => void {
    return this.listeners.add(listener);
  }

  counters(): undefined {
    return undefined;
  }

  /** Adds a device, or changes one: what is not given keeps its value. */
  put(name: string, change: Partial<Omit<Device, "name">> = {}): Device {
    const old = this.devices.get(name);
    const ifindex = old?.ifindex ?? ++this.lastIfindex;
    const device: Device = {
      mac: new Uint8Array([0xaa, 0x55, 0xaa, 0x55, ifindex >> 8, ifindex]),
      mtu: 1500,
      adminUp: true,
      linkUp: true,
      loopback: false,
      ...old,
      ...change,
      name,
      ifindex: change.ifindex ?? ifindex,
    };
    this.devices.set(name, device);
    this.listeners.tell(name, device);
    return device;
  }

  remove(name: string): void {
    if (this.devices.delete(name)) this.listeners.tell(name, undefined);
  }

  setMtu(name: string, mtu: number): Promise<void> {
    return this.change(name, { mtu });
  }

  setMac(name: string, mac: Uint8Array): Promise<void> {
    return this.change(name, { mac });
  }

  setUp(name: string, up: boolean): Promise<void> {
    return this.change(name, { adminUp: up, linkUp: up });
  }

  close(): void {}

  private change(name: string, change: Partial<Device>): Promise<void> {
    if (!this.devices.has(name)) {
      return Promise.reject(new DeviceError("no-device", `there is no device ${name}`));
    }
    this.put(name, change);
    return Promise.resolve();
  }
}

/**
 * Attaching one interface to its bridge and taking it off again: the steps that touch the datapath
 * and the host. Each either succeeds or throws `SetupError`, whose message is what the `error` column
 * shows; a failure leaves nothing half done.
 */
import { isDeepStrictEqual } from "node:util";
import { DatapathError, type DpPort, type DpPortSpec } from "../../fastpath/datapath.ts";
import type { Device, Devices } from "../../fastpath/devices.ts";
import { parseMac } from "../../packet/address.ts";
import { PORTS } from "../../openflow/version.ts";
import type { Clock } from "../clock.ts";
import { polices } from "../qos/policing.ts";
import { TunnelConfigError } from "../tunnels/config.ts";
import { isTunnelType } from "../tunnels/kinds.ts";
import type { Backend } from "./backend.ts";
import type { Bridge } from "./bridge.ts";
import { defaultMac } from "./identity.ts";
import { pcapOptions, PcapOptionsError } from "./pcap-options.ts";
import type { BridgePort, PortKind } from "./ports.ts";
import { tunnelConfigOf } from "./tunnel-ports.ts";
import { refusedType } from "./unsupported.ts";
import type { WantedInterface, WantedPort } from "./wanted.ts";

/** How long to wait for the kernel's word of an internal port's device. */
const DEVICE_WAIT_MS = 500;
const NO_OPTIONS: ReadonlyMap<string, string> = new Map();

export class SetupError extends Error {
  override readonly name = "SetupError";

  /** `byDatapath`: it was tried, and the datapath refused. */
  constructor(message: string, readonly byDatapath = false) {
    super(message);
  }
}

export interface AttachContext {
  readonly bridge: Bridge;
  readonly backend: Backend;
  readonly devices: Devices;
  readonly clock: Clock;
  /** Port number that the interface had before, to be had again. */
  readonly remembered: number | undefined;
  /** The port that it was until its number had to change: its datapath port stays as it is. */
  readonly former?: BridgePort | undefined;
  /** The datapath port, if it was asked for ahead (`openAhead`). */
  readonly opening?: Promise<DpPort> | undefined;
  /** Gets what is odd about the interface's options. */
  readonly say?: (text: string) => void;
}

/**
 * Asks for a device's datapath port before its turn: many are opened together in little more time
 * than one. Whoever gets a promise must give it to `attachInterface`. Undefined for what is no
 * matter of opening a device, or cannot be opened.
 */
export function openAhead(
  { backend, inUserspace }: Bridge,
  devices: Devices,
  iface: WantedInterface,
): Promise<DpPort> | undefined {
  const refused = refusedType(iface, devices);
  if (refused !== undefined || kindOf(iface, devices) !== "device") return undefined;
  if (devices.maker || !devices.get(iface.name)) return undefined;
  const opening = backend.datapath.addPort({
    name: iface.name,
    type: "device",
    ...deviceOptions(iface),
    ...((inUserspace || isPoliced(backend, iface)) && { userspace: true }),
  });
  // Whoever awaits it learns of the failure.
  opening.catch(() => {});
  return opening;
}

/** Notes whether the port is policed; true if another has to receive its packets because of it. */
export function changesReceiver(
  { backend }: Bridge,
  port: BridgePort,
  iface: WantedInterface,
): boolean {
  const policed = isPoliced(backend, iface);
  if (policed === port.policed) return false;
  if (backend.datapath.flowPlace) return true;
  port.policed = policed;
  return false;
}

/** Not all of its packets may come in: this process receives them, for the kernel would take all. */
function isPoliced({ datapath }: Backend, { row, type }: WantedInterface): boolean {
  return datapath.traffic !== undefined && type !== "patch" && !isTunnelType(type) && polices(row);
}

/**
 * `options:n_rxq`, 1 to 8, and `options:io=libpcap`, as a device gets them when it becomes a port. By
 * libpcap it is this process that receives.
 */
function deviceOptions({ row }: WantedInterface): Pick<DpPortSpec, "queues" | "io" | "userspace"> {
  const queues = row?.options.get("n_rxq");
  return {
    ...(queues !== undefined && /^[1-8]$/.test(queues) && { queues: Number(queues) }),
    ...(row?.options.get("io") === "libpcap" && { io: "libpcap", userspace: true }),
  };
}

/** What the interface is to be, or the reason why it cannot be set up at all. */
export function kindOf(iface: WantedInterface, devices: Devices): PortKind {
  const refused = refusedType(iface, devices);
  if (refused !== undefined) throw new SetupError(refused);
  if (iface.type === "internal") return "internal";
  if (isTunnelType(iface.type)) return "tunnel";
  if (iface.type === "pcap") return "pcap";
  return iface.type === "patch" ? "patch" : "device";
}

/** What people are told of its type, as Open vSwitch names it. */
function typeNameOf(iface: WantedInterface, kind: PortKind, devices: Devices): string {
  if (kind !== "internal") return iface.type || "system";
  return devices.maker ? "dummy-internal" : "internal";
}

/** `options:peer` of a patch port, checked as Open vSwitch checks it. */
export function peerOf(iface: WantedInterface): string {
  const options = iface.row?.options;
  const peer = options?.get("peer");
  if (!peer) throw new SetupError(`${iface.name}: patch type requires valid 'peer' argument`);
  if (options!.size > 1) {
    throw new SetupError(`${iface.name}: patch type takes only a 'peer' argument`);
  }
  if (peer === iface.name) throw new SetupError(`${iface.name}: patch peer must not be self`);
  return peer;
}

/** Are the files of a pcap port still those that are wanted? Throws `SetupError`. */
export function samePcap(
  { runDir }: Bridge,
  { name, pcap }: BridgePort,
  { row }: WantedInterface,
): boolean {
  try {
    const wanted = pcapOptions(name, row?.options ?? NO_OPTIONS, runDir);
    return isDeepStrictEqual(pcap, wanted);
  } catch (error) {
    throw error instanceof PcapOptionsError ? new SetupError(error.message) : error;
  }
}

/** A valid `ofport_request`, or undefined. */
export function requestedOfport(iface: WantedInterface): number | undefined {
  const request = iface.row?.ofport_request;
  return request !== undefined && request >= 1 && request < PORTS.MAX ? request : undefined;
}

export async function attachInterface(
  context: AttachContext,
  port: WantedPort,
  iface: WantedInterface,
): Promise<BridgePort> {
  const { bridge, backend, devices, clock, former } = context;
  const kind = kindOf(iface, devices);
  const typeName = typeNameOf(iface, kind, devices);
  if (former) {
    return bridge.attach({
      name: iface.name,
      kind,
      typeName,
      ...bundleOf(port, iface),
      dpPort: former.dpPort,
      ofport: numberFor(context, iface),
      device: former.device,
      policed: former.policed,
      peerName: former.peerName,
      mac: former.mac,
    });
  }
  if (kind === "patch") {
    const peerName = peerOf(iface);
    return bridge.attach({
      name: iface.name,
      kind,
      typeName,
      ...bundleOf(port, iface),
      dpPort: undefined,
      ofport: numberFor(context, iface),
      device: undefined,
      peerName,
      mac: defaultMac(iface.row?._uuid ?? bridge.name),
    });
  }
  if (kind === "tunnel") return attachTunnel(context, port, iface, typeName);
  if (kind === "pcap") return attachPcap(context, port, iface);
  const { opening } = context;
  devices.maker?.make(iface.name, iface.row?.options ?? NO_OPTIONS, iface.type);
  if (kind === "device" && !opening && !devices.get(iface.name)) throw noSuchDevice(iface.name);
  let portNo: number | undefined;
  try {
    const mac = kind === "internal" ? internalMac(context, iface) : undefined;
    const dpPort = await (opening ?? backend.datapath.addPort({
      name: iface.name,
      type: kind,
      ...(mac && { mac }),
      ...(kind === "device" && deviceOptions(iface)),
      ...((bridge.inUserspace || isPoliced(backend, iface)) && { userspace: true }),
    }));
    // The dummy datapath's internal ports have no device; a host's device is known already.
    portNo = dpPort.portNo;
    const device = kind === "internal" && backend.datapath.type !== "dummy"
      ? await waitForDevice(devices, clock, iface.name, dpPort.ifindex)
      : devices.get(iface.name);
    return bridge.attach({
      name: iface.name,
      kind,
      typeName,
      ...bundleOf(port, iface),
      dpPort: portNo,
      ofport: numberFor(context, iface),
      device,
      policed: isPoliced(backend, iface),
    });
  } catch (error) {
    if (portNo !== undefined) await backend.datapath.removePort(portNo);
    devices.maker?.remove(iface.name);
    if (!(error instanceof DatapathError)) throw error;
    // It went before the view of devices knew: when it is back, no time is to be lost.
    if (error.code === "no-device") throw noSuchDevice(iface.name);
    throw new SetupError(
      `could not add network device ${iface.name} to ofproto (${error.message})`,
      true,
    );
  }
}

async function attachPcap(
  context: AttachContext,
  port: WantedPort,
  iface: WantedInterface,
): Promise<BridgePort> {
  const { bridge, backend } = context;
  const { name } = iface;
  try {
    const pcap = pcapOptions(name, iface.row?.options ?? NO_OPTIONS, bridge.runDir);
    const { portNo } = await backend.datapath.addPort({
      name,
      type: "pcap",
      pcap,
      userspace: true,
    });
    const attached = bridge.attach({
      name,
      kind: "pcap",
      ...bundleOf(port, iface),
      dpPort: portNo,
      ofport: numberFor(context, iface),
      device: undefined,
      mac: defaultMac(iface.row?._uuid ?? bridge.name),
    });
    attached.pcap = pcap;
    return attached;
  } catch (error) {
    const expected = error instanceof PcapOptionsError || error instanceof DatapathError;
    if (!expected) throw error;
    throw new SetupError(error.message, error instanceof DatapathError);
  }
}

async function attachTunnel(
  context: AttachContext,
  port: WantedPort,
  iface: WantedInterface,
  typeName: string,
): Promise<BridgePort> {
  const { bridge, backend } = context;
  const { tunnelPorts } = backend;
  try {
    const config = tunnelConfigOf(iface, context.say);
    const dpPort = await tunnelPorts.open(config);
    try {
      tunnelPorts.check(iface.name, config, dpPort);
      const attached = bridge.attach({
        name: iface.name,
        kind: "tunnel",
        typeName,
        ...bundleOf(port, iface),
        dpPort,
        ofport: numberFor(context, iface),
        device: undefined,
        mac: defaultMac(iface.row?._uuid ?? bridge.name),
      });
      tunnelPorts.add(bridge, attached, config);
      return attached;
    } catch (error) {
      await tunnelPorts.release(config);
      throw error;
    }
  } catch (error) {
    if (error instanceof TunnelConfigError) throw new SetupError(error.message);
    throw error;
  }
}

/** Where the port belongs; LACP, BFD and CFM, if it is to speak them, must agree before it is used. */
function bundleOf(
  { name, row }: WantedPort,
  { row: iface }: WantedInterface,
): { bundle: string; awaitsLacp: boolean; awaitsSessions: boolean } {
  return {
    bundle: name,
    awaitsLacp: (row?.lacp ?? "off") !== "off",
    awaitsSessions: iface?.bfd.get("enable") === "true" || iface?.cfm_mpid !== undefined,
  };
}

function noSuchDevice(name: string): SetupError {
  return new SetupError(`could not open network device ${name} (No such device)`);
}

export async function detachPort(
  backend: Backend,
  devices: Devices,
  bridge: Bridge,
  port: BridgePort,
): Promise<void> {
  if (port.tunnelConfig) backend.tunnelPorts.remove(port);
  bridge.detach(port);
  if (port.tunnelConfig) return backend.tunnelPorts.release(port.tunnelConfig);
  if (port.dpPort === undefined) return;
  devices.maker?.remove(port.name);
  try {
    await backend.datapath.removePort(port.dpPort);
  } catch (error) {
    // The datapath may have lost it before we were told to take it off.
    if (!(error instanceof DatapathError && error.code === "no-such-port")) throw error;
  }
}

function internalMac({ bridge }: AttachContext, iface: WantedInterface): Uint8Array | undefined {
  if (iface.name === bridge.name) return bridge.mac;
  return iface.row?.mac === undefined ? undefined : parseMac(iface.row.mac);
}

function numberFor({ bridge, remembered }: AttachContext, iface: WantedInterface): number {
  if (iface.name === bridge.name) return PORTS.LOCAL;
  const ofport = bridge.ofports.allocate(requestedOfport(iface) ?? remembered);
  if (ofport === undefined) {
    throw new SetupError(`could not add ${iface.name} to ${bridge.name} (no port number is left)`);
  }
  return ofport;
}

/** The device's record, for which the kernel's message may still be on its way. */
function waitForDevice(
  devices: Devices,
  clock: Clock,
  name: string,
  ifindex: number,
): Promise<Device | undefined> {
  const now = devices.get(name);
  if (now?.ifindex === ifindex) return Promise.resolve(now);
  return new Promise((resolve) => {
    const done = (device: Device | undefined): void => {
      cancel();
      unlisten();
      resolve(device);
    };
    const cancel = clock.after(DEVICE_WAIT_MS, () => done(devices.get(name)));
    const unlisten = devices.onChange((changed, device) => {
      if (changed === name && device?.ifindex === ifindex) done(device);
    });
  });
}

/**
 * The last part of a round: everything of a bridge that is not "which ports does it have". Identity,
 * addresses, MTUs, VLANs, MAC table, table settings, controllers, fail mode, patches.
 */
import type { Replica } from "../../db/replica.ts";
import type { Devices } from "../../fastpath/devices.ts";
import type { Logger } from "../../log/log.ts";
import { parseMac } from "../../packet/address.ts";
import { protocolVersions } from "../control/versions.ts";
import { bondSettings, lacpMemberSettings, lacpSettings } from "../bonds/settings.ts";
import { bfdSettings } from "../liveness/bfd-settings.ts";
import { cfmSettings } from "../liveness/cfm-settings.ts";
import { floodSettings, snoopingSettings } from "../multicast/settings.ts";
import { readExportConfig } from "../export/config.ts";
import { policingOf } from "../qos/policing.ts";
import type { Bridge } from "./bridge.ts";
import { configureTables } from "./flow-tables.ts";
import {
  chooseDatapathId,
  chooseMac,
  formatDatapathId,
  isMulticast,
  isZeroMac,
  sameMac,
} from "./identity.ts";
import { configureMirrors } from "./mirrors.ts";
import { configureQueues } from "./queues.ts";
import { unsupportedBridge, unsupportedInterface } from "./unsupported.ts";
import { vlanConfig } from "./vlan.ts";
import type { WantedBridge, WantedInterface, WantedPort } from "./wanted.ts";

const DEFAULT_MTU = 1500;

export interface ConfigureContext {
  readonly replica: Replica;
  readonly devices: Devices;
  readonly log: Logger;
  /** `flow-restore-wait`: no controller is to be connected to yet. */
  readonly controllersWait: boolean;
  /** What is odd about an interface, for its `error` column. */
  readonly remark: (iface: string, text: string) => void;
  /** Logs a warning once. */
  readonly say: (text: string) => void;
}

export async function configureBridge(
  bridge: Bridge,
  want: WantedBridge,
  context: ConfigureContext,
): Promise<void> {
  const { say, log } = context;
  for (const problem of want.problems) say(`bridge ${bridge.name}: ${problem}`);
  for (const option of unsupportedBridge(want)) {
    say(`bridge ${bridge.name}: ${option} is not supported yet and has no effect`);
  }
  for (const problem of chooseIdentity(bridge, want)) log.info(`bridge ${bridge.name}: ${problem}`);
  if (bridge.toldDatapathId !== bridge.datapathId) {
    bridge.toldDatapathId = bridge.datapathId;
    log.info(`bridge ${bridge.name}: using datapath ID ${formatDatapathId(bridge.datapathId)}`);
  }
  for (const port of want.ports.values()) await configurePort(bridge, want, port, context);
  await adjustMtus(bridge, want, context);
  configureMirrors(bridge, want, context);
  configureTables(bridge, want, context);
  await bridge.exports.configure(readExportConfig(context.replica, want.row, say));
  bridge.snooping.configure(snoopingSettings(want.row, say));
  const otherConfig = want.row.other_config;
  const aging = Number(otherConfig.get("mac-aging-time") ?? 300);
  bridge.macs.setAging(Number.isFinite(aging) ? aging : 300);
  const size = Number(otherConfig.get("mac-table-size") ?? 8192);
  bridge.macs.setLimit(Number.isFinite(size) ? size : 8192);
  const { versions, problems } = protocolVersions(want.row.protocols);
  for (const problem of problems) say(`bridge ${bridge.name}: ${problem}`);
  const queue = Number(otherConfig.get("controller-queue-size"));
  bridge.services.configure({
    controllers: want.controllers,
    controllersWait: context.controllersWait,
    versions,
    failMode: want.row.fail_mode ?? "standalone",
    packetInQueue: queue >= 1 && queue <= 512 ? queue : undefined,
    managers: managersOf(context.replica),
    disableInBand: otherConfig.get("disable-in-band") === "true",
    inBandQueue: inBandQueue(otherConfig.get("in-band-queue")),
  });
  // After the fail mode, which empties the tables when a bridge is new.
  bridge.keptFlows.configure(otherConfig.get("persist-flows") === "true");
  log.dbg(`bridge ${bridge.name}: configured`);
}

/** Those that may be reached through a bridge. */
function managersOf(replica: Replica): string[] {
  return [...replica.rows("Manager").values()]
    .filter((row) => row.connection_mode !== "out-of-band")
    .map(({ target }) => target);
}

const inBandQueue = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;

/**
 * Also called before a new bridge gets its first port, so that LOCAL is made with an address. Returns
 * what was wrong with the configured ones, for the log.
 */
export function chooseIdentity(bridge: Bridge, want: WantedBridge): string[] {
  const otherConfig = want.row.other_config;
  const candidates: Uint8Array[] = [];
  for (const port of want.ports.values()) {
    const own = port.row?.mac === undefined ? undefined : parseMac(port.row.mac);
    // Of several interfaces the first by name stands for the port.
    const attached = bridge.portByName(port.interfaces[0]?.name ?? "");
    if (!attached || attached.isLocal) continue;
    const mac = own ?? attached.mac;
    if (mac.length === 6) candidates.push(mac);
  }
  const choice = chooseMac(want.row._uuid, otherConfig.get("hwaddr"), candidates);
  bridge.mac = Uint8Array.from(choice.mac);
  const id = chooseDatapathId(otherConfig.get("datapath-id"), choice.mac);
  bridge.datapathId = id.datapathId;
  return [choice.problem, id.problem].filter((problem) => problem !== undefined);
}

async function configurePort(
  bridge: Bridge,
  want: WantedBridge,
  port: WantedPort,
  context: ConfigureContext,
): Promise<void> {
  const { say, remark } = context;
  if (port.row) {
    const { config, problems } = vlanConfig(port.row);
    for (const problem of problems) say(problem);
    bridge.configureBundle(port.name, config, port.row.protected);
    const bundle = bridge.bundleByName(port.name);
    const { groups, reports } = floodSettings(port.row.other_config);
    if (bundle) bridge.snooping.configureBundle(bundle, groups, reports);
    configureQueues(bridge, port, context.replica, (iface, text) => {
      say(text);
      remark(iface, text);
    });
    configureBond(bridge, port, say);
  }
  for (const iface of port.interfaces) {
    const attached = bridge.portByName(iface.name);
    if (!attached) continue;
    if (attached.dpPort !== undefined && !attached.isVirtual) {
      bridge.backend.datapath.traffic?.setPolicing(attached.dpPort, policingOf(iface.row));
    }
    if (iface.row) {
      const missing = unsupportedInterface(iface.row, attached.policed);
      if (missing.length > 0) {
        const text = `${iface.name}: not supported yet and without effect: ${missing.join(", ")}`;
        say(text);
        remark(iface.name, text);
      }
    }
    if (iface.row) {
      attached.awaitsSessions = false;
      const bfd = bfdSettings(iface.name, iface.row.bfd, say);
      const cfm = cfmSettings(iface.row, say);
      if (bridge.liveness.configure(attached, bfd, cfm)) bridge.backend.changed();
    }
    if (attached.isLocal && iface.row?.mac !== undefined) {
      const text = `interface ${iface.name}: ignoring mac in Interface record ` +
        `(use other_config:hwaddr of the Bridge record to set the local port's mac)`;
      say(text);
      remark(iface.name, text);
    }
    if (attached.kind === "internal") {
      const mac = attached.isLocal ? bridge.mac : internalMac(bridge, want, port, iface, say);
      if (mac && attached.device && !sameMac(attached.device.mac, mac)) {
        await attempt(context, iface.name, async () => {
          await context.devices.setMac(iface.name, mac);
          const device = context.devices.get(iface.name);
          if (device) bridge.deviceChanged(attached, device);
        });
      }
    }
  }
}

/** What the row says of bonding and LACP. */
function configureBond(
  bridge: Bridge,
  { row, name, interfaces }: WantedPort,
  say: (text: string) => void,
): void {
  const bundle = bridge.bundleByName(name);
  if (!row || !bundle) return;
  const waited = bundle.awaitsLacp;
  bundle.awaitsLacp = false;
  const lacp = lacpSettings(row, interfaces.length, bridge.mac, say);
  const isBond = interfaces.length > 1;
  if (!isBond && !lacp && !bundle.bond && !bundle.lacp && !waited) return;
  const rows = new Map(interfaces.map((iface) => [iface.name, iface.row]));
  bridge.bonds.configure(bundle, bondSettings(row, isBond ? say : () => {}), lacp, (port) => {
    const config = rows.get(port.name)?.other_config ?? new Map();
    return lacpMemberSettings(port.name, port.ofport, config);
  });
}

/** The address that an internal port other than LOCAL is to have; undefined: what it has. */
function internalMac(
  bridge: Bridge,
  want: WantedBridge,
  port: WantedPort,
  iface: WantedInterface,
  say: (text: string) => void,
): Uint8Array | undefined {
  const text = iface.row?.mac;
  if (text === undefined) {
    return port.row?.fake_bridge ? fakeBridgeMac(bridge, want, port) : undefined;
  }
  const mac = parseMac(text);
  if (mac && !isMulticast(mac) && !isZeroMac(mac)) return mac;
  say(`interface ${iface.name}: cannot set MAC address to "${text}": not a unicast address`);
  return undefined;
}

/** A fake bridge's address: the lowest of the ports in its VLAN, as a real bridge would choose. */
function fakeBridgeMac(bridge: Bridge, want: WantedBridge, fake: WantedPort): Uint8Array {
  const candidates: Uint8Array[] = [];
  for (const port of want.ports.values()) {
    if (port === fake || port.row?.tag !== fake.row?.tag) continue;
    const attached = bridge.portByName(port.interfaces[0]?.name ?? "");
    if (attached && !attached.isLocal && attached.mac.length === 6) candidates.push(attached.mac);
  }
  return chooseMac(want.row._uuid, undefined, candidates).mac;
}

/**
 * `mtu_request` is tried as it is. Internal ports without one take the lowest MTU of the bridge's
 * other devices, so that what the host sends through them fits everywhere.
 */
async function adjustMtus(
  bridge: Bridge,
  want: WantedBridge,
  context: ConfigureContext,
): Promise<void> {
  const set = (name: string, mtu: number): Promise<void> => {
    const attached = bridge.portByName(name);
    if (!attached?.device || attached.device.mtu === mtu) return Promise.resolve();
    return attempt(context, name, async () => {
      await context.devices.setMtu(name, mtu);
      const device = context.devices.get(name);
      if (device) bridge.deviceChanged(attached, device);
    });
  };
  const automatic: string[] = [];
  for (const port of want.ports.values()) {
    for (const { row, name } of port.interfaces) {
      if (row?.mtu_request !== undefined) await set(name, row.mtu_request);
      else if (bridge.portByName(name)?.kind === "internal") automatic.push(name);
    }
  }
  let lowest: number | undefined;
  for (const port of bridge.ports.values()) {
    if (port.kind !== "device" || !port.device) continue;
    lowest = Math.min(lowest ?? Number.POSITIVE_INFINITY, port.device.mtu);
  }
  for (const name of automatic) {
    const highest = bridge.portByName(name)?.device?.maxMtu || Number.POSITIVE_INFINITY;
    await set(name, Math.min(lowest ?? DEFAULT_MTU, highest));
  }
}

async function attempt(
  { say, remark }: ConfigureContext,
  iface: string,
  run: () => Promise<void>,
): Promise<void> {
  try {
    await run();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    say(text);
    remark(iface, text);
  }
}

/** Joins the two ends of each patch: both must exist, be patches, and name each other. */
export function linkPatches(bridges: ReadonlyMap<string, Bridge>): void {
  const byName = new Map<string, { bridge: Bridge; port: ReturnType<Bridge["portByName"]> }>();
  for (const bridge of bridges.values()) {
    for (const port of bridge.ports.values()) {
      if (port.kind === "patch") byName.set(port.name, { bridge, port });
    }
  }
  for (const { bridge, port } of byName.values()) {
    if (!port) continue;
    const other = byName.get(port.peerName ?? "");
    const matches = other?.port?.peerName === port.name;
    const peer = matches && other.port ? { bridge: other.bridge, port: other.port } : undefined;
    if (port.patchPeer?.port === peer?.port) continue;
    port.patchPeer = peer;
    bridge.backend.changed();
  }
}

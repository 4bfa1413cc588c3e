/**
 * The reconciler: makes the machine match the database, and tells the database how it went.
 *
 * A *round* reads what is wanted (wanted.ts), takes off what is not, puts on what is missing,
 * configures everything, waits until it is in force, and writes the outcome back in one transaction
 * together with `cur_cfg` (outcome.ts): that is what `ovs-vsctl` waits for.
 *
 * - Rounds never overlap. Whatever changes during one makes exactly one more run after it.
 * - A round is idempotent: with nothing changed it does and writes nothing.
 * - An interface that cannot be set up gets `ofport=-1` and an `error`, and stops no other one.
 * - A transaction never touches a device, and nothing here acts on anything but the replica's rows and
 *   the view of the host's devices. A device that appears, goes or is replaced by another of its name
 *   starts a round by itself; other changes of devices only refresh status columns.
 * - Columns that only this program writes start no round, so its own writing does not.
 * - An interface gets its old port number back when that is free: from `ofport_request`, from the
 *   `ofport` column at start, from memory after its device was away.
 *
 * Order within a round (Open vSwitch `vswitchd/bridge.c`, bridge_reconfigure): removals first, since
 * what is added may need their names and numbers; then interfaces that ask for a number; then others.
 */
import { isDeepStrictEqual } from "node:util";
import type { Tls } from "../../db/tls/tls.ts";
import type { Replica } from "../../db/replica.ts";
import type { Devices } from "../../fastpath/devices.ts";
import type { Logger } from "../../log/log.ts";
import { PORTS } from "../../openflow/version.ts";
import type { Clock } from "../clock.ts";
import type { MessageLog } from "../control/message-log.ts";
import { TunnelConfigError } from "../tunnels/config.ts";
import {
  attachInterface,
  changesReceiver,
  detachPort,
  kindOf,
  openAhead,
  peerOf,
  requestedOfport,
  samePcap,
  SetupError,
} from "./attach.ts";
import type { Backend } from "./backend.ts";
import { Bridge, type ProtocolLogs } from "./bridge.ts";
import { isConfigChange } from "./config-change.ts";
import { chooseIdentity, configureBridge, linkPatches } from "./configure.ts";
import { type SystemFacts, writeOutcome } from "./outcome.ts";
import type { BridgePort } from "./ports.ts";
import { portsToRenumber } from "./renumber.ts";
import { StatisticsTimer } from "./statistics-timer.ts";
import { tunnelConfigOf } from "./tunnel-ports.ts";
import { interfacesOf, readWanted, type Wanted, type WantedBridge } from "./wanted.ts";

const RETRY_MS = 1000;
const CHANGED = "its options have changed";

export interface ReconcilerOptions {
  readonly replica: Replica;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of OpenFlow connections, and of what they ask for. */
  readonly connectionLog: Logger;
  readonly requestLog: Logger;
  readonly messageLog?: MessageLog | undefined;
  readonly protocolLogs: ProtocolLogs;
  readonly runDir: string;
  /** For controllers over TLS. */
  readonly tls?: Tls | undefined;
  readonly facts: SystemFacts;
  /** For `persist-flows`; undefined: no flows can outlive the process. */
  readonly stateDir?: string | undefined;
  /** Of each OpenFlow connection; as many as there can be unless set. */
  readonly packetBuffers?: number | undefined;
  /** Controllers' sockets may be in the run directory only; true unless set. */
  readonly selfConfined?: boolean | undefined;
  /** Opens the datapath on first use; rejects with an error that says what to do. */
  readonly backend: () => Promise<Backend>;
  /** A bridge has been made; its ports are not there yet. */
  readonly created?: (bridge: Bridge) => void;
}

export class Reconciler {
  private readonly bridges = new Map<string, Bridge>();
  private readonly failures = new Map<string, string>();
  private readonly remarks = new Map<string, string>();
  /** Port numbers of interfaces whose device is away: `BRIDGE/INTERFACE`. */
  private readonly remembered = new Map<string, number>();
  /** When the datapath last refused an interface, by its name: trying makes device events itself. */
  private readonly refusedAt = new Map<string, number>();
  /** Ports taken off only to come back under another number, within one round: `BRIDGE/INTERFACE`. */
  private readonly former = new Map<string, BridgePort>();
  private readonly said = new Set<string>();
  private wanted: Wanted = { root: undefined, bridges: new Map(), problems: [] };
  private wantedNames = new Set<string>();
  private running: Promise<void> | undefined;
  private roundPending = false;
  private configChanged = true;
  private statusPending = false;
  private statisticsPending = false;
  private closed = false;
  /** `flow-restore-wait` was true at start and has been since. */
  isRestoring = true;
  private readonly stops: (() => void)[] = [];
  private readonly statistics: StatisticsTimer;
  private cancelRetry: () => void = () => {};
  readonly counters = { rounds: 0, statusWrites: 0, failedWrites: 0 };

  constructor(private readonly options: ReconcilerOptions) {
    this.statistics = new StatisticsTimer(options.clock, () => {
      this.statisticsPending = true;
      this.requestStatus();
    });
  }

  start(): void {
    const { replica, devices } = this.options;
    this.stops.push(
      replica.onChange((changes) => {
        if (!changes.some(isConfigChange)) return;
        this.configChanged = true;
        this.requestRound();
      }),
      devices.onChange((name) => this.deviceChanged(name)),
    );
    this.requestRound();
    this.statistics.start();
  }

  get all(): ReadonlyMap<string, Bridge> {
    return this.bridges;
  }

  /** Resolves when no round is running or due. */
  async settled(): Promise<void> {
    while (this.running) await this.running;
  }

  requestRound(): void {
    this.roundPending = true;
    this.run();
  }

  /** Something that the status columns show may have changed. */
  requestStatus(): void {
    this.statusPending = true;
    this.run();
  }

  /** The datapath lost a port: its device vanished or failed. */
  portLost(port: BridgePort, reason: string): void {
    this.options.log.info(`${port.bridge.name}: the datapath lost port ${port.name}: ${reason}`);
    this.requestRound();
  }

  /** Takes everything down; the database is left as it is. */
  async close(): Promise<void> {
    this.closed = true;
    this.statistics.stop();
    this.cancelRetry();
    for (const stop of this.stops.splice(0)) stop();
    await this.settled();
    for (const bridge of [...this.bridges.values()]) await this.destroyBridge(bridge);
  }

  private run(): void {
    if (this.running || this.closed) return;
    this.running = this.work().finally(() => {
      this.running = undefined;
      if (this.roundPending || this.statusPending) this.run();
    });
  }

  private async work(): Promise<void> {
    // Whatever else happens in this turn of the event loop belongs to the same round.
    await Promise.resolve();
    while ((this.roundPending || this.statusPending) && !this.closed) {
      const isRound = this.roundPending;
      const statistics = this.statisticsPending;
      this.roundPending = this.statusPending = this.statisticsPending = false;
      if (isRound) this.cancelRetry();
      try {
        const curCfg = isRound ? await this.round() : undefined;
        if (this.closed) return;
        this.counters.statusWrites++;
        await writeOutcome(this.options.replica, this.wanted, this.source, {
          curCfg,
          statistics,
        });
      } catch (error) {
        this.counters.failedWrites++;
        if (this.closed) return;
        const text = error instanceof Error ? error.stack ?? error.message : String(error);
        this.options.log.warn(`could not finish a round, trying again in a second: ${text}`);
        this.retryLater();
        return;
      }
    }
  }

  private get source() {
    const { bridges, failures, remarks } = this;
    return { bridges, failures, remarks, facts: this.options.facts };
  }

  /** One round; returns the configuration number that is in force after it. */
  private async round(): Promise<number | undefined> {
    this.counters.rounds++;
    const wanted = readWanted(this.options.replica);
    this.wanted = wanted;
    const { configChanged } = this;
    this.configChanged = false;
    // What becomes true later does not count.
    this.isRestoring &&= wanted.root?.other_config.get("flow-restore-wait") === "true";
    for (const problem of wanted.problems) this.sayOnce(problem);
    this.wantedNames = new Set();
    for (const bridge of wanted.bridges.values()) {
      for (const port of bridge.ports.values()) {
        for (const iface of port.interfaces) this.wantedNames.add(iface.name);
      }
    }
    for (const bridge of [...this.bridges.values()]) {
      const want = wanted.bridges.get(bridge.name);
      if (!want || !bridge.fits(want.row.datapath_type)) {
        bridge.keptFlows.forget();
        await this.destroyBridge(bridge);
      } else await this.removePorts(bridge, want, configChanged);
    }
    for (const name of [...this.failures.keys()]) {
      if (this.wantedNames.has(name)) continue;
      this.failures.delete(name);
      this.refusedAt.delete(name);
    }
    this.remarks.clear();
    for (const want of wanted.bridges.values()) {
      const bridge = this.bridges.get(want.name) ?? await this.createBridge(want);
      if (bridge) await this.addPorts(bridge, want);
    }
    for (const [bridge, want] of this.pairs(wanted)) {
      await configureBridge(bridge, want, {
        ...this.options,
        controllersWait: this.isRestoring,
        remark: (iface, text) => this.remarks.set(iface, text),
        say: (text) => this.sayOnce(text),
      });
    }
    linkPatches(this.bridges);
    this.statistics.configure(wanted.root?.other_config.get("stats-update-interval"));
    for (const backend of new Set([...this.bridges.values()].map((b) => b.backend))) {
      backend.restoring = this.isRestoring;
      backend.setLimits(wanted.root?.other_config ?? new Map());
      backend.zoneTimeouts.configure(this.options.replica, wanted.root);
      await backend.settle();
    }
    return wanted.root?.next_cfg;
  }

  private *pairs(wanted: Wanted): Iterable<[Bridge, WantedBridge]> {
    for (const want of wanted.bridges.values()) {
      const bridge = this.bridges.get(want.name);
      if (bridge) yield [bridge, want];
    }
  }

  private async createBridge(want: WantedBridge): Promise<Bridge | undefined> {
    const { log, connectionLog, clock, devices, runDir } = this.options;
    const type = want.row.datapath_type;
    try {
      const backend = await this.options.backend();
      backend.restoring = this.isRestoring;
      if (!backend.accepts(type)) {
        const types = backend.types.join(", ");
        throw new Error(`there is no datapath type "${type}"; use one of ${types}`);
      }
      const bridge = new Bridge({
        name: want.name,
        backend,
        devices,
        clock,
        log: connectionLog,
        requestLog: this.options.requestLog,
        messages: this.options.messageLog,
        protocolLogs: this.options.protocolLogs,
        runDir,
        tls: this.options.tls,
        packetBuffers: this.options.packetBuffers,
        inUserspace: type === "netdev",
        stateDir: this.options.stateDir,
        selfConfined: this.options.selfConfined,
        forgetElsewhere: (vlan, mac) => {
          for (const other of this.bridges.values()) {
            if (other.name !== want.name) other.macs.forget(vlan, mac);
          }
        },
        statusChanged: () => this.requestStatus(),
      });
      this.bridges.set(want.name, bridge);
      this.options.created?.(bridge);
      chooseIdentity(bridge, want);
      const alias = type === "" || type === backend.datapath.type
        ? ""
        : ` (datapath_type=${type}: the ${backend.datapath.type} datapath serves it)`;
      log.dbg(`created bridge ${want.name} on datapath ${backend.datapath.type}${alias}`);
      return bridge;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      for (const port of want.ports.values()) {
        for (const { name } of port.interfaces) {
          this.fail(name, `failed to create bridge ${want.name}: ${text}`);
        }
      }
      return undefined;
    }
  }

  private async destroyBridge(bridge: Bridge): Promise<void> {
    for (const port of [...bridge.ports.values()]) await this.detach(bridge, port, "removed");
    bridge.close();
    this.bridges.delete(bridge.name);
    for (const key of [...this.remembered.keys()]) {
      if (key.startsWith(`${bridge.name}/`)) this.remembered.delete(key);
    }
    this.options.log.info(`destroyed bridge ${bridge.name}`);
  }

  /**
   * Takes off ports that are not wanted, have become something else, or must change their number;
   * the last only if `renumbers`, for numbers change when the configuration does.
   */
  private async removePorts(
    bridge: Bridge,
    want: WantedBridge,
    renumbers: boolean,
  ): Promise<void> {
    const off = new Map<BridgePort, string>();
    for (const port of bridge.ports.values()) {
      const why = this.reasonToDetach(bridge, port, want);
      if (why !== undefined) off.set(port, why);
    }
    const renumbered = renumbers ? portsToRenumber(bridge, want, off) : [];
    for (const [port, why] of off) await this.detach(bridge, port, why);
    for (const port of renumbered) {
      // It stays in the datapath: only its number changes, when the others are out of the way.
      bridge.detach(port);
      this.former.set(`${bridge.name}/${port.name}`, port);
    }
  }

  private reasonToDetach(
    bridge: Bridge,
    port: BridgePort,
    want: WantedBridge,
  ): string | undefined {
    const wantedPort = want.ports.get(port.bundle.name);
    const iface = wantedPort?.interfaces.find(({ name }) => name === port.name);
    if (!wantedPort || !iface) return "it is no longer configured";
    try {
      if (kindOf(iface, this.options.devices) !== port.kind) {
        return `its type is now "${iface.type}"`;
      }
      if (port.kind === "patch") {
        port.peerName = peerOf(iface);
        return undefined;
      }
      if (port.kind === "tunnel") {
        const same = isDeepStrictEqual(port.tunnelConfig, tunnelConfigOf(iface));
        return same ? undefined : CHANGED;
      }
      if (port.kind === "pcap") return samePcap(bridge, port, iface) ? undefined : CHANGED;
    } catch (error) {
      if (error instanceof SetupError || error instanceof TunnelConfigError) return error.message;
      throw error;
    }
    const { datapath } = bridge.backend;
    if (changesReceiver(bridge, port, iface)) return "who receives its packets changes";
    const dpPort = port.dpPort === undefined ? undefined : datapath.ports().get(port.dpPort);
    if (!dpPort) return "the datapath lost it";
    const { devices } = this.options;
    devices.maker?.make(port.name, iface.row?.options ?? new Map(), iface.type);
    const device = devices.get(port.name);
    // A number that is only an option says nothing of a made device's identity.
    if (devices.maker && device) bridge.deviceChanged(port, device);
    if (port.kind !== "device") return undefined;
    if (!device) return "its device is gone";
    const isOther = port.device && device.ifindex !== port.device.ifindex;
    return isOther ? "its device was replaced" : undefined;
  }

  private async detach(bridge: Bridge, port: BridgePort, why: string): Promise<void> {
    const { log } = this.options;
    // Only while it is wanted: what comes back under an old name later is another port.
    if (!port.isLocal && this.wantedNames.has(port.name)) {
      this.remembered.set(`${bridge.name}/${port.name}`, port.ofport);
    }
    try {
      await detachPort(bridge.backend, this.options.devices, bridge, port);
      log.info(
        `bridge ${bridge.name}: deleted interface ${port.name} on port ${port.ofport}: ${why}`,
      );
    } catch (error) {
      log.err(`bridge ${bridge.name}: could not take ${port.name} off cleanly: ${String(error)}`);
    }
  }

  private async addPorts(bridge: Bridge, want: WantedBridge): Promise<void> {
    const missing = [...interfacesOf(want)].filter(([{ name }]) => !bridge.portByName(name));
    const rank = ([iface]: (typeof missing)[number]): number =>
      iface.name === bridge.name ? 0 : requestedOfport(iface) !== undefined ? 1 : 2;
    // By name among equals, so that the numbers do not depend on the rows' UUIDs.
    missing.sort((a, b) => rank(a) - rank(b) || byName(a[0].name, b[0].name));
    const opening = new Map(
      missing.filter(([{ name }]) => !this.former.has(`${bridge.name}/${name}`)).map((
        [iface],
      ) => [iface, openAhead(bridge, this.options.devices, iface)]),
    );
    for (const [iface, port] of missing) {
      const key = `${bridge.name}/${iface.name}`;
      const former = this.former.get(key);
      this.former.delete(key);
      try {
        const attached = await attachInterface(
          {
            bridge,
            backend: bridge.backend,
            devices: this.options.devices,
            clock: this.options.clock,
            // Who is renumbered gets what it asked for, or any: its old number is someone else's.
            remembered: former
              ? undefined
              : this.remembered.get(key) ?? numberInDatabase(iface.row?.ofport),
            former,
            opening: opening.get(iface),
            say: (text) => this.sayOnce(text),
          },
          port,
          iface,
        );
        this.failures.delete(iface.name);
        this.refusedAt.delete(iface.name);
        this.remembered.delete(key);
        this.options.log.info(
          `bridge ${bridge.name}: added interface ${iface.name} on port ${attached.ofport}`,
        );
      } catch (error) {
        const isKnown = error instanceof SetupError;
        if (!isKnown || error.byDatapath) this.refusedAt.set(iface.name, this.options.clock.now());
        const text = error instanceof Error ? error.message : String(error);
        this.fail(iface.name, isKnown ? text : `could not set up ${iface.name} (${text})`);
      }
    }
  }

  private fail(iface: string, text: string): void {
    if (this.failures.get(iface) === text) return;
    this.failures.set(iface, text);
    this.options.log.warn(text);
  }

  private sayOnce(text: string): void {
    if (this.said.has(text)) return;
    this.said.add(text);
    this.options.log.warn(text);
  }

  private deviceChanged(name: string): void {
    if (!this.wantedNames.has(name)) return;
    const device = this.options.devices.get(name);
    for (const bridge of this.bridges.values()) {
      const port = bridge.portByName(name);
      if (!port) continue;
      const sameDevice = device && (!port.device || port.device.ifindex === device.ifindex);
      if (!sameDevice) return this.requestRound();
      const addressChanged = port.device && !equalBytes(port.device.mac, device.mac);
      const mtuChanged = port.device?.mtu !== device.mtu;
      bridge.deviceChanged(port, device);
      // A new address may be the bridge's new one, and a new MTU its internal ports'.
      if (addressChanged || mtuChanged) this.requestRound();
      else this.requestStatus();
      return;
    }
    const refusedAt = this.refusedAt.get(name);
    if (refusedAt === undefined) {
      if (device) this.requestRound();
    } else if (this.options.clock.now() - refusedAt >= RETRY_MS) this.requestRound();
    else this.retryLater();
  }

  private retryLater(): void {
    this.cancelRetry();
    this.cancelRetry = this.options.clock.after(RETRY_MS, () => this.requestRound());
  }
}

function numberInDatabase(ofport: number | undefined): number | undefined {
  return ofport !== undefined && ofport >= 1 && ofport < PORTS.MAX ? ofport : undefined;
}

const collator = new Intl.Collator("en", { numeric: true });
const byName = (a: string, b: string): number => collator.compare(a, b) || (a < b ? -1 : 1);

const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

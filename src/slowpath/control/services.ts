/**
 * The OpenFlow services of one bridge: RUNDIR/BRIDGE.mgmt, RUNDIR/BRIDGE.snoop, and a service for
 * each Controller row. Compares what is wanted with what is there, and reports back by row.
 *
 * Two rows with one target share one service. A row whose target cannot be used (unknown kind, a port
 * that is taken, no key for TLS) is logged once and shows its reason in `status:last_error`; what
 * another program or a file may mend is tried again.
 */
import { isAbsolute, join, relative } from "node:path";
import type { Row } from "../../db/replica.ts";
import type { Tls } from "../../db/tls/tls.ts";
import type { Devices } from "../../fastpath/devices.ts";
import type { HostNetwork } from "../../fastpath/host-network.ts";
import type { Logger } from "../../log/log.ts";
import { PORTS } from "../../openflow/version.ts";
import { mapIpv4 } from "../../packet/prefix.ts";
import type { Clock } from "../clock.ts";
import type { Agents, ControllerState } from "./agents.ts";
import { type ControllerHealth, type FailMode, FailModeKeeper } from "./fail-mode.ts";
import type { MessageLog } from "./message-log.ts";
import { InBand, type Remote, remoteOf } from "./in-band.ts";
import { LocalAddress } from "./local-address.ts";
import { nextHop } from "./next-hop.ts";
import { Service, type ServiceContext, type ServiceSettings } from "./service.ts";
import { Snoop } from "./snoop.ts";
import type { Switch } from "./switch.ts";
import { systemText } from "./streams.ts";
import { isPassive, parseTarget, type Target, type TargetResult } from "./targets.ts";

const RETRY_MS = 2500;
const DEFAULT_PROBE_MS = 5000;
const MANAGEMENT_PROBE_MS = 60_000;
const DEFAULT_MAX_BACKOFF_MS = 8000;
const DEFAULT_PACKET_IN_QUEUE = 100;
const MANAGER_PORT = 6640;
const LOOPBACK = 0x7f000001;

export interface ControllerStatus {
  readonly connected: boolean;
  readonly role: "other" | "master" | "slave" | undefined;
  readonly status: ReadonlyMap<string, string>;
}

export interface ServicesOptions {
  readonly bridge: Switch;
  readonly agents: Agents;
  /** By which controllers are reached, if that is through the bridge itself. */
  readonly network: HostNetwork;
  readonly devices: Pick<Devices, "get" | "setUp">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where it is told what connections ask for. */
  readonly requestLog: Logger;
  readonly runDir: string;
  /** Controllers' sockets may be there only. */
  readonly selfConfined: boolean;
  /** Where OpenFlow messages are told in words. */
  readonly messages?: MessageLog | undefined;
  /** For controllers over TLS. */
  readonly tls?: Tls | undefined;
  /** `isInBand` has. */
  readonly inBandChanged: () => void;
  /** The status of a controller may have changed. */
  readonly changed: () => void;
}

export interface ServicesConfig {
  readonly controllers: readonly Row<"Controller">[];
  /** They are configured, but not to be connected to yet (`flow-restore-wait`). */
  readonly controllersWait?: boolean;
  /** Bitmap of wire versions. */
  readonly versions: number;
  readonly failMode: FailMode;
  /** `Bridge.other_config:controller-queue-size`. */
  readonly packetInQueue: number | undefined;
  /** `Bridge.other_config:disable-in-band`. */
  readonly disableInBand?: boolean;
  /** Targets of managers that are not out-of-band. */
  readonly managers?: readonly string[];
  /** `Bridge.other_config:in-band-queue`. */
  readonly inBandQueue?: number | undefined;
}

const ROLES = { equal: "other", primary: "master", secondary: "slave" } as const;

export class Services {
  readonly failMode: FailModeKeeper;
  private readonly inBand: InBand;
  private readonly localAddress: LocalAddress;
  private readonly services = new Map<string, Service>();
  /** Why the target of a row is not served, by target. */
  private readonly errors = new Map<string, string>();
  private snoop: Snoop | undefined;
  private cancelRetry: () => void = () => {};
  private controllers: readonly Row<"Controller">[] = [];
  private waits = false;

  constructor(private readonly options: ServicesOptions) {
    const { bridge, clock, log, agents, network } = options;
    this.inBand = new InBand(bridge.tables, clock, (address) => nextHopMac(network, address));
    this.localAddress = new LocalAddress(bridge.name, network, options.devices, log);
    agents.controllers = () => this.controllerStates();
    this.failMode = new FailModeKeeper({
      bridge: bridge.name,
      tables: bridge.tables,
      clock,
      log,
      health: () => this.health(),
      packetIn: (packetIn) => agents.packetIn(packetIn),
    });
  }

  configure(config: ServicesConfig): void {
    this.cancelRetry();
    const wanted = new Map<string, { target: Target; settings: ServiceSettings }>();
    this.controllers = config.controllers;
    this.waits = config.controllersWait === true;
    wanted.set(`punix:${this.socketPath("mgmt")}`, {
      target: { kind: "punix", path: this.socketPath("mgmt") },
      settings: {
        kind: "service",
        versions: config.versions,
        probeMs: MANAGEMENT_PROBE_MS,
        maxBackoffMs: DEFAULT_MAX_BACKOFF_MS,
        enableAsync: true,
        packetInQueue: config.packetInQueue ?? DEFAULT_PACKET_IN_QUEUE,
      },
    });
    const refused = new Set<string>();
    for (const row of this.waits ? [] : config.controllers) {
      const parsed = this.confine(parseTarget(row.target, this.options.runDir), row.target);
      const settings = settingsOf(row, config, parsed.ok ? parsed.target : undefined);
      if (parsed.ok) wanted.set(row.target, { target: parsed.target, settings });
      else {
        refused.add(row.target);
        this.fail(row.target, parsed.error);
      }
    }
    for (const target of [...this.errors.keys()]) {
      if (!refused.has(target) && !wanted.has(target)) this.errors.delete(target);
    }
    this.apply(wanted);
    this.snoop ??= this.openSnoop();
    this.failMode.configure(config.failMode);
    this.localAddress.configure(config.controllers);
    this.configureInBand(config);
  }

  /** Is the bridge itself a way to some controller? */
  get isInBand(): boolean {
    return this.inBand.isOn;
  }

  private configureInBand(config: ServicesConfig): void {
    const { bridge, runDir } = this.options;
    const inBand = config.controllers.filter((row) => row.connection_mode !== "out-of-band");
    const targets = inBand.map(({ target }) => parseTarget(target, runDir));
    const managers = (config.managers ?? []).map((target) =>
      parseTarget(target, runDir, MANAGER_PORT)
    );
    const remotes = [
      ...remotesOf(targets),
      ...remotesOf(managers).filter(({ address }) => address !== LOOPBACK),
    ];
    const mac = bridge.ports.get(PORTS.LOCAL)?.mac ?? new Uint8Array(6);
    const before = this.isInBand;
    this.inBand.configure(
      { remotes: config.disableInBand ? [] : remotes, queue: config.inBandQueue },
      mac,
    );
    if (before !== this.isInBand) this.options.inBandChanged();
  }

  /**
   * Whoever may write to the database, perhaps from another machine, is not to reach any socket of
   * this one, and to replace no file but those that belong to the bridge.
   */
  private confine(parsed: TargetResult, text: string): TargetResult {
    const { runDir, selfConfined, bridge } = this.options;
    if (!selfConfined || !parsed.ok) return parsed;
    const { target } = parsed;
    if (target.kind !== "unix" && target.kind !== "punix") return parsed;
    const path = relative(runDir, target.path);
    const outside = path.startsWith("..") || isAbsolute(path);
    if (target.kind === "unix") {
      if (!outside) return parsed;
      return {
        ok: false,
        error: `"${text}": Not connecting to socket controller outside ${runDir}`,
      };
    }
    const own = `${bridge.name}.`;
    if (!outside && path.startsWith(own) && !path.includes("/")) return parsed;
    return {
      ok: false,
      error: `"${text}": Not adding Unix domain socket controller but as ${join(runDir, own)}*`,
    };
  }

  status(target: string): ControllerStatus {
    const service = this.services.get(target);
    if (!service) {
      const error = this.errors.get(target);
      const status = new Map(error === undefined ? [] : [["last_error", error]]);
      return { connected: false, role: undefined, status };
    }
    const { connected, role, pairs } = service.status();
    return { connected, role: role && ROLES[role], status: pairs };
  }

  /** Every configured controller with whether it is connected. */
  overview(): { target: string; connected: boolean }[] {
    return this.controllers.map(({ target }) => ({
      target,
      connected: this.status(target).connected,
    }));
  }

  private controllerStates(): ControllerState[] {
    return this.controllers.map(({ target }) => ({
      target,
      connected: this.status(target).connected,
      agent: this.services.get(target)?.connected,
    }));
  }

  /** Drops and makes again the connections to all controllers (`bridge/reconnect`). */
  reconnect(): void {
    for (const service of this.services.values()) service.reconnect();
  }

  close(): void {
    this.cancelRetry();
    this.failMode.close();
    this.inBand.close();
    for (const service of this.services.values()) service.close();
    this.services.clear();
    this.snoop?.close();
    this.snoop = undefined;
  }

  private apply(wanted: ReadonlyMap<string, { target: Target; settings: ServiceSettings }>): void {
    const { bridge, log, clock } = this.options;
    let failed = false;
    for (const [name, service] of [...this.services]) {
      const config = wanted.get(name);
      if (config && service.reconfigure(config.settings)) continue;
      const why = config ? "its settings changed" : "it is no longer configured";
      log.info(`${bridge.name}: closing ${service.settings.kind} controller "${name}": ${why}`);
      service.close();
      this.services.delete(name);
    }
    for (const [name, { target, settings }] of wanted) {
      if (this.services.has(name)) continue;
      try {
        this.services.set(name, new Service(name, target, settings, this.context()));
        this.errors.delete(name);
        log.info(`${bridge.name}: added ${settings.kind} controller "${name}"`);
      } catch (error) {
        this.fail(name, `${name}: cannot listen: ${systemText(error)}`);
        failed = true;
      }
    }
    if (failed) this.cancelRetry = clock.after(RETRY_MS, () => this.apply(wanted));
  }

  private context(): ServiceContext {
    const { bridge, agents, clock, log, requestLog, messages, tls, changed } = this.options;
    return {
      bridge,
      agents,
      clock,
      log,
      requestLog,
      messages,
      tls,
      changed: () => {
        this.failMode.check();
        changed();
      },
      snoop: (agent, bytes) => this.snoop?.copy(agent, bytes),
    };
  }

  private health(): ControllerHealth {
    const primary = [...this.services.values()].filter((s) =>
      s.settings.kind === "primary" && !isPassive(s.target)
    );
    const configured = [...this.services.values()].some((s) => s.settings.kind === "primary");
    return {
      // While they wait, they are as good as out of reach.
      hasControllers: configured || (this.waits && this.controllers.length > 0),
      failureMs: primary.length === 0 ? 0 : Math.min(...primary.map((s) => s.failureMs)),
      maxProbeMs: Math.max(0, ...primary.map((s) => s.settings.probeMs)),
      anyConnected: primary.some((s) => s.isConnected),
    };
  }

  private openSnoop(): Snoop | undefined {
    const { agents, clock, log } = this.options;
    try {
      return new Snoop(this.socketPath("snoop"), agents, clock, log);
    } catch (error) {
      log.err(`cannot listen on ${this.socketPath("snoop")}: ${systemText(error)}`);
      return undefined;
    }
  }

  private socketPath(suffix: string): string {
    return join(this.options.runDir, `${this.options.bridge.name}.${suffix}`);
  }

  private fail(target: string, error: string): void {
    if (this.errors.get(target) === error) return;
    this.errors.set(target, error);
    this.options.log.err(`${this.options.bridge.name}: controller ${error}`);
  }
}

function remotesOf(targets: readonly TargetResult[]): Remote[] {
  return targets.flatMap((parsed) => (parsed.ok ? remoteOf(parsed.target) : undefined) ?? []);
}

function nextHopMac(network: HostNetwork, address: number): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, address);
  const hop = nextHop(network, mapIpv4(bytes));
  return hop && network.neighbour(hop.device, hop.address);
}

function settingsOf(
  row: Row<"Controller">,
  config: ServicesConfig,
  target: Target | undefined,
): ServiceSettings {
  const probe = row.inactivity_probe;
  return {
    kind: row.type ?? (target && isPassive(target) ? "service" : "primary"),
    versions: config.versions,
    // Whole seconds, at least one, 0 for never: as Open vSwitch takes them.
    probeMs: probe === undefined
      ? DEFAULT_PROBE_MS
      : probe <= 0
      ? 0
      : Math.max(1000, Math.floor(probe / 1000) * 1000),
    maxBackoffMs: Math.floor((row.max_backoff ?? DEFAULT_MAX_BACKOFF_MS) / 1000) * 1000,
    enableAsync: row.enable_async_messages ?? true,
    packetInQueue: row.controller_queue_size ?? config.packetInQueue ?? DEFAULT_PACKET_IN_QUEUE,
    ...(row.controller_rate_limit !== undefined && {
      rateLimit: { rate: row.controller_rate_limit, burst: row.controller_burst_limit },
    }),
  };
}

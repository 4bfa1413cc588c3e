/**
 * The switch daemon's slow path put together: an OVSDB replica above, a datapath below.
 *
 *     replica ──> Reconciler ──> Bridge ──> Services ──> Connection + Agent   (one a bridge; OpenFlow)
 *                     │             │
 *                     v             v
 *                  Devices       Backend ──> FlowCache ──> Datapath           (one for all bridges)
 *
 * - `bridge/` makes the machine match the database, `control/` speaks OpenFlow, `pipeline/` and
 *   `cache/` decide what happens to packets, `unixctl.ts` answers `ovs-appctl` (the composition root
 *   makes that server, and adds the commands that are about the process).
 * - Everything runs on the caller's event loop, and nothing in it blocks.
 * - There is one datapath, opened when the first bridge needs it. `Bridge.datapath_type` "", "system"
 *   and "netdev" all mean it; "dummy" does where the datapath is the dummy one.
 * - Nothing is read of argv, environment or files but /etc/os-release.
 *
 * The database shows Open vSwitch's version 3.1.0 as `ovs_version`: that is what this switch is
 * compatible with, and what scripts and controllers compare with.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Replica } from "../db/replica.ts";
import type { Tls } from "../db/tls/tls.ts";
import type { Datapath } from "../fastpath/datapath.ts";
import { coverageOf } from "../fastpath/engine/coverage.ts";
import type { Devices } from "../fastpath/devices.ts";
import type { HostNetwork } from "../fastpath/host-network.ts";
import type { Loggers } from "../log/log.ts";
import { Backend, datapathTypes } from "./bridge/backend.ts";
import type { Bridge } from "./bridge/bridge.ts";
import { COMPATIBLE_VERSION } from "./bridge/description.ts";
import { INTERFACE_TYPES } from "./bridge/outcome.ts";
import { TUNNEL_TYPES } from "./tunnels/kinds.ts";
import { formatDatapathId } from "./bridge/identity.ts";
import { Reconciler } from "./bridge/reconciler.ts";
import { tablesRestored } from "./bridge/restoring.ts";
import type { Clock } from "./clock.ts";
import { registerCommands } from "./control/appctl.ts";
import { type Observe, openObserve } from "./observe.ts";
import { MessageLog } from "./control/message-log.ts";
import { openOperate, type Operate } from "./operate.ts";
import type { UnixctlServer } from "./unixctl.ts";

export interface VswitchOptions {
  /** The Open_vSwitch database: every table that a switch reads, its status columns writable. */
  readonly replica: Replica;
  /** Opens the one datapath; called when the first bridge needs it, closed by `close()`. */
  readonly openDatapath: () => Promise<Datapath>;
  readonly devices: Devices;
  /** The host's addresses and routes, for tunnels; none unless given. */
  readonly network?: HostNetwork;
  readonly clock: Clock;
  readonly log: Loggers;
  /** Where BRIDGE.mgmt and BRIDGE.snoop are made; it must exist. */
  readonly runDir: string;
  /** Gets the commands that are about the switch; whoever made it closes it. */
  readonly unixctl?: UnixctlServer;
  /** A directory for flows that outlive the process (`persist-flows`); without it none can. */
  readonly stateDir?: string;
  /** For controllers over TLS. */
  readonly tls?: Tls;
  /** Controllers' sockets may be in the run directory only; true unless set. */
  readonly selfConfined?: boolean;
  /** After so long without a packet a datapath flow goes; 1500 unless given. */
  readonly maxIdleMs?: number;
  /** Packets that an OpenFlow connection may have waiting in buffers; 256 unless given. */
  readonly packetBuffers?: number;
  /** What `Bridge.datapath_type` may be; unless given, what the datapath stands for. */
  readonly datapathTypes?: readonly string[];
  /** Interface types to show in the database; unless given, those of the host. */
  readonly interfaceTypes?: readonly string[];
  /** Whether the switch writes versions and the system's name into the database itself. */
  readonly writesVersions?: boolean;
  /** The clock of the datapath's statistics, where it is not CLOCK_MONOTONIC (tests). */
  readonly datapathNow?: () => number;
}

export interface PortView {
  readonly name: string;
  readonly type: string;
  readonly ofport: number;
  readonly dpPort: number | undefined;
  readonly linkUp: boolean;
}

export interface BridgeView {
  readonly name: string;
  readonly datapathId: string;
  readonly failMode: "standalone" | "secure";
  readonly ports: readonly PortView[];
  readonly flows: number;
  readonly controllers: readonly { readonly target: string; readonly connected: boolean }[];
}

export interface VswitchStatus {
  readonly datapathType: string;
  readonly bridges: number;
  readonly ports: number;
  /** Datapath, cache and connection counters by name. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface Vswitch {
  bridges(): readonly BridgeView[];
  status(): VswitchStatus;
  /** Flows, MAC tables, connections: for the HTTP API. */
  readonly operate: Operate;
  /** Traffic of ports, the host's devices: for the console. */
  readonly observe: Observe;
  /** Resolves when everything that the database held when it was called is in force. */
  settled(): Promise<void>;
  /**
   * Closes connections, detaches ports, removes sockets. The database is left as it is. With
   * `forwardOn`, what the kernel forwards without this process goes on, if anything does.
   */
  close(forwardOn?: boolean): Promise<void>;
}

const DB_VERSION = "8.3.1";

/** Resolves once everything that the database holds is in force. */
export async function startVswitch(options: VswitchOptions): Promise<Vswitch> {
  const vswitch = new SlowPath(options);
  try {
    await vswitch.start();
  } catch (error) {
    await vswitch.close();
    throw error;
  }
  return vswitch;
}

class SlowPath implements Vswitch {
  readonly operate: Operate;
  readonly observe: Observe;
  private readonly reconciler: Reconciler;
  private readonly closing = new AbortController();
  private backend: Backend | undefined;
  private opening: Promise<Backend> | undefined;

  constructor(private readonly options: VswitchOptions) {
    const { replica, devices, clock, log, runDir, tls } = options;
    const { type, version } = readOsRelease();
    this.operate = openOperate({
      bridges: () => this.reconciler.all,
      backend: () => this.backend,
      counters: () => this.counters(),
    });
    const observe = openObserve({ bridges: () => this.reconciler.all, devices });
    this.observe = observe;
    this.reconciler = new Reconciler({
      replica,
      devices,
      clock,
      log: log.logger("bridge"),
      connectionLog: log.logger("rconn"),
      requestLog: log.logger("connmgr"),
      protocolLogs: {
        bond: log.logger("bond"),
        lacp: log.logger("lacp"),
        bfd: log.logger("bfd"),
        cfm: log.logger("cfm"),
      },
      messageLog: new MessageLog(log.logger("vconn")),
      runDir,
      tls,
      packetBuffers: options.packetBuffers,
      stateDir: options.stateDir,
      selfConfined: options.selfConfined,
      facts: {
        datapathTypes: () => options.datapathTypes ?? datapathTypes(this.backend?.datapath),
        interfaceTypes: options.interfaceTypes ??
          [...INTERFACE_TYPES, ...Object.keys(TUNNEL_TYPES)].sort(),
        versions: options.writesVersions === false ? undefined : {
          ovsVersion: COMPATIBLE_VERSION,
          dbVersion: DB_VERSION,
          systemType: type,
          systemVersion: version,
        },
      },
      backend: () => this.opening ??= this.openBackend(),
      created: (bridge) => observe.created(bridge),
    });
  }

  async start(): Promise<void> {
    const { unixctl } = this.options;
    if (unixctl) {
      registerCommands(unixctl, {
        bridges: () => this.reconciler.all,
        backend: () => this.backend,
        devices: this.options.devices,
      });
    }
    this.reconciler.start();
    await this.reconciler.settled();
  }

  bridges(): readonly BridgeView[] {
    return [...this.reconciler.all.values()].map(viewOf);
  }

  status(): VswitchStatus {
    const bridges = [...this.reconciler.all.values()];
    return {
      datapathType: this.backend?.datapath.type ?? "",
      bridges: bridges.length,
      ports: bridges.reduce((sum, bridge) => sum + bridge.ports.size, 0),
      counters: this.counters(),
    };
  }

  settled(): Promise<void> {
    return this.reconciler.settled();
  }

  async close(forwardOn = false): Promise<void> {
    this.closing.abort();
    const opened = await this.opening?.catch(() => undefined);
    // First of all, so that nothing that ends here is undone there.
    if (forwardOn) await opened?.datapath.leave?.();
    await this.reconciler.close();
    await opened?.close();
    this.backend = undefined;
  }

  private async openBackend(): Promise<Backend> {
    const { clock, log, openDatapath, datapathNow, datapathTypes, network } = this.options;
    try {
      const datapath = await openDatapath();
      log.logger("bridge").info(`opened the ${datapath.type} datapath`);
      this.backend = new Backend({
        datapath,
        clock,
        log: log.logger("ofproto_dpif"),
        translationLog: log.logger("ofproto_dpif_xlate"),
        flowLog: log.logger("dpif_netdev"),
        portLost: (port, reason) => this.reconciler.portLost(port, reason),
        // The dummy datapath has no kernel under it, and so this process's clock.
        ...(datapath.type === "dummy" && { datapathNow: () => performance.now() }),
        ...(datapathNow && { datapathNow }),
        ...(datapathTypes && { types: datapathTypes }),
        ...(network && { network }),
        maxIdleMs: this.options.maxIdleMs,
      });
      void this.takeOver(this.backend);
      return this.backend;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }

  /** The flows of a process before give way to this one's. */
  private async takeOver({ datapath, cache }: Backend): Promise<void> {
    if (!datapath.takeOver) return;
    const { clock, log } = this.options;
    const { signal } = this.closing;
    const waits = () => this.reconciler.isRestoring;
    const bridges = () => this.reconciler.all.values();
    await this.reconciler.settled();
    await tablesRestored({ clock, waits, bridges }, signal);
    await this.reconciler.settled();
    if (signal.aborted) return;
    try {
      await cache.inherit();
    } catch (error) {
      log.logger("bridge").err(`flows of the process before: ${describe(error)}`);
    }
    if (!signal.aborted) await datapath.takeOver();
  }

  private counters(): Readonly<Record<string, number>> {
    const buffers = { stored: 0, released: 0, overwritten: 0, full: 0, unknown: 0, empty: 0 };
    const exports: Record<string, number> = { sflow_sample_too_long: 0, netflow_flows_refused: 0 };
    const connections = { now: 0, packet_ins_dropped: 0, bad_messages: 0 };
    for (const bridge of this.reconciler.all.values()) {
      for (const [name, count] of Object.entries(bridge.exports.counters())) {
        exports[name] = (exports[name] ?? 0) + count;
      }
      for (const agent of bridge.agents) {
        connections.now++;
        connections.packet_ins_dropped += agent.connection.counters.packetInsDropped;
        connections.bad_messages += agent.connection.counters.badMessages;
        for (const name of Object.keys(buffers) as (keyof typeof buffers)[]) {
          buffers[name] += agent.buffers.counters[name];
        }
      }
    }
    const datapath = this.backend?.datapath.counters() ?? {};
    const all: Record<string, number> = {};
    const put = (counters: Readonly<Record<string, number>>, prefix = ""): void => {
      for (const name in counters) all[prefix + name] = counters[name]!;
    };
    put(datapath, "dp_");
    put(coverageOf(datapath));
    put(this.backend?.cache.counters() ?? {});
    put(this.backend?.tunnels.counters() ?? {});
    put(this.reconciler.counters, "reconciler_");
    put(connections, "openflow_connections_");
    put(buffers, "buffer_");
    put(exports);
    return all;
  }
}

const describe = (error: unknown): string =>
  error instanceof Error ? error.stack ?? error.message : String(error);

function viewOf(bridge: Bridge): BridgeView {
  return {
    name: bridge.name,
    datapathId: formatDatapathId(bridge.datapathId),
    failMode: bridge.services.failMode.configured,
    ports: [...bridge.ports.values()].sort((a, b) => a.ofport - b.ofport).map((port) => ({
      name: port.name,
      type: port.kind === "device" ? "system" : port.kind,
      ofport: port.ofport,
      dpPort: port.dpPort,
      linkUp: port.linkUp,
    })),
    flows: bridge.tables.shown,
    controllers: bridge.services.overview(),
  };
}

/** `ID` and `VERSION_ID` of os-release(5), which `ovs-ctl` writes into the database too. */
function readOsRelease(): { type: string; version: string } {
  const path = "/etc/os-release";
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const value = (name: string): string =>
    new RegExp(`^${name}=["']?([^"'\\n]*)`, "m").exec(text)?.[1] ?? "unknown";
  return { type: value("ID"), version: value("VERSION_ID") };
}

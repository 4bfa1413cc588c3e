/**
 * The daemon put together: which part gets what, in which order they start, and how they stop.
 *
 *     database ──> replica ──> vswitch ──> datapath, devices
 *        │                        │
 *        └── db.sock, remotes     └── BRIDGE.mgmt, BRIDGE.snoop, controllers      HTTP reads both
 *
 * This is the only place that knows all rooms. It makes the loggers, claims nothing and handles no
 * signals (run.ts does), so that the lab and tests can hold a daemon in their own process.
 *
 * Invariants: what was started is stopped in reverse order, also when a later part fails to start;
 * a part that fails to stop does not keep the others from stopping.
 */
import { dirname, join, resolve } from "node:path";
import { openReplica, type Replica } from "../db/replica.ts";
import { startDatabaseService } from "../db/service.ts";
import type { Datapath } from "../fastpath/datapath.ts";
import { type Devices, DummyDevices } from "../fastpath/devices.ts";
import { openHostDatapath } from "../fastpath/host-datapath.ts";
import { openDevices } from "../fastpath/host-devices.ts";
import { DummyNetwork, openHostNetwork } from "../fastpath/host-network.ts";
import { openMemoryDatapath } from "../fastpath/memory/datapath.ts";
import { startHttp } from "../http/server.ts";
import { unixPeer } from "../linux/peer.ts";
import type { LogSink } from "../log/log.ts";
import { systemClock } from "../slowpath/clock.ts";
import { UnixctlServer } from "../slowpath/unixctl.ts";
import { startVswitch, type Vswitch } from "../slowpath/vswitch.ts";
import { registerProcessCommands } from "./control-commands.ts";
import { CommandError, reason } from "./exit.ts";
import type { RunOptions } from "./options.ts";
import { SWITCH_TABLES } from "./switch-tables.ts";
import { tlsSettings } from "./tls-options.ts";
import { SOLOVS_VERSION } from "./version.ts";

export interface Daemon {
  readonly replica: Replica;
  readonly vswitch: Vswitch;
  /** Its sockets are here. */
  readonly runDir: string;
  /** Of the HTTP API, without a slash at its end; undefined when it is switched off. */
  readonly httpUrl: string | undefined;
  /** Where the first user of the HTTP API is made, once; undefined if there are users. */
  readonly setupUrl: string | undefined;
  /**
   * Never rejects: what could not be stopped is logged. With `forwardOn`, what the kernel forwards
   * without this process goes on.
   */
  stop(forwardOn?: boolean): Promise<void>;
}

/** What has been started, to be stopped from the last to the first. */
class Parts {
  private readonly stops: { name: string; stop: () => void | Promise<void> }[] = [];

  constructor(private readonly log: LogSink) {}

  /** Notes how to stop a part that has just started. */
  add<T>(name: string, part: T, stop: (part: T) => void | Promise<void>): T {
    this.stops.push({ name, stop: () => stop(part) });
    return part;
  }

  async stop(): Promise<void> {
    for (const { name, stop } of this.stops.splice(0).reverse()) {
      try {
        await stop();
      } catch (error) {
        this.log.logger("solovs").err(`${name} did not stop cleanly: ${reason(error)}`);
      }
    }
  }
}

/**
 * Starts all parts. Rejects with the first part's error that does not start, after the others were
 * stopped. `onExit` is called when a client asks the daemon to end, and whether nothing is to stay.
 */
export async function startDaemon(
  options: RunOptions,
  log: LogSink,
  onExit: (cleanup: boolean) => void,
): Promise<Daemon> {
  const parts = new Parts(log);
  try {
    return await startParts(options, log, onExit, parts);
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

async function startParts(
  options: RunOptions,
  log: LogSink,
  onExit: (cleanup: boolean) => void,
  parts: Parts,
): Promise<Daemon> {
  const startedMs = performance.now();
  const end = { forwardOn: false };
  const runDir = resolve(options.runDir);
  const service = parts.add(
    "the database",
    startDatabaseService({
      dbFile: resolve(options.db),
      sockets: [`punix:${join(runDir, "db.sock")}`, ...options.remote],
      identifyPeer: unixPeer,
      tls: tlsSettings(options),
      logger: log.logger("db"),
      tlsLogger: log.logger("stream_ssl"),
    }),
    (database) => database.close(),
  );
  const replica = parts.add(
    "the database's replica",
    await openReplica(service.openSession("ovs-vswitchd"), SWITCH_TABLES),
    (opened) => opened.close(),
  );
  const devices: Devices = parts.add(
    "the view of devices",
    options.dummy ? new DummyDevices() : await openDevices(log.logger("devices")),
    (opened) => opened.close(),
  );
  const network = parts.add(
    "the view of addresses and routes",
    options.dummy ? new DummyNetwork() : await openHostNetwork(log.logger("routes")),
    (opened) => opened.close(),
  );
  const openDatapath = async (): Promise<Datapath> =>
    options.dummy
      ? openMemoryDatapath()
      : await openHostDatapath(options.datapath, log.logger("datapath"), runDir);
  const unixctl = parts.add(
    "the control socket",
    new UnixctlServer(join(runDir, `ovs-vswitchd.${process.pid}.ctl`), log.logger("unixctl")),
    (server) => server.close(),
  );
  const vswitch = parts.add(
    "the switch",
    await startVswitch({
      replica,
      openDatapath,
      devices,
      network,
      clock: systemClock(),
      log,
      runDir,
      stateDir: dirname(resolve(options.db)),
      unixctl,
      tls: service.tls,
    }),
    (started) => started.close(end.forwardOn),
  );
  registerProcessCommands(unixctl, {
    log,
    counters: () => vswitch.operate.counters(),
    exit: onExit,
  });
  const http = options.http === "none" ? undefined : parts.add(
    "the HTTP API",
    startHttp({
      address: options.http.host,
      port: options.http.port,
      parts: {
        version: SOLOVS_VERSION,
        uptimeMs: () => performance.now() - startedMs,
        database: service.database,
        server: service.server,
        commands: unixctl,
        replica,
        vswitch,
        log,
      },
      sideTables: service.sideTables(),
      logger: log.logger("http"),
      socketPath: join(runDir, "http.sock"),
      ...httpTls(options),
      hostNames: options.httpName ?? [],
    }),
    (started) => started.close(),
  );
  return {
    replica,
    vswitch,
    runDir,
    httpUrl: http?.url,
    setupUrl: http?.setupUrl,
    stop: (forwardOn = false) => {
      end.forwardOn = forwardOn;
      return parts.stop();
    },
  };
}

/** The administrator's certificate, or one that is kept beside the database. */
function httpTls(options: RunOptions): Pick<Parameters<typeof startHttp>[0], "tls"> {
  const { httpCertificate: certificate, httpPrivateKey: privateKey, httpTls = false } = options;
  if (certificate !== undefined && privateKey !== undefined) {
    return {
      tls: { certificate: resolve(certificate), privateKey: resolve(privateKey), own: true },
    };
  }
  if (certificate !== undefined || privateKey !== undefined) {
    throw new CommandError("--http-certificate and --http-private-key belong together");
  }
  if (!httpTls) return {};
  const base = resolve(options.db);
  return {
    tls: { certificate: `${base}.https.crt`, privateKey: `${base}.https.key`, own: false },
  };
}

/**
 * The role of `ovs-vswitchd`: the switch alone, beside any `ovsdb-server`, with the command line,
 * control commands, log and process life of Open vSwitch's (ovs-vswitchd(8)). A machine that runs
 * Open vSwitch changes over by putting a link of this name in the place of that program.
 *
 *     options ─> daemonize ─> control socket ─> database (lock, content) ─> slow path ─> ready
 *
 * Invariants
 * - The slow path gets what it gets in `solovs run`, with two exceptions: its replica is a client of
 *   the remote database, and with `--enable-dummy` the datapath, the devices and the clock are those
 *   that need no privilege and obey `ovs-appctl`.
 * - Whoever started the program waits until what the database holds is in force.
 * - While another process holds the lock `ovs_vswitchd`, this one has no bridges.
 * - Packets are not buffered for controllers: Open vSwitch's daemon gave that up.
 * - Versions and the system's name are not written to the database: `ovs-ctl` does that.
 *
 * Limits: with `--enable-dummy`, all bridges are on the dummy datapath; a `datapath_type` for which
 * it does not stand (=system, =override) is refused. No DPDK.
 */
import { followRemote, type RemoteReplica } from "../../../db/remote-replica.ts";
import { resolveSettings, settingsOver, sslRowSettings } from "../../../db/tls/settings.ts";
import { Tls } from "../../../db/tls/tls.ts";
import type { Datapath } from "../../../fastpath/datapath.ts";
import { openDevices } from "../../../fastpath/host-devices.ts";
import { openHostNetwork } from "../../../fastpath/host-network.ts";
import { openHostDatapath } from "../../../fastpath/host-datapath.ts";
import { errno, errnoName, raw } from "../../../linux/libc.ts";
import { systemClock } from "../../../slowpath/clock.ts";
import type { UnixctlServer } from "../../../slowpath/unixctl.ts";
import { startVswitch, type Vswitch } from "../../../slowpath/vswitch.ts";
import { errnoText, Exit, Fatal } from "../../clients/fatal.ts";
import { toStderr } from "../../clients/output.ts";
import { SWITCH_TABLES } from "../../switch-tables.ts";
import { defaultDatapath } from "../../options.ts";
import { OVS_VERSION } from "../../version.ts";
import { registerCommonCommands } from "../commands.ts";
import { daemonize, type DaemonProcess } from "../daemon.ts";
import { directories } from "../directories.ts";
import {
  endBySignal,
  type Ended,
  openControlSocket,
  openLogFile,
  Undo,
  watchForEnd,
} from "../process.ts";
import { SystemLog } from "../syslog.ts";
import { Vlog } from "../vlog.ts";
import { type Dummies, openDummies } from "./dummies.ts";
import { registerDummyCommands } from "./dummy-commands.ts";
import { OVS_VSWITCHD_MODULES } from "./modules.ts";
import { parseSwitchOptions, PROGRAM, type SwitchOptions } from "./options.ts";

/** The lock that keeps two switch daemons off one database. */
const LOCK = "ovs_vswitchd";
/** A stop that has not ended after this long will not end. */
const STOP_TIMEOUT_MS = 10_000;
const MCL_CURRENT = 1;
const MCL_FUTURE = 2;
/** Pages are locked when they are first used: the runtime reserves far more than it ever uses. */
const MCL_ONFAULT = 4;

/** Runs the program; resolves to its exit status. */
export async function ovsVswitchd(words: readonly string[]): Promise<number> {
  const vlog = new Vlog(
    PROGRAM,
    OVS_VSWITCHD_MODULES,
    undefined,
    new SystemLog(PROGRAM, process.env),
  );
  try {
    const where = directories(process.env);
    const options = parseSwitchOptions(words, vlog, where);
    const outcome = await daemonize({
      program: PROGRAM,
      arguments: words,
      options: options.daemon,
      logger: vlog.logger("daemon_unix"),
      openLog: () => openLogFile(vlog, options.log.file),
    });
    if ("exitCode" in outcome) return outcome.exitCode;
    return await serve(options, where.run, vlog, outcome.daemon);
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    if (!(error instanceof Fatal)) throw error;
    toStderr(`${PROGRAM}: ${error.message}\n`);
    return error.exitCode;
  }
}

async function serve(
  options: SwitchOptions,
  runDir: string,
  vlog: Vlog,
  daemon: DaemonProcess,
): Promise<number> {
  const undo = new Undo();
  try {
    openLogFile(vlog, options.log.file);
    daemon.claimPidFile();
    undo.add(() => daemon.release());
    if (options.lockMemory) lockMemory(vlog);
    if (options.dummyNuma) {
      vlog.logger("ovs_numa").info(
        "Discovered no use for --dummy-numa: threads are not pinned to NUMA nodes",
      );
    }
    const { promise: ended, resolve: end } = Promise.withResolvers<Ended>();
    watchForEnd(vlog, "vswitchd", end);
    const unixctl = openControlSocket(PROGRAM, options.unixctl, runDir, vlog);
    if (unixctl) undo.add(() => unixctl.close());
    let vswitch: Vswitch | undefined;
    const started = start({ options, runDir, vlog, daemon, undo, unixctl, end }).then((running) => {
      vswitch = running;
      return ended;
    });
    const { signal, exitCode, cleanup } = await Promise.race([ended, started]);
    await Promise.race([vswitch?.close(cleanup !== true), Bun.sleep(STOP_TIMEOUT_MS)]);
    undo.run();
    if (signal !== undefined) endBySignal(signal);
    return exitCode;
  } finally {
    undo.run();
  }
}

interface Start {
  readonly options: SwitchOptions;
  readonly runDir: string;
  readonly vlog: Vlog;
  readonly daemon: DaemonProcess;
  readonly undo: Undo;
  readonly unixctl: UnixctlServer | undefined;
  readonly end: (ended: Ended) => void;
}

/** Resolves when everything that the database holds is in force. */
async function start(context: Start): Promise<Vswitch> {
  const { options, runDir, vlog, daemon, undo, unixctl, end } = context;
  const dummies = options.dummy === undefined ? undefined : openDummies(options.dummy, vlog);
  const running: { vswitch?: Vswitch } = {};
  if (unixctl) {
    registerCommonCommands(unixctl, {
      program: PROGRAM,
      vlog,
      memory: () => ({ ports: running.vswitch?.status().ports ?? 0 }),
      counters: () => running.vswitch?.operate.counters() ?? {},
    });
    unixctl.register("exit", {
      usage: "[--cleanup]",
      minArguments: 0,
      maxArguments: 1,
      run: ([option]) => {
        // The reply is to arrive before the socket goes.
        setTimeout(() => end({ exitCode: 0, cleanup: option === "--cleanup" }), 1);
        return "";
      },
    });
    if (dummies) registerDummyCommands(unixctl, dummies);
  }
  const tls = tlsOf(options, (): RemoteReplica => replica, vlog);
  const replica: RemoteReplica = followRemote({
    remote: options.remote,
    who: PROGRAM,
    lock: LOCK,
    tables: SWITCH_TABLES,
    logger: vlog.logger("reconnect"),
    tls,
    contended: () =>
      vlog.logger("bridge").err(
        "another ovs-vswitchd process is running, " +
          `disabling this process (pid ${process.pid}) until it goes away`,
      ),
  });
  undo.add(() => replica.close());
  await replica.ready;
  const devices = dummies?.netdevs ?? await openDevices(vlog.logger("netdev_linux"));
  undo.add(() => devices.close());
  const network = dummies?.network ??
    await openHostNetwork(vlog.logger("route_table"), options.disableSystemRoute);
  undo.add(() => network.close());
  const vswitch = running.vswitch = await startVswitch({
    replica,
    openDatapath: () => openDatapath(dummies, vlog, runDir),
    devices,
    network,
    clock: dummies?.clock ?? systemClock(),
    log: vlog,
    runDir,
    stateDir: directories(process.env).db,
    tls,
    writesVersions: false,
    packetBuffers: 0,
    // Open vSwitch's default.
    maxIdleMs: 10_000,
    selfConfined: options.daemon.selfConfined,
    ...(unixctl && { unixctl }),
    ...(dummies && {
      datapathTypes: dummies.datapathTypes,
      interfaceTypes: dummies.interfaceTypes,
      datapathNow: () => dummies.clock.now(),
    }),
  });
  daemon.ready();
  if (options.daemon.detach) vlog.setLevel(undefined, "console", "off");
  vlog.logger("bridge").info(`${PROGRAM} (Open vSwitch) ${OVS_VERSION}`);
  return vswitch;
}

const openDatapath = async (
  dummies: Dummies | undefined,
  vlog: Vlog,
  runDir: string,
): Promise<Datapath> =>
  dummies?.datapath ??
    await openHostDatapath(defaultDatapath(process.env), vlog.logger("dpif"), runDir);

/** The options first, then the SSL row of the database. */
function tlsOf(options: SwitchOptions, replica: () => RemoteReplica, vlog: Vlog): Tls {
  const given = resolveSettings(options.tls, new Map());
  return new Tls(() => {
    const [root] = replica().rows("Open_vSwitch").values();
    const row = root?.ssl === undefined ? undefined : replica().rows("SSL").get(root.ssl);
    return row === undefined ? given : settingsOver(given, sslRowSettings(row));
  }, vlog.logger("stream_ssl"));
}

function lockMemory(vlog: Vlog): void {
  if (raw.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) === 0) return;
  const why = errnoText(errnoName(errno()));
  vlog.logger("vswitchd").err(`mlockall failed: ${why}`);
}

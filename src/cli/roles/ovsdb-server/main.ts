/**
 * The role of `ovsdb-server`: the database server alone, on the files that `ovsdb-tool` makes, with
 * the command line, control commands and process life of Open vSwitch's (ovsdb-server(1)). A machine
 * that runs Open vSwitch changes over by putting a link of this name in the place of that program.
 *
 *     options ─> daemonize ─┬─> files ─> remotes ─> control socket ─> ready
 *                           └─> waits for the other process, and ends with its status
 *
 * Invariants
 * - Standard error says what was wrong, after the program's name, and the exit status is 1; what was
 *   made until then (pid file, sockets) is gone.
 * - A database file is locked beside itself (`.NAME.~lock~`), as Open vSwitch's programs do, so that
 *   two servers, or a server and `ovsdb-tool compact`, do not write to it at once.
 * - Under `--monitor`, remotes and databases that were added while it ran outlive a crash.
 *
 * Limits: no clusters, relays, replication (`--sync-from`) nor replay; these are refused by name.
 */

import { basename, dirname, join } from "node:path";
import { DatabaseFiles } from "../../../db/control.ts";
import { OvsdbError } from "../../../db/error.ts";
import { defaultListenerLimits } from "../../../db/rpc/listener.ts";
import { Remotes } from "../../../db/remotes.ts";
import { OvsdbServer } from "../../../db/server.ts";
import { resolveSettings } from "../../../db/tls/settings.ts";
import { Tls } from "../../../db/tls/tls.ts";
import { lockFile } from "../../../linux/lock.ts";
import { Exit, Fatal } from "../../clients/fatal.ts";
import { toStderr } from "../../clients/output.ts";
import { reason } from "../../exit.ts";
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
import { registerServerCommands } from "./commands.ts";
import { OVSDB_SERVER_MODULES } from "./modules.ts";
import { parseServerOptions, PROGRAM, type ServerOptions } from "./options.ts";

/** Runs the program; resolves to its exit status. */
export async function ovsdbServer(words: readonly string[]): Promise<number> {
  const vlog = new Vlog(
    PROGRAM,
    OVSDB_SERVER_MODULES,
    undefined,
    new SystemLog(PROGRAM, process.env),
  );
  try {
    const where = directories(process.env);
    const options = parseServerOptions(words, vlog, where);
    const logger = vlog.logger("daemon_unix");
    const outcome = await daemonize({
      program: PROGRAM,
      arguments: words,
      options: options.daemon,
      logger,
      openLog: () => openLogFile(vlog, options.log.file),
    });
    if ("exitCode" in outcome) return outcome.exitCode;
    return await serve(options, where.run, vlog, outcome.daemon);
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    if (error instanceof Fatal || error instanceof OvsdbError) {
      toStderr(`${PROGRAM}: ${error.message}\n`);
      return error instanceof Fatal ? error.exitCode : 1;
    }
    throw error;
  }
}

async function serve(
  options: ServerOptions,
  runDir: string,
  vlog: Vlog,
  daemon: DaemonProcess,
): Promise<number> {
  const undo = new Undo();
  try {
    openLogFile(vlog, options.log.file);
    daemon.claimPidFile();
    undo.add(() => daemon.release());
    const ended = start(options, runDir, vlog, daemon, undo);
    const { signal, exitCode } = await ended;
    undo.run();
    if (signal !== undefined) endBySignal(signal);
    return exitCode;
  } finally {
    undo.run();
  }
}

/** What the next daemon is to know if this one crashes. */
interface SavedState {
  readonly databases: readonly string[];
  readonly remotes: readonly string[];
}

function start(
  options: ServerOptions,
  runDir: string,
  vlog: Vlog,
  daemon: DaemonProcess,
  undo: Undo,
): Promise<Ended> {
  const logger = vlog.logger("ovsdb_server");
  const { promise, resolve: end } = Promise.withResolvers<Ended>();
  watchForEnd(vlog, "ovsdb_server", end);
  const server = new OvsdbServer(logger);
  server.socketDirectory = runDir;
  undo.add(() => server.close());
  const files = new DatabaseFiles(server, logger, claimDatabaseFile);
  const tls = new Tls(
    () => resolveSettings(options.tls, server.databases),
    vlog.logger("stream_ssl"),
  );
  const remotes = new Remotes(server, logger, defaultListenerLimits, undefined, tls);
  undo.add(() => remotes.close());
  const saved: SavedState = daemon.saved === undefined ? options : JSON.parse(daemon.saved);
  for (const file of saved.databases) files.add(file);
  for (const remote of saved.remotes) remotes.addLater(remote);
  const save = (): void =>
    daemon.save(
      JSON.stringify({ databases: files.paths, remotes: remotes.list() } satisfies SavedState),
    );

  const unixctl = openControlSocket(PROGRAM, options.unixctl, runDir, vlog);
  if (unixctl !== undefined) {
    undo.add(() => unixctl.close());
    registerServerCommands(unixctl, {
      server,
      remotes,
      files,
      changed: save,
      exit: () => end({ exitCode: 0 }),
    });
    registerCommonCommands(unixctl, {
      program: PROGRAM,
      vlog,
      memory: () => memoryUsage(server),
      counters: () => ({}),
    });
  }
  save();
  if (options.run !== undefined) runCommand(options.run, end);
  daemon.ready();
  if (options.daemon.detach) vlog.setLevel(undefined, "console", "off");
  if (options.run === undefined) logger.info(`${PROGRAM} (Open vSwitch) ${OVS_VERSION}`);
  return promise;
}

/** The lock that Open vSwitch's own programs take on a database file. */
function claimDatabaseFile(path: string): () => void {
  const lockPath = join(dirname(path), `.${basename(path)}.~lock~`);
  let attempt;
  try {
    attempt = lockFile(lockPath);
  } catch (error) {
    throw new OvsdbError("I/O error", `${path}: failed to lock lockfile`, undefined, reason(error));
  }
  if ("lock" in attempt) {
    const { lock } = attempt;
    return () => lock.release();
  }
  const why = "Resource temporarily unavailable";
  throw new OvsdbError("I/O error", `${path}: failed to lock lockfile`, undefined, why);
}

function runCommand(command: string, end: (ended: Ended) => void): void {
  const child = Bun.spawn({
    cmd: ["/bin/sh", "-c", command],
    stdio: ["inherit", "inherit", "inherit"],
  });
  void child.exited.then(() => {
    const { exitCode, signalCode } = child;
    if (exitCode === 0) return end({ exitCode: 0 });
    const how = signalCode === null ? `exit status ${exitCode}` : `killed (${signalCode})`;
    toStderr(`${PROGRAM}: ${command}: child exited, ${how}\n`);
    end({ exitCode: 1 });
  });
}

function memoryUsage(server: OvsdbServer): Record<string, number> {
  let atoms = 0;
  let cells = 0;
  for (const { tables } of server.databases.values()) {
    for (const { schema, rows } of tables.values()) {
      cells += rows.size * schema.columnList.length;
      for (const { fields } of rows.values()) {
        for (const { keys } of fields) atoms += keys.length;
      }
    }
  }
  const { size: sessions } = server.sessions;
  return { atoms, cells, ...(sessions > 0 ? { sessions } : {}) };
}

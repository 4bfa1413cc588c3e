/**
 * What a daemon of Open vSwitch's kind does with its process (ovs-vswitchd(8), "Daemon Options"):
 * detach, be monitored, hold a locked pid file. Shared by all roles that are daemons.
 *
 * Bun cannot fork, so each step starts the executable again, under the same name and arguments, with
 * a word in the environment that says which part it plays:
 *
 *     what the user started ──(--detach)──> monitor ──(--monitor)──> daemon
 *        waits for a byte               waits, restarts           reports when it serves
 *
 * Each waits on a pipe for the one it started: a byte means "ready", the end without one means that
 * the child has failed; its exit status is then passed on. What the child prints until then goes to
 * the user's terminal, for it inherits standard error.
 *
 * The pid file carries an fcntl write lock, which stock `ovs-appctl` looks for before it believes the
 * file; the kernel drops it when the process ends, or when the file is closed, which includes any
 * second opening of it: nobody here may read it back.
 *
 * Limits: `--user` is refused (the process would have to start again as that user).
 */
import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ERRNO, errno, raw } from "../../linux/libc.ts";
import { type FileLock, lockFile } from "../../linux/lock.ts";
import type { Logger } from "../../log/log.ts";
import { reason } from "../exit.ts";
import { inDirectory } from "./directories.ts";
import { Fatal } from "../clients/fatal.ts";
import type { OptionDeclaration } from "../clients/getopt.ts";

export type DaemonKey =
  | "detach"
  | "monitor"
  | "noChdir"
  | "pidFile"
  | "overwritePidFile"
  | "user"
  | "noSelfConfinement";

export const DAEMON_OPTIONS: readonly OptionDeclaration<DaemonKey>[] = [
  { name: "detach", value: "none", key: "detach" },
  { name: "no-self-confinement", value: "none", key: "noSelfConfinement" },
  { name: "no-chdir", value: "none", key: "noChdir" },
  { name: "pidfile", value: "optional", key: "pidFile" },
  { name: "overwrite-pidfile", value: "none", key: "overwritePidFile" },
  { name: "monitor", value: "none", key: "monitor" },
  { name: "user", value: "required", key: "user" },
];

export const isDaemonKey = (key: string): key is DaemonKey =>
  DAEMON_OPTIONS.some((option) => option.key === key);

export interface DaemonOptions {
  detach: boolean;
  monitor: boolean;
  noChdir: boolean;
  /** Absolute, or within the working directory. */
  pidFile: string | undefined;
  overwritePidFile: boolean;
  /** Whoever may write to the database gets no sockets but in the run directory. */
  selfConfined: boolean;
}

export const noDaemonOptions = (): DaemonOptions => ({
  detach: false,
  monitor: false,
  noChdir: false,
  pidFile: undefined,
  overwritePidFile: false,
  selfConfined: true,
});

/** Takes one option into account. Throws `Fatal` for what is not supported. */
export function takeDaemonOption(
  options: DaemonOptions,
  key: DaemonKey,
  value: string | undefined,
  { program, runDir }: { readonly program: string; readonly runDir: string },
): void {
  switch (key) {
    case "detach":
      options.detach = true;
      return;
    case "monitor":
      options.monitor = true;
      return;
    case "noChdir":
      options.noChdir = true;
      return;
    case "pidFile":
      options.pidFile = inDirectory(runDir, value ?? `${program}.pid`);
      return;
    case "overwritePidFile":
      options.overwritePidFile = true;
      return;
    case "noSelfConfinement":
      options.selfConfined = false;
      return;
    case "user":
      throw new Fatal("--user is not supported: start the program as that user instead");
    default: {
      const never: never = key;
      return never;
    }
  }
}

const STAGE = "SOLOVS_DAEMON_STAGE";
/** In a child: where it says that it is ready, and (under a monitor) what outlives a crash. */
const READY_FD = 3;
const STATE_FD = 4;
const LONGEST_STATE_BYTES = 1 << 20;
const POLLIN = 1;
const RESTART_PAUSE_MS = 10_000;
/** A daemon that dies of one of these has crashed, and is started again. */
const CRASHES: ReadonlySet<string> = new Set([
  ..."SIGABRT SIGALRM SIGBUS SIGFPE SIGILL SIGPIPE SIGSEGV SIGXCPU SIGXFSZ".split(" "),
  // Bun's own handler of crashes ends in this one.
  "SIGTRAP",
]);

/** The daemon itself, as opposed to those that only wait for it. */
export interface DaemonProcess {
  /** Makes the pid file. Throws `Fatal`. */
  claimPidFile(): void;
  /** Everything is up: lets the waiting processes go, and lets go of terminal and directory. */
  ready(): void;
  /** What the daemon before this one saved, if it crashed and a monitor started this one. */
  readonly saved: string | undefined;
  save(text: string): void;
  /** Removes the pid file. */
  release(): void;
}

/** Either this process has done its part and ends with the code, or it is the daemon. */
export type Daemonized = { readonly exitCode: number } | { readonly daemon: DaemonProcess };

/** Empty in the compiled executable; else what Bun was told to run. */
const SCRIPT: readonly string[] = Bun.main.startsWith("/$bunfs/") ? [] : [Bun.main];

export interface DaemonizeContext {
  /** The name in `ps` and in `/proc/PID/comm`. */
  readonly program: string;
  readonly arguments: readonly string[];
  readonly options: DaemonOptions;
  readonly logger: Logger;
  /** Standard output and error stay: the program goes on to print, in the background. */
  readonly keepsOutput?: boolean;
  /** Opens the log file; called in a monitor only when it has something to tell. */
  readonly openLog?: () => void;
}

export async function daemonize(context: DaemonizeContext): Promise<Daemonized> {
  const { options, program } = context;
  const [stage = "", ...flags] = (process.env[STAGE] ?? "").split(",");
  delete process.env[STAGE];
  setProcessName(program);
  if (stage === "daemon") return { daemon: daemonProcess(context, flags.includes("state")) };
  if (stage === "monitor") return { exitCode: await monitor(context, true) };
  if (options.detach) {
    const child = startAgain(context, options.monitor ? "monitor" : "daemon", true);
    if (!child.ready()) return { exitCode: await exitStatus(child.process, "detach") };
    child.process.unref(); // whoever started this process is not to wait for the other
    return { exitCode: 0 };
  }
  if (options.monitor) return { exitCode: await monitor(context, false) };
  return { daemon: daemonProcess(context, false, false) };
}

/** What `ps` and the log of the kernel call the process: the link's name, not the file's. */
function setProcessName(name: string): void {
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // Only a name.
  }
}

interface Child {
  readonly process: Bun.Subprocess;
  /** Waits, and does nothing else: true once the child serves; false if it ended first. */
  ready(): boolean;
}

function startAgain(
  { program, arguments: words }: DaemonizeContext,
  stage: string,
  newSession: boolean,
  stateFd?: number,
): Child {
  const flags = stateFd === undefined ? "" : ",state";
  const child = Bun.spawn({
    cmd: [process.execPath, ...SCRIPT, ...words],
    argv0: program,
    env: { ...process.env, [STAGE]: `${stage}${flags}` },
    detached: newSession,
    stdio: ["ignore", "inherit", "inherit", "pipe", ...(stateFd === undefined ? [] : [stateFd])],
  });
  const pipe = child.stdio[READY_FD] as unknown as number;
  return {
    process: child,
    ready: () => readByte(pipe),
  };
}

/** Waits for a byte or the end. The descriptor does not block by itself, so poll(2) does. */
function readByte(fd: number): boolean {
  const request = new DataView(new ArrayBuffer(8));
  request.setInt32(0, fd, true);
  request.setInt16(4, POLLIN, true);
  const byte = new Uint8Array(1);
  for (;;) {
    raw.poll(request, 1, -1);
    const got = raw.read(fd, byte, 1);
    if (got >= 0) return got > 0;
    const failure = errno();
    if (failure !== ERRNO.EINTR && failure !== ERRNO.EAGAIN) return false;
  }
}

/** Of a child that has ended before it was ready. */
async function exitStatus(child: Bun.Subprocess, what: string): Promise<number> {
  await child.exited;
  if (child.signalCode === null) return child.exitCode || 1;
  throw new Fatal(`could not ${what}: the daemon was killed at its start (${child.signalCode})`);
}

async function monitor(context: DaemonizeContext, tellStarter: boolean): Promise<number> {
  const { logger, options, openLog } = context;
  const stateFd = unlinkedFile();
  const forward = { child: undefined as Bun.Subprocess | undefined };
  // The daemon decides what a signal means; this process ends when the daemon has.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => forward.child?.kill(signal));
  }
  let crashes = 0;
  let restartedMs = -Infinity;
  for (;;) {
    const child = startAgain(context, "daemon", false, stateFd);
    forward.child = child.process;
    const ready = child.ready();
    if (!ready && crashes === 0) return await exitStatus(child.process, "start");
    if (crashes === 0) {
      if (tellStarter) reportReady();
      if (options.detach) leaveTerminal(context.keepsOutput === true);
    }
    await child.process.exited;
    openLog?.();
    const { pid, exitCode, signalCode } = child.process;
    const how = signalCode === null ? `exit status ${exitCode}` : `killed (${signalCode})`;
    if (signalCode === null || !CRASHES.has(String(signalCode))) {
      logger.info(`pid ${pid} died, ${how}, exiting`);
      return 0;
    }
    const status = `${++crashes} crashes: pid ${pid} died, ${how}`;
    const wait = restartedMs + RESTART_PAUSE_MS - performance.now();
    if (wait > 0) {
      logger.warn(`${status}, waiting until 10 seconds since last restart`);
      await Bun.sleep(wait);
    }
    restartedMs = performance.now();
    logger.err(`${status}, restarting`);
  }
}

/** For what is to outlive a crash of the daemon but not its monitor. */
function unlinkedFile(): number {
  const path = join(process.env["TMPDIR"] || "/tmp", `.solovs.${process.pid}.${Date.now()}`);
  const fd = openSync(path, "wx+", 0o600);
  rmSync(path);
  return fd;
}

function reportReady(): void {
  try {
    writeSync(READY_FD, "k");
    closeSync(READY_FD);
  } catch {
    // Whoever waited has gone.
  }
}

/** Standard input, output and error become /dev/null: a pipe of the starter's must not stay open. */
function leaveTerminal(keepsOutput: boolean): void {
  const fd = openSync("/dev/null", "r+");
  for (const standard of keepsOutput ? [0] : [0, 1, 2]) raw.dup2(fd, standard);
  closeSync(fd);
}

function daemonProcess(
  { options, logger, keepsOutput }: DaemonizeContext,
  hasState: boolean,
  hasStarter = true,
): DaemonProcess {
  let lock: FileLock | undefined;
  return {
    claimPidFile() {
      if (options.pidFile === undefined) return;
      lock = makePidFile(options.pidFile, options.overwritePidFile, logger);
    },
    ready() {
      if (hasStarter) reportReady();
      if (!options.detach) return;
      if (!options.noChdir) process.chdir("/");
      leaveTerminal(keepsOutput === true);
    },
    saved: hasState ? readState() : undefined,
    save(text) {
      if (!hasState) return;
      ftruncateSync(STATE_FD, 0);
      writeSync(STATE_FD, text, 0);
    },
    release: () => lock?.release({ remove: true }),
  };
}

function readState(): string | undefined {
  const bytes = Buffer.alloc(LONGEST_STATE_BYTES);
  const length = readSync(STATE_FD, bytes, 0, bytes.length, 0);
  return length === 0 ? undefined : bytes.toString("utf8", 0, length);
}

function makePidFile(path: string, overwrite: boolean, logger: Logger): FileLock {
  const fatal = (message: string): Fatal => {
    logger.emer(message);
    return new Fatal(message);
  };
  // All that start at the same time meet at the same temporary file, unless told to overwrite.
  const temporary = overwrite ? `${path}.tmp${process.pid}` : `${path}.tmp`;
  let attempt;
  try {
    attempt = lockFile(temporary);
  } catch (error) {
    throw fatal(`${temporary}: create failed (${reason(error)})`);
  }
  if (!("lock" in attempt)) {
    throw fatal(`${temporary}: fcntl(F_SETLK) failed (Resource temporarily unavailable)`);
  }
  const { lock } = attempt;
  try {
    if (!overwrite) {
      const holder = runningHolder(path);
      if (holder !== undefined) throw fatal(`${path}: already running as pid ${holder}, aborting`);
    }
    lock.write(`${process.pid}\n`);
    lock.rename(path);
    return lock;
  } catch (error) {
    lock.release({ remove: true });
    if (error instanceof Fatal) throw error;
    throw fatal(`${path}: pidfile check failed (${reason(error)}), aborting`);
  }
}

/** The process that holds this pid file; a file that nobody holds is removed. */
function runningHolder(path: string): string | undefined {
  const found = lockFile(path);
  if ("lock" in found) {
    found.lock.release({ remove: true });
    return undefined;
  }
  // Somebody else's: reading it releases no lock of ours.
  return found.holderPid > 0 ? String(found.holderPid) : readFileSync(path, "utf8").trim();
}

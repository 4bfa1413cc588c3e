/** What the life of a role has in common with that of every other: its log, its socket, its end. */
import { UnixctlServer } from "../../slowpath/unixctl.ts";
import { errnoOf, errnoText, Fatal } from "../clients/fatal.ts";
import { reason } from "../exit.ts";
import { inDirectory } from "./directories.ts";
import { type Vlog, VlogError } from "./vlog.ts";

/** What is undone, last first, when the program ends, however it ends. */
export class Undo {
  private readonly steps: (() => void)[] = [];

  add(step: () => void): void {
    this.steps.push(step);
  }

  run(): void {
    for (const step of this.steps.splice(0).reverse()) step();
  }
}

export interface Ended {
  readonly exitCode: number;
  readonly signal?: NodeJS.Signals;
  /** Nothing is to stay in the kernel. */
  readonly cleanup?: boolean;
}

/** Calls `end` when a signal or an error that nobody expected ends the program. */
export function watchForEnd(vlog: Vlog, module: string, end: (ended: Ended) => void): void {
  const logger = vlog.logger(module);
  const unexpected = (error: unknown): void => {
    logger.emer(`unexpected error: ${error instanceof Error ? error.stack : String(error)}`);
    // A crash, to a monitor.
    end({ exitCode: 1, signal: "SIGABRT" });
  };
  process.on("uncaughtException", unexpected);
  process.on("unhandledRejection", unexpected);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGALRM"] as const) {
    process.once(signal, () => end({ exitCode: 1, signal }));
  }
}

/** Ends as the signal would have ended it, so that whoever started the program sees that. */
export function endBySignal(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

export function openLogFile(vlog: Vlog, file: string | undefined): void {
  if (file === undefined) return;
  try {
    vlog.openFile(file);
  } catch (error) {
    // It has been logged: a daemon goes on without its log file.
    if (!(error instanceof VlogError)) throw error;
  }
}

/** `path` as `--unixctl` gives it; undefined: PROGRAM.PID.ctl; "none": none. Throws `Fatal`. */
export function openControlSocket(
  program: string,
  path: string | undefined,
  runDir: string,
  vlog: Vlog,
): UnixctlServer | undefined {
  if (path === "none") return undefined;
  const socket = inDirectory(runDir, path ?? `${program}.${process.pid}.ctl`);
  try {
    return new UnixctlServer(socket, vlog.logger("unixctl"));
  } catch (error) {
    const why = errnoText(errnoOf(error) ?? reason(error));
    throw new Fatal(`could not initialize control socket ${socket} (${why})`);
  }
}

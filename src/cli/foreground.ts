/**
 * A server in the foreground, from its first log line to its clean stop.
 *
 * SIGTERM, SIGINT and SIGHUP stop it, and so does whatever calls `stop` (`ovs-appctl exit`): exit code
 * 0. A second such signal ends the process at once, and so does a stop that takes too long. An error
 * that nobody expected is logged, and stops it in the same orderly way with exit code 1, for a
 * supervisor to start it anew.
 */
import { writeSync } from "node:fs";
import { OvsdbError } from "../db/error.ts";
import { LogSink } from "../log/log.ts";
import { CommandError, EXIT, reason } from "./exit.ts";
import type { LevelChange } from "./options.ts";
import { StopSignals } from "./signals.ts";
import { OVS_VERSION, SOLOVS_VERSION } from "./version.ts";

/** A stop that has not ended after this long will not end. */
const STOP_TIMEOUT_MS = 10_000;

/** Writes a line to stderr before it returns, so that the last words of a process are not lost. */
export function writeLogLine(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads: a closed or full pipe must not stop a switch.
  }
}

export interface Started {
  /** What the log says once it serves. */
  readonly ready: string;
  /** Never rejects. */
  stop(): void | Promise<void>;
}

export interface Foreground {
  readonly logLevel: readonly LevelChange[];
  /** What it works on, for the first line of the log. */
  readonly about: string;
  /** Starts it; `stop` is for whatever inside may ask for the end. */
  start(log: LogSink, stop: (cause: string) => void): Started | Promise<Started>;
  /** Gives up what was claimed before; also when nothing started or the stop hangs. */
  release(): void;
  /** Errors that say all that the user needs: others show where they come from. */
  readonly foreseen?: (error: unknown) => boolean;
}

/** Runs it and resolves to the exit code. */
export async function runInForeground(server: Foreground): Promise<number> {
  const log = new LogSink(writeLogLine);
  for (const { level, module } of server.logLevel) log.setLevel(level, module);
  const logger = log.logger("solovs");
  const signals = new StopSignals((cause) => {
    logger.warn(`${cause} again: ending at once, nothing is cleaned up`);
    process.exit(EXIT.failure);
  });
  let exitCode: number = EXIT.ok;
  const onUnexpected = (error: unknown): void => {
    const text = error instanceof Error ? error.stack ?? reason(error) : reason(error);
    logger.emer(`unexpected error, stopping: ${text}`);
    exitCode = EXIT.failure;
    signals.stop("an unexpected error");
  };
  process.on("uncaughtException", onUnexpected);
  process.on("unhandledRejection", onUnexpected);
  try {
    logger.info(
      `solovs ${SOLOVS_VERSION} (as Open vSwitch ${OVS_VERSION}), pid ${process.pid}, ${server.about}`,
    );
    const started = await server.start(log, (cause) => signals.stop(cause));
    logger.info(started.ready);
    logger.info(`stopping: ${await signals.stopped}`);
    const timer = setTimeout(() => {
      logger.emer(`not stopped after ${STOP_TIMEOUT_MS / 1000} s: ending at once`);
      server.release();
      process.exit(EXIT.failure);
    }, STOP_TIMEOUT_MS);
    await started.stop();
    clearTimeout(timer);
    logger.info("stopped");
    return exitCode;
  } catch (error) {
    const foreseen = error instanceof CommandError || error instanceof OvsdbError ||
      server.foreseen?.(error) === true;
    logger.emer(foreseen || !(error instanceof Error) ? reason(error) : error.stack ?? "");
    return EXIT.failure;
  } finally {
    process.off("uncaughtException", onUnexpected);
    process.off("unhandledRejection", onUnexpected);
    signals.close();
    server.release();
  }
}

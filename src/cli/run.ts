/**
 * `solovs run`: the daemon in the foreground, from the first check to the clean stop.
 *
 * SIGTERM, SIGINT and SIGHUP, and `ovs-appctl exit`, stop it: connections closed, ports detached, what
 * it made in the kernel removed, sockets and pid file unlinked; exit code 0. A second such signal ends
 * the process at once, and so does a stop that takes too long. An error that nobody expected is
 * logged, and stops it in the same orderly way with exit code 1, for a supervisor to start it anew.
 */
import { writeSync } from "node:fs";
import { OvsdbError } from "../db/error.ts";
import { DatapathError } from "../fastpath/datapath.ts";
import { DeviceError } from "../fastpath/devices.ts";
import { HttpStartError } from "../http/server.ts";
import { LogSink } from "../log/log.ts";
import { missingCapabilities } from "./capabilities.ts";
import { startDaemon } from "./daemon.ts";
import { CommandError, EXIT, reason } from "./exit.ts";
import { claimInstance } from "./instance.ts";
import type { RunOptions } from "./options.ts";
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

function checkPrivileges(): void {
  const missing = missingCapabilities(["CAP_NET_ADMIN", "CAP_NET_RAW"]);
  if (missing.length === 0) return;
  throw new CommandError(
    `the switch needs ${missing.join(" and ")} to attach network devices.\n` +
      "Run it as root, or grant them (systemd: AmbientCapabilities=). " +
      "To look around without devices: solovs run --dummy --run-dir DIR --db FILE",
  );
}

/** Errors that somebody foresaw say all that the user needs; others show where they come from. */
function describe(error: unknown): string {
  const foreseen = error instanceof CommandError || error instanceof OvsdbError ||
    error instanceof DatapathError || error instanceof DeviceError ||
    error instanceof HttpStartError;
  return foreseen || !(error instanceof Error) ? reason(error) : error.stack ?? reason(error);
}

export async function run(options: RunOptions): Promise<number> {
  const log = new LogSink(writeLogLine);
  for (const { level, module } of options.logLevel) log.setLevel(level, module);
  const logger = log.logger("solovs");
  if (!options.dummy) checkPrivileges();

  const instance = claimInstance(options.runDir, options.db);
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
      `solovs ${SOLOVS_VERSION} (as Open vSwitch ${OVS_VERSION}), pid ${process.pid}, ` +
        `run directory ${options.runDir}, database ${options.db}`,
    );
    const daemon = await startDaemon(options, log, () => signals.stop("ovs-appctl exit"));
    logger.info(`ready; HTTP API ${daemon.httpUrl ?? "off"}`);
    logger.info(`stopping: ${await signals.stopped}`);
    const timer = setTimeout(() => {
      logger.emer(`not stopped after ${STOP_TIMEOUT_MS / 1000} s: ending at once`);
      instance.release();
      process.exit(EXIT.failure);
    }, STOP_TIMEOUT_MS);
    await daemon.stop();
    clearTimeout(timer);
    logger.info("stopped");
    return exitCode;
  } catch (error) {
    logger.emer(describe(error));
    return EXIT.failure;
  } finally {
    process.off("uncaughtException", onUnexpected);
    process.off("unhandledRejection", onUnexpected);
    signals.close();
    instance.release();
  }
}

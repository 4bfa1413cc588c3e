/**
 * `solovs run`: the switch in the foreground (foreground.ts). When it stops, connections are closed,
 * ports detached, what it made in the kernel removed, sockets and pid file unlinked.
 */
import { DatapathError } from "../fastpath/datapath.ts";
import { DeviceError } from "../fastpath/devices.ts";
import { HttpStartError } from "../http/server.ts";
import { missingCapabilities } from "./capabilities.ts";
import { startDaemon } from "./daemon.ts";
import { CommandError } from "./exit.ts";
import { runInForeground } from "./foreground.ts";
import { claimInstance } from "./instance.ts";
import type { RunOptions } from "./options.ts";

function checkPrivileges(): void {
  const missing = missingCapabilities(["CAP_NET_ADMIN", "CAP_NET_RAW"]);
  if (missing.length === 0) return;
  throw new CommandError(
    `the switch needs ${missing.join(" and ")} to attach network devices.\n` +
      "Run it as root, or grant them (systemd: AmbientCapabilities=). " +
      "To look around without devices: solovs run --dummy --run-dir DIR --db FILE",
  );
}

export async function run(options: RunOptions): Promise<number> {
  if (!options.dummy) checkPrivileges();
  const instance = claimInstance(options.runDir, options.db);
  return await runInForeground({
    logLevel: options.logLevel,
    about: `run directory ${options.runDir}, database ${options.db}`,
    foreseen: (error) =>
      error instanceof DatapathError || error instanceof DeviceError ||
      error instanceof HttpStartError,
    async start(log, stop) {
      const daemon = await startDaemon(options, log, () => stop("ovs-appctl exit"));
      return { ready: `ready; HTTP API ${daemon.httpUrl ?? "off"}`, stop: () => daemon.stop() };
    },
    release: () => instance.release(),
  });
}

/**
 * `solovs run`: the switch in the foreground (foreground.ts). When it stops, connections are closed,
 * sockets and pid file unlinked. Ports are detached and what it made in the kernel is removed, except
 * where the kernel forwards (`--datapath ebpf`): there it goes on forwarding the flows it has, for the
 * next start to take over, unless the end is asked for by `ovs-appctl exit --cleanup`.
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
      let cleanup = false;
      const daemon = await startDaemon(options, log, (asked) => {
        cleanup = asked;
        stop(asked ? "ovs-appctl exit --cleanup" : "ovs-appctl exit");
      });
      return {
        ready: `ready; HTTP API ${daemon.httpUrl ?? "off"}`,
        stop: () => daemon.stop(!cleanup),
      };
    },
    release: () => instance.release(),
  });
}

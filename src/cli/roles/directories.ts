/** Where Open vSwitch's daemons look for files and make them unless the command line says otherwise. */
import { join } from "node:path";

export interface Directories {
  readonly run: string;
  readonly log: string;
  readonly db: string;
}

export function directories(
  environment: Readonly<Record<string, string | undefined>>,
): Directories {
  const { OVS_RUNDIR, OVS_LOGDIR, OVS_DBDIR, OVS_SYSCONFDIR } = environment;
  return {
    run: OVS_RUNDIR || "/var/run/openvswitch",
    log: OVS_LOGDIR || "/var/log/openvswitch",
    db: OVS_DBDIR || (OVS_SYSCONFDIR ? `${OVS_SYSCONFDIR}/openvswitch` : "/etc/openvswitch"),
  };
}

/** A path as the daemons take it: one that is not absolute is in the given directory. */
export const inDirectory = (directory: string, path: string): string =>
  path.startsWith("/") ? path : join(directory, path);

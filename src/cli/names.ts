/**
 * Which program is this? The executable may be called through links that bear the names of Open
 * vSwitch's own programs; the name under which it was started then chooses the command.
 */
import { basename } from "node:path";

/** Programs of Open vSwitch that solovs will answer for, and what to use while it does not. */
const STOCK_PROGRAMS: Readonly<Record<string, string>> = {
  "ovs-dpctl": "use 'ovs-appctl dpctl/...'",
  "ovsdb-tool": "use ovsdb-tool of the package openvswitch-common",
};

/**
 * The stock program whose name the executable was started under (`argv0` may be a path), with a
 * sentence on what to use instead as long as solovs does not play that role; undefined for any
 * other name, `solovs` included.
 */
export function stockProgram(argv0: string): { name: string; instead: string } | undefined {
  const name = basename(argv0);
  const instead = Object.hasOwn(STOCK_PROGRAMS, name) ? STOCK_PROGRAMS[name] : undefined;
  return instead === undefined ? undefined : { name, instead };
}

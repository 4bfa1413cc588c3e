/** The daemons of Open vSwitch that the executable is when it is called through a link of their name. */
import { basename } from "node:path";

/**
 * Runs the program of that name, and ends the process with it: neither a child that was started nor
 * a connection that is still open keeps a daemon alive which has stopped. Undefined if the name is
 * none of them. Code is loaded when it runs.
 */
export async function runRole(
  argv0: string,
  words: readonly string[],
): Promise<number | undefined> {
  switch (basename(argv0)) {
    case "ovsdb-server": {
      const { ovsdbServer } = await import("./ovsdb-server/main.ts");
      return process.exit(await ovsdbServer(words));
    }
    case "ovs-vswitchd": {
      const { ovsVswitchd } = await import("./ovs-vswitchd/main.ts");
      return process.exit(await ovsVswitchd(words));
    }
    default:
      return undefined;
  }
}

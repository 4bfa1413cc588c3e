/**
 * The arguments of a `dpctl/…` command (ovs-dpctl(8)): options in front, then in most of them the
 * name of the datapath, which may be left out, for there is only one.
 *
 * Errors are told as ovs-dpctl tells them: `ovs-vswitchd: WHAT (WHY)`.
 */
import type { Devices } from "../../fastpath/devices.ts";
import type { PortNamer } from "../../fastpath/text/flow-format.ts";
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { CommandError } from "../unixctl.ts";

export interface DpctlContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly backend: () => Backend | undefined;
  readonly devices: Devices;
}

export interface DpctlOptions {
  /** `-m`: everything. */
  readonly verbose: boolean;
  /** Names of ports in place of their numbers. */
  readonly names: boolean;
  /** `-s`. */
  readonly statistics: boolean;
  readonly mayCreate: boolean;
  readonly clear: boolean;
}

export interface DpctlRequest {
  readonly options: DpctlOptions;
  readonly args: readonly string[];
}

/** What C says of the errors that occur here. */
export const ERRORS = {
  invalid: "Invalid argument",
  exists: "File exists",
  missing: "No such file or directory",
  noDevice: "No such device",
  unsupported: "Operation not supported",
} as const;

export function dpctlError(text: string, why?: string): CommandError {
  return new CommandError(`ovs-vswitchd: ${text}${why === undefined ? "" : ` (${why})`}\n`);
}

/** Takes the options off the front. */
export function parseOptions(all: readonly string[]): DpctlRequest {
  const args = [...all];
  let [verbose, statistics, mayCreate, clear] = [false, false, false, false];
  let names: boolean | undefined;
  while (args[0]?.startsWith("-") && args[0] !== "-") {
    const option = args.shift()!;
    switch (option) {
      case "--statistics":
        statistics = true;
        continue;
      case "--clear":
        clear = true;
        continue;
      case "--may-create":
        mayCreate = true;
        continue;
      case "--more":
        verbose = true;
        continue;
      case "--names":
      case "--no-names":
        names = option === "--names";
        continue;
    }
    if (option.startsWith("--")) throw new CommandError(`Unrecognized option ${option}`);
    for (const letter of option.slice(1)) {
      if (letter === "m") verbose = true;
      else if (letter === "s") statistics = true;
      else throw new CommandError(`Unrecognized option -${letter}`);
    }
  }
  return { options: { verbose, names: names ?? verbose, statistics, mayCreate, clear }, args };
}

/** What the one datapath is called. */
export function datapathName({ datapath }: Backend): string {
  return `${datapath.type}@ovs-${datapath.type}`;
}

/** Is the argument a name of the datapath (with its type in front, or without)? */
export function namesDatapath(backend: Backend | undefined, text: string | undefined): boolean {
  if (!backend || text === undefined) return false;
  const name = datapathName(backend);
  return text === name || text === name.slice(name.indexOf("@") + 1);
}

/**
 * The datapath, and the arguments without its name. With as many arguments as there can be (`most`,
 * the name counted), the first must be it.
 */
export function openDatapath(
  context: DpctlContext,
  args: readonly string[],
  most: number,
): { backend: Backend; rest: readonly string[] } {
  const backend = context.backend();
  if (namesDatapath(backend, args[0])) return { backend: backend!, rest: args.slice(1) };
  if (!backend || args.length >= most) {
    const lines = backend ? "" : "ovs-vswitchd: no datapaths exist\n";
    throw new CommandError(`${lines}ovs-vswitchd: datapath not found (${ERRORS.invalid})\n`);
  }
  return { backend, rest: args };
}

export function portNames(backend: Backend): PortNamer {
  return (port) => backend.datapath.ports().get(port)?.name;
}

export function portNumber(backend: Backend): (name: string) => number | undefined {
  return (name) => {
    for (const port of backend.datapath.ports().values()) {
      if (port.name === name) return port.portNo;
    }
    return undefined;
  };
}

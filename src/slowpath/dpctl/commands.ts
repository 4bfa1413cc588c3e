/** The `dpctl/…` and `dpif/…` commands, which look at the datapath itself and change its flows. */
import { readFileSync } from "node:fs";
import { CommandError, type UnixctlServer } from "../unixctl.ts";
import { registerConntrack } from "./conntrack.ts";
import {
  deleteFlow,
  dumpBridgeFlows,
  dumpFlows,
  type FileCommand,
  getFlow,
  processFlows,
  putFlow,
} from "./flows.ts";
import { normalizeActions, parseActionsCommand } from "./normalize.ts";
import { deletePorts } from "./ports.ts";
import {
  type DpctlContext,
  dpctlError,
  type DpctlOptions,
  ERRORS,
  namesDatapath,
  openDatapath,
  parseOptions,
} from "./request.ts";
import { listBridges, listDatapaths, showBridges, showDatapaths } from "./show.ts";

const MANY = 64;

export function registerDpctl(server: UnixctlServer, context: DpctlContext): void {
  const names: [string, string][] = [];
  const dpctl = (
    name: string,
    usage: string,
    [least, most]: readonly [number, number],
    run: (options: DpctlOptions, args: readonly string[]) => string | Promise<string>,
  ): void => {
    names.push([name, usage]);
    server.register(`dpctl/${name}`, {
      usage,
      minArguments: least,
      // Options are not counted.
      maxArguments: MANY,
      run: (all) => {
        const { options, args } = parseOptions(all);
        if (args.length < least) {
          throw dpctlError(`'${name}' command requires at least ${least} arguments`);
        }
        if (args.length > most) {
          throw dpctlError(`'${name}' command takes at most ${most} arguments`);
        }
        return run(options, args);
      },
    });
  };
  dpctl("dump-dps", "", [0, 0], () => listDatapaths(context));
  dpctl(
    "show",
    "[-s] [dp...]",
    [0, MANY],
    (options, args) => showDatapaths(context, options, args),
  );
  dpctl("del-if", "dp netdev...", [2, MANY], (_options, args) => deletePorts(context, args));
  dpctl(
    "dump-flows",
    "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]",
    [0, 6],
    (options, args) => dumpFlows(context, options, args),
  );
  for (const command of ["add", "mod"] as const) {
    dpctl(`${command}-flow`, "[dp] flow actions", [2, 3], (options, args) => {
      const { backend, rest } = openDatapath(context, args, 3);
      return putFlow(context, backend, options, command, rest[0]!, rest[1]!);
    });
    dpctl(
      `${command}-flows`,
      "[dp] file",
      [1, 2],
      (options, args) => fromFile(context, options, command, args),
    );
  }
  dpctl("get-flow", "[dp] ufid", [1, 2], (options, args) => {
    const { backend, rest } = openDatapath(context, args, 2);
    return getFlow(backend, options, rest[0]!);
  });
  dpctl("del-flow", "[dp] flow", [1, 2], (options, args) => {
    const { backend, rest } = openDatapath(context, args, 2);
    return deleteFlow(backend, options, rest[0]!);
  });
  dpctl("del-flows", "[dp] [file]", [0, 2], (options, args) => {
    if (args.length === 2 || (args.length === 1 && !namesDatapath(context.backend(), args[0]))) {
      return fromFile(context, options, "del", args);
    }
    openDatapath(context, args, 1).backend.cache.purge();
    return "";
  });
  dpctl("cache-get-size", "[dp]", [0, 1], (_options, args) => {
    const { datapath } = openDatapath(context, args, 1).backend;
    return `${datapath.type}@ovs-${datapath.type}:\n`;
  });
  dpctl("cache-set-size", "dp cache <size>", [3, 3], () => {
    throw dpctlError("Setting caches not supported", ERRORS.unsupported);
  });
  dpctl("offload-stats-show", "[dp]", [0, 1], (_options, args) => {
    openDatapath(context, args, 1);
    throw dpctlError("retrieving offload statistics", ERRORS.invalid);
  });
  dpctl("parse-actions", "actions", [1, MANY], (_options, args) => parseActionsCommand(args));
  dpctl(
    "normalize-actions",
    "actions",
    [2, MANY],
    (options, args) => normalizeActions(options, args),
  );
  names.push(...registerConntrack(server, context));
  dpctl("list-commands", "", [0, 0], () => {
    const rows = names.map(([name, usage]) => `  dpctl/${name.padEnd(23)} ${usage}\n`);
    return `The available commands are:\n${rows.join("")}`;
  });
  registerDpif(server, context);
}

/** Flows from a file of the daemon's machine. */
function fromFile(
  context: DpctlContext,
  options: DpctlOptions,
  command: FileCommand,
  args: readonly string[],
): string {
  const { backend, rest } = openDatapath(context, args, 2);
  const name = rest[0] ?? "";
  let text: string;
  try {
    text = readFileSync(name, "utf8");
  } catch {
    throw dpctlError(`Opening file "${name}" failed`, ERRORS.missing);
  }
  return processFlows(context, backend, options, command, text);
}

function registerDpif(server: UnixctlServer, context: DpctlContext): void {
  const bridge = (name: string | undefined) => {
    const found = context.bridges().get(name ?? "");
    if (!found) throw new CommandError("no such bridge");
    return found;
  };
  const none = { usage: "", minArguments: 0, maxArguments: 0 };
  server.register("dpif/show", { ...none, run: () => showBridges(context) });
  server.register("dpif/dump-dps", { ...none, run: () => listBridges(context) });
  server.register("dpif/dump-flows", {
    usage: "[-m] [--names | --no-names] bridge",
    minArguments: 1,
    maxArguments: MANY,
    run: (args) => {
      const options = args.slice(0, -1);
      const verbose = options.includes("-m");
      const named = options.findLast((arg) => arg === "--names" || arg === "--no-names");
      const names = named === undefined ? verbose : named === "--names";
      const rest = { statistics: false, mayCreate: false, clear: false };
      return dumpBridgeFlows(context.backend(), { verbose, names, ...rest }, bridge(args.at(-1)));
    },
  });
}

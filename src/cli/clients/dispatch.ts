/**
 * The clients of Open vSwitch that the executable is: called by a link with their name, or by a first
 * word. They read their command line themselves, as the stock tools do: commander is not asked.
 */
import { basename } from "node:path";

interface Client {
  /** The name of the stock tool. */
  readonly link: string;
  /** The first word that means it. */
  readonly word: string;
  readonly help: string;
  /** Resolves with the exit code; `calledAs` is how it was started, without the options. */
  run(calledAs: string, words: readonly string[]): Promise<number>;
}

export const clients: readonly Client[] = [
  {
    link: "ovs-vsctl",
    word: "vsctl",
    help: "read and change the switch's configuration, as ovs-vsctl does",
    run: async (calledAs, words) => (await import("./vsctl/run.ts")).runVsctl(calledAs, words),
  },
  {
    link: "ovs-ofctl",
    word: "ofctl",
    help: "talk to OpenFlow switches, as ovs-ofctl does, in whatever version they speak",
    run: async (calledAs, words) => {
      const { runOfctl } = await import("./ofctl/run.ts");
      return await runOfctl(basename(calledAs) === "ovs-ofctl", words);
    },
  },
  {
    link: "ovs-appctl",
    word: "appctl",
    help: "ask a running daemon for something, as ovs-appctl does",
    run: async (_, words) => (await import("./appctl/run.ts")).runAppctl(words),
  },
  {
    link: "ovs-testcontroller",
    word: "testcontroller",
    help: "an OpenFlow controller to try things out: learning switch or hub",
    run: async (_, words) => {
      const { runTestController } = await import("./testcontroller/run.ts");
      return process.exit(await runTestController(words));
    },
  },
  {
    link: "ovsdb-client",
    word: "ovsdb-client",
    help: "talk to any OVSDB server, as ovsdb-client does",
    run: async (_, words) => (await import("./ovsdb-client/run.ts")).runOvsdbClient(words),
  },
];

/** The exit code of the client that is meant; undefined if none is. */
export async function runClient(
  argv0: string,
  words: readonly string[],
): Promise<number | undefined> {
  const linked = clients.find(({ link }) => link === basename(argv0));
  if (linked !== undefined) return await linked.run(argv0, words);
  const [first, ...rest] = words;
  const named = clients.find(({ word }) => word === first);
  return named === undefined ? undefined : await named.run(`${argv0} ${named.word}`, rest);
}

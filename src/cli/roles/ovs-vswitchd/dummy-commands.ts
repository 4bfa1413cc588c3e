/** The commands of `ovs-appctl` that only dummies understand (ovs-vswitchd with `--enable-dummy`). */
import { commandAdder, CommandError, type UnixctlServer } from "../../../slowpath/unixctl.ts";
import { parsePrefix } from "../../../packet/prefix.ts";
import type { Dummies } from "./dummies.ts";
import { ReceivedPackets } from "./received-packets.ts";

const MANY = 1000;

export function registerDummyCommands(server: UnixctlServer, dummies: Dummies): void {
  const { clock, datapath, netdevs, network, renumbered } = dummies;
  const add = commandAdder(server);

  add("time/stop", "", [0, 0], () => {
    clock.stop();
    return "";
  });
  let warping = false;
  add("time/warp", "[large_msecs] msecs", [1, 2], async (args) => {
    const step = wholeNumber(args.at(-1));
    const total = args.length > 1 ? wholeNumber(args[0]) : step;
    if (!(step > 0) || !(total >= 0)) throw new CommandError("invalid MSECS");
    if (warping) throw new CommandError("A previous warp in progress");
    warping = true;
    try {
      for (let left = total; left > 0; left -= step) {
        clock.warp(Math.min(left, step));
        // Whatever became due is to be done before time goes on.
        await turn();
      }
    } finally {
      warping = false;
    }
    return "warped\n";
  });

  add(
    "netdev-dummy/receive",
    "name [--qid queue_id] packet|flow [--len packet_len]",
    [2, MANY],
    async ([name = "", ...words]) => {
      if (!netdevs.has(name)) throw new CommandError("no such dummy netdev");
      const packets = new ReceivedPackets(words);
      for (const data of packets.frames) netdevs.receive(name, { data });
      if (packets.problem !== undefined) throw new CommandError(packets.problem);
      await turn();
      return "";
    },
  );
  add("dpif-dummy/change-port-number", "dp port new-number", [3, 3], async (args) => {
    const [, name = "", text = ""] = args;
    const to = wholeNumber(text);
    const port = [...datapath.ports().values()].find((each) => each.name === name);
    if (!port) throw new CommandError("unknown port");
    if (!(to > 0 && to < 0xffff)) throw new CommandError("bad port number");
    if (datapath.ports().has(to)) throw new CommandError("port number already in use");
    renumbered.set(name, to);
    datapath.loseDevice(port.portNo, `it is port ${to} now`);
    // The switch notices, and takes it in again.
    for (let turns = 0; turns < MANY && !datapath.ports().has(to); turns++) await turn();
    return "";
  });
  add("netdev-dummy/set-admin-state", "[netdev] up|down", [1, 2], async (args) => {
    const word = args.at(-1)?.toLowerCase();
    if (word !== "up" && word !== "down") throw new CommandError("Invalid Admin State");
    const [name] = args.length > 1 ? args : [];
    if (name !== undefined && !netdevs.has(name)) {
      throw new CommandError("Unknown Dummy Interface");
    }
    for (const each of name === undefined ? [...netdevs.names()] : [name]) {
      await netdevs.setUp(each, word === "up");
    }
    return "OK";
  });
  for (const [command, usage] of [["ip4addr", "ipaddr/mask-prefix-len"], ["ip6addr", "ip6addr"]]) {
    add(`netdev-dummy/${command}`, `[netdev] ${usage}`, [2, 2], ([name = "", text = ""]) => {
      if (!netdevs.has(name)) throw new CommandError("Unknown Dummy Interface");
      const prefix = parsePrefix(text);
      if (!prefix) throw new CommandError(`${text}: invalid IP address`);
      network.setAddress(name, prefix);
      return "OK";
    });
  }
  add("netdev-dummy/conn-state", "[netdev]", [0, 1], ([only]) => {
    const rows: string[] = [];
    for (const name of only === undefined ? netdevs.names() : [only]) {
      const state = netdevs.connectionState(name);
      if (state !== undefined || only !== undefined) rows.push(`${name}: ${state ?? "unknown"}\n`);
    }
    return rows.join("");
  });
}

/** A leading whole number, as atoll(3) reads it. */
const wholeNumber = (text = ""): number => Number(/^\s*[-+]?\d+/.exec(text)?.[0] ?? 0);

/** The event loop goes round once: sockets are read, and what is ready is done. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

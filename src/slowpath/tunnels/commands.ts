/** `ovs-appctl` commands about tunnels: routes, neighbours, ports that listen (ovs-vswitchd(8)). */
import { parseMac } from "../../packet/address.ts";
import { formatAddress, parseAddress, parsePrefix, type Prefix } from "../../packet/prefix.ts";
import { type Command, CommandError, type UnixctlServer } from "../unixctl.ts";
import { MAX_AGING_SEC } from "./neighbours.ts";
import { describeTunnel } from "./ports.ts";
import { describeRoute } from "./routes.ts";
import type { Tunnels } from "./tunnels.ts";

export function registerTunnelCommands(
  server: UnixctlServer,
  tunnels: () => Tunnels<unknown> | undefined,
): void {
  const add = (
    name: string,
    usage: string,
    [minArguments, maxArguments]: readonly [number, number],
    run: (args: readonly string[], tunnels: Tunnels<unknown>) => string,
  ): void => {
    const command: Command["run"] = (args) => {
      const all = tunnels();
      if (!all) throw new CommandError("there is no datapath yet");
      return run(args, all);
    };
    server.register(name, { usage, minArguments, maxArguments, run: command });
  };

  add("ofproto/list-tunnels", "", [0, 0], (_, { ports }) => {
    return [...ports.values()].map((tunnel) => `${describeTunnel(tunnel)}\n`).sort().join("");
  });
  add("tnl/ports/show", "", [0, 1], (_, all) => all.showPorts());
  add("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", [2, 4], addRoute);
  add("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", [1, 2], (args, { routes }) => {
    const destination = prefix(args[0]);
    if (!routes.remove(destination, optionalMark(args[1]))) throw new CommandError("Not found");
    return "OK";
  });
  add("ovs/route/show", "", [0, 0], (_, { routes }) => {
    return `Route Table:\n${routes.all().map((route) => `${describeRoute(route)}\n`).join("")}`;
  });
  add("ovs/route/lookup", "ip_addr [pkt_mark=mark]", [1, 2], (args, { routes }) => {
    const { address, length } = prefix(args[0]);
    if (length !== 128) throw new CommandError("Invalid parameters");
    const route = routes.lookup(address, optionalMark(args[1]));
    if (!route) throw new CommandError("Not found");
    return `src ${formatAddress(route.source)}\ngateway ${formatAddress(route.gateway)}\n` +
      `dev ${route.device}\n`;
  });
  for (const name of ["tnl/arp", "tnl/neigh"]) {
    add(`${name}/show`, "", [0, 0], (_, { neighbours }) => neighbours.show());
    add(`${name}/flush`, "", [0, 0], (_, { neighbours }) => {
      neighbours.flush();
      return "OK";
    });
    add(`${name}/aging`, "[SECS]", [0, 1], ([seconds], { neighbours }) => {
      if (seconds === undefined) return String(neighbours.agingSec);
      const aging = /^\d{1,6}/.test(seconds) ? Number.parseInt(seconds, 10) : 0;
      if (aging < 1 || aging > MAX_AGING_SEC) throw new CommandError("bad aging value");
      neighbours.setAging(aging);
      return "OK";
    });
    add(`${name}/set`, "BRIDGE IP MAC", [3, 3], ([bridge, ip, mac], { neighbours }) => {
      const address = parseAddress(ip!);
      if (!address) throw new CommandError("bad IP address");
      const ethernet = parseMac(mac!);
      if (!ethernet) throw new CommandError("bad MAC address");
      neighbours.set(bridge!, address, ethernet);
      return "OK";
    });
  }
}

function addRoute(args: readonly string[], { routes }: Tunnels<unknown>): string {
  const destination = prefix(args[0]);
  let gateway: Uint8Array | undefined;
  let mark: number | undefined;
  if (args[2] !== undefined) {
    mark = parseMark(args[2]);
    if (mark === undefined) {
      gateway = parseAddress(args[2]);
      if (!gateway) throw new CommandError("Invalid pkt_mark or gateway");
    }
  }
  if (args[3] !== undefined) mark = optionalMark(args[3]);
  const added = routes.add({
    destination,
    device: args[1]!,
    gateway,
    mark: mark ?? 0,
    origin: "user",
  });
  if (!added) throw new CommandError("Error while inserting route.");
  return "OK";
}

function prefix(text: string | undefined): Prefix {
  const parsed = text === undefined ? undefined : parsePrefix(text);
  if (!parsed) throw new CommandError("Invalid parameters");
  return parsed;
}

function parseMark(text: string): number | undefined {
  const match = /^pkt_mark=(0x[0-9a-f]{1,8}|\d{1,10})$/i.exec(text);
  return match ? Number(match[1]) >>> 0 : undefined;
}

function optionalMark(text: string | undefined): number {
  if (text === undefined) return 0;
  const mark = parseMark(text);
  if (mark === undefined) throw new CommandError("Invalid pkt_mark");
  return mark;
}

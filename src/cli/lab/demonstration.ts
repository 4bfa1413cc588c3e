/** What the lab shows: a ping, a TCP transfer, and the flows that carried them. */
import { join } from "node:path";
import type { Daemon } from "../daemon.ts";
import { formatFlow } from "../../openflow/text/flow.ts";
import { dumpFlows } from "../openflow-client.ts";
import { controlRequest } from "../unixctl.ts";
import { gigabits, indent } from "./text.ts";
import type { LabHost } from "./topology.ts";

const PINGS = 5;
const PING_TIMEOUT_MS = 1000;
const TRANSFER_MS = 3000;

async function ping(from: LabHost, to: LabHost): Promise<string> {
  const { rttsMs } = await from.process.ask("ping", {
    to: to.ip,
    count: PINGS,
    timeoutMs: PING_TIMEOUT_MS,
  });
  const answered = rttsMs.filter((rtt) => rtt !== null);
  if (answered.length === 0) throw new Error(`${to.name} does not answer ${from.name}'s pings`);
  const [first, ...later] = answered.map((rtt) => rtt.toFixed(3));
  const rest = later.length > 0 ? `, then ${later.join(" ")} ms` : "";
  return `${answered.length} of ${PINGS} answered: ${first} ms (through the slow path)${rest}`;
}

async function transfer(from: LabHost, to: LabHost): Promise<string> {
  const { port } = await to.process.ask("listen", { address: to.ip });
  await from.process.ask("send", { to: to.ip, port, milliseconds: TRANSFER_MS });
  const { bytes, milliseconds } = await to.process.ask("received", {});
  if (bytes === 0) throw new Error(`nothing of the TCP transfer reached ${to.name}`);
  const megabytes = Math.round(bytes / 1e6);
  return `${megabytes} MB in ${(milliseconds / 1000).toFixed(1)} s: ` +
    `${gigabits(bytes, milliseconds)} Gbit/s`;
}

/** Prints each result as soon as it is there. Rejects if the hosts do not reach each other. */
export async function demonstrate(
  hosts: readonly LabHost[],
  daemon: Daemon,
  bridge: string,
  say: (text: string) => void,
): Promise<void> {
  const [first, second] = hosts;
  if (first === undefined || second === undefined) throw new Error("the lab has two hosts");
  say(`  ping ${first.name} → ${second.name}: ${await ping(first, second)}`);
  say(`  TCP  ${first.name} → ${second.name}: ${await transfer(first, second)}`);
  say(`\n  Flow table of ${bridge} (as ovs-ofctl dump-flows ${bridge} shows it):`);
  const flows = await dumpFlows(join(daemon.runDir, `${bridge}.mgmt`));
  say(indent(flows.map((flow) => formatFlow(flow)).join("\n")));
  say("\n  Datapath flows made of it (as ovs-appctl dpctl/dump-flows shows them):");
  const socket = join(daemon.runDir, `ovs-vswitchd.${process.pid}.ctl`);
  say(indent(await controlRequest(socket, "dpctl/dump-flows")));
}

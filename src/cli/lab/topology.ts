/** The lab's hardware: hosts in namespaces, and the cables to the switch. */
import { IFF_UP, RouteSocket } from "../../linux/rtnetlink.ts";
import { addVeth } from "../../linux/veth.ts";
import { RemoteHost } from "./remote-host.ts";

export interface LabHost {
  readonly name: string;
  readonly ip: string;
  /** The device at the switch's end of the cable. */
  readonly port: string;
  readonly process: RemoteHost;
}

const PREFIX_LENGTH = 24;
const MOST_LABS = 100;

function withRoute<T>(use: (route: RouteSocket) => T): T {
  const route = new RouteSocket();
  try {
    return use(route);
  } finally {
    route.close();
  }
}

/** The first of `lab0`, `lab1`… under which nothing exists: several labs may run side by side. */
export function freeBridgeName(): string {
  const links = withRoute((route) => route.links());
  const taken = new Set(links.map((link) => link.name?.split("-")[0]));
  for (let i = 0; i < MOST_LABS; i++) if (!taken.has(`lab${i}`)) return `lab${i}`;
  throw new Error(`there are network devices lab0 to lab${MOST_LABS - 1} already`);
}

/** Makes a cable from the host's `eth0` to the device `port`, and switches that device on. */
function addCable(port: string, namespacePid: number): void {
  withRoute((route) => {
    addVeth(route, { name: port }, { name: "eth0", namespacePid });
    const link = route.link(port);
    if (link === undefined) throw new Error(`the device ${port} vanished as soon as it was made`);
    route.setLink(link.ifindex, {}, IFF_UP, IFF_UP);
  });
}

/** Starts a host, plugs it in, and gives its `eth0` an address. */
export async function startHost(bridge: string, name: string, ip: string): Promise<LabHost> {
  const process = await RemoteHost.start(name);
  const host = { name, ip, port: `${bridge}-${name}`, process };
  try {
    addCable(host.port, process.pid);
    await process.ask("configure", { device: "eth0", address: ip, prefixLength: PREFIX_LENGTH });
    return host;
  } catch (error) {
    await removeHost(host);
    throw error;
  }
}

/** Unplugs a host and ends it. The kernel removes a dead namespace's cable too, but some time later. */
export async function removeHost({ port, process }: LabHost): Promise<void> {
  withRoute((route) => {
    const link = route.link(port);
    if (link !== undefined) route.deleteLink(link.ifindex);
  });
  await process.end();
}

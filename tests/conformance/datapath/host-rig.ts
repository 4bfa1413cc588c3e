/** A datapath over the host's devices, for the suite: veth pairs between two namespaces of its own. */
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { Datapath, DpPortSpec, DpPortType } from "../../../src/fastpath/datapath.ts";
import { type Logger, LogSink } from "../../../src/log/log.ts";
import { Sandbox } from "../../support/netns.ts";
import type { Rig, Wire } from "./rig.ts";
import { VnetPort } from "./vnet-port.ts";

/** Changes nothing, and no program in the kernel has it. */
export const ONLY_USERSPACE: readonly DpAction[] = [
  { type: "push_pbb", ethType: 0x88e7, tci: 1 },
  { type: "pop_pbb" },
];

/** `longWay`: see Rig. `more`: of every device port. */
export async function openHostRig(
  openDatapath: (options: { logger: Logger }) => Promise<Datapath>,
  longWay: readonly DpAction[] = [],
  more: Pick<DpPortSpec, "io"> = {},
): Promise<Rig> {
  const sandbox = await Sandbox.create();
  const sw = await sandbox.netns("sw");
  const far = await sandbox.netns("far");
  const logger = new LogSink(() => {}).logger("datapath");
  const datapath = await sw.inside(() => openDatapath({ logger }));
  const sockets: VnetPort[] = [];

  async function plug(name: string, type: DpPortType = "device"): Promise<Wire> {
    if (type === "device" && !(await sw.link(name))) {
      await sandbox.veth({ ns: sw, name }, { ns: far, name: `${name}-far` });
    }
    const port = await datapath.addPort({ name, type, ...(type === "device" && more) });
    if (type === "internal") await sw.ip(`link set dev ${name} up`);
    const socket = type === "internal" ? new VnetPort(sw, name) : new VnetPort(far, `${name}-far`);
    sockets.push(socket);
    return {
      port,
      send: (packet) => socket.send(packet),
      receive: () => socket.receive(),
      lose: async () => {
        await sw.ip(`link del dev ${name}`);
      },
    };
  }

  return {
    datapath,
    longWay,
    plug,
    async close() {
      await datapath.close();
      for (const socket of sockets) socket.close();
      await sandbox.dispose();
    },
  };
}

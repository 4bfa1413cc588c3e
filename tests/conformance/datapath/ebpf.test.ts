/** The eBPF datapath against the suite: veth pairs between two namespaces of its own. */
import type { DpPortType } from "../../../src/fastpath/datapath.ts";
import { openEbpfDatapath } from "../../../src/fastpath/ebpf/datapath.ts";
import { LogSink } from "../../../src/log/log.ts";
import { Sandbox } from "../../support/netns.ts";
import { describePrivileged } from "../../support/privileged.ts";
import type { Implementation, Rig, Wire } from "./rig.ts";
import { datapathConformance } from "./suite.ts";
import { VnetPort } from "./vnet-port.ts";

async function open(): Promise<Rig> {
  const sandbox = await Sandbox.create();
  const sw = await sandbox.netns("sw");
  const far = await sandbox.netns("far");
  const logger = new LogSink(() => {}).logger("datapath");
  const datapath = await sw.inside(() => openEbpfDatapath({ logger }));
  const sockets: VnetPort[] = [];

  async function plug(name: string, type: DpPortType = "device"): Promise<Wire> {
    if (type === "device" && !(await sw.link(name))) {
      await sandbox.veth({ ns: sw, name }, { ns: far, name: `${name}-far` });
    }
    const port = await datapath.addPort({ name, type });
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
    // Userspace's: behind what userspace forwards, and behind what the kernel has forwarded at once.
    longWay: [{ type: "trunc", maxLength: 0xffff }],
    plug,
    async close() {
      await datapath.close();
      for (const socket of sockets) socket.close();
      await sandbox.dispose();
    },
  };
}

const ebpf: Implementation = {
  name: "ebpf",
  skips: {
    "a frame without an Ethernet header is dropped and counted":
      "a packet socket cannot send less than an Ethernet header",
  },
  open,
};

describePrivileged("ebpf", [], () => datapathConformance(ebpf));

/** The memory datapath against the suite. Needs nothing. */
import { openMemoryDatapath } from "../../../src/fastpath/memory/datapath.ts";
import type { Implementation } from "./rig.ts";
import { datapathConformance } from "./suite.ts";

const memory: Implementation = {
  name: "memory",
  skips: {},
  open() {
    const devices = new Set<string>();
    const datapath = openMemoryDatapath({ devices });
    return Promise.resolve({
      datapath,
      async plug(name, type = "device") {
        if (type === "device") devices.add(name);
        const port = await datapath.addPort({ name, type });
        const { portNo } = port;
        const pending: ReturnType<typeof datapath.transmitted> = [];
        return {
          port,
          send: (packet) => datapath.inject(portNo, packet),
          receive: () => {
            if (pending.length === 0) pending.push(...datapath.transmitted(portNo));
            return pending.shift();
          },
          lose: () => {
            devices.delete(name);
            datapath.loseDevice(portNo, "the device was removed");
            return Promise.resolve();
          },
        };
      },
      close: () => datapath.close(),
    });
  },
};

datapathConformance(memory);

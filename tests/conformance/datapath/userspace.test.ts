/** The userspace datapath against the suite. */
import { openUserspaceDatapath } from "../../../src/fastpath/userspace/datapath.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { openHostRig } from "./host-rig.ts";
import type { Implementation } from "./rig.ts";
import { datapathConformance } from "./suite.ts";

const skips = {
  "a frame without an Ethernet header is dropped and counted":
    "a packet socket cannot send less than an Ethernet header",
};

const userspace: Implementation = {
  name: "userspace",
  skips,
  open: () => openHostRig(openUserspaceDatapath),
};

/** Ports spread over three threads; packets of connections and meters go to the first. */
const threeWorkers: Implementation = {
  name: "userspace, three workers",
  skips,
  open: () =>
    openHostRig(async (options) => {
      const datapath = await openUserspaceDatapath(options);
      await datapath.tune!({ workers: 3, cpus: [], busy: false });
      return datapath;
    }),
};

for (const implementation of [userspace, threeWorkers]) {
  describePrivileged(implementation.name, [], () => datapathConformance(implementation));
}

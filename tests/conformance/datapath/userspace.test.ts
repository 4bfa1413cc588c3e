/** The userspace datapath against the suite. */
import { openUserspaceDatapath } from "../../../src/fastpath/userspace/datapath.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { openHostRig } from "./host-rig.ts";
import type { Implementation } from "./rig.ts";
import { datapathConformance } from "./suite.ts";

const userspace: Implementation = {
  name: "userspace",
  skips: {
    "a frame without an Ethernet header is dropped and counted":
      "a packet socket cannot send less than an Ethernet header",
  },
  open: () => openHostRig(openUserspaceDatapath),
};

describePrivileged("userspace", [], () => datapathConformance(userspace));

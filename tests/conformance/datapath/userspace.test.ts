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

/** Devices by libpcap, as where the kernel has no packet sockets. */
const PLAIN = "libpcap carries no offload headers: they are guessed, and ended";
const libpcap: Implementation = {
  name: "userspace, libpcap",
  skips: {
    ...skips,
    "partial checksums travel along, and follow a set": PLAIN,
    "what is cut off has no offloads left: the checksum of the whole stands in the rest": PLAIN,
    "a super-packet stays one, tagged or not": PLAIN,
    "check_pkt_len asks of a super-packet how long its segments are": PLAIN,
    "checksums are finished and segments cut before a label goes on": PLAIN,
    "lengths are asked for without padding, and of super-packets by segment": PLAIN,
    "super-packets and unfinished checksums keep their offloads through rounds and hands": PLAIN,
  },
  open: () => openHostRig(openUserspaceDatapath, [], { io: "libpcap" }),
};

for (const implementation of [userspace, threeWorkers, libpcap]) {
  describePrivileged(implementation.name, [], () => datapathConformance(implementation));
}

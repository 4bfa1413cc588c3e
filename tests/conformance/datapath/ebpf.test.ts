/**
 * The in-kernel datapath against the suite, attached in both ways there are, with and without the
 * exact-match cache in front.
 */
import { openEbpfDatapath } from "../../../src/fastpath/ebpf/datapath.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { ONLY_USERSPACE, openHostRig } from "./host-rig.ts";
import type { Implementation } from "./rig.ts";
import { datapathConformance } from "./suite.ts";

const ebpf = (
  name: string,
  options: { readonly clsact?: boolean; readonly alwaysExact?: boolean },
): Implementation => ({
  name,
  skips: {
    "a frame without an Ethernet header is dropped and counted":
      "a packet socket cannot send less than an Ethernet header",
  },
  // The sentinel goes through userspace: behind what userspace forwards, and behind what the kernel
  // has forwarded at once.
  open: () =>
    openHostRig(
      ({ logger }) => openEbpfDatapath({ logger, ...options }),
      ONLY_USERSPACE,
    ),
});

describePrivileged("ebpf", [], () => {
  datapathConformance(ebpf("ebpf, clsact", { clsact: true }));
  datapathConformance(ebpf("ebpf, tcx where there is, cache first", { alwaysExact: true }));
});

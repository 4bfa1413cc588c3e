/** The in-kernel datapath and the userspace one, side by side, for tests that compare them. */
import { afterAll, beforeAll } from "bun:test";
import { openEbpfDatapath } from "../../../src/fastpath/ebpf/datapath.ts";
import { openUserspaceDatapath } from "../../../src/fastpath/userspace/datapath.ts";
import { Bench } from "./bench.ts";
import { ONLY_USERSPACE, openHostRig } from "./host-rig.ts";
import type { Rig } from "./rig.ts";

/** Benches over the kernel's and over the userspace one, open while the tests of a block run. */
export function twoDatapaths(): readonly Bench[] {
  const rigs: Rig[] = [];
  const benches: Bench[] = [];
  beforeAll(async () => {
    for (const open of [openEbpfDatapath, openUserspaceDatapath]) {
      const rig = await openHostRig(open, ONLY_USERSPACE);
      rigs.push(rig);
      benches.push(await Bench.open(rig));
    }
  });
  afterAll(async () => {
    for (const rig of rigs) await rig.close();
  });
  return benches;
}

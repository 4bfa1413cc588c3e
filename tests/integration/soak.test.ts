/** The soak (tests/soak), short: `npm run soak` is the long one. */
import { expect, test } from "bun:test";
import { describePrivileged } from "../support/privileged.ts";
import { SWITCH_TOOLS } from "../support/switch.ts";
import { faults, soak } from "../soak/soak.ts";

/** Flow tables, connections and compiled code are still growing. */
const GROWTH_MIB = 150;

describePrivileged("a short soak", [...SWITCH_TOOLS, "iperf3"], () => {
  for (const datapath of ["userspace", "ebpf"] as const) {
    test(`the books come out even: ${datapath}`, async () => {
      const report = await soak({ seconds: 8, datapath, growthMiB: GROWTH_MIB });
      expect(faults(report, GROWTH_MIB)).toEqual([]);
      expect(report.streamSent).toBeGreaterThan(500);
      expect(report.rounds).toBeGreaterThan(3);
    }, 120_000);
  }
});

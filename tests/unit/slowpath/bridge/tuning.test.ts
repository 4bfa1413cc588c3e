import { describe, expect, test } from "bun:test";
import { wantedTuning } from "../../../../src/slowpath/bridge/tuning.ts";

const of = (settings: Record<string, string>) => wantedTuning(new Map(Object.entries(settings)));

describe("tuning of the datapath", () => {
  test("one worker that sleeps and runs anywhere, unless told otherwise", () => {
    expect(of({})).toEqual({
      tuning: { workers: 1, cpus: [], busy: false },
      complaints: [],
      remarks: [],
    });
  });

  test("a worker for each CPU of the mask", () => {
    expect(of({ "pmd-cpu-mask": "0x16" }).tuning).toMatchObject({ workers: 3, cpus: [1, 2, 4] });
    expect(of({ "pmd-cpu-mask": "100000000000000000" }).tuning.cpus).toEqual([68]);
    expect(of({ "pmd-cpu-mask": "ffff" }).tuning.workers).toBe(8);
  });

  test("a number of workers goes before that of CPUs", () => {
    expect(of({ "pmd-cpu-mask": "3", "n-rx-workers": "1" }).tuning)
      .toEqual({ workers: 1, cpus: [0, 1], busy: false });
    expect(of({ "n-rx-workers": "4", "rx-mode": "busy" }).tuning)
      .toEqual({ workers: 4, cpus: [], busy: true });
  });

  test("what Open vSwitch has and this switch has no use for is told of", () => {
    const { complaints, remarks } = of({
      "n-handler-threads": "3",
      "dpdk-init": "true",
      "smc-enable": "false",
    });
    expect(complaints).toEqual([]);
    expect(remarks).toEqual([
      "other_config:n-handler-threads has no effect: this switch has nothing that it would set",
      "other_config:dpdk-init has no effect: this switch has nothing that it would set",
    ]);
    expect(of({ "max-idle": "1500", "flow-limit": "9", "stats-update-interval": "1" }).remarks)
      .toEqual([]);
  });

  test("what cannot be understood counts as absent, and is told of", () => {
    for (
      const [key, value] of [
        ["pmd-cpu-mask", "0"],
        ["pmd-cpu-mask", "0xg"],
        ["pmd-cpu-mask", ""],
        ["pmd-cpu-mask", "f".repeat(257)],
        ["n-rx-workers", "0"],
        ["n-rx-workers", "9"],
        ["n-rx-workers", "two"],
        ["rx-mode", "sleep"],
        ["max-idle", "10s"],
        ["flow-limit", "-1"],
      ] as const
    ) {
      const { tuning, complaints } = of({ [key]: value });
      expect(tuning).toEqual({ workers: 1, cpus: [], busy: false });
      expect(complaints).toHaveLength(1);
      expect(complaints[0]).toContain(`other_config:${key}=${value} is ignored`);
    }
  });
});

/** Probing says one of three things of each feature and leaves nothing behind. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { probeKernel } from "../../../../src/fastpath/ebpf/probe.ts";
import { usefulLines } from "../../../../src/linux/bpf-program.ts";

test("every feature has an answer, and a reason unless it is yes", () => {
  const before = readdirSync("/proc/self/fd").length;
  const probes = probeKernel();
  expect(probes.length).toBeGreaterThan(4);
  for (const { feature, answer, because } of probes) {
    expect([feature, ["yes", "no", "could not tell"].includes(answer)]).toEqual([feature, true]);
    expect([feature, answer === "yes" || because !== undefined]).toEqual([feature, true]);
  }
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});

test("of a verifier's log the last lines that tell something are kept", () => {
  const log = "0: (b7) r0 = 1\n1: (79) r1 = *(u64 *)(r2 +0)\nR2 !read_ok\n" +
    "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0\n\n";
  expect(usefulLines(log, 2)).toEqual(["1: (79) r1 = *(u64 *)(r2 +0)", "R2 !read_ok"]);
});

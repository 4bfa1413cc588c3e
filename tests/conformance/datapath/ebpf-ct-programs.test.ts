/** The kernel's verifier takes programs that track connections, with one CPU and many. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { CtAction, DpAction } from "../../../src/fastpath/actions.ts";
import { type Plan, planActions } from "../../../src/fastpath/ebpf/action-plan.ts";
import { assembleActions } from "../../../src/fastpath/ebpf/action-program.ts";
import { Connections } from "../../../src/fastpath/ebpf/connections.ts";
import { closeMaps, type DatapathMaps, openDatapathMaps } from "../../../src/fastpath/ebpf/maps.ts";
import { shardsFor } from "../../../src/fastpath/ebpf/shards.ts";
import { loadTcProgram, programInfo } from "../../../src/linux/bpf-program.ts";
import { close } from "../../../src/linux/libc.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { matchOf, set } from "./bench.ts";
import { ip } from "./ct-bench.ts";

/** Half as much again as what the largest takes. */
const MOST_VERIFIED = 10_000;
const WORLD = {
  targetOf: () => ({ ifindex: 1, ingress: false }),
  hasMeter: () => false,
} as const;

const plain: CtAction = { type: "ct", zone: 1 };
const whole: CtAction = {
  type: "ct",
  zone: 65535,
  commit: true,
  mark: { value: 1, mask: 3 },
  label: { value: new Uint8Array(16), mask: new Uint8Array(16).fill(255) },
  nat: { direction: "src", addresses: { min: ip("10.0.0.9") } },
};
const out: DpAction = { type: "output", port: 1 };
const recirc: DpAction = { type: "recirc", id: 1 };
const clear: DpAction = { type: "ct_clear" };
const LISTS: readonly (readonly DpAction[])[] = [
  [plain, recirc],
  [whole, out],
  [out, set("eth_dst", 1n), whole, recirc],
  [plain, whole, clear, { ...plain, zone: 2 }, recirc],
];

describePrivileged("programs that track connections", [], () => {
  let maps: DatapathMaps;
  beforeAll(() => {
    maps = openDatapathMaps(16);
  });
  afterAll(() => closeMaps(maps));

  for (const cpus of [1, 4, 64]) {
    test(`are taken, with ${cpus} CPU(s)`, () => {
      const shards = shardsFor(cpus);
      const connections = new Connections(undefined, false, shards.count);
      for (const actions of LISTS) {
        const plan = planActions(actions, matchOf({ eth_type: "0x800" }), WORLD);
        expect(plan.kind).toBe("plan");
        const target = { ...maps, ifindex: 1, shards, connections: () => connections.maps };
        const program = loadTcProgram(assembleActions(plan as Plan, target).bytes, "ct");
        expect(programInfo(program).verifiedInstructions).toBeLessThan(MOST_VERIFIED);
        close(program);
      }
      connections.close();
    });
  }

  test("what they cannot do is userspace's", () => {
    const lists: readonly (readonly DpAction[])[] = [
      [{ ...plain, commit: true, force: true }, out],
      [{ type: "clone", actions: [plain, recirc] }, out],
    ];
    for (const actions of lists) {
      const { kind } = planActions(actions, matchOf({ eth_type: "0x800" }), WORLD);
      expect(kind).toBe("userspace");
    }
  });
});

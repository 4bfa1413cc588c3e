/**
 * The verifier takes every program that can come about: with no field, with each one, with all of them,
 * however counters are shared between CPUs, with one VLAN tag or two; and every kind of action.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Plan, planActions, type PlanWorld } from "../../../src/fastpath/ebpf/action-plan.ts";
import { assembleActions } from "../../../src/fastpath/ebpf/action-program.ts";
import { KeyLayout, METADATA, PARSED } from "../../../src/fastpath/ebpf/key-layout.ts";
import { assembleEntry, assembleMain } from "../../../src/fastpath/ebpf/main-program.ts";
import {
  closeMaps,
  createLayoutMaps,
  type DatapathMaps,
  openDatapathMaps,
} from "../../../src/fastpath/ebpf/maps.ts";
import { type Shards, shardsFor } from "../../../src/fastpath/ebpf/shards.ts";
import { loadTcProgram, programInfo } from "../../../src/linux/bpf-program.ts";
import { close } from "../../../src/linux/libc.ts";
import { DP_KEY_WORDS, slot, type SlotName } from "../../../src/packet/layout.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { matchOf, set } from "./bench.ts";

const FLOWS = 16;
/** The verifier gives up at a million. */
const MOST_VERIFIED = 100_000;
const TIMEOUT_MS = 60_000;
const WORLD: PlanWorld = {
  targetOf: () => ({ ifindex: 1, ingress: false }),
  hasMeter: () => true,
};

/** The kernel's instructions for it, as many as it looked at. */
function load(bytes: Uint8Array): number {
  const fd = loadTcProgram(bytes, "solovs_test");
  try {
    return programInfo(fd).verifiedInstructions;
  } finally {
    close(fd);
  }
}

function layoutOf(name: SlotName): KeyLayout {
  const bits = new Uint32Array(DP_KEY_WORDS);
  const { offset, bytes } = slot(name);
  new Uint8Array(bits.buffer).fill(0xff, offset, offset + bytes);
  return KeyLayout.empty().with(bits);
}

describePrivileged("the verifier", [], () => {
  let maps: DatapathMaps;
  beforeAll(() => {
    maps = openDatapathMaps(FLOWS);
  });
  afterAll(() => closeMaps(maps));

  function loadMain(layout: KeyLayout, shards: Shards, vlanLimit: 1 | 2): number {
    const fresh = createLayoutMaps(layout, FLOWS);
    try {
      const all = { ...maps, ...fresh, ifindex: 1, shards };
      return load(assembleMain(layout, all, vlanLimit).bytes);
    } finally {
      closeMaps(fresh);
    }
  }

  test("takes a key of each field", () => {
    for (const name of [...PARSED, ...METADATA]) {
      expect(loadMain(layoutOf(name), shardsFor(4), 2)).toBeLessThan(MOST_VERIFIED);
    }
  }, TIMEOUT_MS);

  for (const cpus of [1, 4, 64]) {
    test(`takes a key of nothing and of everything, with ${cpus} CPUs`, () => {
      for (const vlanLimit of [1, 2] as const) {
        for (const layout of [KeyLayout.empty(), KeyLayout.full(), KeyLayout.widest()]) {
          expect(loadMain(layout, shardsFor(cpus), vlanLimit)).toBeLessThan(MOST_VERIFIED);
        }
      }
    }, TIMEOUT_MS);

    test(`takes all kinds of actions, with ${cpus} CPUs`, () => {
      const out = { type: "output", port: 1 } as const;
      const lists = [
        [
          { eth_type: "0x800", nw_proto: "6" },
          ["eth_src", "eth_dst", "nw_src", "nw_dst", "nw_tos", "nw_ttl", "tp_src", "tp_dst"],
        ],
        [{ eth_type: "0x800", nw_proto: "17" }, ["tp_src", "skb_priority", "pkt_mark"]],
        [{ eth_type: "0x800", nw_proto: "1" }, ["tp_src", "tp_dst"]],
        [
          { eth_type: "0x86dd", nw_proto: "58" },
          ["ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl", "tp_src"],
        ],
        [{ eth_type: "0x806" }, ["nw_proto", "nw_src", "nw_dst", "arp_sha", "arp_tha"]],
        [{ eth_type: "0x8847", mpls_bos: "1" }, ["mpls_lse0"]],
      ] as const;
      for (const [fields, names] of lists) {
        const plan = planActions(
          [
            out,
            ...names.map((name) => set(name, 1n)),
            out,
            { type: "push_vlan", tpid: 0x88a8, tci: 1 },
            out,
            { type: "pop_vlan" },
            out,
          ],
          matchOf(fields),
          WORLD,
        );
        expect(plan.kind).toBe("plan");
        const shards = shardsFor(cpus);
        const { bytes } = assembleActions(plan as Plan, { ...maps, ifindex: 1, shards });
        expect(load(bytes)).toBeLessThan(MOST_VERIFIED);
      }
    });
  }

  test("takes a port's program", () => {
    expect(load(assembleEntry(8191, maps.programs).bytes)).toBeLessThan(MOST_VERIFIED);
  });
});

/**
 * The verifier takes every program that can come about: with no field, with each one, with all of them,
 * however counters are shared between CPUs, with one VLAN tag or two; and every kind of action.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { type Plan, planActions, type PlanWorld } from "../../../src/fastpath/ebpf/action-plan.ts";
import { assembleActions } from "../../../src/fastpath/ebpf/action-program.ts";
import { KeyLayout, PARSED } from "../../../src/fastpath/ebpf/key-layout.ts";
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
/** All of it is read in the same way; some alone, the longest, and one that shares a word. */
const SOME_METADATA = ["recirc_id", "ct_zone", "ct_label", "tun_id", "tun_metadata"] as const;
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
    for (const name of [...PARSED, ...SOME_METADATA]) {
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

  test("takes the actions that are not sets", () => {
    const out = (port: number): DpAction => ({ type: "output", port });
    const trunc = { type: "trunc", maxLength: 100 } as const;
    const hash = { type: "hash", algorithm: "l4", basis: 1 } as const;
    const wide = { type: "hash", algorithm: "sym_l4", basis: 1, wide: true } as const;
    const recirc = { type: "recirc", id: 1 } as const;
    const meter = { type: "meter", id: 1 } as const;
    const sample = { type: "sample", probability: 5, actions: [] } as const;
    const mpls = { type: "push_mpls", ethType: 0x8847, lse: 0x1140 } as const;
    const ipv4 = { eth_type: "0x800", ip_frag: "no", vlan_tci: "0" };
    const ipv6 = { ...ipv4, eth_type: "0x86dd" };
    const label = { eth_type: "0x8847", mpls_bos: "1", vlan_tci: "0" };
    const longer = {
      type: "check_pkt_len",
      length: 1500,
      greater: [meter, out(1), recirc],
      lessEqual: [set("eth_dst", 1n), { type: "clone", actions: [out(2)] }],
    } as const;
    const lists: readonly (readonly [typeof ipv4 | typeof label, readonly DpAction[]])[] = [
      [ipv4, [out(1), hash, recirc]],
      [ipv6, [wide, out(1), recirc]],
      [ipv4, [meter, sample, sample, out(1), meter, trunc, out(2)]],
      [ipv6, [longer]],
      [ipv4, [{ ...longer, length: 60 }]],
      [ipv4, [mpls, out(1), mpls, set("mpls_lse0", 1n), out(2)]],
      [label, [{ type: "pop_mpls", ethType: 0x800 }, recirc, out(1)]],
      [label, [wide, set("mpls_lse0", 1n), trunc, out(1)]],
    ];
    for (const cpus of [4, 64]) {
      for (const [fields, actions] of lists) {
        const plan = planActions(actions, matchOf(fields), WORLD);
        expect(plan).toMatchObject({ kind: "plan" });
        const { bytes } = assembleActions(plan as Plan, {
          ...maps,
          ...{ ifindex: 1, shards: shardsFor(cpus) },
        });
        expect(load(bytes)).toBeLessThan(MOST_VERIFIED);
      }
    }
  }, TIMEOUT_MS);

  test("takes a port's program", () => {
    expect(load(assembleEntry(8191, maps.programs).bytes)).toBeLessThan(MOST_VERIFIED);
  });
});

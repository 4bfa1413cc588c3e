/**
 * The assembled programs as reviewed text: the main program for a NORMAL switch's key and for ACLs,
 * and an action program, with names for the places on their stacks and in the context. A change shows as a
 * difference of instructions; after it was looked at:
 *
 *     SOLOVS_GOLDEN=write bun test tests/unit/fastpath/ebpf/listing.test.ts
 */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  type Plan,
  planActions,
  type PlanWorld,
} from "../../../../src/fastpath/ebpf/action-plan.ts";
import { assembleActions } from "../../../../src/fastpath/ebpf/action-program.ts";
import type { Assembled } from "../../../../src/fastpath/ebpf/assembler.ts";
import { disassemble } from "../../../../src/fastpath/ebpf/disassembler.ts";
import { kernelMask, KeyLayout } from "../../../../src/fastpath/ebpf/key-layout.ts";
import { assembleEntry, assembleMain } from "../../../../src/fastpath/ebpf/main-program.ts";
import { matchOf, set } from "../../../conformance/datapath/bench.ts";
import { actionNames, annotate, entryNames, mainNames, type Names } from "./listing-names.ts";

const GOLDEN = resolve(import.meta.dir, "../../../golden/ebpf");
const map = (name: string) => ({ name, fd: 1 });
const MAPS = {
  ifindex: 99,
  ports: map("ports"),
  portCounts: map("port_counts"),
  counts: map("counts"),
  shards: { count: 2, own: true },
  settings: map("settings"),
  masks: map("masks"),
  megaflows: map("megaflows"),
  exact: map("exact"),
  flows: map("flows"),
  programs: map("programs"),
  arguments: map("arguments"),
  state: map("state"),
  meters: map("meters"),
};
/** A program and what stands where in it. */
type Listed = readonly [Assembled, Names];
const main = (fields: Parameters<typeof matchOf>[0]): Listed => {
  const layout = KeyLayout.empty().with(kernelMask(matchOf(fields))!);
  return [assembleMain(layout, MAPS, 2), mainNames(layout)];
};

const NORMAL = {
  in_port_oxm: "1",
  eth_src: "02:00:00:00:00:01",
  eth_dst: "02:00:00:00:00:02",
  eth_type: "0x800",
  vlan_tci: "0x0/0x1fff",
};
const WORLD: PlanWorld = {
  targetOf: (port) => ({ ifindex: 10 + port, ingress: false }),
  hasMeter: () => true,
};
const ROUTED = planActions(
  [
    set("eth_dst", 1n),
    set("nw_dst", 2n),
    { type: "output", port: 1 },
    { type: "push_vlan", tpid: 0x8100, tci: 5 },
    { type: "output", port: 2 },
  ],
  matchOf({ eth_type: "0x800" }),
  WORLD,
) as Plan;

const ROUND = planActions(
  [
    { type: "meter", id: 3 },
    { type: "hash", algorithm: "sym_l4", basis: 5 },
    { type: "recirc", id: 7 },
  ],
  matchOf({ eth_type: "0x800", ip_frag: "no" }),
  WORLD,
) as Plan;

const LISTINGS: Readonly<Record<string, () => Listed>> = {
  "entry": () => [assembleEntry(7, MAPS.programs), entryNames],
  "main-normal": () => main(NORMAL),
  "main-acl": () => main({ ...NORMAL, ip_src: "10.0.0.1", nw_proto: "6", tcp_dst: "80" }),
  "main-round": () => main({ recirc_id: "7", dp_hash: "0x5/0xff" }),
  "action-round": () => [assembleActions(ROUND, MAPS), actionNames],
  "action-route": () => [assembleActions(ROUTED, MAPS), actionNames],
};

describe("listings", () => {
  for (const [name, assemble] of Object.entries(LISTINGS)) {
    test(name, () => {
      const [assembled, names] = assemble();
      const text = annotate(disassemble(assembled.bytes, assembled), names);
      const path = `${GOLDEN}/${name}.txt`;
      if (process.env.SOLOVS_GOLDEN === "write") writeFileSync(path, text);
      expect(text).toBe(readFileSync(path, "utf8"));
    });
  }
});

/** What becomes of action lists in the kernel. */
import { describe, expect, test } from "bun:test";
import type { DpAction } from "../../../../src/fastpath/actions.ts";
import { type Plan, planActions } from "../../../../src/fastpath/ebpf/action-plan.ts";
import { assembleActions } from "../../../../src/fastpath/ebpf/action-program.ts";
import { matchOf, set } from "../../../conformance/datapath/bench.ts";

const TCP4 = matchOf({ eth_type: "0x800", nw_proto: "6" });
const TARGETS = new Map([
  [1, { ifindex: 11, ingress: false }],
  [2, { ifindex: 12, ingress: true }],
]);
const plan = (actions: readonly DpAction[], match = TCP4) =>
  planActions(actions, match, { targetOf: (port) => TARGETS.get(port), hasMeter: (id) => id < 9 });
const out = (port: number): DpAction => ({ type: "output", port });
const words = ({ args }: Plan, n: number) => [...new Uint32Array(args.buffer).subarray(0, n)];

describe("plans", () => {
  test("nothing is a drop, and so is rewriting without an output", () => {
    expect(plan([])).toEqual({ kind: "drop" });
    expect(plan([set("eth_dst", 1n), { type: "push_vlan", tpid: 0x8100, tci: 1 }]))
      .toEqual({ kind: "drop" });
  });

  test("one output needs no program", () => {
    expect(plan([out(2)])).toEqual({ kind: "output", port: 2, target: TARGETS.get(2)! });
  });

  test("ports are arguments: floods to as many ports share a program", () => {
    const [a, b] = [plan([out(1), out(2)]) as Plan, plan([out(2), out(1)]) as Plan];
    expect(a.shape).toBe(b.shape);
    expect(words(a, 4)).toEqual([11, 2, 12, 5]);
    expect(words(b, 4)).toEqual([12, 5, 11, 2]);
  });

  test("a set has its value under the mask, and the bits to keep", () => {
    const { args, steps } = plan([set("nw_src", 0x0a0b0c0dn, 0xffff0000n), out(1)]) as Plan;
    expect(steps[0]).toMatchObject({ base: "l3", offset: 12, bytes: 4, checksum: "ipv4-address" });
    expect(args.subarray(0, 8).toHex()).toBe("0a0b00000000ffff");
  });

  test("an IPv6 label does not reach the version and traffic class in front of it", () => {
    const match = matchOf({ eth_type: "0x86dd" });
    const { args } = plan([set("ipv6_label", 0xffffffffn), out(1)], match) as Plan;
    expect(args.subarray(0, 8).toHex()).toBe("000ffffffff00000");
  });

  const USERSPACE: readonly (readonly [string, readonly DpAction[], typeof TCP4?])[] = [
    ["a port that is not there", [out(3)]],
    ["a header that the match does not promise", [set("nw_src", 1n), out(1)], matchOf({})],
    ["ports of an unknown protocol", [set("tp_src", 1n), out(1)], matchOf({ eth_type: "0x800" })],
    ["a tag that may not be there", [{ type: "pop_vlan" }, out(1)]],
    ["a tag of a rare kind", [{ type: "push_vlan", tpid: 0x9100, tci: 1 }, out(1)]],
    [
      "a cut before a change",
      [{ type: "trunc", maxLength: 64 }, out(1), set("eth_dst", 1n), out(2)],
    ],
    ["the controller", [{ type: "userspace", userdata: 1 }]],
    ["a list that is too long", Array.from({ length: 65 }, () => out(1))],
  ];
  for (const [name, actions, match] of USERSPACE) {
    test(`userspace does: ${name}`, () => {
      expect(plan(actions, match).kind).toBe("userspace");
    });
  }

  test("a tunnel that is set before a change and tracking is userspace's, where it is known", () => {
    const tunnel: DpAction = {
      type: "set_tunnel",
      tunnel: { dst: Uint8Array.of(192, 0, 2, 1), id: 5n },
    };
    const ct: DpAction = { type: "ct", zone: 1 };
    expect(plan([tunnel, ct, out(1)]).kind).toBe("plan");
    expect(plan([set("eth_dst", 1n), ct, out(1)]).kind).toBe("plan");
    expect(plan([tunnel, set("eth_dst", 1n), ct, out(1)]))
      .toMatchObject({ kind: "userspace", reason: "tracks with another tunnel" });
  });

  test("a queue is a number that goes with the packet", () => {
    const { args, steps } = plan([set("skb_priority", 0x10002n), out(1)]) as Plan;
    expect(steps[0]).toEqual({ kind: "note", at: 0, field: "priority", state: false });
    expect(new Uint32Array(args.buffer)[0]).toBe(0x10002);
  });

  test("type and code of ICMP do not reach each other", () => {
    const match = matchOf({ eth_type: "0x800", nw_proto: "1" });
    const args = (name: "tp_src" | "tp_dst") =>
      (plan([set(name, 0x0708n), out(1)], match) as Plan).args.subarray(0, 8).toHex();
    expect(args("tp_src")).toBe("0800000000ff0000");
    expect(args("tp_dst")).toBe("00080000ff000000");
  });

  test("a label is set where the match has seen one", () => {
    const labels = (fields: Parameters<typeof matchOf>[0]) =>
      plan([set("mpls_lse0", 1n), out(1)], matchOf(fields)).kind;
    expect(labels({ eth_type: "0x8847" })).toBe("userspace");
    expect(labels({ eth_type: "0x8847", mpls_bos: "1" })).toBe("plan");
  });

  test("a tag that was pushed may be taken off", () => {
    const push: DpAction = { type: "push_vlan", tpid: 0x8100, tci: 0x1005 };
    expect(plan([push, out(1), { type: "pop_vlan" }, out(2)]).kind).toBe("plan");
  });

  const kinds = (actions: readonly DpAction[], match = TCP4) =>
    (plan(actions, match) as Plan).steps.map((step) =>
      step.kind === "output" && step.cut !== undefined ? "cut" : step.kind
    );
  const trunc = (maxLength: number): DpAction => ({ type: "trunc", maxLength });
  const recirc: DpAction = { type: "recirc", id: 0x0102 };

  test("what is sent whole goes first, then what is cut, the longest first", () => {
    const { steps, args, guards } = plan([trunc(64), out(1), trunc(90), out(2)]) as Plan;
    const words = new Uint32Array(args.buffer);
    const cuts = steps.map((step) => step.kind === "output" && words[step.cut! / 4]);
    expect(cuts).toEqual([90, 64]);
    expect(words[guards.cut! / 4]).toBe(64);
    expect(kinds([trunc(64), out(1), out(2)])).toEqual(["output", "cut"]);
    expect(plan([trunc(64), out(1), out(1)]).kind).toBe("userspace");
  });

  test("a packet recirculates last, and unchanged", () => {
    expect(kinds([recirc, out(1), out(2)])).toEqual(["output", "output", "recirculate"]);
    expect(plan([recirc, set("eth_dst", 1n), out(1)]).kind).toBe("userspace");
    expect(plan([recirc, recirc]).kind).toBe("userspace");
    expect(plan([trunc(64), out(1), recirc]).kind).toBe("userspace");
    const { args, steps, stateful, recirculates } = plan([recirc]) as Plan;
    expect(args.subarray(0, 4).toHex()).toBe("00000102");
    expect([steps.length, stateful, recirculates]).toEqual([1, true, true]);
  });

  test("a hash that nobody asks for is not computed", () => {
    const match = matchOf({ eth_type: "0x800", ip_frag: "no" });
    const hash: DpAction = { type: "hash", algorithm: "l4", basis: 1 };
    expect(kinds([hash, out(1), set("eth_dst", 1n), out(2)], match)).toEqual([
      "output",
      "set",
      "output",
    ]);
    expect(kinds([hash, recirc], match)).toEqual(["hash", "recirculate"]);
    expect(plan([hash, recirc]).kind).toBe("userspace");
  });

  test("copies that only send are sends; a copy at the end is the packet", () => {
    const clone = (...actions: DpAction[]): DpAction => ({ type: "clone", actions });
    expect(kinds([clone(out(1)), clone(set("eth_dst", 1n), out(2))])).toEqual([
      "output",
      "set",
      "output",
    ]);
    expect(plan([clone(set("eth_dst", 1n), out(2)), out(1)]).kind).toBe("userspace");
  });

  test("a sample is diced for, by its place in the list", () => {
    const sample = (probability: number, ...actions: DpAction[]): DpAction => ({
      type: "sample",
      probability,
      actions,
    });
    const controller: DpAction = { type: "userspace", userdata: 1 };
    const { guards, args } = plan([sample(0), sample(7, controller), out(1), out(2)]) as Plan;
    expect(guards.samples.map((at) => new Uint32Array(args.buffer)[at / 4])).toEqual([0, 7]);
    expect(plan([sample(0xffff_ffff, controller), out(1)]).kind).toBe("userspace");
    expect(plan([sample(7, sample(7)), out(1)]).kind).toBe("userspace");
  });

  test("labels: on any packet, off one that the match has seen, not among tags that changed", () => {
    const push: DpAction = { type: "push_mpls", ethType: 0x8847, lse: 1 };
    const pop: DpAction = { type: "pop_mpls", ethType: 0x800 };
    const tag: DpAction = { type: "push_vlan", tpid: 0x8100, tci: 1 };
    const label = matchOf({ eth_type: "0x8847", mpls_bos: "1", vlan_tci: "0" });
    expect(kinds([push, push, out(1)])).toEqual(["push_mpls", "push_mpls", "output"]);
    expect(kinds([pop, recirc], label)).toEqual(["pop_mpls", "recirculate"]);
    expect(plan([pop, out(1)]).kind).toBe("userspace");
    expect(plan([tag, push, out(1)]).kind).toBe("userspace");
    expect(plan([push, set("nw_dst", 1n), out(1)]).kind).toBe("userspace");
  });

  test("a meter is the kernel's if it can enforce it, and counts without an output", () => {
    const meter = (id: number): DpAction => ({ type: "meter", id });
    expect(kinds([meter(1)])).toEqual(["meter"]);
    expect(plan([meter(9), out(1)]).kind).toBe("userspace");
  });

  const map = { name: "m", fd: 1 };
  const shards = { count: 2, own: true };
  const counts = { portCounts: map, counts: map, meters: map, shards };
  const maps = { ifindex: 5, ports: map, state: map, arguments: map, programs: map, ...counts };

  test("behind a clone the packet's state is looked at before it is used: the clone may have taken it", () => {
    const guards = { plain: false, protocol: false, samples: [] };
    const [clone, clear] = [{ kind: "output", at: 0 }, { kind: "ct_clear" }] as const;
    const instructions = (...steps: Plan["steps"][number][]): number =>
      assembleActions({ guards, stateful: true, steps }, maps).bytes.length / 8;
    const again = { kind: "recirculate", at: 8 } as const;
    expect(instructions(clone, clear, again)).toBe(instructions(clear, clone, again) + 5);
  });

  test("every plan assembles", () => {
    const made = plan([
      set("nw_dst", 1n),
      set("tp_dst", 2n),
      out(1),
      { type: "push_vlan", tpid: 0x88a8, tci: 5 },
      out(2),
    ]) as Plan;
    expect(assembleActions(made, maps).bytes.length % 8).toBe(0);
  });
});

/**
 * Flows for random packets, such that no two flows overlap: packets that agree in some base fields
 * agree in the mask, too, and in the actions.
 */
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { DpMeter } from "../../../src/fastpath/meters.ts";
import type { DpFlow, Packet } from "../../../src/fastpath/datapath.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { FlowKey, type Match } from "../../../src/packet/key.ts";
import { DP_KEY_WORDS, FIELDS, slot, type SlotName } from "../../../src/packet/layout.ts";
import type { Seeded } from "../../support/seeded.ts";
import { set } from "./bench.ts";

const BASE: readonly SlotName[] = [
  "in_port",
  "recirc_id",
  "packet_type",
  "eth_type",
  "vlan_tci",
  "vlan_tpid",
  "vlan2_tci",
  "nw_proto",
  "nw_frag",
];
const EXTRA: readonly SlotName[] = [
  "eth_src",
  "eth_dst",
  "nw_src",
  "nw_dst",
  "nw_tos",
  "nw_ttl",
  "tp_src",
  "tp_dst",
  "tcp_flags",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "arp_sha",
  "arp_tha",
  "nd_target",
  "nd_reserved",
  "nd_options_type",
  "mpls_lse0",
  "mpls_lse1",
];
/** Slots that only userspace looks at. */
const RARE: readonly SlotName[] = ["ipv6_exthdr", "pbb_tci"];

/** Network layers' slots, by Ethernet type. */
const SETTABLE: readonly (readonly [number, readonly SlotName[]])[] = [
  [0x0800, ["nw_src", "nw_dst", "nw_tos", "nw_ttl"]],
  [0x86dd, ["ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "ipv6_label"]],
  [0x0806, ["nw_proto", "nw_src", "nw_dst", "arp_sha", "arp_tha"]],
  [0x8847, ["mpls_lse0"]],
];
const ANY = EXTRA.filter((name) =>
  name !== "tcp_flags" && name !== "mpls_lse1" && name !== "nd_options_type"
);

/** Buckets that nothing flows into: what they do does not depend on time. */
export const METERS: readonly DpMeter[] = [
  { unit: "pktps", bands: [{ type: "drop", rate: 0, burst: 5 }] },
  { unit: "kbps", bands: [{ type: "drop", rate: 0, burst: 4 }] },
  {
    unit: "kbps",
    bands: [{ type: "drop", rate: 0, burst: 3 }, { type: "drop", rate: 1_000_000, burst: 5 }],
  },
  { unit: "pktps", bands: [{ type: "dscp_remark", rate: 0, burst: 2, precedenceLevel: 1 }] },
];

interface Kind {
  readonly mask: FlowKey;
  readonly actions: readonly DpAction[];
}

function look(mask: FlowKey, name: SlotName, r?: Seeded): void {
  const { offset, bytes } = slot(name);
  for (let i = 0; i < bytes; i++) {
    mask.bytes[offset + i] = !r || r.next(3) > 0 ? 0xff : r.next(256);
  }
}

export class RandomFlows {
  private readonly kinds = new Map<string, Kind>();
  private readonly known = new Set<string>();
  private readonly rounds: Omit<DpFlow, "id">[] = [];
  private nextRound = 1;
  private readonly frame = new Frame();

  constructor(private readonly r: Seeded, private readonly ports: readonly number[]) {}

  /** A flow for the packet, or undefined if there is one already. */
  flowFor(packet: Packet, inPort: number, id: number): DpFlow | undefined {
    const { frame } = this;
    const bytes = new Uint8Array(VNET_BYTES + packet.data.length);
    bytes.set(packet.vnet ?? new Uint8Array(VNET_BYTES));
    bytes.set(packet.data, VNET_BYTES);
    frame.set(bytes, VNET_BYTES, packet.data.length, true, 0);
    extract(frame, inPort, 0, 0);
    const base = BASE.map((name) => {
      const { offset, bytes: length } = slot(name);
      return frame.key.bytes.slice(offset, offset + length).toHex();
    }).join();
    let kind = this.kinds.get(base);
    if (!kind) {
      kind = { mask: this.randomMask(), actions: this.randomActions(frame.key) };
      this.kinds.set(base, kind);
    }
    const key = new FlowKey();
    for (let i = 0; i < DP_KEY_WORDS; i++) {
      key.words[i] = frame.key.words[i]! & kind.mask.words[i]!;
    }
    const text = `${base} ${key.bytes.toHex()}`;
    if (this.known.has(text)) return undefined;
    this.known.add(text);
    return { id, match: { key, mask: kind.mask }, actions: kind.actions };
  }

  private randomMask(): FlowKey {
    const { r } = this;
    const mask = new FlowKey();
    for (const name of BASE) look(mask, name);
    for (const name of EXTRA) if (r.next(4) === 0) look(mask, name, r);
    for (const name of RARE) if (r.next(25) === 0) look(mask, name);
    return mask;
  }

  private randomActions(key: FlowKey, depth = 0): DpAction[] {
    const { r } = this;
    if (r.next(8) === 0) return [];
    const actions: DpAction[] = [];
    for (let n = 1 + r.next(5); n > 0; n--) actions.push(this.randomAction(key));
    actions.push(...this.randomEnd(key, depth));
    return actions;
  }

  /** What a list ends with: mostly an output. */
  private randomEnd(key: FlowKey, depth: number): DpAction[] {
    const { r } = this;
    const output: DpAction = { type: "output", port: r.pick(this.ports) };
    const trunc: DpAction = { type: "trunc", maxLength: 60 + r.next(60) };
    const nested = (): DpAction[] => depth < 2 ? this.randomActions(key, depth + 1) : [output];
    switch (r.next(10)) {
      case 0:
      case 1:
        return [
          {
            type: "hash",
            basis: r.next(1000),
            ...r.pick(
              [
                { algorithm: "l4" },
                { algorithm: "sym_l4" },
                { algorithm: "sym_l4", wide: true },
              ] as const,
            ),
          },
          ...r.next(2) === 0 ? [set("pkt_mark", BigInt(r.next(1000)))] : [],
          ...this.goRound(key, depth),
        ];
      case 2:
        return [
          output,
          trunc,
          { type: "output", port: r.pick(this.ports.filter((port) => port !== output.port)) },
        ];
      case 3:
        return [{ type: "clone", actions: [output] }, { type: "clone", actions: nested() }];
      case 4:
        return [{
          type: "check_pkt_len",
          length: 60 + r.next(60),
          greater: nested(),
          lessEqual: nested(),
        }];
      case 5: {
        const label = { type: "push_mpls", ethType: 0x8847, lse: r.next(1 << 30) } as const;
        return [label, output, ...r.next(2) === 0 ? [label, output] : []];
      }
      default:
        return [output];
    }
  }

  /** The packet comes again, and finds a flow, or none. */
  private goRound(key: FlowKey, depth: number): DpAction[] {
    const { r } = this;
    const id = this.nextRound++;
    if (depth < 3 && r.next(4) > 0) {
      const match: Match = { key: new FlowKey(), mask: new FlowKey() };
      match.key.bytes.set(key.bytes.subarray(0, 4));
      match.mask.bytes.fill(0xff, 0, 4);
      look(match.mask, "recirc_id");
      match.key.set(FIELDS.recirc_id, id);
      if (r.next(3) === 0) look(match.mask, "eth_type");
      match.key.set(FIELDS.eth_type, match.mask.get(FIELDS.eth_type) && key.get(FIELDS.eth_type));
      const actions = this.randomActions(key, depth + 1);
      this.rounds.push({ match, actions });
    }
    return [{ type: "recirc", id }];
  }

  /** Flows for packets that come again, since they were asked for. */
  takeRounds(): readonly Omit<DpFlow, "id">[] {
    return this.rounds.splice(0);
  }

  private randomAction(key: FlowKey): DpAction {
    const { r } = this;
    const output: DpAction = { type: "output", port: r.pick(this.ports) };
    const tagged = key.get(FIELDS.vlan_tci) !== 0;
    switch (r.next(20)) {
      case 0:
      case 1:
      case 2:
        return output;
      case 16:
        return { type: "meter", id: r.next(METERS.length + 1) };
      case 17:
        // What is taken is as good as sure, or does not show.
        return r.next(2) === 0
          ? { type: "sample", probability: 0xffff_fffe, actions: [output] }
          : { type: "sample", probability: 0x8000_0000, actions: [] };
      case 18:
        return key.get(FIELDS.eth_type) === 0x8847
          ? { type: "pop_mpls", ethType: r.pick([0x8847, 0x800]) }
          : output;
      case 19:
        return { type: "clone", actions: [output, { type: "trunc", maxLength: 70 }, output] };
      case 3:
        return { type: "push_vlan", tpid: r.pick([0x8100, 0x88a8]), tci: r.next(0x10000) };
      case 4:
      case 5:
        return tagged || r.next(8) === 0 ? { type: "pop_vlan" } : output;
      case 6:
        return r.next(3) > 0
          ? output
          : r.next(2) === 0
          ? { type: "trunc", maxLength: 60 + r.next(40) }
          : { type: "userspace", userdata: r.next(100) };
      default:
        return this.randomSet(key);
    }
  }

  /** Mostly of a header that the packet has. */
  private randomSet(key: FlowKey): DpAction {
    const { r } = this;
    const layers = SETTABLE.find(([type]) => type === key.get(FIELDS.eth_type))?.[1] ?? [];
    const protocol = key.get(FIELDS.nw_proto);
    const ports = [1, 6, 17, 58].includes(protocol) ? ["tp_src", "tp_dst"] as const : [];
    const name = r.pick<SlotName>(
      r.next(12) === 0 ? ANY : ["eth_src", "eth_dst", ...layers, ...ports],
    );
    const { bytes } = slot(name);
    const number = () => BigInt(`0x${r.bytes(bytes).toHex()}`);
    return r.next(2) === 0 ? set(name, number()) : set(name, number(), number());
  }
}

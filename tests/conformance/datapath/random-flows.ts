/**
 * Flows for random packets, such that no two flows overlap: packets that agree in some base fields
 * agree in the mask, too, and in the actions.
 */
import type { DpAction } from "../../../src/fastpath/actions.ts";
import type { DpFlow, Packet } from "../../../src/fastpath/datapath.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { FlowKey } from "../../../src/packet/key.ts";
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
  "mpls_lse0",
  "mpls_lse1",
];
/** Slots that only userspace looks at. */
const RARE: readonly SlotName[] = ["nd_target", "ipv6_exthdr", "pbb_tci"];

/** Network layers' slots, by Ethernet type. */
const SETTABLE: readonly (readonly [number, readonly SlotName[]])[] = [
  [0x0800, ["nw_src", "nw_dst", "nw_tos", "nw_ttl"]],
  [0x86dd, ["ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "ipv6_label"]],
  [0x0806, ["nw_proto", "nw_src", "nw_dst", "arp_sha", "arp_tha"]],
  [0x8847, ["mpls_lse0"]],
];
const ANY = EXTRA.filter((name) => name !== "tcp_flags" && name !== "mpls_lse1");

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

  private randomActions(key: FlowKey): DpAction[] {
    const { r } = this;
    if (r.next(8) === 0) return [];
    const actions: DpAction[] = [];
    for (let n = 1 + r.next(5); n > 0; n--) actions.push(this.randomAction(key));
    actions.push({ type: "output", port: r.pick(this.ports) });
    return actions;
  }

  private randomAction(key: FlowKey): DpAction {
    const { r } = this;
    const output: DpAction = { type: "output", port: r.pick(this.ports) };
    const tagged = key.get(FIELDS.vlan_tci) !== 0;
    switch (r.next(16)) {
      case 0:
      case 1:
      case 2:
        return output;
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

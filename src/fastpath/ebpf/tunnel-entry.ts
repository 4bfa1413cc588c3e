/**
 * The entry program of a tunnel port: what a device with collected metadata tells of a packet's outer
 * headers becomes the packet's state (packet-state.ts), as it stands in a flow key. Then the main program
 * goes on as with any packet.
 *
 * `struct bpf_tunnel_key`, numbers in host order but where said otherwise:
 *
 *      0 tunnel_id u32                4 remote_ipv4 u32, or remote_ipv6 16 bytes as on the wire
 *     20 tunnel_tos u8   21 ttl u8   22 tunnel_flags u16, big endian   24 tunnel_label u32
 *     28 local_ipv4 u32, or local_ipv6 16 bytes as on the wire
 *
 * The outer source port is not told: `tun_tp_src` is 0.
 *
 * References: bpf-helpers(7), linux/bpf.h; net/ip_tunnels.h (TUNNEL_…).
 */
import {
  slot,
  type SlotName,
  TUN_F_CSUM,
  TUN_F_DF,
  TUN_F_KEY,
  TUN_F_OAM,
} from "../../packet/layout.ts";
import { MAX_GENEVE_OPTIONS } from "../tunnel-key.ts";
import { CB_PORT, MAIN_SLOT, TC_ACT_SHOT } from "./abi.ts";
import type { TunnelTarget } from "./action-plan.ts";
import { type Assembled, Assembler, type MapReference, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R4, R6, R9 } from "./instructions.ts";
import {
  beginState,
  STATE_METADATA,
  STATE_WORDS,
  stateOffset,
  TUNNEL_WORDS,
} from "./packet-state.ts";
import { be16 } from "./parse-link.ts";

export const TUNNEL_KEY_BYTES = 44;
export const TUNNEL_KEY = {
  id: 0,
  remote: 4,
  tos: 20,
  ttl: 21,
  flags: 22,
  local: 28,
} as const;

export const BPF_F_TUNINFO_IPV6 = 1;
export const BPF_F_TUNINFO_FLAGS = 16;
/** Bits of `tunnel_flags`, with those of the slot `tun_flags`. */
const FLAGS = [
  [0x0001, TUN_F_CSUM],
  [0x0004, TUN_F_KEY],
  [0x0100, TUN_F_DF],
  [0x0200, TUN_F_OAM],
] as const;

// The stack.
const KEY = -8;
const TUNNEL = -8 - 48;
const POLICY = TUNNEL - 8;

export interface TunnelEntryMaps {
  readonly programs: MapReference;
  readonly state: MapReference;
}

export function assembleTunnelEntry(
  portNo: number,
  { kind, udpPort, gbp }: TunnelTarget,
  maps: TunnelEntryMaps,
): Assembled {
  const asm = new Assembler();
  asm.mov(R6, reg(R1)).mov(R2, portNo).store(32, R6, CB_PORT, reg(R2));
  beginState(asm, maps.state, KEY, R9);
  getKey(asm, BPF_F_TUNINFO_FLAGS);
  asm.jumpIf("ne", R0, 0, "ipv6");
  number(asm, TUNNEL_KEY.remote, "tun_src");
  number(asm, TUNNEL_KEY.local, "tun_dst");
  asm.jump("addressed").label("ipv6");
  getKey(asm, BPF_F_TUNINFO_FLAGS | BPF_F_TUNINFO_IPV6);
  // Nothing is known of it: not a packet of the tunnel.
  asm.jumpIf("ne", R0, 0, "drop");
  for (let at = 0; at < 16; at += 4) {
    asm.load(32, R2, R10, TUNNEL + TUNNEL_KEY.remote + at);
    asm.store(32, R9, stateAt("tun_ipv6_src") + at, reg(R2));
    asm.load(32, R2, R10, TUNNEL + TUNNEL_KEY.local + at);
    asm.store(32, R9, stateAt("tun_ipv6_dst") + at, reg(R2));
  }
  asm.label("addressed");
  asm.load(32, R2, R10, TUNNEL + TUNNEL_KEY.id).toBigEndian(R2, 32);
  asm.store(32, R9, stateAt("tun_id") + 4, reg(R2));
  asm.load(8, R2, R10, TUNNEL + TUNNEL_KEY.tos).store(8, R9, stateAt("tun_tos"), reg(R2));
  asm.load(8, R2, R10, TUNNEL + TUNNEL_KEY.ttl).store(8, R9, stateAt("tun_ttl"), reg(R2));
  flags(asm);
  if (udpPort !== 0) asm.store(16, R9, stateAt("tun_tp_dst"), be16(udpPort));
  asm.store(32, R9, STATE_WORDS, TUNNEL_WORDS);
  if (kind === "geneve") options(asm);
  if (gbp) policy(asm);
  asm.mov(R1, reg(R6)).loadMap(R2, maps.programs).mov(R3, MAIN_SLOT).call("tail_call");
  asm.label("state_lost").label("drop").mov(R0, TC_ACT_SHOT).exit();
  return asm.finish();
}

/** Where a slot stands in the packet's state. */
function stateAt(name: SlotName): number {
  const { offset } = slot(name);
  return stateOffset(offset >> 2)! + (offset & 3);
}

/** r0 = 0 if it is there, of the family that the flags say. */
function getKey(asm: Assembler, wanted: number): void {
  asm.mov(R1, reg(R6)).mov(R2, reg(R10)).op("add", R2, TUNNEL).mov(R3, TUNNEL_KEY_BYTES);
  asm.mov(R4, wanted).call("skb_get_tunnel_key");
}

function number(asm: Assembler, from: number, name: SlotName): void {
  asm.load(32, R2, R10, TUNNEL + from).toBigEndian(R2, 32);
  asm.store(32, R9, stateAt(name), reg(R2));
}

function flags(asm: Assembler): void {
  asm.load(16, R2, R10, TUNNEL + TUNNEL_KEY.flags).toBigEndian(R2, 16).mov(R3, 0);
  for (const [bit, ours] of FLAGS) {
    asm.mov(R4, reg(R2)).op("and", R4, bit);
    const shift = Math.log2(ours) - Math.log2(bit);
    if (shift > 0) asm.op("lsh", R4, shift);
    else if (shift < 0) asm.op("rsh", R4, -shift);
    asm.op("or", R3, reg(R4));
  }
  asm.store(8, R9, stateAt("tun_flags") + 1, reg(R3));
}

/** Geneve's options as on the wire; without any, the helper says so by an error. */
function options(asm: Assembler): void {
  asm.mov(R1, reg(R6)).mov(R2, reg(R9)).op("add", R2, STATE_METADATA + 4 * TUNNEL_WORDS);
  asm.mov(R3, MAX_GENEVE_OPTIONS).call("skb_get_tunnel_opt");
  asm.jumpIf("sle", R0, 0, "no_tunnel_options");
  asm.store(8, R9, stateAt("tun_options_length"), reg(R0));
  asm.op("rsh", R0, 2).op("add", R0, TUNNEL_WORDS).store(32, R9, STATE_WORDS, reg(R0));
  asm.label("no_tunnel_options");
}

/** VXLAN's group policy, `struct vxlan_metadata`: id in the low 16 bits, flags above. */
function policy(asm: Assembler): void {
  asm.mov(R1, reg(R6)).mov(R2, reg(R10)).op("add", R2, POLICY).mov(R3, 4);
  asm.call("skb_get_tunnel_opt").jumpIf("sle", R0, 0, "no_policy");
  asm.load(32, R2, R10, POLICY).mov(R3, reg(R2)).toBigEndian(R3, 16);
  asm.store(16, R9, stateAt("tun_gbp_id"), reg(R3));
  asm.op("rsh", R2, 16).store(8, R9, stateAt("tun_gbp_flags"), reg(R2)).label("no_policy");
}

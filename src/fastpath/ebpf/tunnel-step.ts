/**
 * Sending through a tunnel device: what `set(tunnel(…))` says is noted with the packet, for the device to
 * which it is then redirected. Arguments of the step:
 *
 *     struct bpf_tunnel_key (tunnel-entry.ts), 44 bytes | flags u32 | options, or a group policy u32
 *
 * Source port, checksums, fragments and segments are the kernel's.
 */
import { TUNNEL_DEVICES } from "../../linux/tunnel-device.ts";
import { TUN_F_CSUM, TUN_F_DF, TUN_F_KEY, TUN_F_OAM } from "../../packet/layout.ts";
import type { DpTunnel } from "../actions.ts";
import type { TunnelTarget } from "./action-plan.ts";
import { type Assembler, reg } from "./assembler.ts";
import { R0, R1, R2, R3, R4, R6, R7 } from "./instructions.ts";
import { BPF_F_TUNINFO_IPV6, TUNNEL_KEY, TUNNEL_KEY_BYTES } from "./tunnel-entry.ts";

/** `optionBytes`: how many stand behind key and flags. */
export interface SetTunnelStep {
  readonly kind: "set_tunnel";
  readonly at: number;
  readonly optionBytes: number;
}

const FLAGS_AT = TUNNEL_KEY_BYTES;
const OPTIONS_AT = FLAGS_AT + 4;

const BPF_F_ZERO_CSUM_TX = 2;
const BPF_F_DONT_FRAGMENT = 4;
const BPF_F_NO_TUNNEL_KEY = 16;

/** The step's arguments for a tunnel of the device, or why the device cannot be told that. */
export function tunnelArguments(tunnel: DpTunnel, target: TunnelTarget): Uint8Array | string {
  const { kind, udpPort, gbp } = target;
  const { dst, src, id = 0n, flags = 0, tos = 0, ttl = 0 } = tunnel;
  const { families, keyBits } = TUNNEL_DEVICES[kind];
  const ipv6 = dst.length === 16;
  if (ipv6 && families === "ipv4") return `its ${kind} device has IPv4 only`;
  if (src && src.length !== dst.length) return "its tunnel's ends are of two families";
  if ((tunnel.tpDst || udpPort) !== udpPort || tunnel.tpSrc) {
    return "its tunnel has UDP ports of its own";
  }
  if (id >> BigInt(keyBits) !== 0n) return `its tunnel's key is longer than ${keyBits} bits`;
  if ((flags & TUN_F_OAM) !== 0) return "its tunnel's packets are OAM";
  const options = kind === "geneve"
    ? tunnel.options ?? new Uint8Array(0)
    : gbp && tunnel.gbpId !== undefined
    ? word(tunnel.gbpId | ((tunnel.gbpFlags ?? 0) & 0x48) << 16)
    : new Uint8Array(0);
  const bytes = new Uint8Array(OPTIONS_AT + options.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(TUNNEL_KEY.id, Number(id), true);
  const address = (at: number, value: Uint8Array): void => {
    bytes.set(ipv6 ? value : value.toReversed(), at);
  };
  address(TUNNEL_KEY.remote, dst);
  if (src) address(TUNNEL_KEY.local, src);
  bytes[TUNNEL_KEY.tos] = tos;
  bytes[TUNNEL_KEY.ttl] = ttl;
  const keyed = tunnel.id !== undefined && (flags & TUN_F_KEY) !== 0;
  view.setUint32(
    FLAGS_AT,
    (ipv6 ? BPF_F_TUNINFO_IPV6 : 0) |
      // Over IPv6 there is always one (RFC 8200 §8.1).
      (ipv6 || (flags & TUN_F_CSUM) !== 0 ? 0 : BPF_F_ZERO_CSUM_TX) |
      ((flags & TUN_F_DF) !== 0 ? BPF_F_DONT_FRAGMENT : 0) |
      (kind === "gre" && !keyed ? BPF_F_NO_TUNNEL_KEY : 0),
    true,
  );
  bytes.set(options, OPTIONS_AT);
  return bytes;
}

/** How many bytes of the arguments are options. */
export const optionBytes = (args: Uint8Array): number => args.length - OPTIONS_AT;

/** r0 to r5 are lost. On to `drop` if the kernel refuses. */
export function emitSetTunnel(asm: Assembler, { at, optionBytes }: SetTunnelStep): void {
  asm.mov(R1, reg(R6)).mov(R2, reg(R7)).op("add", R2, at).mov(R3, TUNNEL_KEY_BYTES);
  asm.load(32, R4, R7, at + FLAGS_AT).call("skb_set_tunnel_key").jumpIf("ne", R0, 0, "drop");
  if (optionBytes === 0) return;
  asm.mov(R1, reg(R6)).mov(R2, reg(R7)).op("add", R2, at + OPTIONS_AT).mov(R3, optionBytes);
  asm.call("skb_set_tunnel_opt").jumpIf("ne", R0, 0, "drop");
}

function word(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

/** Frames and helpers that the packet tests share. */
import { Frame, VNET_BYTES } from "../../../src/packet/frame.ts";
import { extract } from "../../../src/packet/extract.ts";
import { buildFrame, type FrameSpec } from "../../../src/packet/headers.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { FIELDS, slot, type SlotName } from "../../../src/packet/layout.ts";
import { formatIpv4, formatIpv6, formatMac } from "../../../src/packet/address.ts";
import { encodeVnet, type VnetHeader } from "../../../src/packet/vnet.ts";

/** A frame in the middle of a buffer of 0xa5, so that a read or write outside shows. */
export function placed(data: Uint8Array, vnet?: Partial<VnetHeader>, headroom = 32): Frame {
  const buffer = new Uint8Array(headroom + VNET_BYTES + data.length + 32).fill(0xa5);
  const at = headroom + VNET_BYTES;
  buffer.set(data, at);
  if (vnet) {
    buffer.set(
      encodeVnet({
        flags: 0,
        gsoType: 0,
        headerBytes: 0,
        gsoSize: 0,
        csumStart: 0,
        csumOffset: 0,
        ...vnet,
      }),
      at - VNET_BYTES,
    );
  }
  const frame = new Frame();
  frame.set(buffer, at, data.length, vnet !== undefined, 0);
  return frame;
}

export interface Options {
  readonly inPort?: number;
  readonly tci?: number;
  readonly tpid?: number;
  readonly vnet?: Partial<VnetHeader>;
}

export function parsed(data: Uint8Array, options: Options = {}): Frame {
  const frame = placed(data, options.vnet);
  extract(frame, options.inPort ?? 0, options.tci ?? 0, options.tpid ?? 0);
  return frame;
}

export function build(spec: FrameSpec, options: Options = {}): Frame {
  return parsed(buildFrame(spec), options);
}

/** The frame's bytes as they stand. */
export function dataOf(frame: Frame): Uint8Array {
  return frame.bytes.slice(frame.offset, frame.offset + frame.length);
}

const MACS: readonly SlotName[] = ["eth_dst", "eth_src", "arp_sha", "arp_tha"];
const IPV4: readonly SlotName[] = ["nw_src", "nw_dst"];
const IPV6: readonly SlotName[] = ["ipv6_src", "ipv6_dst", "nd_target"];

/** The slots that are not zero, addresses as text. */
export function slotsOf(key: FlowKey, names: readonly SlotName[]): Record<string, string | number> {
  const out: Record<string, string | number> = {};
  for (const name of names) {
    const { offset, bytes } = slot(name);
    const raw = key.bytes.subarray(offset, offset + bytes);
    if (raw.every((byte) => byte === 0)) continue;
    if (MACS.includes(name)) out[name] = formatMac(raw);
    else if (IPV4.includes(name)) out[name] = formatIpv4(raw);
    else if (IPV6.includes(name)) out[name] = formatIpv6(raw);
    else out[name] = raw.reduce((value, byte) => value * 256 + byte, 0);
  }
  return out;
}

export const V4 = { src: "10.0.0.1", dst: "10.0.0.2" } as const;
export const V6 = { src: "fd00::1", dst: "fd00::2" } as const;
export { FIELDS };

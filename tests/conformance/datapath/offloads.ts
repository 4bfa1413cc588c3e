/** Packets as a sender with checksum and segmentation offload hands them over. */
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { fold, pseudoSum } from "../../../src/packet/checksum.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { encodeVnet } from "../../../src/packet/vnet.ts";
import { frameOf } from "./bench.ts";

/** Replaces the checksum at `l4 + csumOffset` by the pseudo header's sum. */
function offload(data: Uint8Array, protocol: number, csumOffset: number, gsoSize: number): Packet {
  const sum = fold(pseudoSum(data, 26, 4, protocol, data.length - 34));
  data[34 + csumOffset] = sum >>> 8;
  data[34 + csumOffset + 1] = sum;
  const vnet = encodeVnet({
    flags: 1,
    gsoType: gsoSize === 0 ? 0 : 1,
    headerBytes: gsoSize === 0 ? 0 : 54,
    gsoSize,
    csumStart: 34,
    csumOffset,
  });
  return { data, vnet };
}

/** The bench's UDP frame with its checksum left to do. */
export function partialUdp(): Packet {
  return offload(frameOf(), 17, 6, 0);
}

/** A TCP super-packet with `payload` bytes, to be sent as segments of `gsoSize`. */
export function superTcp(payload: number, gsoSize: number): Packet {
  const ipv4 = { src: "10.0.0.1", dst: "10.0.0.2" };
  return offload(buildFrame({ ipv4, tcp: { src: 1, dst: 2 }, payload }), 6, 16, gsoSize);
}

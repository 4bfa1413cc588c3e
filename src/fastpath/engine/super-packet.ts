/** What the offload header of a frame says of its size: a super-packet stands for several packets. */
import { type Frame, VNET_BYTES } from "../../packet/frame.ts";

/** Bytes of payload in each packet of a super-packet; 0: the frame is one packet. */
export function segmentSize(frame: Frame): number {
  if (!frame.vnet) return 0;
  const vnet = frame.offset - VNET_BYTES;
  if (frame.bytes[vnet + 1] === 0) return 0;
  return frame.bytes[vnet + 4]! | (frame.bytes[vnet + 5]! << 8);
}

/** How many packets the frame stands for. */
export function segments(frame: Frame): number {
  const size = segmentSize(frame);
  return size === 0 ? 1 : Math.max(1, Math.ceil((frame.length - headerBytes(frame)) / size));
}

/** The frame's length without padding; of a super-packet that of its longest packet. */
export function longestSegment(frame: Frame): number {
  const size = segmentSize(frame);
  if (size !== 0) return Math.min(frame.length, headerBytes(frame) + size);
  // Padding is known behind IP only, as in Open vSwitch.
  return frame.l3Type === 0x0800 || frame.l3Type === 0x86dd ? frame.l3End : frame.length;
}

/** Bytes before the transport's payload. */
function headerBytes(frame: Frame): number {
  if (frame.l4 < 0) return 0;
  if (frame.l4Type !== 6) return frame.l4 + 8;
  return frame.l4 + ((frame.bytes[frame.offset + frame.l4 + 12]! >> 4) << 2);
}

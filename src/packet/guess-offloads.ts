/**
 * What a frame's virtio-net header would say, when whoever received it was not told: of frames that a
 * host on the same machine sent, whose checksums and segmentation its stack left to the device.
 *
 * - A TCP or UDP checksum field that holds the pseudo header's sum is one that nobody has finished. (A
 *   finished one may be the same number, one in 65,536; finishing it again gives the same.)
 * - A TCP packet longer than the device's MTU is a super-packet, of segments as long as the MTU allows.
 *
 * References: virtio 1.2 §5.1.6.2; RFC 9293 §3.1, RFC 8200 §8.1.
 */
import { readU16, writeU16 } from "./big-endian.ts";
import { fold, pseudoSum } from "./checksum.ts";
import { VNET_BYTES, VNET_F_NEEDS_CSUM, VNET_GSO_TCPV4, VNET_GSO_TCPV6 } from "./frame.ts";

const ETH_BYTES = 14;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;

/**
 * Fills the virtio-net header in front of the frame at `at`, `length` bytes. Only what lies within the
 * frame is read; a frame that is nothing of the kind gets an empty header. `mtu` 0: not known.
 */
export function guessOffloads(bytes: Uint8Array, at: number, length: number, mtu: number): void {
  bytes.fill(0, at - VNET_BYTES, at);
  let l3 = ETH_BYTES;
  if (length < l3 + 20) return;
  let type = readU16(bytes, at + 12);
  for (let tags = 0; tags < 2 && (type === 0x8100 || type === 0x88a8); tags++, l3 += 4) {
    if (length < l3 + 24) return;
    type = readU16(bytes, at + l3 + 2);
  }
  let l4: number;
  let protocol: number;
  let end: number;
  if (type === IPV4) {
    const head = (bytes[at + l3]! & 15) * 4;
    // Of a fragment nobody leaves the checksum to a device.
    if (head < 20 || (readU16(bytes, at + l3 + 6) & 0x3fff) !== 0) return;
    l4 = l3 + head;
    protocol = bytes[at + l3 + 9]!;
    end = l3 + readU16(bytes, at + l3 + 2);
  } else if (type === IPV6 && length >= l3 + 40) {
    l4 = l3 + 40;
    protocol = bytes[at + l3 + 6]!;
    end = l4 + readU16(bytes, at + l3 + 4);
  } else return;
  if (protocol !== TCP && protocol !== UDP) return;
  if (end > length || end < l4 + (protocol === TCP ? 20 : 8)) return;
  const field = protocol === TCP ? 16 : 6;
  const width = type === IPV4 ? 4 : 16;
  const pseudo = fold(
    pseudoSum(bytes, at + l3 + (type === IPV4 ? 12 : 8), width, protocol, end - l4),
  );
  const head = l4 + (protocol === TCP ? (bytes[at + l4 + 12]! >> 4) * 4 : 8);
  const isSuper = protocol === TCP && mtu > 0 && end - l3 > mtu && head >= l4 + 20 && head < end;
  if (!isSuper && readU16(bytes, at + l4 + field) !== pseudo) return;
  const vnet = at - VNET_BYTES;
  bytes[vnet] = VNET_F_NEEDS_CSUM;
  writeLe(bytes, vnet + 6, l4);
  writeLe(bytes, vnet + 8, field);
  const segment = mtu - (head - l3);
  if (!isSuper || segment <= 0) return;
  writeU16(bytes, at + l4 + field, pseudo);
  bytes[vnet + 1] = type === IPV4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
  writeLe(bytes, vnet + 2, head);
  writeLe(bytes, vnet + 4, segment);
}

function writeLe(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

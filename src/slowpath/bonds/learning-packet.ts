/**
 * The frame by which other switches learn that an address is now behind another link: a reverse ARP
 * request (RFC 903) from that address to everybody, who need not answer it.
 */
const ETH_VLAN = 0x8100;
const ETH_RARP = 0x8035;
const REQUEST_REVERSE = 3;

export function learningPacket(mac: Uint8Array, vlan: number): Uint8Array {
  const tag = vlan === 0 ? 0 : 4;
  const frame = new Uint8Array(14 + tag + 28);
  const view = new DataView(frame.buffer);
  frame.fill(0xff, 0, 6);
  frame.set(mac, 6);
  if (tag > 0) {
    view.setUint16(12, ETH_VLAN);
    view.setUint16(14, vlan);
  }
  let at = 12 + tag;
  view.setUint16(at, ETH_RARP);
  at += 2;
  view.setUint16(at, 1); // Ethernet
  view.setUint16(at + 2, 0x0800);
  frame[at + 4] = 6;
  frame[at + 5] = 4;
  view.setUint16(at + 6, REQUEST_REVERSE);
  // Sender and target are the same station; nobody's IP address is known.
  frame.set(mac, at + 8);
  frame.set(mac, at + 18);
  return frame;
}

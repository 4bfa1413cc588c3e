/**
 * Which IP addresses the hosts behind the ports have, as far as packets say it by themselves: ARP
 * (RFC 826) and IPv6 neighbour discovery (RFC 4861) among the packets that come up to the slow path.
 * It decides nothing; it is what people are shown beside a MAC address.
 *
 * Limits: MOST hosts, the one that was heard longest ago goes; one IPv4 and one IPv6 address each.
 */
import { formatIpv4, formatIpv6, formatMac } from "../../packet/address.ts";

const MOST = 4096;
const ETH_ARP = 0x0806;
const ETH_IPV6 = 0x86dd;
const ETH_VLANS: ReadonlySet<number> = new Set([0x8100, 0x88a8]);
const ICMPV6 = 58;
/** Neighbour solicitation and advertisement. */
const ND_TYPES: ReadonlySet<number> = new Set([135, 136]);

interface Known {
  ipv4?: string;
  ipv6?: string;
}

export class AddressBook {
  private readonly hosts = new Map<string, Known>();

  /** Addresses of a host, by its MAC in text. */
  of(mac: string): readonly string[] {
    const { ipv4, ipv6 } = this.hosts.get(mac) ?? {};
    return [...(ipv4 === undefined ? [] : [ipv4]), ...(ipv6 === undefined ? [] : [ipv6])];
  }

  /** Looks at a frame; anything that is no whole ARP or ND message is left alone. */
  see(frame: Uint8Array): void {
    if (frame.length < 42) return;
    const u16 = (at: number): number => (frame[at]! << 8) | frame[at + 1]!;
    let at = 12;
    for (let tags = 0; tags < 2 && ETH_VLANS.has(u16(at)); tags++) at += 4;
    const type = u16(at);
    const start = at + 2;
    if (type === ETH_ARP && frame.length >= start + 28) {
      // Ethernet and IPv4; the sender's two addresses.
      if (u16(start) !== 1 || u16(start + 2) !== 0x0800 || u16(start + 4) !== 0x0604) return;
      const ip = frame.subarray(start + 14, start + 18);
      if (ip.some((byte) => byte !== 0)) {
        this.learn(frame.subarray(start + 8, start + 14), { ipv4: formatIpv4(ip) });
      }
    } else if (type === ETH_IPV6 && frame.length >= start + 44) {
      if (frame[start + 6] !== ICMPV6 || !ND_TYPES.has(frame[start + 40]!)) return;
      const ip = frame.subarray(start + 8, start + 24);
      const linkLocal = ip[0] === 0xfe && (ip[1]! & 0xc0) === 0x80;
      if (linkLocal || ip.every((byte) => byte === 0)) return;
      this.learn(frame.subarray(6, 12), { ipv6: formatIpv6(ip) });
    }
  }

  private learn(mac: Uint8Array, address: Known): void {
    const key = formatMac(mac);
    const known = { ...this.hosts.get(key), ...address };
    // The order of a map is that of insertion: who was heard last stands last.
    this.hosts.delete(key);
    this.hosts.set(key, known);
    if (this.hosts.size > MOST) this.hosts.delete(this.hosts.keys().next().value as string);
  }
}

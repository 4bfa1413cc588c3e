/**
 * What a tunnelled packet needs in front of it, by the tunnel metadata of its key, worked out once and
 * kept: the tunnel's own header, the address that it is sent to, and the control messages that tell the
 * kernel source address, TTL, TOS and mark (src/linux/tunnel-socket.ts).
 *
 * Memory that a message in a queue points at must stay: what gives way to another tunnel is held until
 * `release`.
 */
import { address } from "../../linux/libc.ts";
import {
  IP_PKTINFO,
  IP_TOS,
  IP_TTL,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  SO_MARK,
  SOL_IP,
  SOL_IPV6,
} from "../../linux/tunnel-socket.ts";
import { AF_INET, AF_INET6 } from "../../linux/addresses.ts";
import { SOL_SOCKET } from "../../linux/af-packet.ts";
import type { Frame } from "../../packet/frame.ts";
import { slot, TUN_F_CSUM, TUN_F_DF } from "../../packet/layout.ts";
import type { DpTunnel, TunnelKind } from "../actions.ts";
import { DatapathError, type TunnelWire } from "../datapath.ts";
import { swap32 } from "../engine/metadata.ts";
import { readTunnel, TUNNEL_WORD } from "../tunnel-key.ts";
import { ETH_TEB, tunnelHeader } from "../tunnels/header.ts";

const W_MARK = slot("pkt_mark").offset >> 2;
const W_ID = (slot("tun_id").offset >> 2) + 1;
const W_DST = slot("tun_dst").offset >> 2;
const W_DST6 = (slot("tun_ipv6_dst").offset >> 2) + 3;
/** A power of two. */
const PLACES = 256;
/** A `struct cmsghdr` and a number in it, aligned. */
const NUMBER_CMSG_BYTES = 24;

export interface Encapsulation {
  /** Tunnel metadata, packet type and mark that it is for. */
  readonly words: Int32Array;
  readonly packetType: number;
  readonly mark: number;
  /** The tunnel's own header, and its address in memory. */
  readonly header: Uint8Array;
  readonly headerAt: number;
  readonly ipv4: boolean;
  /** `struct sockaddr_in` or `sockaddr_in6`. */
  readonly name: Uint8Array;
  readonly nameAt: number;
  readonly control: Uint8Array;
  readonly controlAt: number;
  readonly dontFragment: boolean;
  /** Of the outer UDP header, or of GRE. */
  readonly checksum: boolean;
  /** The kernel refused to cut for this one: not before then again. */
  plainUntilMs: number;
}

export class Encapsulations {
  private readonly places: (Encapsulation | undefined)[] = new Array<undefined>(PLACES);
  private readonly retired: Encapsulation[] = [];

  constructor(
    private readonly kind: TunnelKind,
    private readonly wire: TunnelWire,
  ) {}

  /** For the frame as its key says; undefined if its tunnel cannot carry it. */
  find(frame: Frame): Encapsulation | undefined {
    const { words } = frame.key;
    const hash = words[W_ID]! ^ words[W_DST]! ^ words[W_DST6]!;
    const place = (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & (PLACES - 1);
    const known = this.places[place];
    if (known && fits(known, frame)) return known;
    const made = this.make(frame);
    if (!made) return undefined;
    if (known) this.retired.push(known);
    this.places[place] = made;
    return made;
  }

  /** Nothing points at what `find` gave any more. */
  release(): void {
    this.retired.length = 0;
  }

  private make(frame: Frame): Encapsulation | undefined {
    const { key, keyWords, packetType } = frame;
    const tunnel = readTunnel(key);
    if (!tunnel) return undefined;
    const { sequence, gpe, gbp } = this.wire;
    const inner = packetType === 0 ? ETH_TEB : packetType & 0xffff;
    let header: Uint8Array;
    try {
      header = own(tunnelHeader({ kind: this.kind, inner, sequence, gpe, gbp }, tunnel));
    } catch (error) {
      if (error instanceof DatapathError) return undefined;
      throw error;
    }
    const mark = swap32(key.words[W_MARK]!);
    const name = own(sockaddr(tunnel, this.wire.udpPort));
    const control = own(controlMessages(tunnel, mark));
    const flags = tunnel.flags ?? 0;
    return {
      words: Int32Array.from(key.words.subarray(TUNNEL_WORD, Math.max(keyWords, TUNNEL_WORD))),
      packetType,
      mark: key.words[W_MARK]!,
      header,
      headerAt: address(header),
      ipv4: tunnel.dst.length === 4,
      name,
      nameAt: address(name),
      control,
      controlAt: address(control),
      dontFragment: (flags & TUN_F_DF) !== 0,
      checksum: (flags & TUN_F_CSUM) !== 0,
      plainUntilMs: 0,
    };
  }
}

function fits({ words, packetType, mark }: Encapsulation, frame: Frame): boolean {
  const key = frame.key.words;
  if (frame.packetType !== packetType || key[W_MARK] !== mark) return false;
  if (words.length !== frame.keyWords - TUNNEL_WORD) return false;
  for (let i = 0; i < words.length; i++) if (words[i] !== key[TUNNEL_WORD + i]) return false;
  return true;
}

/** A copy in memory that does not move. */
function own(bytes: Uint8Array): Uint8Array {
  const kept = new Uint8Array(new ArrayBuffer(bytes.length));
  kept.set(bytes);
  return kept;
}

function sockaddr({ dst, tpDst }: DpTunnel, udpPort: number): Uint8Array {
  const ipv4 = dst.length === 4;
  const bytes = new Uint8Array(ipv4 ? 16 : 28);
  const port = udpPort === 0 ? 0 : tpDst || udpPort;
  bytes[0] = ipv4 ? AF_INET : AF_INET6;
  bytes[2] = port >> 8;
  bytes[3] = port;
  bytes.set(dst, ipv4 ? 4 : 8);
  return bytes;
}

/** Source address, TTL, TOS and mark, each only where the kernel's own choice is not the right one. */
function controlMessages({ src, dst, ttl, tos }: DpTunnel, mark: number): Uint8Array {
  const ipv4 = dst.length === 4;
  const level = ipv4 ? SOL_IP : SOL_IPV6;
  const parts: Uint8Array[] = [];
  if (src && src.some((byte) => byte !== 0)) {
    // struct in_pktinfo: ifindex, ipi_spec_dst, ipi_addr · struct in6_pktinfo: address, ifindex.
    const info = new Uint8Array(ipv4 ? 12 : 20);
    info.set(src, ipv4 ? 4 : 0);
    parts.push(controlMessage(level, ipv4 ? IP_PKTINFO : IPV6_PKTINFO, info));
  }
  const number = (at: number, type: number, value: number): void => {
    parts.push(controlMessage(at, type, new Uint8Array(new Int32Array([value]).buffer)));
  };
  if (ttl) number(level, ipv4 ? IP_TTL : IPV6_HOPLIMIT, ttl);
  if (tos) number(level, ipv4 ? IP_TOS : IPV6_TCLASS, tos);
  if (mark !== 0) number(SOL_SOCKET, SO_MARK, mark);
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** `struct cmsghdr`: length u64 @0 · level i32 @8 · type i32 @12 · data @16; padded to 8 bytes. */
function controlMessage(level: number, type: number, data: Uint8Array): Uint8Array {
  const length = 16 + data.length;
  const bytes = new Uint8Array(Math.max(NUMBER_CMSG_BYTES, (length + 7) & ~7));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setInt32(8, level, true);
  view.setInt32(12, type, true);
  bytes.set(data, 16);
  return bytes;
}

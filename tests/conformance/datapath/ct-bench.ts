/** Sends packets through the `ct` action and tells what the tracker made of them. */
import type { CtAction, DpAction } from "../../../src/fastpath/actions.ts";
import type { Packet } from "../../../src/fastpath/datapath.ts";
import { parseIpv4, parseIpv6 } from "../../../src/packet/address.ts";
import { extract } from "../../../src/packet/extract.ts";
import { Frame } from "../../../src/packet/frame.ts";
import { buildFrame, type FrameSpec, type TcpSpec } from "../../../src/packet/headers.ts";
import type { FlowKey } from "../../../src/packet/key.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { CT_STATES } from "../../../src/packet/text.ts";
import { transportChecksumOk } from "../../../src/packet/vnet.ts";
import { eventually } from "../../support/eventually.ts";
import type { Bench } from "./bench.ts";

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

export interface Tracked {
  /** Names in the order of their bits: "new|trk". */
  readonly state: string;
  readonly key: FlowKey;
  readonly data: Uint8Array;
}

export type Options = Partial<Omit<CtAction, "type">>;

export const ip = (text: string): Uint8Array => parseIpv4(text) ?? parseIpv6(text)!;

/** What the packet looks like after the action, and its metadata. */
export async function track(
  t: Bench,
  data: Uint8Array | Packet,
  options: Options = {},
  metadata?: FlowKey,
): Promise<Tracked> {
  const packet = data instanceof Uint8Array ? { data } : data;
  const [only] = await trackAll(t, [packet], options, metadata);
  return only!;
}

/** The same for packets of which the last lets all go on. */
export async function trackAll(
  t: Bench,
  packets: readonly Packet[],
  options: Options = {},
  metadata?: FlowKey,
  wanted = packets.length,
): Promise<Tracked[]> {
  const actions: DpAction[] = [
    { type: "ct", zone: 1, ...options },
    { type: "userspace", userdata: 7 },
  ];
  t.upcalls.length = 0;
  for (const packet of packets) t.datapath.execute(packet, actions, 0, metadata);
  await t.datapath.barrier();
  await eventually("the tracked packets", () => t.upcalls.length >= wanted, { everyMs: 1 });
  return t.upcalls.splice(0).map(({ key, packet }) => ({
    state: stateOf(key),
    key,
    data: packet.data,
  }));
}

export function stateOf(key: FlowKey): string {
  const bits = key.get(FIELDS.ct_state);
  return CT_STATES.filter((_, i) => (bits & (1 << i)) !== 0).join("|");
}

/** Ends of a conversation; `swapped` is the answering side. */
export interface Ends {
  readonly a: string;
  readonly b: string;
  readonly aPort: number;
  readonly bPort: number;
}
export const ENDS: Ends = { a: "10.0.0.1", b: "10.0.0.2", aPort: 4000, bPort: 80 };
export const swapped = ({ a, b, aPort, bPort }: Ends): Ends => ({
  a: b,
  b: a,
  aPort: bPort,
  bPort: aPort,
});

const layer3 = ({ a, b }: Ends): Partial<FrameSpec> =>
  a.includes(":") ? { ipv6: { src: a, dst: b } } : { ipv4: { src: a, dst: b } };

export const udp = (ends: Ends = ENDS, payload: number | Uint8Array = 8): Uint8Array =>
  buildFrame({ ...layer3(ends), udp: { src: ends.aPort, dst: ends.bPort }, payload });

export const tcp = (
  ends: Ends,
  flags: number,
  more: Partial<TcpSpec> = {},
  payload: number | Uint8Array = 0,
): Uint8Array =>
  buildFrame({
    ...layer3(ends),
    tcp: { src: ends.aPort, dst: ends.bPort, flags, ...more },
    payload,
  });

export const echo = (ends: Ends, type: number, id = 5): Uint8Array =>
  buildFrame({
    ...layer3(ends),
    ...(ends.a.includes(":")
      ? { icmpv6: { type, rest: id * 65536 } }
      : { icmp: { type, rest: id * 65536 } }),
    payload: 8,
  });

/** Addresses and ports of a frame, as text, with `!` behind if a checksum is wrong. */
export function endsOf(data: Uint8Array): string {
  const frame = new Frame();
  const bytes = data.slice();
  frame.set(bytes, 0, bytes.length, false, 0);
  extract(frame, 0, 0, 0);
  const { key } = frame;
  const v4 = frame.l3Type === 0x0800;
  const [src, dst] = v4 ? [FIELDS.ip_src, FIELDS.ip_dst] : [FIELDS.ipv6_src, FIELDS.ipv6_dst];
  const address = (value: bigint) =>
    v4
      ? [24n, 16n, 8n, 0n].map((n) => Number((value >> n) & 255n)).join(".")
      : value.toString(16).padStart(32, "0").replace(/^fd00(0{20})/, "fd00::");
  const end = (at: typeof src, port: typeof FIELDS.udp_src) =>
    `${address(key.getBig(at))}:${key.get(port)}`;
  const ok = transportChecksumOk(frame) ? "" : "!";
  return `${end(src, FIELDS.udp_src)} ${end(dst, FIELDS.udp_dst)}${ok}`;
}

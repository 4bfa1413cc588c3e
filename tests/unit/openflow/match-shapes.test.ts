/** What is remembered of messages changes nothing about how the next are understood. */
import { describe, expect, test } from "bun:test";
import { CodecCache } from "../../../src/openflow/codec-cache.ts";
import { decode, encode } from "../../../src/openflow/codec.ts";
import { OfError } from "../../../src/openflow/errors.ts";
import type { FlowMod } from "../../../src/openflow/messages/types.ts";
import { parseFlow } from "../../../src/openflow/text/flow.ts";
import { OF10, OF13, OF15, type OfVersion } from "../../../src/openflow/version.ts";

const FLOWS = [
  "actions=drop",
  "in_port=1,actions=2",
  "in_port=LOCAL,actions=2",
  "in_port=3,udp,nw_src=10.1.0.0/16,nw_dst=10.2.3.0/24,tp_dst=53,actions=output:2",
  "tcp,nw_src=10.1.2.3,nw_dst=10.0.0.0/255.0.255.0,tp_src=0x400/0xfc00,tcp_flags=+syn-ack,actions=drop",
  "dl_vlan=7,dl_vlan_pcp=3,actions=strip_vlan,2",
  "dl_vlan=0xffff,dl_src=02:00:00:00:00:01,actions=mod_vlan_vid:9,1",
  "vlan_tci=0x1000/0x1000,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=1",
  "ip,nw_tos=0x20,nw_ecn=1,nw_ttl=3,actions=dec_ttl,3",
  "ip,ip_frag=later,actions=1",
  "icmp,icmp_type=8,icmp_code=0,actions=1",
  "ipv6,ipv6_src=fe80::/10,ipv6_label=0x12345,actions=1",
  "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=02:00:00:00:00:01,actions=1",
  "arp,arp_op=1,arp_spa=10.0.0.1,arp_tha=02:00:00:00:00:01,actions=1",
  "mpls,mpls_label=5,mpls_bos=1,actions=1",
  "ct_state=+trk+est,ct_zone=5,ct_mark=1/3,ip,actions=ct(zone=5,table=1)",
  "ct_state=+trk-inv,ip,ct_nw_src=10.0.0.1,actions=1",
  "metadata=0x5/0xff,reg0=7,reg1=0x10/0xf0,tun_id=9,actions=resubmit(,5)",
  "tun_src=10.0.0.1,tun_flags=+oam,actions=1",
  "conj_id=4,ip,actions=1",
  "recirc_id=3,pkt_mark=0x1/0x3,actions=1",
];

/** The same numbers each time (xorshift32). */
function numbers(): (below: number) => number {
  let state = 0x9e3779b9;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function encoded(version: OfVersion): Uint8Array[] {
  return FLOWS.flatMap((text) => {
    const message: FlowMod = { ...parseFlow(text), table: 0 };
    try {
      return [encode(version, 1, version === OF10 ? { ...message, form: "nicira" } : message)];
    } catch (error) {
      if (error instanceof OfError) return [];
      throw error;
    }
  });
}

/** As far as messages differ. */
function told(bytes: Uint8Array, cache?: CodecCache): unknown {
  try {
    const { message } = decode(bytes, { cache });
    if (message.type !== "flow_mod") return message.type;
    const { match, ...rest } = message;
    return { ...rest, key: match.key.bytes.toHex(), mask: match.mask.bytes.toHex() };
  } catch (error) {
    if (error instanceof OfError) return error.error;
    throw error;
  }
}

describe.each([[OF10], [OF13], [OF15]] as const)("version %d", (version) => {
  const messages = encoded(version);

  test("a message is the same the second time", () => {
    expect(messages.length).toBeGreaterThan(FLOWS.length / 2);
    const cache = new CodecCache(version);
    for (const bytes of [...messages, ...messages]) {
      expect(told(bytes, cache)).toEqual(told(bytes));
    }
  });

  test("bytes that differ are understood, or refused, as without", () => {
    const cache = new CodecCache(version);
    const next = numbers();
    for (const bytes of messages) told(bytes, cache);
    let refused = 0;
    for (let round = 0; round < 6000; round++) {
      const bytes = messages[next(messages.length)]!.slice();
      for (let n = next(3); n >= 0; n--) bytes[40 + next(bytes.length - 40)] = next(256);
      const expected = told(bytes);
      if (typeof expected === "string") refused++;
      expect(told(bytes, cache)).toEqual(expected);
    }
    expect(refused).toBeGreaterThan(100);
    expect(refused).toBeLessThan(5900);
  });

  test("flows of one shape have one mask, and those that do the same one list of actions", () => {
    const cache = new CodecCache(version);
    const [first, second] = ["10.0.0.1", "10.0.0.2"].map((address) => {
      const flow: FlowMod = { ...parseFlow(`ip,nw_dst=${address},actions=output:5`), table: 0 };
      const form = version === OF10 ? { form: "nicira" as const } : {};
      return encode(version, 1, { ...flow, ...form });
    });
    const read = (bytes: Uint8Array): FlowMod => decode(bytes, { cache }).message as FlowMod;
    read(first!);
    const [a, b] = [read(first!), read(second!)];
    expect(a.match.mask).toBe(b.match.mask);
    expect(a.actions).toBe(b.actions);
    expect(a.match.key.equals(b.match.key)).toBe(false);
  });

  test("what was encoded once is encoded so again", () => {
    const cache = new CodecCache(version);
    for (const bytes of messages) {
      const message = decode(bytes, { cache }).message as FlowMod;
      const again = decode(bytes, { cache }).message as FlowMod;
      const expected = encode(version, 1, decode(bytes).message);
      for (const each of [message, again, again]) {
        expect(encode(version, 1, each, false, { cache }).toHex()).toBe(expected.toHex());
      }
    }
  });
});

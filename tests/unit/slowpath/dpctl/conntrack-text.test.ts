import { describe, expect, test } from "bun:test";
import type { CtEntry, CtTuple } from "../../../../src/fastpath/conntrack/types.ts";
import {
  formatEntry,
  parseTuple,
  tupleFits,
} from "../../../../src/slowpath/dpctl/conntrack-text.ts";

const tuple = (over: Partial<CtTuple> = {}): CtTuple => ({
  src: Uint8Array.of(10, 1, 1, 1),
  dst: Uint8Array.of(10, 1, 1, 2),
  protocol: 6,
  srcPort: 1000,
  dstPort: 80,
  ...over,
});

const entry = (over: Partial<CtEntry> = {}): CtEntry => ({
  zone: 0,
  original: tuple(),
  reply: tuple({ src: Uint8Array.of(10, 1, 1, 2), dst: Uint8Array.of(10, 1, 1, 9) }),
  mark: 0,
  label: new Uint8Array(16),
  timeoutMs: 86_399_500,
  ...over,
});

describe("a connection as text", () => {
  test("with what it has", () => {
    const label = new Uint8Array(16);
    label[15] = 7;
    const tcp = { original: "ESTABLISHED", reply: "ESTABLISHED" } as const;
    const all = entry({ zone: 5, mark: 3, label, tcp, helper: "ftp", parent: tuple() });
    const tuples = "orig=(src=10.1.1.1,dst=10.1.1.2,sport=1000,dport=80)," +
      "reply=(src=10.1.1.2,dst=10.1.1.9,sport=1000,dport=80)";
    expect(formatEntry(all, false, false)).toBe(
      `tcp,${tuples},zone=5,mark=3,labels=0x7,protoinfo=(state=ESTABLISHED),helper=ftp`,
    );
    expect(formatEntry(all, true, true)).toBe(
      `tcp,${tuples},zone=5,timeout=86399,mark=3,labels=0x7,` +
        "protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED),helper=ftp," +
        "parent=(src=10.1.1.1,dst=10.1.1.2,sport=1000,dport=80)",
    );
  });

  test("of ICMP", () => {
    const echo = tuple({ protocol: 1, icmp: { id: 9, type: 8, code: 0 } });
    expect(formatEntry(entry({ original: echo, reply: echo }), false, false)).toBe(
      "icmp,orig=(src=10.1.1.1,dst=10.1.1.2,id=9,type=8,code=0)," +
        "reply=(src=10.1.1.1,dst=10.1.1.2,id=9,type=8,code=0)",
    );
  });
});

describe("tuples that are asked for", () => {
  test("have any of the fields", () => {
    const wanted = parseTuple("ct_nw_src=10.1.1.1,ct_nw_proto=6 ct_tp_dst=80");
    if (typeof wanted === "string") throw new Error(wanted);
    expect(tupleFits(tuple(), wanted)).toBe(true);
    expect(tupleFits(tuple({ dstPort: 81 }), wanted)).toBe(false);
    expect(tupleFits(tuple({ src: new Uint8Array(16) }), wanted)).toBe(false);
  });

  test.each([
    ["ct_nw_src=10.1.1", "failed to parse field ct_nw_src"],
    ["ct_tp_src=65536", "failed to parse field ct_tp_src"],
    ["icmp_type=256", "failed to parse field icmp_type"],
    ["colour=1", "invalid conntrack tuple field: colour"],
    ["ct_nw_src=1.1.1.1,ct_ipv6_dst=::1", "L3 type set multiple times"],
  ])("%s is refused", (text, message) => {
    expect(parseTuple(text)).toBe(message);
  });
});

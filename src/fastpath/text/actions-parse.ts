/**
 * Datapath actions read from text, in the forms in which they are printed (actions-format.ts). A
 * `set(…)` of a whole header becomes one `set` action a part that its mask looks at.
 *
 * Input is anybody's: whatever does not fit is a TextError `syntax error at …`.
 */
import { FlowKey, type Match } from "../../packet/key.ts";
import type { SlotName } from "../../packet/layout.ts";
import type { CtAction, CtNat, DpAction, UserspaceAction, UserspaceCookie } from "../actions.ts";
import { type PortNumber, scanHeader } from "./flow-parse.ts";
import { ETH } from "./headers.ts";
import { scanPushHeader } from "./push-header.ts";
import { Scanner } from "./scanner.ts";
import { scanHexNumber, scanTunnelAction } from "./tunnel-parse.ts";
import { isAll, slotBytes } from "./values.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The whole text is a list of actions; `drop` and the empty list are none. */
export function parseDpActions(text: string, portNumber?: PortNumber): DpAction[] {
  const s = new Scanner(text);
  if (/^\s*drop\s*$/i.test(text)) return [];
  const actions: DpAction[] = [];
  for (;;) {
    s.skipDelimiters();
    if (s.atEnd) return actions;
    actions.push(...scanAction(s, portNumber));
    if (!s.atEnd && !", \t\r\n".includes(s.text[s.at]!)) s.fail();
  }
}

/** A list up to its `)`, which is left. */
function scanList(s: Scanner, portNumber: PortNumber | undefined): DpAction[] {
  return s.nested(() => {
    const actions: DpAction[] = [];
    if (s.match(/drop(?=\))/iy)) return actions;
    for (;;) {
      s.skipDelimiters();
      if (s.sees(")")) return actions;
      actions.push(...scanAction(s, portNumber));
    }
  });
}

const PLAIN = {
  pop_vlan: "pop_vlan",
  pop_eth: "pop_eth",
  pop_pbb: "pop_pbb",
  "pop_nsh()": "pop_nsh",
  copy_ttl_in: "copy_ttl_in",
  copy_ttl_out: "copy_ttl_out",
  ct_clear: "ct_clear",
} as const;

/** One action; a `set` may be several. */
function scanAction(s: Scanner, portNumber: PortNumber | undefined): DpAction[] {
  if (s.seesNumber()) return [{ type: "output", port: s.number() }];
  for (const [word, type] of Object.entries(PLAIN)) if (s.take(word)) return [{ type }];
  if (s.take("set(tunnel(")) {
    const tunnel = scanTunnelAction(s);
    s.expect(")");
    return [{ type: "set_tunnel", tunnel }];
  }
  if (s.take("set(")) return scanSet(s);
  if (s.sees("ct(") || s.match(/ct(?=[,\s)]|$)/y)) return [scanCt(s)];
  const numbered = s.match(/(lb_output|trunc|recirc|meter|tnl_pop)\(/y)?.[1];
  if (numbered !== undefined) {
    const value = s.number();
    s.expect(")");
    switch (numbered) {
      case "lb_output":
        return [{ type: "lb_output", bond: value }];
      case "trunc":
        return [{ type: "trunc", maxLength: value }];
      case "recirc":
        return [{ type: "recirc", id: value }];
      case "meter":
        return [{ type: "meter", id: value }];
      default:
        return [{ type: "tnl_pop", port: value }];
    }
  }
  if (s.take("userspace(")) return [scanUserspace(s)];
  if (s.take("push_vlan(")) return [scanPushVlan(s)];
  if (s.take("push_eth(src=")) {
    const src = s.mac();
    s.expect(",dst=");
    const dst = s.mac();
    if (s.take(",type=")) s.number(0xffff);
    s.expect(")");
    return [{ type: "push_eth", src, dst }];
  }
  const labelled = s.match(/(push_mpls|add_mpls)\(/y)?.[1];
  if (labelled !== undefined) {
    const lse = scanLse(s);
    s.expect(",eth_type=");
    const ethType = s.number(0xffff);
    s.expect(")");
    if (labelled === "push_mpls") return [{ type: "push_mpls", ethType, lse }];
    return [{ type: "add_mpls", ethType, lse, l2: true }];
  }
  if (s.take("pop_mpls(eth_type=")) {
    const ethType = s.number(0xffff);
    s.expect(")");
    return [{ type: "pop_mpls", ethType }];
  }
  if (s.take("push_pbb(tci=")) {
    const tci = s.number();
    s.expect(",eth_type=");
    const ethType = s.number(0xffff);
    s.expect(")");
    return [{ type: "push_pbb", ethType, tci }];
  }
  if (s.take("push_nsh(")) return [scanPushNsh(s)];
  const hash = s.match(/hash\((l4|sym_l4)\(/y)?.[1];
  if (hash !== undefined) {
    const basis = s.number();
    s.expect("))");
    return [{ type: "hash", algorithm: hash === "l4" ? "l4" : "sym_l4", basis }];
  }
  if (s.take("sample(sample=")) {
    const percentage = Number(s.match(/\d+(?:\.\d+)?/y)?.[0] ?? s.fail());
    if (percentage > 100) s.fail();
    s.expect("%,actions(");
    const actions = scanList(s, portNumber);
    s.expect("))");
    const probability = Math.min(0xffffffff, Math.floor(0xffffffff * (percentage / 100) + 0.5));
    return [{ type: "sample", probability, actions }];
  }
  if (s.take("clone(")) {
    const actions = scanList(s, portNumber);
    s.expect(")");
    return [{ type: "clone", actions }];
  }
  if (s.take("check_pkt_len(size=")) {
    const length = s.number(0xffff);
    s.expect(",gt(");
    const greater = scanList(s, portNumber);
    s.expect("),le(");
    const lessEqual = scanList(s, portNumber);
    s.expect("))");
    return [{ type: "check_pkt_len", length, greater, lessEqual }];
  }
  if (s.take("tnl_push(tnl_port(")) {
    const tunnelPort = s.number();
    s.expect("),");
    const { kind, header } = scanPushHeader(s);
    s.expect(",out_port(");
    const outPort = s.number();
    s.expect("))");
    return [{ type: "tnl_push", tunnelPort, outPort, kind, header }];
  }
  const start = s.at;
  const name = s.match(/[^,\s()]+/y)?.[0];
  const port = name === undefined ? undefined : portNumber?.(name);
  if (port !== undefined) return [{ type: "output", port }];
  s.at = start;
  return s.fail();
}

/** Slots of a header, whose actions come out in the order of the header's parts. */
const SET_ORDER: readonly SlotName[] = [
  "eth_src",
  "eth_dst",
  "mpls_lse0",
  "nsh_flags",
  "nsh_ttl",
  "nsh_mdtype",
  "nsh_np",
  "nsh_path",
  "nsh_c",
  "nw_src",
  "nw_dst",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "nw_proto",
  "nw_tos",
  "nw_ttl",
  "nd_target",
  "arp_sha",
  "arp_tha",
  "nd_reserved",
  "nd_options_type",
  "tp_src",
  "tp_dst",
  "skb_priority",
  "pkt_mark",
  "dp_hash",
  "recirc_id",
];

function scanSet(s: Scanner): DpAction[] {
  const start = s.at;
  const match: Match = { key: new FlowKey(), mask: new FlowKey() };
  if (!scanHeader(s, match, { vlan: 0, seen: new Set() }, undefined)) s.fail();
  s.expect(")");
  const actions: DpAction[] = [];
  for (const name of SET_ORDER) {
    const mask = slotBytes(match.mask.bytes, name);
    if (isAll(mask, 0)) continue;
    const value = slotBytes(match.key.bytes, name).map((byte, i) => byte & mask[i]!);
    actions.push({ type: "set", slot: name, value, mask: mask.slice() });
  }
  // A header that no action sets: a tag, a type, metadata of the datapath's own.
  if (actions.length === 0) {
    s.at = start;
    s.fail();
  }
  return actions;
}

function scanPushVlan(s: Scanner): DpAction {
  let tpid: number = ETH.VLAN;
  if (s.take("tpid=")) {
    tpid = s.number(0xffff);
    s.expect(",");
  }
  s.expect("vid=");
  const vid = s.number(0xfff);
  s.expect(",pcp=");
  const pcp = s.number(7);
  if (s.take(",cfi=")) s.number(1);
  s.expect(")");
  return { type: "push_vlan", tpid, tci: (pcp << 13) | vid };
}

function scanLse(s: Scanner): number {
  s.expect("label=");
  const label = s.number(0xfffff);
  s.expect(",tc=");
  const tc = s.number(7);
  s.expect(",ttl=");
  const ttl = s.number(0xff);
  s.expect(",bos=");
  const bos = s.number(1);
  return ((label << 12) | (tc << 9) | (bos << 8) | ttl) >>> 0;
}

function scanPushNsh(s: Scanner): DpAction {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  let [flags, ttl, mdType, np, spi, si] = [0, 63, 1, 3, 0, 255];
  let metadata = header.subarray(8);
  do {
    if (s.take("flags=")) flags = s.number(3);
    else if (s.take("ttl=")) ttl = s.number(0x3f);
    else if (s.take("mdtype=")) {
      mdType = s.number(2);
      if (mdType === 2) metadata = new Uint8Array();
    } else if (s.take("np=")) np = s.number(0xff);
    else if (s.take("spi=")) spi = s.number(0xffffff);
    else if (s.take("si=")) si = s.number(0xff);
    else if (mdType === 1) {
      const which = s.match(/c([1-4])=/y)?.[1];
      if (which === undefined) break;
      view.setUint32(8 + 4 * (Number(which) - 1), s.number());
    } else {
      const digits = s.match(/md2=0x([0-9a-fA-F]{1,496})/y)?.[1];
      if (digits === undefined || digits.length % 2 !== 0) break;
      const bytes = Uint8Array.fromHex(digits);
      metadata = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
      metadata.set(bytes);
    }
  } while (s.take(","));
  s.expect(")");
  if (mdType === 0) s.fail();
  const whole = new Uint8Array(8 + metadata.length);
  whole.set(header.subarray(0, 8));
  whole.set(metadata, 8);
  const out = new DataView(whole.buffer);
  out.setUint16(0, (flags << 12) | (ttl << 6) | (whole.length / 4));
  whole[2] = mdType;
  whole[3] = np;
  out.setUint32(4, ((spi << 8) | si) >>> 0);
  return { type: "push_nsh", header: whole };
}

/** Behind `ct`. */
function scanCt(s: Scanner): CtAction {
  s.take("ct");
  const action: Mutable<CtAction> = { type: "ct", zone: 0 };
  if (!s.take("(")) return action;
  for (;;) {
    s.skipDelimiters();
    if (s.take(")")) break;
    if (s.take("commit")) action.commit = true;
    else if (s.take("force_commit")) {
      action.force = true;
      action.commit = true;
    } else if (s.take("zone=")) action.zone = s.number(0xffff);
    else if (s.take("mark=")) {
      const value = s.number();
      action.mark = { value, mask: s.mask(() => s.number()) ?? 0xffffffff };
    } else if (s.take("label=")) {
      const read = (): Uint8Array => Uint8Array.from(scanHexNumber(s, 16));
      const value = read();
      action.label = { value, mask: s.mask(read) ?? new Uint8Array(16).fill(0xff) };
    } else if (s.take("helper=")) {
      const helper = s.match(/[^,)\s]{1,15}/y)?.[0];
      if (helper !== "ftp" && helper !== "tftp") s.fail();
      action.helper = helper;
    } else if (s.take("timeout=")) action.timeout = s.number();
    else if (s.take("nat")) action.nat = scanNat(s);
    else s.fail();
  }
  return action;
}

function scanNat(s: Scanner): CtNat {
  const nat: Mutable<CtNat> = {};
  if (!s.take("(")) return nat;
  for (;;) {
    s.skipDelimiters();
    if (s.take(")")) break;
    const direction = s.match(/src|dst/y)?.[0];
    if (direction === "src" || direction === "dst") {
      if (nat.direction) s.fail();
      nat.direction = direction;
      if (s.take("=")) scanNatRange(s, nat);
    } else if (s.take("persistent")) nat.persistent = true;
    else if (s.take("hash")) nat.hash = true;
    else if (s.take("random")) nat.random = true;
    else s.fail();
  }
  if (nat.hash && nat.random) s.fail();
  return nat;
}

function scanNatRange(s: Scanner, nat: Mutable<CtNat>): void {
  const address = (): Uint8Array => {
    if (s.take("[")) {
      const bytes = s.ipv6();
      s.expect("]");
      return bytes;
    }
    const start = s.at;
    try {
      return s.ipv4();
    } catch {
      s.at = start;
      return s.ipv6();
    }
  };
  const min = address();
  const max = s.take("-") ? address() : undefined;
  if (max && max.length !== min.length) s.fail();
  if (max && max.toHex() < min.toHex()) s.fail();
  nat.addresses = { min, ...(max && { max }) };
  if (!s.take(":")) return;
  const low = s.number(0xffff);
  const high = s.take("-") ? s.number(0xffff) : undefined;
  if (high !== undefined && high < low) s.fail();
  nat.ports = { min: low, ...(high !== undefined && { max: high }) };
}

const COOKIE_FLAG = /[01]/y;

function scanUserspace(s: Scanner): UserspaceAction {
  s.expect("pid=");
  s.number();
  let cookie: UserspaceCookie | undefined;
  let userdata = 0;
  const flag = (): boolean => (s.match(COOKIE_FLAG)?.[0] ?? s.fail()) === "1";
  if (s.take(",controller(reason=")) {
    const reason = s.number(0xffff);
    s.expect(",dont_send=");
    const dontSend = flag();
    s.expect(",continuation=");
    const continuation = flag();
    s.expect(",recirc_id=");
    const recircId = s.number();
    s.expect(",rule_cookie=");
    const ruleCookie = BigInt(`0x${s.match(/(?:0x)?([0-9a-fA-F]{1,16})/y)?.[1] ?? s.fail()}`);
    s.expect(",controller_id=");
    const controllerId = s.number(0xffff);
    s.expect(",max_len=");
    const maxLength = s.number(0xffff);
    cookie = {
      kind: "controller",
      reason,
      dontSend,
      continuation,
      recircId,
      ruleCookie,
      controllerId,
      maxLength,
    };
    s.expect(")");
  } else if (s.take(",slow_path(")) {
    const text = s.match(/[^)]*/y)![0];
    cookie = { kind: "slow_path", reasons: text === "0" || text === "" ? [] : text.split(",") };
    s.expect(")");
  } else if (s.take(",sFlow(vid=")) {
    const vid = s.number(0xfff);
    s.expect(",pcp=");
    const pcp = s.number(7);
    s.expect(",output=");
    cookie = { kind: "sflow", vid, pcp, output: s.number() };
    s.expect(")");
  } else if (s.take(",flow_sample(probability=")) cookie = scanFlowSample(s);
  else if (s.take(",ipfix(output_port=")) {
    cookie = { kind: "ipfix", outputPort: s.number() };
    s.expect(")");
  } else if (s.take(",userdata(")) {
    const digits = s.match(/[0-9a-fA-F]*/y)?.[0] ?? "";
    if (digits.length % 2 !== 0) s.fail();
    s.expect(")");
    const bytes = Uint8Array.fromHex(digits);
    cookie = { kind: "raw", bytes };
    if (bytes.length === 4) userdata = new DataView(bytes.buffer).getUint32(0);
  }
  const withActions = s.take(",actions");
  const tunnelOutPort = s.take(",tunnel_out_port=") ? s.number() : undefined;
  s.expect(")");
  return {
    type: "userspace",
    userdata,
    ...(cookie && { cookie }),
    ...(withActions && { withActions }),
    ...(tunnelOutPort !== undefined && { tunnelOutPort }),
  };
}

function scanFlowSample(s: Scanner): UserspaceCookie {
  const probability = s.number(0xffff);
  s.expect(",collector_set_id=");
  const collectorSetId = s.number();
  s.expect(",obs_domain_id=");
  const obsDomainId = s.number();
  s.expect(",obs_point_id=");
  const obsPointId = s.number();
  s.expect(",output_port=");
  const outputPort = s.number();
  const direction = s.take(",ingress") ? "ingress" : s.take(",egress") ? "egress" : "";
  s.expect(")");
  return {
    kind: "flow_sample",
    probability,
    collectorSetId,
    obsDomainId,
    obsPointId,
    outputPort,
    direction,
  };
}

/**
 * The flows of the bench: rules of 50 masks as access lists have them (IPv4 source and destination
 * prefixes of five lengths each, with and without a destination port), a priority for each mask.
 */
import { encode } from "../../../src/openflow/codec.ts";
import { parseFlowMod } from "../../../src/openflow/text/flow.ts";
import { parsePacketOut } from "../../../src/openflow/text/request-parse.ts";
import { OF13 } from "../../../src/openflow/version.ts";
import { udp } from "../../support/frames.ts";

export const RULES_TABLE = 2;
const PREFIXES = [16, 20, 24, 28, 32];
const MASKS = PREFIXES.length ** 2 * 2;

interface Rule {
  readonly source: number;
  readonly destination: number;
  readonly port: number;
  readonly text: string;
}

/** The same numbers each time (xorshift32). */
function numbers(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const address = (n: number): string =>
  `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;

/** Within 10.0.0.0/8. */
const prefixed = (n: number, length: number): string => {
  const mask = (0xffffffff << (32 - length)) >>> 0;
  return `${address((0x0a000000 | (n & 0xffffff)) & mask)}/${length}`;
};

/** Rules, no two of the same match: prefixes that leave too little room are told apart by the port. */
export function rules(count: number): Rule[] {
  const next = numbers();
  const seen = new Set<string>();
  const result: Rule[] = [];
  while (result.length < count) {
    const mask = result.length % MASKS;
    const [source, destination] = [next(), next()];
    const port = next() % 60_000 + 1;
    const lengths = [PREFIXES[mask % 5]!, PREFIXES[Math.floor(mask / 5) % 5]!] as const;
    const match = `udp,nw_src=${prefixed(source, lengths[0])},nw_dst=${
      prefixed(destination, lengths[1])
    }${mask >= MASKS / 2 ? `,tp_dst=${port}` : ""}`;
    if (seen.has(match)) continue;
    seen.add(match);
    const text = `table=${RULES_TABLE},priority=${100 + mask},${match},actions=output:2`;
    result.push({ source, destination, port, text });
  }
  return result;
}

/** Flow-mods of the rules: added, and deleted again. */
export function flowMods(of: readonly Rule[]): { adds: Uint8Array; deletes: Uint8Array } {
  const encoded = (texts: readonly string[]) =>
    Buffer.concat(texts.map((text, i) => encode(OF13, i, parseFlowMod(text).message)));
  return {
    adds: encoded(of.map(({ text }) => `add ${text}`)),
    deletes: encoded(of.map(({ text }) => `delete_strict ${text.replace(/,actions=.*/, "")}`)),
  };
}

export function flowMod(text: string): Uint8Array {
  return encode(OF13, 1, parseFlowMod(text).message);
}

const FRAME = Buffer.from(
  udp({
    srcMac: "02:00:00:00:00:01",
    dstMac: "02:00:00:00:00:02",
    srcIp: "10.0.0.1",
    dstIp: "10.0.0.2",
    srcPort: 1024,
    dstPort: 80,
    payload: new Uint8Array(18),
  }),
).toString("hex");

/**
 * Packet-outs of which each looks `lookups` packets up in the table: it sets the fields to those of
 * some rule before each. What is found has been sent to nobody: port 2 is the packet's own.
 */
export function lookupMessages(of: readonly Rule[], count: number, lookups: number): Uint8Array[] {
  const next = numbers();
  return Array.from({ length: count }, (_, i) => {
    const actions = Array.from({ length: lookups }, () => {
      const rule = of[next() % of.length]!;
      return `mod_nw_src:${address(0x0a000000 | (rule.source & 0xffffff))},mod_nw_dst:${
        address(0x0a000000 | (rule.destination & 0xffffff))
      },mod_tp_dst:${rule.port},resubmit(,${RULES_TABLE})`;
    });
    const text = `in_port=2 packet=${FRAME} actions=${actions.join(",")}`;
    return encode(OF13, i, parsePacketOut(text).message);
  });
}

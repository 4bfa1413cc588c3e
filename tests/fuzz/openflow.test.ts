/**
 * Bytes and texts that nobody would send. Messages: those of the golden file with bytes changed,
 * cut out, put in and lengths corrected or not; decoding throws `OfError` alone, printing nothing at
 * all, and what decodes can be encoded or says by `OfError` why not. Texts of flows, groups, meters,
 * packets and monitors: `TextError` alone.
 *
 * They run for `FUZZ_SECONDS` (3 unless set, together) from the seed `FUZZ_SEED` (a new one unless set),
 * which is printed.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode } from "../../src/openflow/codec.ts";
import { OfError } from "../../src/openflow/errors.ts";
import { formatFlowMod, parseFlowMod, parseFlowRequestText } from "../../src/openflow/text/flow.ts";
import { parseGroup } from "../../src/openflow/text/group-parse.ts";
import { formatMessage } from "../../src/openflow/text/message.ts";
import { parseMeter } from "../../src/openflow/text/meter-parse.ts";
import {
  parseCtFlush,
  parseMonitor,
  parsePacketOut,
  parseTableMod,
  parseTlvMappings,
} from "../../src/openflow/text/request-parse.ts";
import { parseWireMatch } from "../../src/openflow/text/wire-match.ts";
import { TextError } from "../../src/packet/text.ts";

const SECONDS = Number(process.env["FUZZ_SECONDS"] ?? 3) / 2;
const SEED = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Small, fast and the same everywhere (mulberry32). */
function randomOf(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

const golden = (name: string): string =>
  readFileSync(join(import.meta.dirname, "../golden/openflow", name), "utf8");

const MESSAGES = golden("messages.txt").split("\n\n").map((block) =>
  new Uint8Array(Buffer.from(block.trim().split("\n")[1] ?? "", "hex"))
);

function mutate(bytes: Uint8Array, random: (limit: number) => number): Uint8Array {
  let out = bytes.slice();
  for (let n = random(4) + 1; n > 0 && out.length > 0; n--) {
    const at = random(out.length);
    switch (random(5)) {
      case 0:
        out[at] = random(256);
        break;
      case 1:
        out[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)]!;
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + random(8))]);
        break;
      default: {
        const other = MESSAGES[random(MESSAGES.length)]!;
        const from = random(other.length);
        const piece = other.subarray(from, from + random(40));
        out = Uint8Array.from([...out.subarray(0, at), ...piece, ...out.subarray(at)]);
      }
    }
  }
  if (out.length >= 8 && random(4) !== 0) new DataView(out.buffer).setUint16(2, out.length);
  return out;
}

/** Runs it; anything but the errors that are meant is thrown on, with what it was about. */
function tolerate<T>(what: string, known: typeof OfError | typeof TextError, run: () => T) {
  try {
    return run();
  } catch (error) {
    if (error instanceof known) return undefined;
    throw new Error(`FUZZ_SEED=${SEED}: ${what}`, { cause: error });
  }
}

test(`messages, ${SECONDS} s from FUZZ_SEED=${SEED}`, () => {
  const random = randomOf(SEED);
  let decoded = 0;
  let round = 0;
  for (const end = performance.now() + SECONDS * 1000; performance.now() < end; round++) {
    const bytes = mutate(MESSAGES[random(MESSAGES.length)]!, random);
    const hex = Buffer.from(bytes).toString("hex");
    const result = tolerate(hex, OfError, () => decode(bytes, { loose: random(2) === 0 }));
    if (result) {
      decoded++;
      tolerate(`${hex} back`, OfError, () => encode(result.version, result.xid, result.message));
    }
    tolerate(`${hex} as text`, OfError, () => formatMessage(bytes, { verbosity: random(5) }));
  }
  // A run in which nothing decodes would show nothing.
  expect(decoded).toBeGreaterThan(round / 20);
}, 60_000 + SECONDS * 1000);

const FLOWS = ["flows.txt", "flows.nxm.txt", "flows.of13.txt"].flatMap((name) =>
  golden(name).split("\n").filter((line) => /^[a-z].*actions=/.test(line))
);
const OTHERS = [
  "group_id=1,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=weight:2,output:1",
  "group_id=2,type=ff,bucket=bucket_id:3,watch_port:1,actions=output:1,bucket=watch_group:9,drop",
  "meter=1 kbps burst stats bands=type=drop rate=1000 burst_size=5,type=dscp_remark,prec_level=1",
  "in_port=1 packet=ffffffffffff0200000000010800 actions=output:2,controller(max_len=5,userdata=1.2)",
  "!initial,!own,table=1,out_port=2,tcp,tp_dst=80",
  "{class=0xffff,type=0x80,len=4}->tun_metadata0,{class=1,type=2,len=8}->tun_metadata63",
  "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=1,ct_tp_dst=2",
  "vacancy:20,80",
  "NXM_OF_ETH_TYPE(0800), NXM_OF_IP_SRC_W(c0a80000/ffff0000), NXM_NX_REG0_W(00000001/0000ffff)",
];
const PIECES = [
  ",",
  "=",
  "(",
  ")",
  "[",
  "]",
  "->",
  "/",
  ":",
  "..",
  "0x",
  "-1",
  " ",
  '"',
  "*",
  "\t",
];

function mutateText(text: string, random: (limit: number) => number): string {
  let out = text;
  for (let n = random(3) + 1; n > 0; n--) {
    const at = random(out.length + 1);
    const piece = random(3) === 0
      ? String.fromCharCode(random(128))
      : random(2) === 0
      ? PIECES[random(PIECES.length)]!
      : FLOWS[random(FLOWS.length)]!.slice(random(20), 20 + random(30));
    out = out.slice(0, at) + (random(2) === 0 ? piece : "") + out.slice(at + random(6));
  }
  return out;
}

test(`texts, ${SECONDS} s from FUZZ_SEED=${SEED}`, () => {
  const random = randomOf(SEED);
  let read = 0;
  let round = 0;
  for (const end = performance.now() + SECONDS * 1000; performance.now() < end; round++) {
    const text = mutateText(
      random(3) === 0 ? OTHERS[random(OTHERS.length)]! : FLOWS[random(FLOWS.length)]!,
      random,
    );
    const attempt = (run: () => unknown): void => {
      if (tolerate(JSON.stringify(text), TextError, run) !== undefined) read++;
    };
    attempt(() => {
      const { message } = parseFlowMod(text);
      return formatFlowMod(message);
    });
    attempt(() => parseFlowRequestText(text));
    attempt(() => parseGroup(text));
    attempt(() => parseMeter(text, "add"));
    attempt(() => parsePacketOut(text));
    attempt(() => parseMonitor(text, 1));
    attempt(() => parseTableMod("1", text));
    attempt(() => parseTlvMappings(text));
    attempt(() => parseCtFlush([text, text], undefined));
    attempt(() => parseWireMatch(text));
  }
  expect(read).toBeGreaterThan(round / 20);
}, 60_000 + SECONDS * 1000);

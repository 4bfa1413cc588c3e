/**
 * What is known of a packet besides its bytes, between one program and the next: *packet state*.
 *
 * Most packets have none: they pass through the main program once, and all metadata of their key is
 * zero. An action program that recirculates, hashes, tracks or takes off a tunnel *begins* a state: it
 * zeroes this CPU's record and notes its token in `skb->cb[0]`, behind the port's number. The main
 * program reads the record whose token the packet has; only if some flow looks at such fields is there
 * code for it at all.
 *
 *     cb[0]: port number u16 | token u16, 0: no state
 *
 *      0 token u32            4 depth u32: how often it went round
 *      8 recirc_id u32       12 words u32: how many of the following count
 *     16 the words of a flow key from METADATA_WORD on, byte for byte: dp_hash, ct_…, tun_…
 *
 * Invariants
 * - Of the map's records one is all zero, for packets without a state, so the main program reads
 *   without asking; one is the state; one is memory for keys that are too long for the stack.
 * - Words that do not count are zero, so all of them can be read. Whoever fills in tunnel metadata
 *   sets `words` to where it ends (`TUNNEL_WORDS`, more with Geneve options).
 * - A program that sends a clone may be interrupted by itself: what is sent to a device may come in by
 *   another before the call returns (a bridge of the kernel in between). The inner packet takes the
 *   record with another token; the outer one finds that before it uses the record again, and is dropped
 *   and counted.
 * - Tokens have 13 bits: a main program without code for states takes cb[0] for a port number, and
 *   finds none of that number.
 */
import { DP_KEY_WORDS, METADATA_WORD, slot } from "../../packet/layout.ts";
import { TUNNEL_WORD } from "../tunnel-key.ts";
import { CB_PORT } from "./abi.ts";
import { type Assembler, type MapReference, reg } from "./assembler.ts";
import { R0, R1, R10, R2, R3, R6, R9, type Register } from "./instructions.ts";

export const STATE_TOKEN = 0;
export const STATE_DEPTH = 4;
export const STATE_RECIRC_ID = 8;
export const STATE_WORDS = 12;
export const STATE_METADATA = 16;

/** Words of metadata up to the tunnel's, up to Geneve options, and all. */
export const PLAIN_WORDS = TUNNEL_WORD - METADATA_WORD;
export const TUNNEL_WORDS = slot("tun_metadata").offset / 4 - METADATA_WORD;
export const ALL_WORDS = DP_KEY_WORDS - METADATA_WORD;

/** A multiple of 8. */
export const STATE_BYTES = (STATE_METADATA + 4 * ALL_WORDS + 7) & ~7;

/** As often as in the process (engine/executor.ts); each takes two of the kernel's 33 tail calls. */
export const MAX_RECIRCULATIONS = 6;

/** Records of the map. */
export const STATE_NONE = 0;
export const STATE_LIVE = 1;
export const STATE_SCRATCH = 2;
export const STATE_RECORDS = 3;

export const CB_PORT_BITS = 0xffff;
export const TOKEN_SHIFT = 16;
const TOKEN_LENGTH = 13;
const TOKEN_BITS = 0x1fff;

const W_RECIRC = slot("recirc_id").offset / 4;

/** Where a word of the flow key stands in a record; undefined if it is no metadata. */
export function stateOffset(word: number): number | undefined {
  if (word === W_RECIRC) return STATE_RECIRC_ID;
  if (word < METADATA_WORD || word >= DP_KEY_WORDS) return undefined;
  return STATE_METADATA + 4 * (word - METADATA_WORD);
}

/**
 * Stores at `key` which record a packet with the token in `token` has, STATE_NONE or STATE_LIVE, without
 * two ways for the verifier to go; r2 is lost.
 */
export function chooseState(asm: Assembler, token: Register, key: number): void {
  asm.mov(R2, reg(token)).op("add", R2, TOKEN_BITS).op("rsh", R2, TOKEN_LENGTH);
  asm.store(32, R10, key, reg(R2));
}

/** r0 = the record whose number is at `key` on the stack; r1 and r2 are lost, as in any call. */
export function findState(asm: Assembler, state: MapReference, key: number): void {
  asm.loadMap(R1, state).mov(R2, reg(R10)).op("add", R2, key).call("map_lookup_elem");
}

/**
 * Leaves the packet's state in `into`, begun if it has none yet. `key`: 4 free bytes of the stack. Goes
 * on at `drop` if there is no map, at `state_lost` if another packet took the record. All registers but
 * the context, r7 and r8 are lost.
 */
export function beginState(
  asm: Assembler,
  state: MapReference,
  key: number,
  into: Register = R9,
): void {
  const [known, short, done] = ["state_known", "no_options", "state_begun"].map((stem) =>
    asm.fresh(stem)
  ) as [string, string, string];
  asm.store(32, R10, key, STATE_LIVE);
  findState(asm, state, key);
  asm.jumpIf("eq", R0, 0, "drop").mov(into, reg(R0));
  asm.load(32, R2, R6, CB_PORT).op("rsh", R2, TOKEN_SHIFT).load(32, R3, into, STATE_TOKEN);
  asm.jumpIf("ne", R2, 0, known);
  asm.op("add", R3, 1).op("and", R3, TOKEN_BITS).jumpIf("ne", R3, 0, `${known}_new`).mov(R3, 1);
  asm.label(`${known}_new`).store(32, into, STATE_TOKEN, reg(R3));
  asm.op("lsh", R3, TOKEN_SHIFT).load(32, R2, R6, CB_PORT).op("or", R2, reg(R3));
  asm.store(32, R6, CB_PORT, reg(R2)).load(32, R3, into, STATE_WORDS);
  asm.store(32, into, STATE_DEPTH, 0).store(64, into, STATE_RECIRC_ID, 0);
  asm.store(32, into, STATE_WORDS, PLAIN_WORDS);
  const optionsAt = STATE_METADATA + 4 * TUNNEL_WORDS;
  let at = STATE_METADATA;
  for (; at < optionsAt; at += 8) asm.store(64, into, at, 0);
  asm.jumpIf("le", R3, TUNNEL_WORDS, short);
  for (; at < STATE_BYTES; at += 8) asm.store(64, into, at, 0);
  asm.label(short).jump(done);
  asm.label(known).jumpIf("ne", R2, reg(R3), "state_lost");
  asm.label(done);
}

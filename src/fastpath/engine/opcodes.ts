/**
 * Action programs: what `DpAction` lists become (encode.ts) and the executor runs (executor.ts).
 *
 * A program is an array of 32-bit words, one opcode followed by its operands; byte values stand
 * behind the code, addressed by byte offset from the program's start. Nested lists stand in line:
 * `size` is how many words to step over to get behind them, and each ends with END.
 *
 *     OUTPUT port | USERSPACE userdata | TRUNC maxLength | PUSH_VLAN tpid tci | POP_VLAN | COPY | END
 *     SET slotOffset valueAt maskAt | SET_KEY slotOffset slotBytes valueAt maskAt
 *     TUNNEL at words | PUSH_MPLS ethType lse over | POP_MPLS ethType
 *     PUSH_ETH at | POP_ETH | PUSH_NSH at length | POP_NSH | PUSH_PBB ethType tci | POP_PBB
 *     TTL_IN | TTL_OUT | HASH algorithm basis | RECIRC id | METER id | DROP reason
 *     CLONE copies size code… END | SAMPLE probability copies size code… END
 *     CHECK_LEN length copies greaterSize code… END lessSize code… END
 *     CT at | CT_CLEAR | TNL_PUSH headerAt length kind | TNL_POP port
 *
 * - `COPY` precedes the first rewriting action after an output: sends are batched and still point
 *   at the frame, so the rewriting goes on in a copy. A program that rewrites before its first
 *   output needs none, and works in the receive ring itself.
 * - `SET` changes a header in the frame, `SET_KEY` metadata that stands only in the flow key.
 * - `copies`: 0 when nothing after the nested list needs the packet, or nothing in it changes the
 *   packet: it runs in place. 1: metadata is put back afterwards. 2: so is the frame, by running
 *   the list on a copy.
 */
export const OP_END = 0;
export const OP_OUTPUT = 1;
export const OP_USERSPACE = 2;
export const OP_TRUNC = 3;
export const OP_PUSH_VLAN = 4;
export const OP_POP_VLAN = 5;
export const OP_SET = 6;
export const OP_SET_KEY = 7;
export const OP_COPY = 8;
export const OP_TUNNEL = 9;
export const OP_PUSH_MPLS = 10;
export const OP_POP_MPLS = 11;
export const OP_PUSH_ETH = 12;
export const OP_POP_ETH = 13;
export const OP_PUSH_NSH = 14;
export const OP_POP_NSH = 15;
export const OP_PUSH_PBB = 16;
export const OP_POP_PBB = 17;
export const OP_TTL_IN = 18;
export const OP_TTL_OUT = 19;
export const OP_HASH = 20;
export const OP_RECIRC = 21;
export const OP_METER = 22;
export const OP_DROP = 23;
export const OP_CLONE = 24;
export const OP_SAMPLE = 25;
export const OP_CHECK_LEN = 26;
export const OP_CT = 27;
export const OP_CT_CLEAR = 28;
export const OP_TNL_PUSH = 29;
export const OP_TNL_POP = 30;

export const IN_PLACE = 0;
export const KEEP_METADATA = 1;
export const KEEP_FRAME = 2;

export const HASH_L4 = 0;
export const HASH_SYM_L4 = 1;
export const HASH_WIDE = 2;

/** The record that `CT` points at, in words. Addresses are as in a flow key: IPv4 in the first word. */
export const CT_FLAGS = 0;
export const CT_ZONE = 1;
export const CT_MARK = 2;
export const CT_MARK_MASK = 3;
export const CT_LABEL = 4;
export const CT_LABEL_MASK = 8;
export const CT_MIN_ADDRESS = 12;
export const CT_MAX_ADDRESS = 16;
export const CT_MIN_PORT = 20;
export const CT_MAX_PORT = 21;
export const CT_TIMEOUT = 22;
export const CT_WORDS = 23;

/** Bits of CT_FLAGS. */
export const CTF_COMMIT = 0x001;
export const CTF_FORCE = 0x002;
export const CTF_NAT = 0x004;
export const CTF_NAT_SRC = 0x008;
export const CTF_NAT_DST = 0x010;
export const CTF_PERSISTENT = 0x020;
export const CTF_HASH = 0x040;
export const CTF_RANDOM = 0x080;
export const CTF_ADDRESS_V4 = 0x100;
export const CTF_ADDRESS_V6 = 0x200;
export const CTF_PORTS = 0x400;
export const CTF_FTP = 0x800;
export const CTF_TFTP = 0x1000;
export const CTF_MARK = 0x2000;
export const CTF_LABEL = 0x4000;

export interface Program {
  readonly code: Int32Array;
  /** The same memory as bytes. */
  readonly bytes: Uint8Array;
}

/** Over an encoded program in memory of the worker's own. */
export function programAt(words: Int32Array): Program {
  return { code: words, bytes: new Uint8Array(words.buffer, words.byteOffset, words.byteLength) };
}

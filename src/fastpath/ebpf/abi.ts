/**
 * What the programs and this process agree upon: the kernel's context structure, the records in the
 * maps, and how control passes from one program to the next.
 *
 *     device ──tc──> entry program of the port ──slot 0──> main program ──slot n──> action program n
 *                    notes the port's number               key, flow                rewrites, outputs
 *
 * Slots are those of one prog_array, so a new main program comes into force for all ports by one
 * write. Between programs, `skb->cb` carries:
 *
 *     cb[0] port number u16, token of the packet's state u16 (packet-state.ts) | cb[1] flow id |
 *     cb[2] layer 3 offset u16, layer 4 offset u16 (0: none) | cb[3] IP protocol u16, TCP flags u16 |
 *     cb[4] slot in the arguments
 *
 * A flow's record, which packets only read:
 *
 *      0 generation u32    4 TCP flags u32   8 verdict u64: kind u16, aux u16, target u32
 *     16 packets u64      24 bytes u64       these and the flags: before this process began
 *
 * Its counts, one record a shard (shards.ts), as number id × shards + shard:
 *
 *      0 packets u64       8 bytes u64      16 last use u64, nanoseconds of CLOCK_MONOTONIC
 *     24 TCP flags u32    28 zero
 *
 * A port's counts, one record a shard, as number port × shards + shard: `PORT_COUNTS`.
 *
 * - The generation changes when the id stops to mean what it meant: entries of the exact-match cache
 *   name id and generation, and one that does not agree is stale.
 * - The verdict is written whole. Kinds and what `aux` and `target` are then: below.
 */

/** Offsets in `struct __sk_buff`; all fields are 32 bits. */
export const SKB = {
  len: 0,
  mark: 8,
  vlanPresent: 20,
  vlanTci: 24,
  vlanProto: 28,
  priority: 32,
  cb: 48,
  data: 76,
  dataEnd: 80,
  gsoSize: 176,
} as const;

export const CB_PORT = SKB.cb;
export const CB_FLOW = SKB.cb + 4;
export const CB_LAYERS = SKB.cb + 8;
export const CB_PROTOCOL = SKB.cb + 12;
export const CB_ARGUMENTS = SKB.cb + 16;

export const TC_ACT_SHOT = 2;
/** Flag of bpf_redirect and bpf_clone_redirect: into the host's stack, as if received there. */
export const REDIRECT_INGRESS = 1;

export const FLOW_RECORD_BYTES = 32;
export const FLOW_GENERATION = 0;
export const FLOW_BASE_TCP_FLAGS = 4;
export const FLOW_VERDICT = 8;
export const FLOW_BASE_PACKETS = 16;
export const FLOW_BASE_BYTES = 24;

export const FLOW_COUNTS_BYTES = 32;
export const FLOW_PACKETS = 0;
export const FLOW_BYTES = 8;
export const FLOW_USED = 16;
export const FLOW_TCP_FLAGS = 24;

export const PORT_COUNTS_BYTES = 64;
/** Indexes of 64-bit numbers in a port's counts. */
export const PORT_COUNTS = {
  rxPackets: 0,
  rxBytes: 1,
  exactHits: 2,
  maskedHits: 3,
  /** Dropped by flows without actions. */
  noActions: 4,
  txPackets: 5,
  txBytes: 6,
  recirculations: 7,
} as const;

/** The packet goes to the process. What an unused record says. */
export const VERDICT_PUNT = 0;
export const VERDICT_DROP = 1;
/** Out of the device with index `target`, port number `aux`. */
export const VERDICT_EGRESS = 2;
/** Into the host, as if received by the device with index `target`, port number `aux`. */
export const VERDICT_INGRESS = 3;
/** Action program in slot `aux`, its arguments in slot `target`. */
export const VERDICT_PROGRAM = 4;

/**
 * The settings: one record that the process writes and the main program reads; behind what that
 * needs, what another process must know to understand the flows (kept-flows.ts).
 */
export const SETTINGS_BYTES = 2048;
/** How many entries of the mask table count, u32. */
export const SETTINGS_MASKS = 0;
/** u32: whether the exact-match cache is asked first. */
export const SETTINGS_EXACT = 4;

/** u64, always 0. */
export const SETTINGS_ZERO = 8;
/** u32: the half of the program slots in which the flows' programs are. */
export const SETTINGS_HALF = 16;
/** u32: of what kind the words of the key are (`KEY_FORMAT` in key-layout.ts). */
export const SETTINGS_KEY_FORMAT = 20;
/** Which bits of a flow key's words are in the key: as many u32 as a flow key has words. */
export const SETTINGS_LAYOUT = 24;

/** Masks that the main program tries at most. */
export const MAX_KERNEL_MASKS = 128;
/** An entry of the mask table: id u32, hits u32, then the mask, as long as the key. */
export const MASK_HEADER_BYTES = 8;
/** An entry's id while it is being written. */
export const MASK_INVALID = 0xffff_ffff;

/** Arguments of an action program. */
export const ARGUMENT_BYTES = 512;
export const ARGUMENT_SLOTS = 8192;
export const PROGRAM_SLOTS = 512;
/** Slot of the main program. */
export const MAIN_SLOT = 0;

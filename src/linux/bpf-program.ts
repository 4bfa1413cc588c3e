/**
 * Loading eBPF programs. The kernel's verifier refuses what it cannot prove safe; its log says why.
 *
 * References: linux/bpf.h (BPF_PROG_LOAD), Documentation/bpf/verifier.rst.
 */
import { bpf, BpfAttr, bpfString, tryBpf } from "./bpf-syscall.ts";
import { ERRNO, errno, SystemError } from "./libc.ts";

const PROG_TYPE_SCHED_CLS = 3;
const LOG_BYTES = 1 << 22;
/** Lines of the verifier's log that an error carries. */
const SHOWN_LINES = 12;
/** The verifier gives up when the thread gets a signal, and the runtime sends its threads some. */
const MOST_TRIES = 100;

/** What the kernel says of a loaded program. */
export interface ProgramInfo {
  readonly id: number;
  /** Bytes of machine code; 0 without a JIT compiler. */
  readonly jitBytes: number;
  /** Bytes of instructions after the verifier's own changes. */
  readonly translatedBytes: number;
  /** Instructions that the verifier looked at; 0 where the kernel does not tell (before 5.16). */
  readonly verifiedInstructions: number;
}

/** The verifier's refusal: its last lines, those that say what is wrong. */
export class VerifierError extends SystemError {
  constructor(name: string, error: number, readonly lines: readonly string[]) {
    super(`bpf(BPF_PROG_LOAD) ${name}`, error, lines.join(" | "));
    this.name = "VerifierError";
  }
}

/**
 * The last lines of a verifier's log that tell something: without its statistics at the end and
 * without empty ones.
 */
export function usefulLines(log: string, most = SHOWN_LINES): string[] {
  const noise =
    /^(processed \d+ insns|max_states_per_insn|verification time|stack depth|\s*$|mark_precise)/;
  return log.split("\n").map((line) => line.trimEnd()).filter((line) => !noise.test(line))
    .slice(-most);
}

/** Loads a tc classifier; a descriptor. Throws a VerifierError, or a SystemError (EPERM, ENOMEM). */
export function loadTcProgram(instructions: Uint8Array, name: string): number {
  const attr = programAttr(instructions, name);
  const fd = tryToLoad(attr);
  if (fd >= 0) return fd;
  const error = errno();
  // Once more for the log: it costs time and memory, so only now.
  const log = new Uint8Array(LOG_BYTES);
  const again = programAttr(instructions, name).u32(24, 1).u32(28, log.length).pointer(32, log);
  const second = tryToLoad(again);
  if (second >= 0) return second;
  const end = log.indexOf(0);
  const lines = usefulLines(new TextDecoder().decode(log.subarray(0, end < 0 ? 0 : end)));
  if (lines.length === 0) throw new SystemError(`bpf(BPF_PROG_LOAD) ${name}`, error);
  throw new VerifierError(name, error, lines);
}

function tryToLoad(attr: BpfAttr): number {
  for (let i = 1;; i++) {
    const fd = tryBpf("PROG_LOAD", attr);
    if (fd >= 0 || errno() !== ERRNO.EAGAIN || i === MOST_TRIES) return fd;
  }
}

function programAttr(instructions: Uint8Array, name: string): BpfAttr {
  return new BpfAttr()
    .u32(0, PROG_TYPE_SCHED_CLS)
    .u32(4, instructions.length / 8)
    .pointer(8, instructions)
    .pointer(16, bpfString("Apache-2.0"))
    .name(48, name);
}

export function programInfo(fd: number): ProgramInfo {
  // struct bpf_prog_info: id @4, jited_prog_len @16, xlated_prog_len @20, verified_insns @216.
  const info = new Uint8Array(224);
  bpf("OBJ_GET_INFO_BY_FD", new BpfAttr().u32(0, fd).u32(4, info.length).pointer(8, info));
  const v = new DataView(info.buffer);
  return {
    id: v.getUint32(4, true),
    jitBytes: v.getUint32(16, true),
    translatedBytes: v.getUint32(20, true),
    verifiedInstructions: v.getUint32(216, true),
  };
}

/**
 * Runs a tc program on a frame `repeat` times without an interface, and returns the last result and
 * the nanoseconds that one run took on the average. What it would redirect goes nowhere.
 */
export function testProgram(
  fd: number,
  frame: Uint8Array,
  repeat: number,
): { readonly result: number; readonly nanoseconds: number } {
  const attr = new BpfAttr().u32(0, fd).u32(8, frame.length).pointer(16, frame).u32(32, repeat);
  bpf("PROG_TEST_RUN", attr);
  return {
    result: attr.view.getUint32(4, true),
    nanoseconds: attr.view.getUint32(36, true),
  };
}

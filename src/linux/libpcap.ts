/**
 * Filter expressions (pcap-filter(7)), compiled by libpcap where the host has it. It is opened when
 * the first expression comes and never linked, so nothing needs it to be there.
 */
import { dlopen } from "bun:ffi";
import { INSTRUCTION_BYTES } from "./classic-bpf.ts";
import { address, memoryAt } from "./libc.ts";

/** `message` is what the user sees. */
export class FilterError extends Error {
  override readonly name = "FilterError";

  constructor(readonly code: "not-installed" | "syntax", message: string) {
    super(message);
  }
}

const SYMBOLS = {
  pcap_open_dead: { args: ["i32", "i32"], returns: "ptr" },
  pcap_compile: { args: ["ptr", "ptr", "cstring", "i32", "u32"], returns: "i32" },
  pcap_geterr: { args: ["ptr"], returns: "cstring" },
  pcap_freecode: { args: ["ptr"], returns: "void" },
  pcap_close: { args: ["ptr"], returns: "void" },
} as const;

const NAMES = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];
const DLT_EN10MB = 1;
const NETMASK_UNKNOWN = 0xffffffff;
/** struct bpf_program: length u32 @0 · instructions, a pointer @8. */
const PROGRAM_BYTES = 16;

function open() {
  for (const name of NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // Under another name, perhaps.
    }
  }
  throw new FilterError(
    "not-installed",
    "filter expressions are compiled by libpcap, which this host does not have: install it " +
      "(Debian: libpcap0.8), or capture without a filter",
  );
}

/** The program, a copy; `snapBytes` of each packet will be looked at. Throws `FilterError`. */
export function compileFilter(expression: string, snapBytes: number): Uint8Array {
  const pcap = open();
  const handle = pcap.pcap_open_dead(DLT_EN10MB, snapBytes);
  if (handle === null) throw new FilterError("not-installed", "libpcap could not be used");
  try {
    const program = new Uint8Array(PROGRAM_BYTES);
    const text = new TextEncoder().encode(`${expression.replaceAll("\0", "")}\0`);
    if (pcap.pcap_compile(handle, program, text, 1, NETMASK_UNKNOWN) !== 0) {
      throw new FilterError("syntax", `${expression}: ${String(pcap.pcap_geterr(handle))}`);
    }
    const view = new DataView(program.buffer);
    const length = view.getUint32(0, true) * INSTRUCTION_BYTES;
    const copy = new Uint8Array(length);
    if (length > 0) {
      copy.set(new Uint8Array(memoryAt(Number(view.getBigUint64(8, true)), length)));
    }
    pcap.pcap_freecode(program);
    // Keeps the memory alive that the call was given the address of.
    address(program);
    return copy;
  } finally {
    pcap.pcap_close(handle);
  }
}

/** The `ct` action as the record that an action program carries (opcodes.ts, CT_…). */
import type { CtAction } from "../actions.ts";
import { DatapathError } from "../datapath.ts";
import {
  CT_FLAGS,
  CT_LABEL,
  CT_LABEL_MASK,
  CT_MARK,
  CT_MARK_MASK,
  CT_MAX_ADDRESS,
  CT_MAX_PORT,
  CT_MIN_ADDRESS,
  CT_MIN_PORT,
  CT_TIMEOUT,
  CT_WORDS,
  CT_ZONE,
  CTF_ADDRESS_V4,
  CTF_ADDRESS_V6,
  CTF_COMMIT,
  CTF_FORCE,
  CTF_FTP,
  CTF_HASH,
  CTF_LABEL,
  CTF_MARK,
  CTF_NAT,
  CTF_NAT_DST,
  CTF_NAT_SRC,
  CTF_PERSISTENT,
  CTF_PORTS,
  CTF_RANDOM,
  CTF_TFTP,
} from "./opcodes.ts";

function refuse(what: string): never {
  throw new DatapathError("not-supported", `ct: ${what}`);
}

/** Throws a DatapathError `not-supported` for what cannot be meant. */
export function encodeCt(action: CtAction): Int32Array {
  const words = new Int32Array(CT_WORDS);
  const bytes = new Uint8Array(words.buffer);
  let flags = 0;
  if (action.commit || action.force) flags |= CTF_COMMIT;
  if (action.force) flags |= CTF_FORCE;
  if (action.zone < 0 || action.zone > 0xffff) refuse(`zone ${action.zone}`);
  words[CT_ZONE] = action.zone;
  if (action.mark) {
    flags |= CTF_MARK;
    words[CT_MARK] = action.mark.value | 0;
    words[CT_MARK_MASK] = action.mark.mask | 0;
  }
  if (action.label) {
    const { value, mask } = action.label;
    if (value.length !== 16 || mask.length !== 16) refuse("a label and its mask have 16 bytes");
    flags |= CTF_LABEL;
    bytes.set(value, CT_LABEL * 4);
    bytes.set(mask, CT_LABEL_MASK * 4);
  }
  switch (action.helper) {
    case undefined:
      break;
    case "ftp":
      flags |= CTF_FTP;
      break;
    case "tftp":
      flags |= CTF_TFTP;
      break;
    default: {
      const never: never = action.helper;
      refuse(`no helper ${String(never)}`);
    }
  }
  words[CT_TIMEOUT] = action.timeout ?? -1;
  if (action.nat) flags |= natOf(action.nat, words, bytes);
  words[CT_FLAGS] = flags;
  return words;
}

function natOf(nat: NonNullable<CtAction["nat"]>, words: Int32Array, bytes: Uint8Array): number {
  let flags = CTF_NAT;
  if (nat.direction === "src") flags |= CTF_NAT_SRC;
  if (nat.direction === "dst") flags |= CTF_NAT_DST;
  if (nat.persistent) flags |= CTF_PERSISTENT;
  if (nat.hash) flags |= CTF_HASH;
  if (nat.random) flags |= CTF_RANDOM;
  if (nat.addresses) {
    const { min, max = min } = nat.addresses;
    if (min.length !== max.length || (min.length !== 4 && min.length !== 16)) {
      refuse("NAT addresses are of one family");
    }
    flags |= min.length === 4 ? CTF_ADDRESS_V4 : CTF_ADDRESS_V6;
    bytes.set(min, CT_MIN_ADDRESS * 4);
    bytes.set(max, CT_MAX_ADDRESS * 4);
  }
  if (nat.ports) {
    const { min, max = min } = nat.ports;
    if (min < 1 || max > 0xffff || min > max) refuse(`NAT ports ${min}-${max}`);
    flags |= CTF_PORTS;
    words[CT_MIN_PORT] = min;
    words[CT_MAX_PORT] = max;
  }
  return flags;
}

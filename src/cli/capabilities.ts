/**
 * What this process may do: Linux capabilities, read from `/proc/self/status`, so that a missing one
 * is named before anything is tried. References: capabilities(7), proc(5).
 */
import { readFileSync } from "node:fs";

/** Bit numbers of `<linux/capability.h>`. */
const CAPABILITY_BITS = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_SYS_ADMIN: 21,
} as const;

export type Capability = keyof typeof CAPABILITY_BITS;

/** The effective set, from the text of `/proc/PID/status`; 0 if the line is missing. */
export function effectiveCapabilities(status: string): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(status);
  return match?.[1] === undefined ? 0n : BigInt(`0x${match[1]}`);
}

/** Those of `wanted` that are not in the effective set, in the order given. */
export function missingCapabilities(
  wanted: readonly Capability[],
  status: string = readFileSync("/proc/self/status", "utf8"),
): Capability[] {
  const effective = effectiveCapabilities(status);
  return wanted.filter((name) => (effective >> BigInt(CAPABILITY_BITS[name]) & 1n) === 0n);
}

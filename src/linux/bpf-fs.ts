/**
 * The bpf file system, in which maps, programs and links can be pinned: what has a name there lives on
 * without a process. Reference: Documentation/filesystems (bpffs), bpf(2).
 */
import { readFileSync } from "node:fs";
import { mount, SystemError } from "./libc.ts";

/** Where everybody mounts it. */
const USUAL = "/sys/fs/bpf";

/** Where a bpf file system is mounted in this mount namespace; undefined if nowhere. */
export function findBpfFs(): string | undefined {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "bpf")
    .map(([, at]) => at!);
  return mounts.find((at) => at === USUAL) ?? mounts[0];
}

/** Mounts it in the usual place if it is nowhere; the place, or why there is none. */
export function ensureBpfFs(): { readonly path: string } | { readonly problem: string } {
  const found = findBpfFs();
  if (found !== undefined) return { path: found };
  try {
    mount("bpf", USUAL, "bpf", 0);
    return { path: USUAL };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { problem: `no bpf file system can be mounted at ${USUAL}: ${error.message}` };
  }
}

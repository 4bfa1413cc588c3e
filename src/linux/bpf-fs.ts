/**
 * The bpf file system, in which maps, programs and links can be pinned: what has a name there lives on
 * without a process. Reference: Documentation/filesystems (bpffs), bpf(2).
 */
import { accessSync, constants, readFileSync } from "node:fs";
import { mount, SystemError } from "./libc.ts";

/** Where everybody mounts it. */
const USUAL = "/sys/fs/bpf";

/** Where bpf file systems are mounted in this mount namespace, the usual place first. */
function mounted(): string[] {
  return readFileSync("/proc/self/mounts", "utf8").split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "bpf")
    .map(([, at]) => at!)
    .sort((a, b) => Number(b === USUAL) - Number(a === USUAL));
}

/** Containers often have theirs read-only. */
function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A bpf file system that names can be made in; undefined if there is none. */
export function findBpfFs(): string | undefined {
  return mounted().find(writable);
}

/** Mounts it in the usual place if it is nowhere; the place, or why there is none. */
export function ensureBpfFs(): { readonly path: string } | { readonly problem: string } {
  const found = findBpfFs();
  if (found !== undefined) return { path: found };
  const [shut] = mounted();
  if (shut !== undefined) return { problem: `the bpf file system at ${shut} is read-only here` };
  try {
    mount("bpf", USUAL, "bpf", 0);
    return { path: USUAL };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { problem: `no bpf file system can be mounted at ${USUAL}: ${error.message}` };
  }
}

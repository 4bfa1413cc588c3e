/**
 * How the datapath uses the machine, from `Open_vSwitch.other_config`:
 *
 *     n-rx-workers   threads that forward, 1 to 8; 1 unless the next key says otherwise
 *     pmd-cpu-mask   CPUs, hexadecimal, bit 0 is CPU 0: a thread for each, bound to it
 *     rx-mode        `poll`: a thread without packets sleeps (default); `busy`: it never does
 *
 * With both of the first two, so many threads are bound to those CPUs in turn. What cannot be
 * understood counts as absent, and is told of; so are numbers of other keys that are none, and what
 * Open vSwitch has and this switch has no use for.
 */
import type { Tuning } from "../../fastpath/datapath.ts";

const MAX_WORKERS = 8;

/** Read by `Backend.setLimits`. */
const NUMBERS = [
  "flow-limit",
  "max-idle",
  "max-revalidator",
  "min-revalidate-pps",
  "vlan-limit",
  "bundle-idle-timeout",
];

/** Open vSwitch's threads, caches and cards: there are none of them here. */
const WITHOUT_USE = new RegExp(
  "^(n-(handler|revalidator|offload)-threads|emc-insert-inv-prob|smc-enable|hw-offload|tc-policy|" +
    "userspace-tso-enable|tx-flush-interval|offloaded-stats-delay|dpdk-.*|vhost-.*|" +
    "per-port-memory|shared-mempool-config|pmd-(?!cpu-mask$).*)$",
);

export interface WantedTuning {
  readonly tuning: Tuning;
  /** What is wrong with the settings. */
  readonly complaints: readonly string[];
  /** What has no effect, though nothing is wrong with it. */
  readonly remarks: readonly string[];
}

export function wantedTuning(otherConfig: ReadonlyMap<string, string>): WantedTuning {
  const complaints: string[] = [];
  const remarks: string[] = [];
  const complain = (key: string, value: string, want: string): void => {
    complaints.push(`other_config:${key}=${value} is ignored: it must be ${want}`);
  };

  const mask = otherConfig.get("pmd-cpu-mask");
  let cpus: number[] = [];
  if (mask !== undefined) {
    const found = cpusOf(mask);
    if (found) cpus = found;
    else complain("pmd-cpu-mask", mask, "a hexadecimal number of at most 256 digits, not 0");
  }

  const count = otherConfig.get("n-rx-workers");
  let workers = Math.min(Math.max(1, cpus.length), MAX_WORKERS);
  if (count !== undefined) {
    if (/^[1-8]$/.test(count)) workers = Number(count);
    else complain("n-rx-workers", count, `a number from 1 to ${MAX_WORKERS}`);
  }

  const mode = otherConfig.get("rx-mode") ?? "poll";
  if (mode !== "poll" && mode !== "busy") complain("rx-mode", mode, '"poll" or "busy"');
  for (const key of NUMBERS) {
    const value = otherConfig.get(key);
    if (value !== undefined && !/^[0-9]{1,9}$/.test(value)) complain(key, value, "a number");
  }
  for (const [key, value] of otherConfig) {
    if (value === "false" || !WITHOUT_USE.test(key)) continue;
    remarks.push(`other_config:${key} has no effect: this switch has nothing that it would set`);
  }
  return { tuning: { workers, cpus, busy: mode === "busy" }, complaints, remarks };
}

/** The bits that are set, or undefined if that is no such number. */
function cpusOf(mask: string): number[] | undefined {
  const digits = /^(?:0[xX])?([0-9a-fA-F]{1,256})$/.exec(mask)?.[1];
  if (digits === undefined) return undefined;
  const cpus: number[] = [];
  for (let i = 0; i < digits.length; i++) {
    const digit = parseInt(digits[digits.length - 1 - i]!, 16);
    for (let bit = 0; bit < 4; bit++) if (digit & (1 << bit)) cpus.push(i * 4 + bit);
  }
  return cpus.length > 0 ? cpus : undefined;
}

/**
 * Balancing a bond: buckets move from the members that send most to those that send least, until the
 * difference is small or nothing more can be gained (Open vSwitch's rule, so that both choose alike).
 */
import type { Logger } from "../../log/log.ts";

interface Member {
  readonly port: { readonly name: string };
  readonly enabled: boolean;
}

interface Bucket<M> {
  member: M | undefined;
  readonly bytes: number;
}

/** A difference below this is no reason to move anything: about 1 Mbit/s over 10 s. */
const SMALL_BYTES = 100_000;

interface Load<M> {
  readonly member: M;
  /** With some load, the greatest first. */
  readonly entries: { readonly index: number; readonly bucket: Bucket<M> }[];
  bytes: number;
}

/** Returns true if a bucket moved. */
export function rebalance<M extends Member>(
  bond: string,
  buckets: readonly Bucket<M>[],
  members: readonly M[],
  log: Logger,
): boolean {
  const loads = new Map<M, Load<M>>(
    members.map((member) => [member, { member, entries: [], bytes: 0 }]),
  );
  const sorted = buckets.map((bucket, index) => ({ bucket, index }))
    .sort((a, b) => b.bucket.bytes - a.bucket.bytes);
  for (const entry of sorted) {
    const load = entry.bucket.member && loads.get(entry.bucket.member);
    if (!load || entry.bucket.bytes === 0) continue;
    load.bytes += entry.bucket.bytes;
    load.entries.push(entry);
  }
  const candidates = [...loads.values()].filter(({ member }) => member.enabled);
  sort(candidates);
  tell(bond, candidates, log);
  let moved = false;
  while (candidates.length > 1) {
    const from = candidates[0]!;
    const to = candidates.at(-1)!;
    const overload = from.bytes - to.bytes;
    if (overload < Math.floor(to.bytes / 32) || overload < SMALL_BYTES) break;
    const chosen = choose(from, to.bytes);
    if (chosen.length === 0) {
      candidates.shift();
      continue;
    }
    for (const entry of chosen) {
      const { index, bucket } = entry;
      log.info(
        `bond ${bond}: shift ${kilobytes(bucket.bytes)}kB of load (with hash ${index}) from ` +
          `${from.member.port.name} to ${to.member.port.name} (now carrying ` +
          `${kilobytes(from.bytes - bucket.bytes)}kB and ${kilobytes(to.bytes + bucket.bytes)}kB ` +
          "load, respectively)",
      );
      from.bytes -= bucket.bytes;
      to.bytes += bucket.bytes;
      bucket.member = to.member;
      // It is not put among those of `to`: moving it again within one balancing would be no use.
      from.entries.splice(from.entries.indexOf(entry), 1);
    }
    sort(candidates);
    moved = true;
  }
  return moved;
}

/** Buckets that bring two members together by a tenth of what is to be moved, or none. */
function choose<M>(from: Load<M>, toBytes: number): Load<M>["entries"] {
  const { entries } = from;
  if (entries.length < 2) return [];
  const ideal = Math.floor((from.bytes + toBytes) / 2) - toBytes;
  const threshold = Math.floor(ideal / 10);
  const chosen: Load<M>["entries"] = [];
  let delta = 0;
  for (const entry of entries) {
    if (delta + entry.bucket.bytes <= ideal) {
      chosen.push(entry);
      delta += entry.bucket.bytes;
    }
    if (ideal - delta < threshold) break;
  }
  if (chosen.length === 0) {
    // All are too great: the least of them comes closest.
    const least = entries.at(-1)!;
    chosen.push(least);
    delta = least.bucket.bytes;
  }
  const low = Math.min(from.bytes - delta, toBytes + delta);
  return low > toBytes && low - toBytes >= threshold ? chosen : [];
}

function sort<M>(loads: Load<M>[]): void {
  loads.sort((a, b) => b.bytes - a.bytes);
}

const kilobytes = (bytes: number): number => Math.trunc(bytes / 1024);

function tell<M extends Member>(bond: string, loads: readonly Load<M>[], log: Logger): void {
  if (!log.enabled("dbg")) return;
  const texts = loads.map(({ member, bytes, entries }) => {
    const parts = entries.map(({ index, bucket }) => `h${index}: ${kilobytes(bucket.bytes)}kB`);
    const list = parts.length > 0 ? ` (${parts.join(" + ")})` : "";
    return ` ${member.port.name} ${kilobytes(bytes)}kB${list}`;
  });
  log.dbg(`bond ${bond}:${texts.join(",")}`);
}

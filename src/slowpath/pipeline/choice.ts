/**
 * How a select group chooses a bucket: by a hash that the datapath computes (`dp_hash`, the default),
 * whose values are shared out to the buckets beforehand; by named fields (`hash`); or by the default
 * hash of the slow path, where weights are too uneven to be shared out.
 *
 * Shares are given by the method of Sainte-Laguë: each value goes to the bucket whose weight, divided
 * by 2n + 1 after n values, is greatest. So close weights get close shares even of few values. Where
 * the group leaves the method to the switch, there are as many values as make each share right to
 * `TOLERANCE`: 64 for weights 1 and 2, of which Open vSwitch's 16 make 5 and 11.
 */
import type { Bucket, GroupSelection } from "../../openflow/messages/types.ts";

/** Of the hash's 2^32 values so many are told apart. */
const MAX_VALUES = 256;
const MIN_VALUES = 16;
const TOLERANCE = 0.05;
/** Each value of the hash may become a megaflow. */
const MAX_EXACT_VALUES = 64;

export type Choice =
  | {
    readonly method: "dp_hash";
    readonly algorithm: "l4" | "sym_l4";
    readonly basis: number;
    /** Nobody asked for a hash of known values: whatever tells flows apart may count. */
    readonly wide: boolean;
    /** Bucket indices by the low bits of the hash; a power of two of them. */
    readonly shares: readonly number[];
  }
  | { readonly method: "hash"; readonly selection: GroupSelection }
  | { readonly method: "default" };

export function choiceOf(
  buckets: readonly Bucket[],
  selection: GroupSelection | undefined,
): Choice {
  switch (selection?.method ?? "") {
    case "dp_hash": {
      const shares = share(buckets);
      if (!shares) return { method: "default" };
      const parameter = selection!.parameter;
      const algorithm = (parameter >> 32n) === 1n ? "sym_l4" : "l4";
      const basis = Number(parameter & 0xffffffffn);
      return { method: "dp_hash", algorithm, basis, wide: false, shares };
    }
    case "hash":
      return selection!.fields.length > 0
        ? { method: "hash", selection: selection! }
        : { method: "default" };
    default: {
      const shares = fairShare(buckets);
      if (!shares) return { method: "default" };
      return { method: "dp_hash", algorithm: "sym_l4", basis: 0, wide: true, shares };
    }
  }
}

/** `share`, of as many values as it takes. */
function fairShare(buckets: readonly Bucket[]): number[] | undefined {
  let shares = share(buckets);
  while (shares && shares.length < MAX_EXACT_VALUES && worstError(buckets, shares) > TOLERANCE) {
    shares = share(buckets, shares.length * 2);
  }
  return shares;
}

/** How far the bucket that is treated worst is from its share, of that share. */
function worstError(buckets: readonly Bucket[], shares: readonly number[]): number {
  const counts = buckets.map(() => 0);
  for (const index of shares) counts[index]!++;
  const total = buckets.reduce((sum, { weight }) => sum + weight, 0);
  const errors = buckets.map(({ weight }, i) =>
    weight === 0 ? 0 : Math.abs((counts[i]! * total) / (weight * shares.length) - 1)
  );
  return Math.max(...errors);
}

/** Undefined: nothing to choose from, or too many values would be needed. */
function share(buckets: readonly Bucket[], atLeast = MIN_VALUES): number[] | undefined {
  const weights = buckets.map(({ weight }) => weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return undefined;
  const least = Math.min(...weights.filter((weight) => weight > 0));
  const count = Math.max(atLeast, 2 ** Math.ceil(Math.log2(Math.ceil(total / least))));
  if (count > MAX_VALUES) return undefined;
  const divisors = weights.map(() => 1);
  return Array.from({ length: count }, () => {
    let winner = 0;
    for (let i = 1; i < weights.length; i++) {
      if (weights[i]! / divisors[i]! > weights[winner]! / divisors[winner]!) winner = i;
    }
    divisors[winner]! += 2;
    return winner;
  });
}

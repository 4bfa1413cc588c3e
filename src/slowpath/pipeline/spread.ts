/** `multipath`, `bundle` and `bundle_load`: a hash of the packet chooses a number or a port. */
import type { ActionOf } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { has, lookSubfield, writeSubfield } from "./bits.ts";
import { isPortAlive } from "./group-action.ts";
import { hashFields, mix } from "./hash.ts";
import { output } from "./output.ts";
import type { Xlate } from "./xlate.ts";

export function multipath(x: Xlate, action: ActionOf<"multipath">): void {
  const hash = hashFields(x, action.fields, action.basis);
  const { destination } = action;
  if (!has(x.key, x.mask, destination.field.prerequisite)) {
    return;
  }
  lookSubfield(x.mask, destination);
  writeSubfield(x.key, destination, BigInt(link(action, hash)));
}

function link({ algorithm, maxLink, argument }: ActionOf<"multipath">, hash: number): number {
  const links = maxLink + 1;
  switch (algorithm) {
    case "modulo_n":
      return hash % links;
    case "hash_threshold":
      return Math.floor(hash / 2 ** 32 * links);
    case "hrw":
      return highest(links, (n) => mix(hash, n));
    case "iter_hash": {
      // A modulus of at least as many as there are links, less than twice as many.
      let modulus = argument;
      if (modulus < links || modulus / 2 > links) {
        modulus = 2 ** Math.ceil(Math.log2(links));
      }
      for (let i = 0;; i++) {
        const found = mix(hash, i) % modulus;
        if (found < links) return found;
      }
    }
    default: {
      const never: never = algorithm;
      throw new Error(`multipath algorithm ${never}`);
    }
  }
}

export function bundle(x: Xlate, action: ActionOf<"bundle">): void {
  const port = member(x, action);
  const { destination } = action;
  if (!destination) return output(x, port, 0);
  if (!has(x.key, x.mask, destination.field.prerequisite)) return;
  lookSubfield(x.mask, destination);
  writeSubfield(x.key, destination, BigInt(port));
}

/** The port of a live member, or NONE. */
function member(x: Xlate, { algorithm, fields, basis, members }: ActionOf<"bundle">): number {
  const alive = members.map((port) => isPortAlive(x, port));
  switch (algorithm) {
    case "active_backup":
      return members[alive.indexOf(true)] ?? PORTS.NONE;
    case "hrw": {
      const hash = hashFields(x, fields, basis);
      if (!alive.includes(true)) return PORTS.NONE;
      return members[highest(members.length, (n) => alive[n] ? mix(hash, n) : -1)]!;
    }
    default: {
      const never: never = algorithm;
      throw new Error(`bundle algorithm ${never}`);
    }
  }
}

function highest(count: number, score: (n: number) => number): number {
  let best = 0;
  let bestScore = -Infinity;
  for (let n = 0; n < count; n++) {
    const scored = score(n);
    if (scored <= bestScore) continue;
    best = n;
    bestScore = scored;
  }
  return best;
}

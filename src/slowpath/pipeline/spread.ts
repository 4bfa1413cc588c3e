/** `multipath`, `bundle` and `bundle_load`: a hash of the packet chooses a number or a port. */
import type { ActionOf } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { hashTwo } from "../../packet/hash.ts";
import { isPortAlive } from "./group-action.ts";
import { hashFields, lookHashFields } from "./hash.ts";
import { output } from "./output.ts";
import { loadSubfield } from "./set-field.ts";
import type { Xlate } from "./xlate.ts";

/** Beyond as many links, `hrw` takes too long. */
const MAX_HRW_LINKS = 64;

export function multipath(x: Xlate, action: ActionOf<"multipath">): void {
  lookHashFields(x.key, x.mask, action.fields);
  const hash = hashFields(x.key, action.fields, action.basis);
  loadSubfield(x, action.destination, BigInt(link(action, hash)));
}

function link({ algorithm, maxLink, argument }: ActionOf<"multipath">, hash: number): number {
  const links = maxLink + 1;
  switch (algorithm) {
    case "modulo_n":
      return hash % links;
    case "hash_threshold":
      return links === 1 ? 0 : Math.floor(hash / (Math.floor(0xffffffff / links) + 1));
    case "hrw":
      return links <= MAX_HRW_LINKS
        ? highest(links, (n) => hashTwo(hash, n))
        : iterated(hash, links, 0);
    case "iter_hash":
      return iterated(hash, links, argument);
    default: {
      const never: never = algorithm;
      throw new Error(`multipath algorithm ${never}`);
    }
  }
}

function iterated(hash: number, links: number, wanted: number): number {
  // A modulus of at least as many as there are links, less than twice as many.
  const fits = wanted >= links && Math.floor(wanted / 2) <= links;
  const modulus = fits ? wanted : 2 ** Math.ceil(Math.log2(links));
  for (let i = 0;; i++) {
    const found = (hashTwo(hash, i) % modulus) & 0xffff;
    if (found < links) return found;
  }
}

export function bundle(x: Xlate, action: ActionOf<"bundle">): void {
  const port = member(x, action);
  const { destination } = action;
  if (!destination) return output(x, port, 0);
  loadSubfield(x, destination, BigInt(port));
}

/** The port of a live member, or NONE. */
function member(x: Xlate, { algorithm, fields, basis, members }: ActionOf<"bundle">): number {
  switch (algorithm) {
    case "active_backup":
      return members.find((port) => isUsable(x, port)) ?? PORTS.NONE;
    case "hrw": {
      if (members.length > 1) lookHashFields(x.key, x.mask, fields);
      const hash = hashFields(x.key, fields, basis);
      const alive = members.map((port) => isUsable(x, port));
      if (!alive.includes(true)) return PORTS.NONE;
      return members[highest(members.length, (n) => alive[n] ? hashTwo(n, hash) : -1)]!;
    }
    default: {
      const never: never = algorithm;
      throw new Error(`bundle algorithm ${never}`);
    }
  }
}

/** Reserved ports are always there, but for controllers, which a bundle cannot send to. */
function isUsable(x: Xlate, port: number): boolean {
  switch (port) {
    case PORTS.IN_PORT:
    case PORTS.TABLE:
    case PORTS.NORMAL:
    case PORTS.FLOOD:
    case PORTS.ALL:
    case PORTS.NONE:
      return true;
    case PORTS.CONTROLLER:
      return false;
    default:
      return isPortAlive(x, port);
  }
}

/** The first number of the highest score. */
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

/**
 * What runs over a copy of the packet: `clone`, a bridge's pipeline behind a patch port, and both
 * branches of `check_pkt_larger`.
 *
 * Most actions of a copy can be undone by the actions that come after it: then the copy needs no
 * datapath action of its own, and what it set is simply set back when that matters. What cannot be
 * undone (tracking a connection, a meter, a header pushed by `encap`) is put in a datapath `clone`,
 * unless nothing comes after it.
 */
import type { ActionOf } from "../../openflow/actions/types.ts";
import { FlowKey } from "../../packet/key.ts";
import { type ListRunner, runActions, runActionSet } from "./actions.ts";
import { writeSubfield } from "./bits.ts";
import { finishFreezing } from "./freeze.ts";
import type { ThawAction } from "./frozen.ts";
import type { Xlate } from "./xlate.ts";

/** A sample of all packets is a clone, where samples may be nested deep enough. */
const ALWAYS = 0xffffffff;
const MIN_NESTING = 3;

/** Runs `body`; the changes that it makes to the packet and to pipeline state do not last. */
export function isolated(x: Xlate, body: () => void): void {
  const { stack, actionSet } = x;
  const words = x.key.words.slice();
  x.stack = [...stack];
  body();
  x.key.words.set(words);
  x.stack = stack;
  x.actionSet = actionSet;
}

/** Ends the pipeline of a copy: its action set, or its way back. */
function end(x: Xlate): void {
  if (!x.freezing) runActionSet(x);
  if (!x.freezing) return;
  finishFreezing(x);
  // It was the copy that stopped.
  x.exit = false;
}

function isReversible(actions: readonly ThawAction[]): boolean {
  return !actions.some(({ type }) =>
    type === "ct" || type === "meter" || type === "nat" || type === "output_trunc" ||
    type === "encap" || type === "decap" || type === "dec_nsh_ttl"
  );
}

/** Runs the list over a copy of the packet. */
export const runClone: ListRunner = (x, actions, isLast) => {
  isolated(x, () => {
    if (isReversible(actions) || isLast) {
      runActions(x, actions, isLast);
      return end(x);
    }
    const clones = x.supports("clone");
    if (!clones && x.capacity("sample_nesting") <= MIN_NESTING) {
      return x.complain("Failed to compose clone action");
    }
    // Done before the copy is made, so as not to be done twice.
    x.commit();
    const inner = inOwnList(x, () => {
      runActions(x, actions, true);
      end(x);
    });
    if (inner.length === 0) return;
    if (clones) x.emit({ type: "clone", actions: inner });
    else x.emit({ type: "sample", probability: ALWAYS, actions: inner });
  });
};

/** What `body` emits, for a copy that the datapath makes: it leaves the packet as it is. */
function inOwnList(x: Xlate, body: () => void) {
  const { wasMpls, conntracked } = x;
  const base = new FlowKey();
  base.words.set(x.base.words);
  const inner = x.nest(body);
  x.base.words.set(base.words);
  x.wasMpls = wasMpls;
  x.conntracked = conntracked;
  return inner;
}

/**
 * `check_pkt_larger`: the rest of the list is translated twice, for packets longer than that and for
 * all others; only the datapath knows which one it has.
 */
export function checkPacketLarger(
  x: Xlate,
  { length, destination }: ActionOf<"check_pkt_larger">,
  rest: readonly ThawAction[],
): void {
  const branch = (value: bigint) =>
    inOwnList(x, () =>
      isolated(x, () => {
        writeSubfield(x.key, destination, value);
        runActions(x, rest, true);
        end(x);
      }));
  x.commit();
  const { exit } = x;
  const greater = branch(1n);
  const stopped = x.exit;
  x.exit = exit;
  const lessEqual = branch(0n);
  x.exit = stopped;
  x.emit({ type: "check_pkt_len", length, greater, lessEqual });
}

/** The same for a datapath that cannot tell: what holds for the present packet is used once. */
export function guessPacketLarger(
  x: Xlate,
  { length, destination }: ActionOf<"check_pkt_larger">,
): void {
  writeSubfield(x.key, destination, x.packetLength > length ? 1n : 0n);
  x.slow.add("action");
  x.uncacheable = true;
}

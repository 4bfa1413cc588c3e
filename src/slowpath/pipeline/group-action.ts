/**
 * The `group` action (OpenFlow 1.3.5 §5.6.1): each bucket is an action set that runs over a copy of
 * the packet.
 *
 * A bucket is alive unless it watches a port that is down or a group without a live bucket; one of
 * weight 0 in a select group never is. A select group picks among its live buckets by a hash of the
 * packet and the bucket's number, in proportion to the weights (rendezvous hashing): a bucket that
 * comes or goes moves its own share of the flows only.
 */
import type { Bucket } from "../../openflow/messages/types.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";
import { orderActionSet } from "./action-set.ts";
import { runActions } from "./actions.ts";
import { hasLiveness } from "./group-check.ts";
import type { Group } from "./groups.ts";
import { hashSelection, mix } from "./hash.ts";
import type { Xlate } from "./xlate.ts";

/** How many groups one bucket's liveness may hang on. */
const MAX_WATCH_DEPTH = 128;

export function runGroup(x: Xlate, id: number): void {
  const { groups } = x.bridge.tables;
  const group = lookup(x, id);
  if (!group) {
    x.effect({ type: "group", groups, id, group, bucket: undefined });
    return x.tracer?.report("warn", `output to nonexistent group ${id}`);
  }
  if (!x.step()) return;
  switch (group.type) {
    case "all":
    case "indirect":
      x.effect({ type: "group", groups, id, group, bucket: undefined });
      for (const bucket of group.buckets) runBucket(x, bucket);
      return;
    case "select":
    case "ff": {
      const index = group.type === "ff"
        ? group.buckets.findIndex((bucket) => isAlive(x, group, bucket, 0))
        : select(x, group);
      x.effect({ type: "group", groups, id, group, bucket: index });
      const bucket = group.buckets[index];
      if (!bucket) return x.tracer?.report("detail", "no live bucket");
      x.tracer?.report("detail", `using bucket ${bucket.id}`);
      return runBucket(x, bucket);
    }
    default: {
      const never: never = group.type;
      throw new Error(`group type ${never}`);
    }
  }
}

function lookup(x: Xlate, id: number): Group | undefined {
  return x.bridge.tables.groups.get(id);
}

/** What happens in a bucket stays there. */
function runBucket(x: Xlate, bucket: Bucket): void {
  x.nested(() =>
    x.isolated(() => {
      x.inGroup = true;
      runActions(x, orderActionSet(bucket.actions));
    })
  );
}

/** The live bucket of the highest score; -1: none. */
function select(x: Xlate, group: Group): number {
  const hash = hashSelection(x, group.selection);
  let best = -1;
  let bestScore = -Infinity;
  for (const [i, bucket] of group.buckets.entries()) {
    if (!isAlive(x, group, bucket, 0)) continue;
    const uniform = (mix(hash, bucket.id) + 0.5) / 2 ** 32;
    const score = Math.log(uniform) / bucket.weight;
    if (score > bestScore) {
      best = i;
      bestScore = score;
    }
  }
  return best;
}

function isAlive(x: Xlate, group: Group, bucket: Bucket, depth: number): boolean {
  if (group.type === "select" && bucket.weight === 0) return false;
  if (!hasLiveness(bucket)) return true;
  const { watchPort, watchGroup } = bucket;
  if (watchPort !== PORTS.ANY && isPortAlive(x, watchPort)) return true;
  if (watchGroup === GROUP_ANY || depth >= MAX_WATCH_DEPTH) return false;
  const watched = lookup(x, watchGroup);
  // What was watched is a dependency, whether or not packets go there.
  const { groups } = x.bridge.tables;
  x.effect({ type: "watch", groups, id: watchGroup });
  return watched?.buckets.some((each) => isAlive(x, watched, each, depth + 1)) ?? false;
}

/** May packets leave by the port? CONTROLLER: is there one? */
export function isPortAlive(x: Xlate, ofport: number): boolean {
  if (ofport === PORTS.CONTROLLER) return x.bridge.hasController?.() ?? false;
  const port = x.port(ofport);
  return port !== undefined && port.linkUp && !port.config.portDown;
}

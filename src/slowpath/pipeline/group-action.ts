/**
 * The `group` action (OpenFlow 1.3.5 §5.6.1): each bucket is an action set that runs over a copy of
 * the packet.
 *
 * A bucket is alive unless it watches a port that is down or a group without a live bucket; one of
 * weight 0 in a select group never is. How a select group picks among its live buckets is in
 * choice.ts: by a hash that the datapath computes, for which the packet comes back once, or by a hash
 * of fields, where each live bucket scores by the hash, its number and its weight.
 */
import type { Bucket } from "../../openflow/messages/types.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";
import { hashTwo } from "../../packet/hash.ts";
import { formatPort } from "../../packet/text.ts";
import { FIELDS } from "../../packet/layout.ts";
import { orderActionSet } from "./action-set.ts";
import { runActions } from "./actions.ts";
import { finishFreezing, triggerFreeze, triggerHash } from "./freeze.ts";
import { hasLiveness } from "./group-check.ts";
import type { Group } from "./groups.ts";
import { hashFields, hashSelection, lookHashFields } from "./hash.ts";
import type { Xlate, XlateError } from "./xlate.ts";

/** How many groups one bucket's liveness may hang on. */
const MAX_WATCH_DEPTH = 128;
/** Errors of one copy of the packet; the others are of the whole translation. */
const OWN_ERRORS: ReadonlySet<XlateError> = new Set<XlateError>([
  "too many MPLS labels",
  "unsupported packet type",
]);

/** False: there is no such group, and the list ends. */
export function runGroup(x: Xlate, id: number, isLast: boolean): boolean {
  if (!x.hasResources()) return true;
  const { groups } = x.bridge.tables;
  const group = lookup(x, id);
  if (!group) {
    x.effect({ type: "group", groups, id, group, bucket: undefined });
    x.tracer?.report("warn", `output to nonexistent group ${id}`);
    return false;
  }
  switch (group.type) {
    case "all":
    case "indirect":
      x.effect({ type: "group", groups, id, group, bucket: undefined });
      for (const [i, bucket] of group.buckets.entries()) {
        runBucket(x, bucket, isLast && i === group.buckets.length - 1);
      }
      return true;
    case "select":
    case "ff": {
      const index = group.type === "ff" ? firstAlive(x, group, 0) : select(x, group);
      x.effect({ type: "group", groups, id, group, bucket: index });
      const bucket = group.buckets[index];
      if (bucket) {
        x.tracer?.report("detail", `using bucket ${bucket.id}`);
        runBucket(x, bucket, isLast);
      } else x.tracer?.report("detail", "no live bucket");
      return true;
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

/** What happens to the packet in a bucket stays there. */
function runBucket(x: Xlate, bucket: Bucket, isLast: boolean): void {
  x.tracer?.enter("bucket", `bucket ${bucket.id}`);
  const words = x.key.words.slice();
  const { wasMpls } = x;
  x.depth++;
  runActions(x, orderActionSet(bucket.actions), isLast, true);
  x.depth--;
  if (x.freezing) finishFreezing(x);
  x.key.words.set(words);
  x.wasMpls = wasMpls;
  x.exit = false;
  if (x.error && OWN_ERRORS.has(x.error)) x.error = undefined;
  x.tracer?.leave();
}

/** The index of the chosen bucket; -1: none, or not yet. */
function select(x: Xlate, group: Group): number {
  // A choice may depend on what lies under labels.
  if (x.wasMpls) {
    triggerFreeze(x);
    return -1;
  }
  const { choice } = group;
  switch (choice.method) {
    case "default": {
      lookHashFields(x.key, x.mask, "symmetric_l4");
      return best(x, group, hashFields(x.key, "symmetric_l4", 0));
    }
    case "hash":
      return best(x, group, hashSelection(x, choice.selection));
    case "dp_hash": {
      const hash = x.key.get(FIELDS.dp_hash);
      if (hash === 0 && !x.hashed) {
        const { algorithm, basis, wide } = choice;
        triggerHash(x, { algorithm, basis, wide });
        return -1;
      }
      const { shares } = choice;
      const bits = shares.length - 1;
      x.mask.set(FIELDS.dp_hash, (x.mask.get(FIELDS.dp_hash) | bits) >>> 0);
      for (let i = 0; i <= bits; i++) {
        const index = shares[((hash + i) & bits) >>> 0]!;
        if (isAlive(x, group, group.buckets[index]!, 0)) return index;
      }
      return -1;
    }
    default: {
      const never: never = choice;
      throw new Error(`choice ${never}`);
    }
  }
}

/** The live bucket of the highest score, the last of equals. */
function best(x: Xlate, group: Group, hash: number): number {
  let found = -1;
  let bestScore = 0;
  for (const [i, bucket] of group.buckets.entries()) {
    if (!isAlive(x, group, bucket, 0)) {
      reportDead(x, bucket);
      continue;
    }
    const score = ((hashTwo(bucket.id, hash) & 0xffff) * bucket.weight) % 2 ** 32;
    if (score >= bestScore) {
      found = i;
      bestScore = score;
    }
    x.tracer?.report("detail", `bucket ${bucket.id}: score ${score}`);
  }
  return found;
}

function firstAlive(x: Xlate, group: Group, depth: number): number {
  for (const [i, bucket] of group.buckets.entries()) {
    if (isAlive(x, group, bucket, depth)) return i;
    reportDead(x, bucket);
  }
  return -1;
}

function isAlive(x: Xlate, group: Group, bucket: Bucket, depth: number): boolean {
  if (depth >= MAX_WATCH_DEPTH) {
    x.complain(`bucket chaining exceeded ${MAX_WATCH_DEPTH} links`);
    return false;
  }
  if (group.type === "select" && bucket.weight === 0) return false;
  if (!hasLiveness(bucket)) return true;
  const { watchPort, watchGroup } = bucket;
  if (watchPort !== PORTS.ANY && isPortAlive(x, watchPort)) return true;
  if (watchGroup === GROUP_ANY) return false;
  const watched = lookup(x, watchGroup);
  // What was watched is a dependency, whether or not packets go there.
  const { groups } = x.bridge.tables;
  x.effect({ type: "watch", groups, id: watchGroup });
  return watched !== undefined && firstAlive(x, watched, depth + 1) >= 0;
}

function reportDead({ tracer }: Xlate, { id, watchPort, watchGroup }: Bucket): void {
  if (!tracer) return;
  const causes: string[] = [];
  if (watchPort !== PORTS.ANY) causes.push(`port ${formatPort(watchPort)}`);
  // Open vSwitch says "port" here too.
  if (watchGroup !== GROUP_ANY) causes.push(`port ${watchGroup}`);
  tracer.report("detail", `bucket ${id}: not live due to ${causes.join(" and ")}`);
}

/** May packets leave by the port? CONTROLLER: is there one? */
export function isPortAlive(x: Xlate, ofport: number): boolean {
  if (ofport === PORTS.CONTROLLER) return x.bridge.hasController?.() ?? false;
  const port = x.port(ofport);
  return port !== undefined && port.linkUp && !port.config.portDown && port.mayEnable !== false;
}

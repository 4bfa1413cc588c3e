/** Whether a group-mod makes sense by itself (OpenFlow 1.5.1 §7.3.4.3; errors as Open vSwitch's). */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Bucket, GroupMod } from "../../openflow/messages/types.ts";
import { GROUP_ALL, GROUP_ANY, PORTS } from "../../openflow/version.ts";

/** OFPG_MAX: the highest number that a group may have. */
export const MAX_GROUP = 0xffffff00;
/** Bucket numbers of OpenFlow 1.5: the highest, and those that name no bucket in particular. */
export const BUCKETS = {
  MAX: 0xffffff00,
  FIRST: 0xfffffffd,
  LAST: 0xfffffffe,
  ALL: 0xffffffff,
} as const;

export function hasLiveness({ watchPort, watchGroup }: Bucket): boolean {
  return watchPort !== PORTS.ANY || watchGroup !== GROUP_ANY;
}

export function checkGroupMod(mod: GroupMod): void {
  const { command, groupType, buckets } = mod;
  const deleting = command === "delete";
  if (mod.group > MAX_GROUP && !(deleting && mod.group === GROUP_ALL)) {
    throw bad("OFPGMFC_INVALID_GROUP", `no group has the number ${mod.group}`);
  }
  checkCommandBucket(mod);
  if (groupType === "indirect" && !deleting && buckets.length !== 1) {
    throw bad("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket");
  }
  if (command === "remove_bucket" && buckets.length > 0) {
    throw bad("OFPGMFC_BAD_BUCKET", "removing buckets takes a number, no buckets");
  }
  if (deleting && buckets.length > 0) {
    throw bad("OFPGMFC_INVALID_GROUP", "deleting a group takes no buckets");
  }
  for (const bucket of buckets) checkBucket(mod, bucket);
  if (hasDuplicates(buckets)) throw bad("OFPGMFC_BAD_BUCKET", "two buckets have one number");
  checkSelection(mod);
}

function checkCommandBucket({ command, commandBucket = BUCKETS.ALL }: GroupMod): void {
  const named = commandBucket <= BUCKETS.MAX || commandBucket === BUCKETS.FIRST ||
    commandBucket === BUCKETS.LAST;
  const all = commandBucket === BUCKETS.ALL;
  const fits = command === "insert_bucket"
    ? named
    : command === "remove_bucket"
    ? named || all
    : all;
  if (!fits) throw bad("OFPGMFC_BAD_BUCKET", `bucket ${commandBucket} makes no sense here`);
}

function checkBucket({ command, groupType }: GroupMod, bucket: Bucket): void {
  if (bucket.id > BUCKETS.MAX) throw bad("OFPGMFC_BAD_BUCKET", `bucket number ${bucket.id}`);
  if (bucket.weight !== 0 && groupType !== "select" && command !== "insert_bucket") {
    throw bad("OFPGMFC_INVALID_GROUP", "only buckets of select groups have weights");
  }
  switch (groupType) {
    case "all":
    case "indirect":
      if (hasLiveness(bucket)) throw bad("OFPGMFC_WATCH_UNSUPPORTED", "nothing to watch here");
      break;
    case "ff":
      if (!hasLiveness(bucket)) throw bad("OFPGMFC_INVALID_GROUP", "a bucket watches nothing");
      break;
    case "select":
      break;
    default: {
      const never: never = groupType;
      throw new Error(`group type ${never}`);
    }
  }
}

function checkSelection({ command, groupType, selection }: GroupMod): void {
  if (!selection) return;
  const { method, fields } = selection;
  const allowed = groupType === "select" &&
    (command === "add" || command === "modify" || command === "add_or_mod");
  if (!allowed) throw bad("OFPBPC_BAD_VALUE", "only select groups have a selection method");
  if (method !== "hash" && method !== "dp_hash") {
    throw bad("OFPBPC_BAD_VALUE", `selection method ${method} is not supported`);
  }
  if (method !== "hash" && fields.length > 0) {
    throw bad("OFPBPC_BAD_VALUE", `selection method ${method} takes no fields`);
  }
}

export function hasDuplicates(buckets: readonly Bucket[]): boolean {
  return new Set(buckets.map(({ id }) => id)).size < buckets.length;
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

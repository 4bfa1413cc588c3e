/**
 * The groups of one bridge (OpenFlow 1.3.5 §5.6, 1.5.1 §7.3.4.3).
 *
 * - A group is never changed in place, but for its counters: modifying one puts another in its place,
 *   so that whoever remembers a group that a packet took can tell that it is gone.
 * - Rules name groups that exist; deleting a group deletes its rules. A bucket may name a group that
 *   does not exist yet, but no chain of groups may lead back to its beginning (OFPGMFC_LOOP).
 * - Changes are part of the tables' transactions (journal.ts).
 *
 * Statistics start anew when a group is modified, as in Open vSwitch.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Bucket, GroupMod, GroupSelection, GroupType } from "../../openflow/messages/types.ts";
import { GROUP_ALL, GROUP_ANY } from "../../openflow/version.ts";
import type { Clock } from "../clock.ts";
import { type Choice, choiceOf } from "./choice.ts";
import { BUCKETS, checkGroupMod, hasDuplicates } from "./group-check.ts";
import type { Journal } from "./journal.ts";
import { groupsOf } from "./action-targets.ts";
import type { ChangeSource, TablesChange } from "./table-change.ts";

export const MAX_GROUPS = 65_536;

export type GroupModBody = Omit<GroupMod, "type" | "form">;

export interface Counts {
  packets: number;
  bytes: number;
}

export class Group {
  packets = 0;
  bytes = 0;
  readonly counts: readonly Counts[];
  private chosenBy: Choice | undefined;

  constructor(
    readonly id: number,
    readonly type: GroupType,
    readonly buckets: readonly Bucket[],
    readonly selection: GroupSelection | undefined,
    readonly createdMs: number,
  ) {
    this.counts = buckets.map(() => ({ packets: 0, bytes: 0 }));
  }

  /** How packets are spread, if it is a select group. */
  get choice(): Choice {
    return this.chosenBy ??= choiceOf(this.buckets, this.selection);
  }

  /** Counts packets of one bucket, or (undefined) of each. */
  credit(bucket: number | undefined, packets: number, bytes: number): void {
    this.packets += packets;
    this.bytes += bytes;
    for (const [i, counts] of this.counts.entries()) {
      if (bucket !== undefined && bucket !== i) continue;
      counts.packets += packets;
      counts.bytes += bytes;
    }
  }
}

/** The rules that use groups, which the tables know. */
export interface GroupUsers {
  count(group: number): number;
  /** Removes them. */
  remove(group: number, source: ChangeSource): void;
  /** Brings counters up to date. */
  refresh(): void;
}

export class Groups {
  private readonly groups = new Map<number, Group>();

  constructor(
    private readonly clock: Pick<Clock, "now">,
    private readonly journal: Journal<TablesChange>,
    private readonly users: GroupUsers,
  ) {}

  get(id: number): Group | undefined {
    return this.groups.get(id);
  }

  get size(): number {
    return this.groups.size;
  }

  /** The group of this number or, for GROUP_ALL, all, by number. */
  select(id: number): Group[] {
    this.users.refresh();
    if (id === GROUP_ALL) return [...this.groups.values()].sort((a, b) => a.id - b.id);
    const group = this.groups.get(id);
    return group ? [group] : [];
  }

  /** Rules that send to the group. */
  references(id: number): number {
    return this.users.count(id);
  }

  /** Applies one group-mod; throws OfError and changes nothing if it is refused. */
  apply(mod: GroupModBody, source?: ChangeSource): void {
    this.journal.run(() => this.applyOne(mod, source));
  }

  /** Removes all; rules stay. */
  clear(): void {
    this.journal.run(() => {
      for (const group of [...this.groups.values()]) this.put(group.id, undefined);
    });
  }

  private applyOne(mod: GroupModBody, source: ChangeSource): void {
    checkGroupMod({ type: "group_mod", ...mod });
    const old = this.groups.get(mod.group);
    switch (mod.command) {
      case "add":
        if (old) throw bad("OFPGMFC_GROUP_EXISTS", `group ${mod.group} exists`);
        return this.add(mod, mod.buckets);
      case "modify":
        return this.modify(mod, known(mod, old), mod.buckets);
      case "add_or_mod":
        return old ? this.modify(mod, old, mod.buckets) : this.add(mod, mod.buckets);
      case "insert_bucket": {
        const group = known(mod, old);
        return this.modify(own(mod, group), group, insert(group.buckets, mod));
      }
      case "remove_bucket": {
        const group = known(mod, old);
        return this.modify(own(mod, group), group, removed(group.buckets, mod));
      }
      case "delete":
        for (
          const group of mod.group === GROUP_ALL ? [...this.groups.values()] : old ? [old] : []
        ) {
          this.users.remove(group.id, source);
          this.put(group.id, undefined);
        }
        return;
      default: {
        const never: never = mod.command;
        throw new Error(`group-mod command ${never}`);
      }
    }
  }

  private add(mod: GroupModBody, buckets: readonly Bucket[]): void {
    if (this.groups.size >= MAX_GROUPS) {
      throw bad("OFPGMFC_OUT_OF_GROUPS", `there are ${MAX_GROUPS} groups`);
    }
    this.replace(mod, buckets, this.clock.now());
  }

  private modify(mod: GroupModBody, old: Group, buckets: readonly Bucket[]): void {
    this.replace(mod, buckets, old.createdMs);
  }

  private replace(mod: GroupModBody, buckets: readonly Bucket[], createdMs: number): void {
    const group = new Group(mod.group, mod.groupType, buckets, mod.selection, createdMs);
    if (this.leadsTo(group, mod.group, new Set())) {
      throw bad("OFPGMFC_LOOP", `group ${mod.group} would lead to itself`);
    }
    this.put(mod.group, group);
  }

  private put(id: number, group: Group | undefined): void {
    const old = this.groups.get(id);
    const set = (value: Group | undefined): void => {
      if (value) this.groups.set(id, value);
      else this.groups.delete(id);
    };
    set(group);
    this.journal.note(() => set(old), { event: "group", group: id });
  }

  /** True if packets of `from` may reach the group `target`, or its liveness depends on that. */
  private leadsTo(from: Group, target: number, seen: Set<number>): boolean {
    for (const { actions, watchGroup } of from.buckets) {
      const next = watchGroup === GROUP_ANY
        ? groupsOf(actions)
        : [...groupsOf(actions), watchGroup];
      for (const id of next) {
        if (id === target) return true;
        const group = this.groups.get(id);
        if (!group || seen.has(id)) continue;
        seen.add(id);
        if (this.leadsTo(group, target, seen)) return true;
      }
    }
    return false;
  }
}

function known(mod: GroupModBody, group: Group | undefined): Group {
  if (!group) throw bad("OFPGMFC_UNKNOWN_GROUP", `there is no group ${mod.group}`);
  return group;
}

/** Bucket commands leave the group's type and selection as they are. */
function own(mod: GroupModBody, { type, selection }: Group): GroupModBody {
  return { ...mod, groupType: type, ...(selection && { selection }) };
}

function insert(buckets: readonly Bucket[], mod: GroupModBody): Bucket[] {
  const at = mod.commandBucket ?? BUCKETS.ALL;
  let index = 0;
  if (at === BUCKETS.LAST) index = buckets.length;
  else if (at !== BUCKETS.FIRST) index = find(buckets, at) + 1;
  const all = [...buckets.slice(0, index), ...mod.buckets, ...buckets.slice(index)];
  if (hasDuplicates(all)) throw bad("OFPGMFC_BUCKET_EXISTS", "a bucket has that number");
  return all;
}

function removed(buckets: readonly Bucket[], { commandBucket }: GroupModBody): Bucket[] {
  const which = commandBucket ?? BUCKETS.ALL;
  if (which === BUCKETS.ALL) return [];
  if (which === BUCKETS.FIRST) return buckets.slice(1);
  if (which === BUCKETS.LAST) return buckets.slice(0, -1);
  const index = find(buckets, which);
  return buckets.filter((_, i) => i !== index);
}

function find(buckets: readonly Bucket[], id: number): number {
  const index = buckets.findIndex((bucket) => bucket.id === id);
  if (index < 0) throw bad("OFPGMFC_UNKNOWN_BUCKET", `there is no bucket ${id}`);
  return index;
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

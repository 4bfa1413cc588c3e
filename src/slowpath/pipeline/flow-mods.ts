/** Flow-mods: rules are added, changed and removed (OpenFlow 1.3.5 §6.4). */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { FLOW_FLAGS } from "../../openflow/messages/types.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import { groupsOf, metersOf } from "./action-targets.ts";
import { checkConjunctions } from "./conjunction.ts";
import { chooseVictim } from "./eviction.ts";
import type { Groups } from "./groups.ts";
import type { Meters } from "./meters.ts";
import { type RuleStore, USER_TABLES } from "./rule-store.ts";
import { Rule, type RuleSpec } from "./rule.ts";
import type { ChangeSource, FlowModBody } from "./table-change.ts";

const ALL_ONES_64 = 0xffffffffffffffffn;

export class FlowMods {
  constructor(
    private readonly store: RuleStore,
    private readonly groups: Pick<Groups, "get">,
    private readonly meters: Pick<Meters, "get">,
  ) {}

  /** Applies one, within a transaction of the tables; throws OfError if it is refused. */
  apply(mod: FlowModBody, source: ChangeSource): void {
    this.store.checkTable(mod.table);
    switch (mod.command) {
      case "add":
        return this.add(mod, source);
      case "modify":
      case "modify_strict":
        return this.change(mod, source);
      case "delete":
      case "delete_strict":
        return this.remove(mod, source);
      default: {
        const never: never = mod.command;
        throw new Error(`flow-mod command ${never}`);
      }
    }
  }

  private add(mod: FlowModBody, source: ChangeSource): void {
    const id = mod.table === TABLE_ALL ? 0 : mod.table;
    const table = this.store.tables[id]!;
    if (id >= USER_TABLES) throw bad("OFPBRC_EPERM", `table ${id} is the switch's own`);
    this.checkActions(mod.actions, id);
    const spec: RuleSpec = {
      table: id,
      priority: mod.priority,
      cookie: mod.newCookie,
      idleTimeout: mod.idleTimeout,
      hardTimeout: mod.hardTimeout,
      importance: mod.importance,
      flags: mod.flags,
      actions: mod.actions,
    };
    const old = table.classifier.find(mod.match, mod.priority);
    if (old) return this.replace(old, spec, mod, source);
    if (mod.flags & FLOW_FLAGS.CHECK_OVERLAP) {
      if (table.classifier.overlaps(mod.match, mod.priority)) {
        throw bad("OFPFMFC_OVERLAP", `a rule of priority ${mod.priority} overlaps`);
      }
    }
    const { limit, evicts } = table.settings;
    if (table.classifier.size - table.hidden >= limit && !(evicts && this.evict(id))) {
      throw bad("OFPFMFC_TABLE_FULL", `table ${id} holds ${limit} rules`);
    }
    const rule = new Rule(spec, this.store.clock.now());
    this.store.put(rule, mod.match, { event: "added", rule, source });
  }

  /** Makes room for one rule, within a transaction; false: no rule can go. */
  evict(id: number): boolean {
    this.store.beforeRead?.();
    const { evictionGroups } = this.store.tables[id]!.settings;
    const candidates = [...this.store.index.timed]
      .filter((rule) => rule.table === id && !rule.hidden);
    const victim = chooseVictim(candidates, evictionGroups ?? []);
    if (victim) this.store.drop(victim, "eviction", undefined);
    return victim !== undefined;
  }

  private change(mod: FlowModBody, source: ChangeSource): void {
    const found = this.collect(mod, mod.command === "modify_strict");
    // OpenFlow 1.0 adds the flow when there is none; later versions say so by having no new cookie.
    if (found.length === 0) {
      if (mod.newCookie !== ALL_ONES_64 && mod.cookieMask === 0n) this.add(mod, source);
      return;
    }
    for (const old of found) {
      this.checkActions(mod.actions, old.table);
      const cookie = mod.modifyCookie && mod.newCookie !== ALL_ONES_64 ? mod.newCookie : old.cookie;
      this.replace(
        old,
        {
          table: old.table,
          priority: old.priority,
          cookie,
          idleTimeout: old.idleTimeout,
          hardTimeout: old.hardTimeout,
          importance: old.importance,
          flags: old.flags,
          actions: mod.actions,
        },
        mod,
        source,
      );
    }
  }

  private remove(mod: FlowModBody, source: ChangeSource): void {
    const strict = mod.command === "delete_strict";
    let found = this.collect(mod, strict);
    if (found.some((rule) => rule.sendsFlowRemoved)) {
      this.store.beforeRead?.();
      // Packets that are counted may teach rules.
      found = this.collect(mod, strict);
    }
    for (const rule of found) this.store.drop(rule, "delete", source);
  }

  /** Puts a new rule with `old`'s match in its place. */
  private replace(old: Rule, spec: RuleSpec, mod: FlowModBody, source: ChangeSource): void {
    const rule = new Rule(spec, this.store.clock.now());
    const keepsCounts = !(mod.flags & FLOW_FLAGS.RESET_COUNTS);
    if (mod.command !== "add") rule.createdMs = old.createdMs;
    if (keepsCounts) {
      rule.packets = old.packets;
      rule.bytes = old.bytes;
    }
    rule.usedMs = old.usedMs;
    this.store.replace(old, rule, { event: "modified", rule, old, command: mod.command, source });
    this.store.succeed(old, rule, keepsCounts);
  }

  private collect(mod: FlowModBody, strict: boolean): Rule[] {
    const deletes = mod.command === "delete" || mod.command === "delete_strict";
    const filter = deletes ? mod : { ...mod, outPort: PORTS.ANY, outGroup: GROUP_ANY };
    return this.store.collect(filter, strict);
  }

  private checkActions(actions: readonly Action[], table: number): void {
    checkConjunctions(actions);
    for (const group of groupsOf(actions)) {
      if (!this.groups.get(group)) throw bad("OFPBAC_BAD_OUT_GROUP", `there is no group ${group}`);
    }
    for (const meter of metersOf(actions)) {
      if (!this.meters.get(meter)) throw bad("OFPMMFC_INVALID_METER", `there is no meter ${meter}`);
    }
    for (const action of actions) {
      if (action.type !== "goto_table") continue;
      if (action.table <= table || action.table >= USER_TABLES) {
        throw bad("OFPBIC_BAD_TABLE_ID", `goto_table ${action.table} in table ${table}`);
      }
    }
  }
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

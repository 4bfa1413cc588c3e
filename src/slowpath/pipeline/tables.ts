/**
 * The OpenFlow tables of one bridge: 0..253 for controllers, 254 the switch's own.
 *
 *              create            change                  read                    destroy
 *   rule       apply(add)        apply(modify, …)        select, lookup          apply(delete), expire
 *   own rule   addOwn            –                       lookup                  removeOwn
 *   table      (always there)    modify, setLimit        stats                   –
 *   group      groups.apply(add) groups.apply(modify, …) groups.select, get      groups.apply(delete)
 *
 * Invariants
 * - A rule is never changed in place, but for its counters and what fin_timeout shortens: modifying
 *   one puts a new rule in its place, and `successor` leads from the old one to it when counters are
 *   kept. So whoever remembers a rule that a packet hit can credit it at any later time.
 * - A `transaction` is atomic (journal.ts): everything is on one thread and it runs in one turn, so
 *   no lookup sees half of it; when it fails, what it did is undone. Listeners hear of the changes
 *   after all of them are in.
 * - Listeners are called after the change, in the order of the changes, and must not change tables.
 * - Rules above priority 65535 are the switch's own: no flow-mod finds, changes or removes them.
 *
 * Limits: a table holds `MAX_RULES` rules unless `setLimit` says less; one more is TABLE_FULL.
 * Actions that translation does not run are refused when the rule is added (supported.ts).
 *
 * References: OpenFlow 1.3.5 §5.2–5.5, §6.4 (flow table modification messages).
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { FLOW_FLAGS, type TableMod } from "../../openflow/messages/types.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import type { Clock } from "../clock.ts";
import { Classifier } from "./classifier.ts";
import { checkConjunctions } from "./conjunction.ts";
import { Groups } from "./groups.ts";
import { METER_ALL, Meters } from "./meters.ts";
import { Journal } from "./journal.ts";
import { RuleIndex } from "./rule-index.ts";
import { Rule, type RuleSpec } from "./rule.ts";
import { fits } from "./rule-filter.ts";
import { groupsOf, unsupportedAction } from "./supported.ts";
import type {
  ChangeSource,
  FlowModBody,
  MissSetting,
  RemovedReason,
  RuleFilter,
  TablesChange,
  TablesListener,
} from "./table-change.ts";

import { TableSettings } from "./table-settings.ts";
import type { Orphan } from "./teachers.ts";

export type * from "./table-change.ts";

/** Tables that controllers use: 0..253. */
export const USER_TABLES = 254;
/** The switch's own table. */
export const TABLE_OWN = 254;
export const MAX_RULES = 1_000_000;

interface Table {
  readonly classifier: Classifier<Rule>;
  readonly settings: TableSettings;
  matched: number;
  missed: number;
}

const ALL_ONES_64 = 0xffffffffffffffffn;

export class FlowTables {
  private readonly tables: Table[] = [];
  private readonly listeners = new Set<TablesListener>();
  private readonly index = new RuleIndex();
  private readonly journal = new Journal<TablesChange>((changes) => this.publish(changes));
  readonly groups: Groups;
  readonly meters: Meters;
  /** Called before counters leave the tables, so that they can be brought up to date first. */
  private beforeRead: (() => void) | undefined;

  constructor(private readonly clock: Pick<Clock, "now">) {
    this.meters = new Meters(clock);
    this.groups = new Groups(clock, this.journal, {
      count: (group) => this.index.countUsers(group),
      remove: (group, source) => this.removeUsers(group, source),
      refresh: () => this.beforeRead?.(),
    });
    for (let id = 0; id <= TABLE_OWN; id++) {
      const classifier = new Classifier<Rule>();
      const settings = new TableSettings(MAX_RULES);
      this.tables.push({ classifier, settings, matched: 0, missed: 0 });
    }
  }

  listen(listener: TablesListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The flow cache sets this to read the datapath's counters into the rules. */
  onRead(refresh: (() => void) | undefined): void {
    this.beforeRead = refresh;
  }

  // Lookup

  /** The rule of table `id` (0..254) that `key` hits, noting the bits looked at. */
  lookup(id: number, key: FlowKey, wildcards?: FlowKey): Rule | undefined {
    return this.tables[id]?.classifier.lookup(key, wildcards);
  }

  /** Counts lookups of a table for table statistics. */
  countLookups(id: number, matched: number, missed: number): void {
    const table = this.tables[id]!;
    table.matched += matched;
    table.missed += missed;
  }

  missSetting(id: number): MissSetting {
    return this.tables[id]!.settings.miss;
  }

  settings(id: number): TableSettings {
    return this.tables[id]!.settings;
  }

  /** OFPT_TABLE_MOD; table 0xff: all tables. What the message's version cannot say stays. */
  modify(mod: TableMod): void {
    const { table: id, miss, eviction } = mod;
    if (id !== TABLE_ALL && id >= USER_TABLES) throw bad("OFPTMFC_BAD_TABLE", `table ${id}`);
    this.transaction(() => {
      for (const { settings, classifier } of this.chosen(id)) {
        settings.eviction = eviction ?? settings.eviction;
        settings.setVacancy(mod, classifier.size);
        const old = settings.miss;
        if (miss === "default" || old === miss) continue;
        settings.miss = miss;
        this.journal.note(() => settings.miss = old, { event: "settings" });
      }
    });
  }

  /** `Flow_Table.flow_limit`; rules above a lowered limit stay. */
  setLimit(id: number, limit: number): void {
    this.tables[id]!.settings.limit = Math.max(0, Math.min(limit, MAX_RULES));
  }

  /** Table statistics of 0..253, in order. */
  stats(): { table: number; active: number; limit: number; matched: number; lookups: number }[] {
    this.beforeRead?.();
    return this.tables.slice(0, USER_TABLES).map((t, table) => ({
      table,
      active: t.classifier.size,
      limit: t.settings.limit,
      matched: t.matched,
      lookups: t.matched + t.missed,
    }));
  }

  /** Is some rule of the table a clause of a conjunction? */
  isConjunctive(id: number): boolean {
    return this.tables[id]!.classifier.isConjunctive;
  }

  /** The rule of exactly this match and priority. */
  find(id: number, match: Match, priority: number): Rule | undefined {
    return this.tables[id]?.classifier.find(match, priority);
  }

  /** Rules of one table that have the cookie. */
  countCookie(id: number, cookie: bigint): number {
    let count = 0;
    for (const rule of this.tables[id]!.classifier) if (rule.cookie === cookie) count++;
    return count;
  }

  /** Rules of one table. */
  count(id: number): number {
    return this.tables[id]!.classifier.size;
  }

  /** Rules of all tables, the switch's own included. */
  get size(): number {
    return this.tables.reduce((sum, { classifier }) => sum + classifier.size, 0);
  }

  // Change

  /**
   * Runs `body`, in which tables and groups may be changed: all of its changes are there afterwards
   * or, when it throws, none. No packet sees tables in between.
   */
  transaction<T>(body: () => T): T {
    return this.journal.run(() => {
      const result = body();
      for (const learned of this.index.teachers.orphans()) this.removeLearned(learned);
      return result;
    });
  }

  /** Applies one flow-mod; throws OfError and changes nothing if it is refused. */
  apply(mod: FlowModBody, source?: ChangeSource): void {
    this.transaction(() => this.applyOne(mod, source));
  }

  /** Adds a rule of the switch itself: any priority, any table. */
  addOwn(spec: RuleSpec, match: Match): Rule {
    const rule = new Rule(spec, this.clock.now());
    this.transaction(() => {
      const old = this.tables[spec.table]!.classifier.find(match, spec.priority);
      if (old) this.take(old);
      const change: TablesChange = old
        ? { event: "modified", rule, old, command: "add", source: undefined }
        : { event: "added", rule, source: undefined };
      this.put(rule, match, change);
    });
    return rule;
  }

  /** Removes a rule added by `addOwn`; nothing if it is already gone. */
  removeOwn(rule: Rule): void {
    if (rule.home) this.transaction(() => this.drop(rule, "delete", undefined));
  }

  /** Removes all rules, the switch's own too, and all groups: a bridge goes, or starts anew. */
  flush(source?: ChangeSource): void {
    this.transaction(() => {
      for (const { classifier } of this.tables) {
        for (const rule of [...classifier]) this.drop(rule, "delete", source);
      }
      this.groups.clear();
      this.meters.delete(METER_ALL);
    });
  }

  /** Shortens a rule's timeouts (`fin_timeout`); 0 leaves one as it is. */
  reduceTimeouts(rule: Rule, idle: number, hard: number): void {
    if (!rule.home) return;
    const shorter = (old: number, limit: number): number =>
      limit !== 0 && (old === 0 || old > limit) ? limit : old;
    rule.idleTimeout = shorter(rule.idleTimeout, idle);
    rule.hardTimeout = shorter(rule.hardTimeout, hard);
    if (rule.idleTimeout || rule.hardTimeout) this.index.timed.add(rule);
  }

  /** True if some rule could expire: only then need the datapath's counters be read for it. */
  get hasTimeouts(): boolean {
    return this.index.timed.size > 0;
  }

  /** Removes rules whose time is over. Counters must be up to date. Returns how many went. */
  expire(): number {
    const now = this.clock.now();
    let gone = 0;
    this.transaction(() => {
      for (const rule of [...this.index.timed]) {
        const { hardTimeout, idleTimeout } = rule;
        let reason: RemovedReason;
        if (hardTimeout && now > rule.modifiedMs + hardTimeout * 1000) reason = "hard_timeout";
        else if (idleTimeout && now > rule.usedMs + idleTimeout * 1000) reason = "idle_timeout";
        else continue;
        this.drop(rule, reason, undefined);
        gone++;
      }
    });
    return gone;
  }

  // Read

  /**
   * The rules that a statistics request asks for, by table; own rules are left out unless wanted.
   * Counters are current. Do not change the tables while iterating.
   */
  *select(filter: RuleFilter, hidden = false): IterableIterator<Rule> {
    this.checkTable(filter.table);
    this.beforeRead?.();
    for (const table of this.chosen(filter.table)) {
      for (const rule of table.classifier.within(filter.match)) {
        if ((hidden || !rule.hidden) && fits(rule, filter)) yield rule;
      }
    }
  }

  aggregate(filter: RuleFilter): { packets: number; bytes: number; flows: number } {
    const sum = { packets: 0, bytes: 0, flows: 0 };
    for (const rule of this.select(filter)) {
      sum.packets += rule.packets;
      sum.bytes += rule.bytes;
      sum.flows++;
    }
    return sum;
  }

  private applyOne(mod: FlowModBody, source: ChangeSource): void {
    this.checkTable(mod.table);
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
    const table = this.tables[id]!;
    if (id >= USER_TABLES) throw bad("OFPBRC_EPERM", `table ${id} is the switch's own`);
    this.checkActions(mod.actions, id);
    const spec = { ...mod, table: id, cookie: mod.newCookie };
    const old = table.classifier.find(mod.match, mod.priority);
    if (old) return this.replace(old, spec, mod, source);
    if (mod.flags & FLOW_FLAGS.CHECK_OVERLAP) {
      if (table.classifier.overlaps(mod.match, mod.priority)) {
        throw bad("OFPFMFC_OVERLAP", `a rule of priority ${mod.priority} overlaps`);
      }
    }
    const { limit, eviction } = table.settings;
    if (table.classifier.size >= limit && !(eviction && this.evict(id))) {
      throw bad("OFPFMFC_TABLE_FULL", `table ${id} holds ${limit} rules`);
    }
    const rule = new Rule(spec, this.clock.now());
    this.put(rule, mod.match, { event: "added", rule, source });
  }

  /** Removes the least important rule that would expire, the first of them to; false: none does. */
  private evict(id: number): boolean {
    this.beforeRead?.();
    let victim: Rule | undefined;
    for (const rule of this.index.timed) {
      if (rule.table !== id || rule.hidden) continue;
      const importance = victim ? rule.importance - victim.importance : -1;
      if (importance < 0 || (importance === 0 && rule.expiresMs < victim!.expiresMs)) victim = rule;
    }
    if (victim) this.drop(victim, "eviction", undefined);
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
      this.beforeRead?.();
      // Packets that are counted may teach rules.
      found = this.collect(mod, strict);
    }
    for (const rule of found) this.drop(rule, "delete", source);
  }

  /** Puts a new rule with `old`'s match in its place. */
  private replace(old: Rule, spec: RuleSpec, mod: FlowModBody, source: ChangeSource): void {
    const rule = new Rule(spec, this.clock.now());
    if (mod.command !== "add") rule.createdMs = old.createdMs;
    if (!(mod.flags & FLOW_FLAGS.RESET_COUNTS)) {
      rule.packets = old.packets;
      rule.bytes = old.bytes;
      if (mod.command !== "add") rule.usedMs = old.usedMs;
    }
    const match = old.match();
    this.take(old);
    if (!(mod.flags & FLOW_FLAGS.RESET_COUNTS)) {
      old.successor = rule;
      this.journal.note(() => old.successor = undefined);
    }
    this.put(rule, match, { event: "modified", rule, old, command: mod.command, source });
  }

  private collect(mod: FlowModBody, strict: boolean): Rule[] {
    const deleting = mod.command === "delete" || mod.command === "delete_strict";
    const filter = {
      ...mod,
      outPort: deleting ? mod.outPort : PORTS.ANY,
      outGroup: deleting ? mod.outGroup : GROUP_ANY,
    };
    const found: Rule[] = [];
    for (const table of this.chosen(mod.table)) {
      if (strict) {
        const rule = table.classifier.find(mod.match, mod.priority);
        if (rule && !rule.hidden && fits(rule, filter)) found.push(rule);
      } else {
        for (const rule of table.classifier.within(mod.match)) {
          if (!rule.hidden && fits(rule, filter)) found.push(rule);
        }
      }
    }
    return found;
  }

  private publish(changes: readonly TablesChange[]): void {
    for (const listener of this.listeners) listener(changes);
    for (const [table, { settings, classifier }] of this.tables.entries()) {
      const reason = settings.vacancyEvent(classifier.size);
      if (!reason) continue;
      for (const listener of this.listeners) listener([{ event: "vacancy", table, reason }]);
    }
  }

  private chosen(id: number): Table[] {
    return id === TABLE_ALL ? this.tables.slice(0, USER_TABLES) : [this.tables[id]!];
  }

  private checkTable(id: number): void {
    if (id > TABLE_OWN && id !== TABLE_ALL) throw bad("OFPBRC_BAD_TABLE_ID", `table ${id}`);
  }

  private put(rule: Rule, match: Match, change: TablesChange): void {
    this.enter(rule, match);
    rule.catchAll = match.mask.isZero();
    this.journal.note(() => this.leave(rule), change);
  }

  private take(rule: Rule, change?: TablesChange): void {
    rule.keepMatch();
    this.leave(rule);
    this.journal.note(() => this.enter(rule, rule.match()), change);
  }

  private drop(rule: Rule, reason: RemovedReason, source: ChangeSource): void {
    this.take(rule, { event: "removed", rule, reason, source });
  }

  private enter(rule: Rule, match: Match): void {
    this.tables[rule.table]!.classifier.insert(rule, match);
    this.index.add(rule);
  }

  private leave(rule: Rule): void {
    this.tables[rule.table]!.classifier.remove(rule);
    this.index.remove(rule);
  }

  /** Nothing teaches these any more, and what taught them said that they should go then. */
  private removeLearned({ table, cookie }: Orphan): void {
    for (const rule of [...this.tables[table]!.classifier]) {
      if (rule.cookie === cookie && !rule.hidden) this.drop(rule, "delete", undefined);
    }
  }

  /** OpenFlow 1.3.5 §6.4: rules that send to a deleted group go with it. */
  private removeUsers(group: number, source: ChangeSource): void {
    this.beforeRead?.();
    for (const rule of this.index.usersOf(group)) this.drop(rule, "group_delete", source);
  }

  private checkActions(actions: readonly Action[], table: number): void {
    const refused = unsupportedAction(actions);
    if (refused) {
      const error = refused === "meter" ? "OFPBIC_UNSUP_INST" : "OFPBAC_BAD_TYPE";
      throw bad(error, `action ${refused} is not supported`);
    }
    checkConjunctions(actions);
    for (const group of groupsOf(actions)) {
      if (!this.groups.get(group)) throw bad("OFPBAC_BAD_OUT_GROUP", `there is no group ${group}`);
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

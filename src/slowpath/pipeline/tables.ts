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
 * Limits: a table holds `MAX_RULES` rules unless `setLimit` says less; one more is TABLE_FULL, or
 * takes another's place (flow-mods.ts).
 *
 * References: OpenFlow 1.3.5 §5.2–5.5, §6.4 (flow table modification messages).
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Subfield } from "../../openflow/actions/types.ts";
import type { TableMod } from "../../openflow/messages/types.ts";
import { TABLE_ALL } from "../../openflow/version.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import type { Field } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import { FlowMods } from "./flow-mods.ts";
import { Groups } from "./groups.ts";
import { METER_ALL, Meters } from "./meters.ts";
import { Journal } from "./journal.ts";
import type { RuleIndex } from "./rule-index.ts";
import { Rule, type RuleSpec } from "./rule.ts";
import { fits } from "./rule-filter.ts";
import { MAX_RULES, RuleStore, USER_TABLES } from "./rule-store.ts";
import type {
  ChangeSource,
  FlowModBody,
  MissSetting,
  RemovedReason,
  RuleFilter,
  TablesChange,
  TablesListener,
} from "./table-change.ts";
import type { TableSettings } from "./table-settings.ts";
import type { Orphan } from "./teachers.ts";

export type * from "./table-change.ts";

export { MAX_RULES, TABLE_OWN, USER_TABLES } from "./rule-store.ts";

export class FlowTables {
  private readonly listeners = new Set<TablesListener>();
  private readonly journal = new Journal<TablesChange>((changes) => this.publish(changes));
  private readonly store: RuleStore;
  /** Some table was asked to tell how full it is. */
  private tellsVacancy = false;
  private readonly mods: FlowMods;
  readonly groups: Groups;
  readonly meters: Meters;
  private changeCount = 0;

  constructor(private readonly clock: Pick<Clock, "now">) {
    this.store = new RuleStore(clock, this.journal);
    this.meters = new Meters(
      clock,
      {
        count: (meter) => this.index.meters.count(meter),
        remove: (meter) => this.removeMeterUsers(meter),
      },
      () => this.transaction(() => this.journal.note(() => {}, { event: "settings" })),
    );
    this.groups = new Groups(clock, this.journal, {
      count: (group) => this.index.groups.count(group),
      remove: (group, source) => this.removeGroupUsers(group, source),
      refresh: () => this.store.beforeRead?.(),
    });
    this.mods = new FlowMods(this.store, this.groups, this.meters);
  }

  private get index(): RuleIndex {
    return this.store.index;
  }

  listen(listener: TablesListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The flow cache sets this to read the datapath's counters into the rules. */
  onRead(refresh: (() => void) | undefined): void {
    this.store.beforeRead = refresh;
  }

  // Lookup

  /** The rule of table `id` (0..254) that `key` hits, noting the bits looked at. */
  lookup(id: number, key: FlowKey, wildcards?: FlowKey): Rule | undefined {
    return this.store.tables[id]?.classifier.lookup(key, wildcards);
  }

  /** Counts lookups of a table for table statistics. */
  countLookups(id: number, matched: number, missed: number): void {
    const table = this.store.tables[id]!;
    table.matched += matched;
    table.missed += missed;
  }

  missSetting(id: number): MissSetting {
    return this.store.tables[id]!.settings.miss;
  }

  settings(id: number): TableSettings {
    return this.store.tables[id]!.settings;
  }

  /** OFPT_TABLE_MOD; table 0xff: all tables. What the message's version cannot say stays. */
  modify(mod: TableMod): void {
    const { table: id, miss, eviction } = mod;
    if (id !== TABLE_ALL && id >= USER_TABLES) throw bad("OFPTMFC_BAD_TABLE", `table ${id}`);
    this.transaction(() => {
      for (const { settings, classifier } of this.store.chosen(id)) {
        settings.eviction = eviction ?? settings.eviction;
        settings.setVacancy(mod, classifier.size);
        if (settings.vacancy) this.tellsVacancy = true;
        const old = settings.miss;
        if (miss === "default" || old === miss) continue;
        settings.miss = miss;
        this.journal.note(() => settings.miss = old, { event: "settings" });
      }
    });
  }

  /** `Flow_Table.flow_limit`; rules above a lowered limit stay, unless they can be evicted. */
  setLimit(id: number, limit: number): void {
    this.store.tables[id]!.settings.limit = Math.max(0, Math.min(limit, MAX_RULES));
    this.evictExcess(id);
  }

  /** `Flow_Table.overflow_policy=evict`, with `groups`; undefined: it is not set. */
  setEviction(id: number, groups: readonly Subfield[] | undefined): void {
    this.store.tables[id]!.settings.evictionGroups = groups;
    this.evictExcess(id);
  }

  private evictExcess(id: number): void {
    const { classifier, settings } = this.store.tables[id]!;
    if (!settings.evicts || classifier.size <= settings.limit) return;
    this.transaction(() => {
      while (classifier.size > settings.limit && this.mods.evict(id));
    });
  }

  prefixes(id: number): readonly Field[] {
    return this.store.tables[id]!.classifier.prefixFields;
  }

  /** `Flow_Table.prefixes`: the fields whose prefixes lookups tell apart bit by bit. */
  setPrefixes(id: number, fields: readonly Field[]): void {
    this.store.tables[id]!.classifier.setPrefixes(fields);
  }

  /** Table statistics of 0..253, in order. */
  stats(): { table: number; active: number; limit: number; matched: number; lookups: number }[] {
    this.store.beforeRead?.();
    return this.store.tables.slice(0, USER_TABLES).map((t, table) => ({
      table,
      active: t.classifier.size - t.hidden,
      limit: t.settings.limit,
      matched: t.matched,
      lookups: t.matched + t.missed,
    }));
  }

  /** Is some rule of the table a clause of a conjunction? */
  isConjunctive(id: number): boolean {
    return this.store.tables[id]!.classifier.isConjunctive;
  }

  /** The rule of exactly this match and priority. */
  find(id: number, match: Match, priority: number): Rule | undefined {
    return this.store.tables[id]?.classifier.find(match, priority);
  }

  /** Rules of one table that have the cookie. */
  countCookie(id: number, cookie: bigint): number {
    let count = 0;
    for (const rule of this.store.tables[id]!.classifier) if (rule.cookie === cookie) count++;
    return count;
  }

  /** Rules of one table. */
  count(id: number): number {
    return this.store.tables[id]!.classifier.size;
  }

  /** Rules of all tables, the switch's own included. */
  get size(): number {
    return this.store.tables.reduce((sum, { classifier }) => sum + classifier.size, 0);
  }

  /** Rules that connections are shown. */
  get shown(): number {
    return this.store.chosen(TABLE_ALL)
      .reduce((sum, { classifier, hidden }) => sum + classifier.size - hidden, 0);
  }

  // Change

  /**
   * Runs `body`, in which tables and groups may be changed: all of its changes are there afterwards
   * or, when it throws, none. No packet sees tables in between.
   */
  transaction<T>(body: () => T): T {
    return this.journal.run(() => {
      const result = body();
      const { teachers } = this.index;
      if (teachers.hasOrphans) {
        for (const learned of teachers.orphans()) this.removeLearned(learned);
      }
      return result;
    });
  }

  /** Applies one flow-mod; throws OfError and changes nothing if it is refused. */
  apply(mod: FlowModBody, source?: ChangeSource): void {
    this.transaction(() => this.mods.apply(mod, source));
  }

  /** Adds a rule of the switch itself: any priority, any table. */
  addOwn(spec: RuleSpec, match: Match): Rule {
    const rule = new Rule(spec, this.clock.now());
    this.transaction(() => {
      const old = this.store.tables[spec.table]!.classifier.find(match, spec.priority);
      if (old) this.store.take(old);
      const change: TablesChange = old
        ? { event: "modified", rule, old, command: "add", source: undefined }
        : { event: "added", rule, source: undefined };
      this.store.put(rule, match, change);
    });
    return rule;
  }

  /** Removes a rule added by `addOwn`; nothing if it is already gone. */
  removeOwn(rule: Rule): void {
    if (rule.home) this.transaction(() => this.store.drop(rule, "delete", undefined));
  }

  /** Removes all rules, the switch's own too, and all groups: a bridge goes, or starts anew. */
  flush(source?: ChangeSource): void {
    this.transaction(() => {
      for (const { classifier } of this.store.tables) {
        for (const rule of [...classifier]) this.store.drop(rule, "delete", source);
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
        this.store.drop(rule, reason, undefined);
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
    this.store.checkTable(filter.table);
    this.store.beforeRead?.();
    for (const table of this.store.chosen(filter.table)) {
      for (const rule of table.classifier.within(filter.match)) {
        if ((hidden || !rule.hidden) && fits(rule, filter)) yield rule;
      }
    }
  }

  /** As `select`, all at once. */
  list(filter: RuleFilter): Rule[] {
    this.store.checkTable(filter.table);
    this.store.beforeRead?.();
    return this.store.choose(filter);
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

  /** Grows whenever flows, or settings of tables, change. */
  get revision(): number {
    return this.changeCount;
  }

  private publish(changes: readonly TablesChange[]): void {
    this.changeCount++;
    for (const listener of this.listeners) listener(changes);
    if (!this.tellsVacancy) return;
    for (const table of tablesOf(changes)) {
      const { settings, classifier } = this.store.tables[table]!;
      const reason = settings.vacancyEvent(classifier.size);
      if (!reason) continue;
      for (const listener of this.listeners) listener([{ event: "vacancy", table, reason }]);
    }
  }

  /** Nothing teaches these any more, and what taught them said that they should go then. */
  private removeLearned({ table, cookie }: Orphan): void {
    for (const rule of [...this.store.tables[table]!.classifier]) {
      if (rule.cookie === cookie && !rule.hidden) this.store.drop(rule, "delete", undefined);
    }
  }

  /** OpenFlow 1.3.5 §6.4: rules that send to a deleted group go with it. */
  private removeGroupUsers(group: number, source: ChangeSource): void {
    this.store.beforeRead?.();
    for (const rule of this.index.groups.of(group)) this.store.drop(rule, "group_delete", source);
  }

  /** The same of a meter's. */
  private removeMeterUsers(meter: number): void {
    this.store.beforeRead?.();
    this.transaction(() => {
      for (const rule of this.index.meters.of(meter)) {
        this.store.drop(rule, "meter_delete", undefined);
      }
    });
  }
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

/** The tables whose rules or settings changed. */
function tablesOf(changes: readonly TablesChange[]): Iterable<number> {
  const tables = new Set<number>();
  for (const change of changes) {
    if ("rule" in change) tables.add(change.rule.table);
    else if (change.event === "settings") return Array.from({ length: USER_TABLES }, (_, i) => i);
  }
  return tables;
}

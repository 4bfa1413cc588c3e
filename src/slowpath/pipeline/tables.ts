/**
 * The OpenFlow tables of one bridge: 0..253 for controllers, 254 the switch's own.
 *
 *              create            change                  read                    destroy
 *   rule       apply(add)        apply(modify, …)        select, lookup          apply(delete), expire
 *   own rule   addOwn            –                       lookup                  removeOwn
 *   table      (always there)    setMiss, setLimit       stats                   –
 *
 * Invariants
 * - A rule is never changed in place, but for its counters and what fin_timeout shortens: modifying
 *   one puts a new rule in its place, and `successor` leads from the old one to it when counters are
 *   kept. So whoever remembers a rule that a packet hit can credit it at any later time.
 * - `applyAll` is atomic: everything is on one thread, and a batch is applied in one turn, so no
 *   lookup sees half of it; when one of its flow-mods fails, the earlier ones are undone. Listeners
 *   hear of the changes after the whole batch is in.
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
import {
  FLOW_FLAGS,
  type FlowMod,
  type FlowRemoved,
  type FlowStatsRequest,
} from "../../openflow/messages/types.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import type { FlowKey, Match } from "../../packet/key.ts";
import type { Clock } from "../clock.ts";
import { Classifier } from "./classifier.ts";
import { Rule, type RuleSpec } from "./rule.ts";
import { outputsTo, unsupportedAction } from "./supported.ts";

/** Tables that controllers use: 0..253. */
export const USER_TABLES = 254;
/** The switch's own table. */
export const TABLE_OWN = 254;
export const MAX_RULES = 1_000_000;

export type RemovedReason = FlowRemoved["reason"];

/** Where a change came from: an opaque owner, by which a flow monitor knows its own changes. */
export type ChangeSource = object | undefined;

export type RuleChange =
  | { readonly event: "added"; readonly rule: Rule; readonly source: ChangeSource }
  /** `rule` took the place of `old`: by a modify, or by an add of equal match and priority. */
  | {
    readonly event: "modified";
    readonly rule: Rule;
    readonly old: Rule;
    readonly command: FlowMod["command"];
    readonly source: ChangeSource;
  }
  | {
    readonly event: "removed";
    readonly rule: Rule;
    readonly reason: RemovedReason;
    readonly source: ChangeSource;
  };

export type TablesListener = (changes: readonly RuleChange[]) => void;

export type MissSetting = "default" | "controller" | "continue" | "drop";

/** What the tables use of a flow-mod message. */
export type FlowModBody = Omit<FlowMod, "type" | "form" | "bufferId">;
/** What they use of a flow or aggregate statistics request. */
export type RuleFilter = Pick<
  FlowStatsRequest,
  "table" | "match" | "outPort" | "outGroup" | "cookie" | "cookieMask"
>;

interface Table {
  readonly classifier: Classifier<Rule>;
  miss: MissSetting;
  limit: number;
  matched: number;
  missed: number;
}

const ALL_ONES_64 = 0xffffffffffffffffn;

export class FlowTables {
  private readonly tables: Table[] = [];
  private readonly listeners = new Set<TablesListener>();
  /** Rules with a timeout. */
  private readonly timed = new Set<Rule>();
  private changes: RuleChange[] = [];
  /** How to take back what the present batch did, newest last. */
  private undo: (() => void)[] = [];
  /** Called before counters leave the tables, so that they can be brought up to date first. */
  private beforeRead: (() => void) | undefined;
  /** Goes up with every change that lookups can see. */
  generation = 0;

  constructor(private readonly clock: Pick<Clock, "now">) {
    for (let id = 0; id <= TABLE_OWN; id++) {
      const classifier = new Classifier<Rule>();
      this.tables.push({ classifier, miss: "default", limit: MAX_RULES, matched: 0, missed: 0 });
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
    return this.tables[id]!.miss;
  }

  /** OFPT_TABLE_MOD; `id` 0xff: all tables. */
  setMiss(id: number, miss: MissSetting): void {
    if (id !== TABLE_ALL && id >= USER_TABLES) throw bad("OFPTMFC_BAD_TABLE", `table ${id}`);
    for (const n of id === TABLE_ALL ? this.tables.keys() : [id]) this.tables[n]!.miss = miss;
    this.generation++;
    this.publish();
  }

  /** `Flow_Table.flow_limit`; rules above a lowered limit stay. */
  setLimit(id: number, limit: number): void {
    this.tables[id]!.limit = Math.max(0, Math.min(limit, MAX_RULES));
  }

  /** Table statistics of 0..253, in order. */
  stats(): { table: number; active: number; limit: number; matched: number; lookups: number }[] {
    this.beforeRead?.();
    return this.tables.slice(0, USER_TABLES).map((t, table) => ({
      table,
      active: t.classifier.size,
      limit: t.limit,
      matched: t.matched,
      lookups: t.matched + t.missed,
    }));
  }

  /** Rules of all tables, the switch's own included. */
  get size(): number {
    return this.tables.reduce((sum, { classifier }) => sum + classifier.size, 0);
  }

  // Change

  /** Applies one flow-mod; throws OfError and changes nothing if it is refused. */
  apply(mod: FlowModBody, source?: ChangeSource): void {
    this.applyAll([mod], source);
  }

  /** Applies all or, throwing the first failure's OfError, none. */
  applyAll(mods: readonly FlowModBody[], source?: ChangeSource): void {
    try {
      for (const mod of mods) this.applyOne(mod, source);
    } catch (error) {
      for (const step of this.undo.reverse()) step();
      this.undo = [];
      this.changes = [];
      throw error;
    }
    this.undo = [];
    this.publish();
  }

  /** Adds a rule of the switch itself: any priority, any table. */
  addOwn(spec: RuleSpec, match: Match): Rule {
    const old = this.tables[spec.table]!.classifier.find(match, spec.priority);
    if (old) this.take(old);
    const rule = new Rule(spec, this.clock.now());
    this.put(rule, match);
    this.changes.push(
      old
        ? { event: "modified", rule, old, command: "add", source: undefined }
        : { event: "added", rule, source: undefined },
    );
    this.undo = [];
    this.publish();
    return rule;
  }

  /** Removes a rule added by `addOwn`; nothing if it is already gone. */
  removeOwn(rule: Rule): void {
    if (!rule.home) return;
    this.take(rule);
    this.changes.push({ event: "removed", rule, reason: "delete", source: undefined });
    this.undo = [];
    this.publish();
  }

  /** Removes all rules, the switch's own too: a bridge goes, or starts anew. */
  flush(source?: ChangeSource): void {
    for (const { classifier } of this.tables) {
      for (const rule of [...classifier]) {
        this.take(rule);
        this.changes.push({ event: "removed", rule, reason: "delete", source });
      }
    }
    this.undo = [];
    this.publish();
  }

  /** Shortens a rule's timeouts (`fin_timeout`); 0 leaves one as it is. */
  reduceTimeouts(rule: Rule, idle: number, hard: number): void {
    if (!rule.home) return;
    const shorter = (old: number, limit: number): number =>
      limit !== 0 && (old === 0 || old > limit) ? limit : old;
    rule.idleTimeout = shorter(rule.idleTimeout, idle);
    rule.hardTimeout = shorter(rule.hardTimeout, hard);
    if (rule.idleTimeout || rule.hardTimeout) this.timed.add(rule);
  }

  /** True if some rule could expire: only then need the datapath's counters be read for it. */
  get hasTimeouts(): boolean {
    return this.timed.size > 0;
  }

  /** Removes rules whose time is over. Counters must be up to date. Returns how many went. */
  expire(): number {
    const now = this.clock.now();
    let gone = 0;
    for (const rule of [...this.timed]) {
      const { hardTimeout, idleTimeout } = rule;
      let reason: RemovedReason;
      if (hardTimeout && now > rule.modifiedMs + hardTimeout * 1000) reason = "hard_timeout";
      else if (idleTimeout && now > rule.usedMs + idleTimeout * 1000) reason = "idle_timeout";
      else continue;
      this.take(rule);
      this.changes.push({ event: "removed", rule, reason, source: undefined });
      gone++;
    }
    this.undo = [];
    if (gone > 0) this.publish();
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
        return this.modify(mod, source);
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
    checkActions(mod.actions, id);
    const spec = { ...mod, table: id, cookie: mod.newCookie };
    const old = table.classifier.find(mod.match, mod.priority);
    if (old) return this.replace(old, spec, mod, source);
    if (mod.flags & FLOW_FLAGS.CHECK_OVERLAP) {
      if (table.classifier.overlaps(mod.match, mod.priority)) {
        throw bad("OFPFMFC_OVERLAP", `a rule of priority ${mod.priority} overlaps`);
      }
    }
    if (table.classifier.size >= table.limit) {
      throw bad("OFPFMFC_TABLE_FULL", `table ${id} holds ${table.limit} rules`);
    }
    const rule = new Rule(spec, this.clock.now());
    this.put(rule, mod.match);
    this.changes.push({ event: "added", rule, source });
  }

  private modify(mod: FlowModBody, source: ChangeSource): void {
    const found = this.collect(mod, mod.command === "modify_strict");
    // OpenFlow 1.0 adds the flow when there is none; later versions say so by having no new cookie.
    if (found.length === 0) {
      if (mod.newCookie !== ALL_ONES_64 && mod.cookieMask === 0n) this.add(mod, source);
      return;
    }
    for (const old of found) {
      checkActions(mod.actions, old.table);
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
    const found = this.collect(mod, mod.command === "delete_strict");
    if (found.some((rule) => rule.sendsFlowRemoved)) this.beforeRead?.();
    for (const rule of found) {
      this.take(rule);
      this.changes.push({ event: "removed", rule, reason: "delete", source });
    }
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
      this.undo.push(() => old.successor = undefined);
    }
    this.put(rule, match);
    this.changes.push({ event: "modified", rule, old, command: mod.command, source });
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

  private chosen(id: number): Table[] {
    return id === TABLE_ALL ? this.tables.slice(0, USER_TABLES) : [this.tables[id]!];
  }

  private checkTable(id: number): void {
    if (id > TABLE_OWN && id !== TABLE_ALL) throw bad("OFPBRC_BAD_TABLE_ID", `table ${id}`);
  }

  private put(rule: Rule, match: Match): void {
    this.tables[rule.table]!.classifier.insert(rule, match);
    rule.catchAll = match.mask.isZero();
    if (rule.idleTimeout || rule.hardTimeout) this.timed.add(rule);
    this.generation++;
    this.undo.push(() => {
      this.tables[rule.table]!.classifier.remove(rule);
      this.timed.delete(rule);
    });
  }

  private take(rule: Rule): void {
    rule.keepMatch();
    this.tables[rule.table]!.classifier.remove(rule);
    this.timed.delete(rule);
    this.generation++;
    this.undo.push(() => {
      this.tables[rule.table]!.classifier.insert(rule, rule.match());
      if (rule.idleTimeout || rule.hardTimeout) this.timed.add(rule);
    });
  }

  private publish(): void {
    const { changes } = this;
    this.changes = [];
    for (const listener of this.listeners) listener(changes);
  }
}

function fits(
  rule: Rule,
  { outPort, outGroup, cookie, cookieMask }: Omit<RuleFilter, "table" | "match">,
): boolean {
  if (cookieMask !== 0n && (rule.cookie & cookieMask) !== (cookie & cookieMask)) return false;
  if (outPort === PORTS.ANY && outGroup === GROUP_ANY) return true;
  return outputsTo(rule.actions, outPort, outGroup);
}

function checkActions(actions: readonly Action[], table: number): void {
  const refused = unsupportedAction(actions);
  if (refused) throw bad("OFPBAC_BAD_TYPE", `action ${refused} is not supported`);
  for (const action of actions) {
    if (action.type !== "goto_table") continue;
    if (action.table <= table || action.table >= USER_TABLES) {
      throw bad("OFPBIC_BAD_TABLE_ID", `goto_table ${action.table} in table ${table}`);
    }
  }
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

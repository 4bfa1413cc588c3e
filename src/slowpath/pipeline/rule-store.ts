/**
 * The rules of a bridge as they are kept: by table in classifiers, and in the index of those with
 * timeouts, groups, meters and learners. Every change is a step of the journal.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import { TABLE_ALL } from "../../openflow/version.ts";
import type { Match } from "../../packet/key.ts";
import type { Clock } from "../clock.ts";
import { Classifier } from "./classifier.ts";
import type { Journal } from "./journal.ts";
import { DEFAULT_PREFIXES } from "./prefix-fields.ts";
import { RuleIndex } from "./rule-index.ts";
import { fits } from "./rule-filter.ts";
import type { Rule } from "./rule.ts";
import type { ChangeSource, RemovedReason, RuleFilter, TablesChange } from "./table-change.ts";
import { TableSettings } from "./table-settings.ts";

/** Tables that controllers use: 0..253. */
export const USER_TABLES = 254;
/** The switch's own table. */
export const TABLE_OWN = 254;
export const MAX_RULES = 1_000_000;

export interface Table {
  readonly classifier: Classifier<Rule>;
  readonly settings: TableSettings;
  /** Rules of the switch's own among them. */
  hidden: number;
  matched: number;
  missed: number;
}

export class RuleStore {
  readonly tables: readonly Table[] = Array.from({ length: TABLE_OWN + 1 }, () => ({
    classifier: new Classifier<Rule>({ narrow: true }),
    settings: new TableSettings(MAX_RULES),
    hidden: 0,
    matched: 0,
    missed: 0,
  }));
  readonly index = new RuleIndex();
  /** Called before counters leave the tables, so that they can be brought up to date first. */
  beforeRead: (() => void) | undefined;

  constructor(
    readonly clock: Pick<Clock, "now">,
    private readonly journal: Journal<TablesChange>,
  ) {
    for (const { classifier } of this.tables) classifier.setPrefixes(DEFAULT_PREFIXES);
  }

  /** The table of that number, or all that controllers use. */
  chosen(id: number): readonly Table[] {
    return id === TABLE_ALL ? this.tables.slice(0, USER_TABLES) : [this.tables[id]!];
  }

  checkTable(id: number): void {
    if (id > TABLE_OWN && id !== TABLE_ALL) throw bad("OFPBRC_BAD_TABLE_ID", `table ${id}`);
  }

  /** The rules, none of the switch's own, that a request means: of exactly its match, or within. */
  collect(filter: RuleFilter & { readonly priority: number }, strict: boolean): Rule[] {
    const found: Rule[] = [];
    for (const { classifier } of this.chosen(filter.table)) {
      if (strict) {
        const rule = classifier.find(filter.match, filter.priority);
        if (rule && !rule.hidden && fits(rule, filter)) found.push(rule);
      } else this.chooseIn(classifier, filter, found);
    }
    return found;
  }

  /** The rules within a match, none of the switch's own. */
  choose(filter: RuleFilter): Rule[] {
    const found: Rule[] = [];
    for (const { classifier } of this.chosen(filter.table)) {
      this.chooseIn(classifier, filter, found);
    }
    return found;
  }

  private chooseIn(classifier: Classifier<Rule>, filter: RuleFilter, found: Rule[]): void {
    for (const rule of classifier.within(filter.match)) {
      if (!rule.hidden && fits(rule, filter)) found.push(rule);
    }
  }

  put(rule: Rule, match: Match, change: TablesChange): void {
    this.enter(rule, match);
    rule.catchAll = match.mask.isZero();
    this.journal.note(() => this.leave(rule), change);
  }

  take(rule: Rule, change?: TablesChange): void {
    rule.keepMatch();
    this.leave(rule);
    this.journal.note(() => this.enter(rule, rule.match()), change);
  }

  /** Puts `rule` in the place of `old`, whose match and priority it has. */
  replace(old: Rule, rule: Rule, change: TablesChange): void {
    this.exchange(old, rule);
    this.journal.note(() => this.exchange(rule, old), change);
  }

  drop(rule: Rule, reason: RemovedReason, source: ChangeSource): void {
    this.take(rule, { event: "removed", rule, reason, source });
  }

  /** What is still to be counted for `old` is `rule`'s, or at least says when it was used. */
  succeed(old: Rule, rule: Rule, keepsCounts: boolean): void {
    old.successor = rule;
    old.successorCounts = keepsCounts;
    this.journal.note(() => old.successor = undefined);
  }

  private enter(rule: Rule, match: Match): void {
    const table = this.tables[rule.table]!;
    table.classifier.insert(rule, match);
    if (rule.hidden) table.hidden++;
    this.index.add(rule);
  }

  private exchange(old: Rule, rule: Rule): void {
    old.keepMatch();
    rule.catchAll = old.catchAll;
    this.tables[old.table]!.classifier.replace(old, rule);
    this.index.remove(old);
    this.index.add(rule);
  }

  private leave(rule: Rule): void {
    const table = this.tables[rule.table]!;
    table.classifier.remove(rule);
    if (rule.hidden) table.hidden--;
    this.index.remove(rule);
  }
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}

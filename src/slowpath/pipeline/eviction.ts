/**
 * Which rule leaves a full table for a new one (OpenFlow 1.4.1 §6.5; ovs-vswitchd.conf.db(5),
 * Flow_Table `overflow_policy` and `groups`).
 *
 * Only a rule that would expire can go. Of those the one goes that is in the largest group (rules
 * whose matches have the same values in the fields that groups are made by; one group without
 * such), least important in it, and of equal ones the first to expire.
 */
import { subfieldMask } from "../../openflow/actions/subfield.ts";
import type { Subfield } from "../../openflow/actions/types.ts";
import { prerequisiteMet } from "../../openflow/match-set.ts";
import type { Rule } from "./rule.ts";

/** `rules` are those of one table that could expire. */
export function chooseVictim(
  rules: Iterable<Rule>,
  groupBy: readonly Subfield[],
): Rule | undefined {
  if (groupBy.length === 0) return leastImportant(rules);
  const groups = new Map<string, Rule[]>();
  for (const rule of rules) {
    const key = groupOf(rule, groupBy);
    const group = groups.get(key);
    if (group) group.push(rule);
    else groups.set(key, [rule]);
  }
  let largest: readonly Rule[] = [];
  for (const group of groups.values()) if (group.length > largest.length) largest = group;
  return leastImportant(largest);
}

function leastImportant(rules: Iterable<Rule>): Rule | undefined {
  let victim: Rule | undefined;
  for (const rule of rules) {
    const importance = victim ? rule.importance - victim.importance : -1;
    if (importance < 0 || (importance === 0 && rule.expiresMs < victim!.expiresMs)) victim = rule;
  }
  return victim;
}

function groupOf(rule: Rule, groupBy: readonly Subfield[]): string {
  const { key } = rule.match();
  return groupBy.map((subfield) => {
    const { field } = subfield;
    if (!prerequisiteMet(field.prerequisite, key)) return "-";
    return String(key.getBig(field) & subfieldMask(subfield));
  }).join();
}

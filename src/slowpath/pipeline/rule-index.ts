/** Which of a bridge's rules have timeouts, use a group or a meter, and what they teach. */
import type { Rule } from "./rule.ts";
import { Teachers } from "./teachers.ts";

/** Rules by the numbers of what they use. */
class Users {
  private readonly rules = new Map<number, Set<Rule>>();

  add(numbers: readonly number[], rule: Rule): void {
    for (const number of numbers) {
      const users = this.rules.get(number);
      if (users) users.add(rule);
      else this.rules.set(number, new Set([rule]));
    }
  }

  remove(numbers: readonly number[], rule: Rule): void {
    for (const number of numbers) {
      const users = this.rules.get(number);
      users?.delete(rule);
      if (users?.size === 0) this.rules.delete(number);
    }
  }

  of(number: number): readonly Rule[] {
    return [...(this.rules.get(number) ?? [])];
  }

  count(number: number): number {
    return this.rules.get(number)?.size ?? 0;
  }
}

export class RuleIndex {
  /** Rules with a timeout. */
  readonly timed = new Set<Rule>();
  readonly teachers = new Teachers();
  /** Rules that send packets to a group. */
  readonly groups = new Users();
  /** Rules whose packets pass a meter. */
  readonly meters = new Users();

  add(rule: Rule): void {
    if (rule.idleTimeout || rule.hardTimeout) this.timed.add(rule);
    this.groups.add(rule.groups, rule);
    this.meters.add(rule.meters, rule);
    this.teachers.add(rule.actions, 1);
  }

  remove(rule: Rule): void {
    this.timed.delete(rule);
    this.groups.remove(rule.groups, rule);
    this.meters.remove(rule.meters, rule);
    this.teachers.add(rule.actions, -1);
  }
}

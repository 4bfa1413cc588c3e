/** Which of a bridge's rules have timeouts, which send to a group, and what they teach. */
import type { Rule } from "./rule.ts";
import { Teachers } from "./teachers.ts";

export class RuleIndex {
  /** Rules with a timeout. */
  readonly timed = new Set<Rule>();
  readonly teachers = new Teachers();
  /** Rules that send packets to the group of this number. */
  private readonly users = new Map<number, Set<Rule>>();

  add(rule: Rule): void {
    if (rule.idleTimeout || rule.hardTimeout) this.timed.add(rule);
    for (const group of rule.groups) {
      const users = this.users.get(group);
      if (users) users.add(rule);
      else this.users.set(group, new Set([rule]));
    }
    this.teachers.add(rule.actions, 1);
  }

  remove(rule: Rule): void {
    this.timed.delete(rule);
    for (const group of rule.groups) {
      const users = this.users.get(group);
      users?.delete(rule);
      if (users?.size === 0) this.users.delete(group);
    }
    this.teachers.add(rule.actions, -1);
  }

  usersOf(group: number): readonly Rule[] {
    return [...(this.users.get(group) ?? [])];
  }

  countUsers(group: number): number {
    return this.users.get(group)?.size ?? 0;
  }
}

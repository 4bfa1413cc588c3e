/** Which rules a request means, apart from their matches. */
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";
import type { Rule } from "./rule.ts";
import { outputsTo } from "./action-targets.ts";
import type { RuleFilter } from "./table-change.ts";

export function fits(
  rule: Rule,
  { outPort, outGroup, cookie, cookieMask }: Omit<RuleFilter, "table" | "match">,
): boolean {
  if (cookieMask !== 0n && (rule.cookie & cookieMask) !== (cookie & cookieMask)) return false;
  if (outPort === PORTS.ANY && outGroup === GROUP_ANY) return true;
  return outputsTo(rule.actions, outPort, outGroup);
}

/** What happens to the OpenFlow state of a bridge, as listeners hear of it. */
import type { FlowMod, FlowRemoved, FlowStatsRequest } from "../../openflow/messages/types.ts";
import type { Rule } from "./rule.ts";

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

export type TablesChange =
  | RuleChange
  /** A group of this number came, went or became another. */
  | { readonly event: "group"; readonly group: number }
  /** What a table does with a packet that no rule matches, or a meter, changed. */
  | { readonly event: "settings" }
  /** So much or so little of a table is free that its setting wants it told. */
  | {
    readonly event: "vacancy";
    readonly table: number;
    readonly reason: "vacancy_down" | "vacancy_up";
  };

export type TablesListener = (changes: readonly TablesChange[]) => void;

export type MissSetting = "default" | "controller" | "continue" | "drop";

/** What the tables use of a flow-mod message. */
export type FlowModBody = Omit<FlowMod, "type" | "form" | "bufferId">;
/** What they use of a flow or aggregate statistics request. */
export type RuleFilter = Pick<
  FlowStatsRequest,
  "table" | "match" | "outPort" | "outGroup" | "cookie" | "cookieMask"
>;

/**
 * The `learn` action: a packet makes a rule (ovs-actions(7), "The learn action").
 *
 * A translation searches the tables as they were when it began: the packet does not find the rule that
 * it teaches, the next one does. So what is taught waits until translation is over (`finishLessons`),
 * unless the packet enters the bridge by a patch port, which brings it to the tables of that moment.
 * A translation that only checks a megaflow changes nothing. Each later packet of the megaflow, once
 * counted, puts off the rule's hard timeout, and brings the rule back if it is gone.
 */
import type { Action, LearnAction } from "../../openflow/actions/types.ts";
import { OfError } from "../../openflow/errors.ts";
import { FLOW_FLAGS } from "../../openflow/messages/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { DEFAULT_PRIORITY, formatMatch } from "../../openflow/text/match.ts";
import { anyMatch, type FlowKey } from "../../packet/key.ts";
import { setTunnelOption, tunnelIndex } from "../../openflow/tunnel-fields.ts";
import { GROUP_ANY, PORTS } from "../../openflow/version.ts";
import { lookSubfield, readSubfield, writeSubfield } from "./bits.ts";
import type { Rule } from "./rule.ts";
import { reportSubfield } from "./set-field.ts";
import type { FlowTables } from "./tables.ts";
import type { FlowModBody } from "./table-change.ts";
import type { Xlate } from "./xlate.ts";

const ALL_ONES_64 = 0xffffffffffffffffn;

/** One rule that packets of a megaflow keep alive. */
export class Learned {
  private rule: Rule | undefined;

  constructor(
    readonly tables: FlowTables,
    private readonly mod: FlowModBody,
    private readonly limit: number,
  ) {}

  /** The rule as it should be, if it is there. */
  private find(): Rule | undefined {
    if (this.rule?.home) return this.rule;
    const { mod } = this;
    const rule = this.tables.find(mod.table, mod.match, mod.priority);
    const same = rule && rule.idleTimeout === mod.idleTimeout &&
      rule.hardTimeout === mod.hardTimeout && rule.flags === mod.flags &&
      (!mod.modifyCookie || rule.cookie === mod.newCookie) &&
      formatActions(rule.actions) === formatActions(mod.actions);
    this.rule = same ? rule : undefined;
    return this.rule;
  }

  get exists(): boolean {
    return this.find() !== undefined;
  }

  /** Would the rule be there after `refresh`, and after those of `waiting`? */
  possible(waiting: readonly Learned[] = []): boolean {
    if (this.limit === 0 || this.find() !== undefined) return true;
    const { table, newCookie } = this.mod;
    const others = waiting.filter(({ tables, mod }) =>
      tables === this.tables && mod.table === table && mod.newCookie === newCookie
    );
    return this.tables.countCookie(table, newCookie) + others.length < this.limit;
  }

  /** Puts the rule in, or its timeout off: packets that teach it were seen at `usedMs`. */
  refresh(usedMs: number): "kept" | "changed" | "refused" {
    const rule = this.find();
    if (rule) {
      rule.modifiedMs = Math.max(rule.modifiedMs, usedMs);
      return "kept";
    }
    if (!this.possible()) return "refused";
    try {
      this.tables.apply(this.mod);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      return "refused";
    }
    this.find();
    return "changed";
  }
}

export function learn(x: Xlate, action: LearnAction): void {
  for (const { source } of action.specs) {
    if (source.type === "field") lookSubfield(x.mask, source.subfield);
  }
  if (x.tracer && !x.learns) {
    return x.tracer.report("warn", "suppressing side effects, so learn action ignored");
  }
  const mod = flowModOf(action, x.key);
  x.tracer?.report("detail", modText(mod));
  const learned = new Learned(x.bridge.tables, mod, action.limit);
  let success = true;
  if (x.learns) {
    success = learned.possible(x.lessons);
    if (success && !learned.exists) x.lessons.push(learned);
  } else {
    success = learned.possible();
    // The rule is gone, and others may take its place among so many before a packet brings it back.
    if (action.limit !== 0 && !learned.exists) x.uncacheable = true;
  }
  if (success) x.effect({ type: "taught", learned });
  else x.effect({ type: "untaught", tables: x.bridge.tables, table: action.table });
  const { resultDestination } = action;
  if (resultDestination) {
    lookSubfield(x.mask, resultDestination);
    writeSubfield(x.key, resultDestination, success ? 1n : 0n);
    reportSubfield(x, resultDestination);
  }
  if (!success) x.tracer?.report("detail", "Limit exceeded, learn failed");
}

/** Puts in the rules that the translation has taught: all, or those of one bridge. */
export function finishLessons(x: Xlate, tables?: FlowTables): void {
  if (x.lessons.length === 0) return;
  const now = x.lessons.filter((each) => !tables || each.tables === tables);
  x.lessons = x.lessons.filter((each) => !now.includes(each));
  for (const learned of now) if (learned.refresh(-Infinity) === "changed") x.taught = true;
}

/** For a trace. */
function modText(mod: FlowModBody): string {
  const { table, match, priority, newCookie, idleTimeout, hardTimeout, flags, actions } = mod;
  const shown = formatMatch(match, DEFAULT_PRIORITY);
  let text = `table=${table}${shown === "" ? "" : ` ${shown}`} priority=${priority}`;
  if (newCookie !== 0n) text += ` cookie=0x${newCookie.toString(16)}`;
  if (idleTimeout !== 0) text += ` idle=${idleTimeout}`;
  if (hardTimeout !== 0) text += ` hard=${hardTimeout}`;
  if (flags & FLOW_FLAGS.SEND_FLOW_REM) text += " send_flow_rem";
  return `${text} actions=${formatActions(actions)}`;
}

/** The flow-mod that puts in what `action` learns from a packet. */
function flowModOf(action: LearnAction, key: FlowKey): FlowModBody {
  const match = anyMatch();
  const actions: Action[] = [];
  if (action.finIdleTimeout || action.finHardTimeout) {
    actions.push({
      type: "fin_timeout",
      idle: action.finIdleTimeout,
      hard: action.finHardTimeout,
    });
  }
  for (const { source, destination, bits } of action.specs) {
    const value = source.type === "field" ? readSubfield(key, source.subfield) : source.value;
    switch (destination.type) {
      case "match": {
        const { subfield } = destination;
        lookSubfield(match.mask, subfield);
        writeSubfield(match.key, subfield, value);
        if (subfield.field.variable) {
          for (const each of [match.key, match.mask]) {
            setTunnelOption(each, tunnelIndex(subfield.field));
          }
        }
        break;
      }
      case "load": {
        const { field, start } = destination.subfield;
        const ones = (1n << BigInt(bits)) - 1n;
        const mask = ones << BigInt(start);
        const shifted = (value & ones) << BigInt(start);
        actions.push({ type: "set_field", field, value: shifted, mask, form: "load" });
        break;
      }
      case "output":
        if (isPort(value)) actions.push({ type: "output", port: Number(value), maxLength: 0 });
        break;
      default: {
        const never: never = destination;
        throw new Error(`learn destination ${never}`);
      }
    }
  }
  return {
    command: "add",
    table: action.table,
    match,
    priority: action.priority,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: action.cookie,
    modifyCookie: action.cookie !== ALL_ONES_64,
    idleTimeout: action.idleTimeout,
    hardTimeout: action.hardTimeout,
    importance: 0,
    flags: action.sendFlowRemoved ? FLOW_FLAGS.SEND_FLOW_REM : 0,
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    actions,
  };
}

/** A learned rule may output to real ports and to what floods, nothing else. */
function isPort(value: bigint): boolean {
  const port = Number(value);
  return port < PORTS.MAX || port === PORTS.IN_PORT || port === PORTS.FLOOD ||
    port === PORTS.LOCAL || port === PORTS.ALL;
}

/**
 * What changed since megaflows were last looked through, and which of them that concerns.
 *
 * A megaflow is concerned when
 * - a rule that its packets hit is gone or has another in its place;
 * - a rule was added to a table that it searched, which could match its packets and outranks what
 *   they hit there. When the packet reached that table unchanged, the megaflow's own key and mask
 *   tell whether it could; otherwise it is taken to;
 * - a (VLAN, MAC) whose lookup decided where it goes appeared, moved or went;
 * - it would have learned a rule, had there been room in a table that now has some;
 * - a group that it used, wanted or watched is another now;
 * - something else changed (ports, configuration): then every megaflow is.
 *
 * So a controller that adds a flow per conversation does not have all the others made again.
 */
import type { Match } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS, KEY_WORDS } from "../../packet/layout.ts";
import type { MacTable } from "../bridge/learning.ts";
import type { BundleModel } from "../pipeline/model.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { Groups } from "../pipeline/groups.ts";
import type { FlowTables, TablesChange } from "../pipeline/tables.ts";
import type { Megaflow } from "./megaflows.ts";

/** With more added rules than this in one table, its megaflows are all looked at again. */
const MANY_RULES = 32;

interface Added {
  readonly priority: number;
  /** `in_port` taken out: it is in OpenFlow numbers here, a megaflow's match has the datapath's. */
  readonly match: Match;
  readonly inPort: number;
  readonly inPortMask: number;
  /** It wants metadata or registers that no packet has when it comes in. */
  readonly wantsState: boolean;
}

function added(rule: Rule): Added {
  const { key, mask } = rule.match();
  const match: Match = { key, mask: mask.clone() };
  const { in_port } = FIELDS;
  const inPort = match.key.get(in_port);
  const inPortMask = match.mask.get(in_port);
  match.mask.set(in_port, 0);
  match.mask.set(FIELDS.conj_id, 0);
  let wantsState = false;
  for (let i = DP_KEY_WORDS; i < KEY_WORDS; i++) {
    if (i !== ACTSET_WORD && i !== CONJ_WORD && match.key.words[i] !== 0) wantsState = true;
  }
  return { priority: rule.priority, match, inPort, inPortMask, wantsState };
}

const ACTSET_WORD = FIELDS.actset_output.offset >> 2;
/** A lookup that finds all clauses of a conjunction searches again with its number here. */
const CONJ_WORD = FIELDS.conj_id.offset >> 2;

type Macs = MacTable<BundleModel>;

export class Changes {
  private all = false;
  private readonly gone = new Set<Rule>();
  private readonly added = new Map<FlowTables, Map<number, Added[]>>();
  /** Tables in which clauses of conjunctions came or went. */
  private readonly conjunctive = new Map<FlowTables, Set<number>>();
  /** Tables that rules left. */
  private readonly lessened = new Map<FlowTables, Set<number>>();
  private readonly groups = new Map<Groups, Set<number>>();
  private readonly moved = new Map<Macs, Map<number, Set<number>>>();

  get any(): boolean {
    return this.all || this.gone.size > 0 || this.added.size > 0 || this.moved.size > 0 ||
      this.groups.size > 0;
  }

  everything(): void {
    this.all = true;
  }

  tables(tables: FlowTables, changes: readonly TablesChange[]): void {
    if (this.all) return;
    for (const change of changes) {
      switch (change.event) {
        case "added": {
          if (change.rule.conjunctions) this.conjunction(tables, change.rule.table);
          let byTable = this.added.get(tables);
          if (!byTable) this.added.set(tables, byTable = new Map());
          let list = byTable.get(change.rule.table);
          if (!list) byTable.set(change.rule.table, list = []);
          if (list.length > MANY_RULES) break;
          list.push(added(change.rule));
          break;
        }
        case "modified":
          this.gone.add(change.old);
          if (change.old.conjunctions || change.rule.conjunctions) {
            this.conjunction(tables, change.rule.table);
          }
          break;
        case "removed":
          this.gone.add(change.rule);
          note(this.lessened, tables, change.rule.table);
          if (change.rule.conjunctions) this.conjunction(tables, change.rule.table);
          break;
        case "group": {
          note(this.groups, tables.groups, change.group);
          break;
        }
        case "vacancy":
          break;
        case "settings":
          this.all = true;
          break;
        default: {
          const never: never = change;
          throw new Error(`rule change ${never}`);
        }
      }
    }
  }

  /** A clause came or went: whatever was found in the table may depend on it. */
  private conjunction(tables: FlowTables, table: number): void {
    note(this.conjunctive, tables, table);
  }

  mac(macs: Macs, vlan: number, mac: number): void {
    if (this.all) return;
    let vlans = this.moved.get(macs);
    if (!vlans) this.moved.set(macs, vlans = new Map());
    let set = vlans.get(vlan);
    if (!set) vlans.set(vlan, set = new Set());
    set.add(mac);
  }

  concern(flow: Megaflow): boolean {
    if (this.all) return true;
    if (this.moved.size > 0) {
      for (const { macs, vlan, mac } of flow.macs) {
        if (this.moved.get(macs)?.get(vlan)?.has(mac)) return true;
      }
    }
    if (this.gone.size === 0 && this.added.size === 0 && this.groups.size === 0) return false;
    for (const effect of flow.effects) {
      if (effect.type === "rule" && this.gone.has(effect.rule)) return true;
      if (effect.type === "group" || effect.type === "watch") {
        if (this.groups.get(effect.groups)?.has(effect.id)) return true;
        continue;
      }
      if (effect.type === "untaught" && this.lessened.get(effect.tables)?.has(effect.table)) {
        return true;
      }
      if (effect.type !== "lookup") continue;
      if (this.conjunctive.get(effect.tables)?.has(effect.table)) return true;
      const list = this.added.get(effect.tables)?.get(effect.table);
      if (!list) continue;
      if (list.length > MANY_RULES) return true;
      for (const rule of list) {
        if (effect.outranks > rule.priority) continue;
        if (!effect.pristine || mayMatch(flow, rule)) return true;
      }
    }
    return false;
  }
}

function note<K>(sets: Map<K, Set<number>>, key: K, number: number): void {
  const set = sets.get(key);
  if (set) set.add(number);
  else sets.set(key, new Set([number]));
}

/** Could a packet of the megaflow, unchanged, fit the rule? */
function mayMatch(flow: Megaflow, { match, inPort, inPortMask, wantsState }: Added): boolean {
  return !wantsState && ((flow.ofport ^ inPort) & inPortMask) === 0 &&
    !flow.home!.differs(flow.slot, match.key.words, match.mask.words);
}

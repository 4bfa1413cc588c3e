/**
 * What a translation told of itself, as a tree, and how `ofproto/trace` lays it out:
 *
 *     bridge("br0")
 *     -------------
 *      0. in_port=1, priority 32768
 *         resubmit(,1)
 *      1. No match.
 *             drop
 *
 * The last table of a list is not indented deeper than its list, so that a chain of tables reads
 * downwards; what comes before the last one stands a level deeper.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { formatAction } from "../../openflow/text/actions-format.ts";
import { DEFAULT_PRIORITY, formatMatch } from "../../openflow/text/match.ts";
import type { PortNames } from "../../packet/text.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { Recirculation, TableOutcome, TraceKind, Tracer } from "../pipeline/tracer.ts";

type Miss = Extract<TableOutcome, string>;

interface TraceNode {
  readonly kind: TraceKind;
  readonly text: string;
  readonly inside: TraceNode[];
}

/** Kinds that never have nodes inside: they always stand a level deeper. */
const TERMINAL: ReadonlySet<TraceKind> = new Set<TraceKind>([
  "action",
  "detail",
  "warn",
  "error",
  "bucket",
]);

export class TraceTree implements Tracer {
  private readonly top: TraceNode[] = [];
  private readonly lists: TraceNode[][] = [this.top];
  /** In the order in which translation came to them; keys are copies. */
  readonly recirculations: Recirculation[] = [];

  /** `traced`: the first bridge. `namesOf`: of a bridge's ports, where the text is to have names. */
  constructor(
    private readonly traced: BridgeModel,
    private readonly namesOf: (bridge: BridgeModel) => PortNames | undefined,
  ) {}

  report(kind: TraceKind, text: string): void {
    this.list.push({ kind, text, inside: [] });
  }

  enter(kind: TraceKind, text: string): void {
    const node: TraceNode = { kind, text, inside: [] };
    this.list.push(node);
    this.lists.push(node.inside);
  }

  leave(): void {
    if (this.lists.length > 1) this.lists.pop();
  }

  enterTable(bridge: BridgeModel, table: number, outcome: TableOutcome): void {
    this.enter("table", `${String(table).padStart(2)}. ${this.outcomeText(bridge, outcome)}`);
  }

  action(bridge: BridgeModel, action: Action): void {
    this.report("action", formatAction(action, this.namesOf(bridge)));
  }

  recirculate(what: Recirculation): void {
    this.recirculations.push({ ...what, key: what.key.clone() });
  }

  /** The tree, each line with its newline. */
  format(): string {
    const lines: string[] = [];
    layOut(this.top, 0, lines);
    return lines.map((line) => `${line}\n`).join("");
  }

  private get list(): TraceNode[] {
    return this.lists.at(-1)!;
  }

  private outcomeText(bridge: BridgeModel, outcome: TableOutcome): string {
    if (typeof outcome === "string") {
      return bridge === this.traced ? MISSES[outcome] : HIDDEN[outcome];
    }
    const match = formatMatch(outcome.match(), DEFAULT_PRIORITY, this.namesOf(bridge));
    const cookie = outcome.cookie === 0n ? "" : `, cookie 0x${outcome.cookie.toString(16)}`;
    return `${match === "" ? "" : `${match}, `}priority ${outcome.priority}${cookie}`;
  }
}

/** What happens to packets that no rule matches. */
const MISSES: Readonly<Record<Miss, string>> = {
  "packet-in": 'No match, and a "packet-in" is called for.',
  "no match": "No match.",
  fragment: 'Packets are IP fragments and the fragment handling mode is "drop".',
};

/** Open vSwitch has hidden rules for it, and shows them as they are in other bridges than the first. */
const HIDDEN: Readonly<Record<Miss, string>> = {
  "packet-in": "reg0=0x1, priority 0",
  "no match": "reg0=0x2, priority 0",
  fragment: "reg0=0x3, priority 0",
};

function layOut(nodes: readonly TraceNode[], level: number, lines: string[]): void {
  for (const [i, node] of nodes.entries()) {
    if (node.kind === "bridge") lines.push("");
    const deeper = i < nodes.length - 1 || TERMINAL.has(node.kind) ? 1 : 0;
    const indent = " ".repeat((level + deeper) * 4);
    switch (node.kind) {
      case "detail":
        lines.push(`${indent} -> ${node.text}`);
        break;
      case "warn":
        lines.push(`${indent} >> ${node.text}`);
        break;
      case "error":
        lines.push(`${indent} >>>> ${node.text} <<<<`);
        break;
      case "bridge":
        lines.push(`${indent}${node.text}`, `${indent}${"-".repeat(node.text.length)}`);
        break;
      case "table":
      case "bucket":
      case "thaw":
      case "action":
        lines.push(`${indent}${node.text}`);
        break;
      default: {
        const never: never = node.kind;
        throw new Error(`trace node ${never}`);
      }
    }
    layOut(node.inside, level + 2 * deeper, lines);
  }
}

/**
 * A trace as a graph: where the packet comes in, the bridges, tables, groups and other stations it
 * passes, in their order, and what becomes of it. What only changes the packet is not a station.
 *
 * The text of a trace does not say which resubmit a table follows. A table that comes right after
 * another one was reached from its last action; after an action, from the table which that is in.
 */
import type { Box, Link } from "./graph.ts";
import type { Pass, Step } from "./trace-text.ts";

export type StationKind = "packet" | "bridge" | "table" | "action" | "again" | "outcome";

export interface Station extends Box {
  readonly kind: StationKind;
  readonly label: string;
  readonly sub: string;
  /** The step that it is; of an outcome, how many steps there are up to it. */
  readonly step: number;
  readonly dropped: boolean;
}

export interface TraceGraph {
  readonly nodes: readonly Station[];
  readonly edges: readonly Link[];
}

/** Actions by which a packet leaves, is copied, waits, or is judged by something with a state. */
const STATION =
  /^(output|in_port|local|normal|flood|all|controller|drop|group|bucket|ct|enqueue|bundle|multipath|meter|clone|encap|decap|sample)\b/i;
const LETTER = 7;
const [NARROWEST, WIDEST, HEIGHT] = [84, 220, 42] as const;

const widthOf = (...texts: readonly string[]): number =>
  Math.min(
    WIDEST,
    Math.max(NARROWEST, 22 + LETTER * Math.max(...texts.map(({ length }) => length))),
  );

class Drawing {
  readonly nodes: Station[] = [];
  readonly edges: Link[] = [];

  add(
    kind: StationKind,
    step: number,
    label: string,
    sub: string,
    from: readonly Station[],
    dropped = false,
  ): Station {
    const id = `${kind} ${this.nodes.length}`;
    const width = widthOf(label, sub);
    const node = { id, kind, step, label, sub, dropped, width, height: HEIGHT };
    this.nodes.push(node);
    for (const each of from) this.edges.push({ from: each.id, to: id });
    return node;
  }

  /** Draws the steps below `at`. */
  walk(steps: readonly Step[], at: Station): void {
    let before: Station | undefined;
    for (const step of steps) {
      const { kind, text, children, number } = step;
      let here = at;
      if (kind === "table") {
        const [rule = ""] = text.split(/,? ?(?:cookie|send_flow_rem)\b/);
        here = this.add("table", number, `${step.table ?? ""}`, rule, [before ?? at]);
      } else if (kind === "bridge") {
        const name = /"(.*)"/.exec(text)?.[1] ?? text;
        // Another bridge is reached by what was done last: an output to a patch port.
        here = this.add("bridge", number, name, "", [this.nodes.at(-1) ?? at]);
      } else if (kind === "action" && STATION.test(text)) {
        here = this.add("action", number, text, "", [at]);
      }
      this.walk(children, here);
      before = kind === "table" ? here : undefined;
    }
  }

  /** Stations from `first` on that nothing follows. */
  ends(first: number): Station[] {
    const left = new Set(this.edges.map(({ from }) => from));
    return this.nodes.slice(first).filter(({ id }) => !left.has(id));
  }
}

/** Where a later pass goes on from: connection tracking or the like, or the last thing that was. */
function resumedFrom(nodes: readonly Station[]): readonly Station[] {
  const waiting = nodes.findLast(({ kind, label }) =>
    kind === "action" && /^(ct|group|multipath|bundle|decap)\b/i.test(label)
  );
  const last = waiting ?? nodes.findLast(({ kind }) => kind !== "outcome");
  return last ? [last] : [];
}

export function traceGraph(passes: readonly Pass[]): TraceGraph {
  const drawing = new Drawing();
  let steps = 0;
  for (const { why, flow, steps: all, actions } of passes) {
    const port = /\bin_port=([^,]+)/.exec(flow)?.[1] ?? "";
    const first = drawing.nodes.length;
    const start = why === undefined
      ? drawing.add("packet", steps, port === "" ? "" : `in_port=${port}`, "", [])
      : drawing.add("again", steps, why.split(" - ")[0] ?? "", why.split(" - ")[1] ?? "", [
        ...resumedFrom(drawing.nodes),
      ]);
    drawing.walk(all, start);
    const last = (each: Step): number => Math.max(each.number, ...each.children.map(last));
    steps = Math.max(steps, ...all.map(last)) + 1;
    drawing.add("outcome", steps - 1, actions, "", drawing.ends(first), actions === "drop");
  }
  return drawing;
}

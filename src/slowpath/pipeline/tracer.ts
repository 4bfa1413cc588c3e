/**
 * Who listens to a translation step by step (`ofproto/trace`). Translation tells what it does as a
 * tree of nodes; how they are laid out is the listener's business (src/slowpath/trace).
 *
 * Callers write `x.tracer?.report("detail", `…`)`: without a tracer the text is not even made.
 */
import type { Action, NatAction } from "../../openflow/actions/types.ts";
import type { FlowKey } from "../../packet/key.ts";
import type { BridgeModel } from "./model.ts";
import type { Rule } from "./rule.ts";

/**
 * What a node is; those before `action` may have others inside them.
 *
 * `detail`: what an action came to. `warn`: why something was not done. `error`: the same where the
 * configuration is at fault.
 */
export type TraceKind =
  | "bridge"
  | "table"
  | "bucket"
  | "thaw"
  | "action"
  | "detail"
  | "warn"
  | "error";

/** What was found in a table: a rule, or one of what a switch does without one. */
export type TableOutcome = Rule | "packet-in" | "no match" | "fragment";

/** Why a packet comes back to the pipeline after the datapath has worked on it. */
export type RecirculationCause = "conntrack" | "mpls" | "bond";

/** The pipeline goes on with this packet after the present translation. */
export interface Recirculation {
  readonly cause: RecirculationCause;
  readonly recircId: number;
  /** The packet's key at that point; not the tracer's to keep. */
  readonly key: FlowKey;
  /** Of `ct`; 0 otherwise. */
  readonly zone: number;
  readonly nat: NatAction | undefined;
}

export interface Tracer {
  /** A node inside the present one. */
  report(kind: TraceKind, text: string): void;
  /** A node inside the present one, in which all further nodes are until `leave`. */
  enter(kind: TraceKind, text: string): void;
  /** A table was searched: enters a node. */
  enterTable(bridge: BridgeModel, table: number, outcome: TableOutcome): void;
  leave(): void;
  /** An action is about to run. */
  action(bridge: BridgeModel, action: Action): void;
  recirculate(what: Recirculation): void;
}

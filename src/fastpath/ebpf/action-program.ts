/**
 * Action programs: straight-line code for the steps of a plan (action-plan.ts), one after the other.
 * The main program has found the flow and calls here with what it knows in `skb->cb` (abi.ts).
 *
 *     guards ──> the packet's state, if it is used ──> the flow is counted ──> steps
 *       │ not all of it can be done                                            │ redirect, or round again
 *       v                                                                      v
 *     punt                                                              device │ main program
 *
 * Nothing is done before it is sure that all can be done: else the packet goes to the process whole.
 */
import { ARGUMENT_BYTES, CB_ARGUMENTS, CB_FLOW, CB_LAYERS, CB_PROTOCOL } from "./abi.ts";
import { MAIN_SLOT, REDIRECT_INGRESS, SKB } from "./abi.ts";
import {
  ActionContext,
  type ActionMaps,
  BYTES,
  COUNTING,
  KEY,
  L3,
  L4,
  PROTOCOL,
  SHARD,
  TCP_FLAGS,
} from "./action-context.ts";
import type { Plan, Step } from "./action-plan.ts";
import { type Assembled, Assembler, reg } from "./assembler.ts";
import { emitCt, emitCtClear } from "./ct-step.ts";
import { countSent, findShard, packetBytes } from "./counting.ts";
import { R0, R1, R10, R2, R3, R4, R6, R7, R8, R9 } from "./instructions.ts";
import { MAX_RECIRCULATIONS, STATE_DEPTH, STATE_RECIRC_ID, stateOffset } from "./packet-state.ts";
import { emitHandOn, emitPunt } from "./punt.ts";
import { guard, hasGuards } from "./step-guards.ts";
import { hash } from "./step-hash.ts";
import { checkLength } from "./step-length.ts";
import { meter } from "./step-meter.ts";
import { popMpls, pushMpls } from "./step-mpls.ts";
import { set } from "./step-set.ts";
import { emitSetTunnel } from "./tunnel-step.ts";
import { slot } from "../../packet/layout.ts";

export type PlanCode = Pick<Plan, "steps" | "guards" | "stateful">;

export function assembleActions(plan: PlanCode, maps: ActionMaps): Assembled {
  const asm = new Assembler();
  const context = new ActionContext(asm, maps);
  begin(context, plan);
  emitList(context, plan.steps.slice(isTracked(plan) ? 1 : 0), true);
  if (hasGuards(plan.guards)) emitHandOn(asm, maps.ports);
  emitPunt(asm, maps, true, [...context.drops]);
  return asm.finish();
}

/** Tracking comes first: what the tracker has to judge meets the flow again in the process. */
const isTracked = ({ steps: [first] }: PlanCode): boolean =>
  first?.kind === "ct" && first.resume === undefined;

/** r6 the context, r7 the arguments; the flow is counted. */
function begin(context: ActionContext, plan: PlanCode): void {
  const { asm, maps } = context;
  const { guards, stateful, steps } = plan;
  asm.mov(R6, reg(R1));
  asm.load(32, R2, R6, CB_LAYERS).mov(R3, reg(R2)).op("and", R3, 0xffff);
  asm.store(64, R10, L3, reg(R3)).op("rsh", R2, 16).store(64, R10, L4, reg(R2));
  asm.load(32, R2, R6, CB_PROTOCOL).mov(R3, reg(R2)).op("and", R3, 0xffff);
  asm.store(64, R10, PROTOCOL, reg(R3)).op("rsh", R2, 16).store(64, R10, TCP_FLAGS, reg(R2));
  packetBytes(asm, R3, R4);
  asm.store(64, R10, BYTES, reg(R3));
  asm.load(32, R2, R6, CB_ARGUMENTS).store(32, R10, KEY, reg(R2));
  asm.loadMap(R1, maps.arguments).mov(R2, reg(R10)).op("add", R2, KEY).call("map_lookup_elem");
  asm.jumpIf("eq", R0, 0, "punt").mov(R7, reg(R0));
  if (hasGuards(guards)) guard(context, guards);
  if (stateful) context.beginState();
  findShard(asm, maps, SHARD);
  if (isTracked(plan)) emitStep(context, steps[0]!, false);
  asm.mov(R8, reg(R7));
  asm.load(32, R2, R6, CB_FLOW);
  context.countFlow();
  asm.mov(R7, reg(R8));
}

/** `last`: the packet ends with the list. */
function emitList(context: ActionContext, steps: readonly Step[], last: boolean): void {
  steps.forEach((step, i) => emitStep(context, step, last && i === steps.length - 1));
  const end = steps.at(-1)?.kind;
  const ended = end === "output" || end === "recirculate" || end === "check_length";
  if (last && !ended) context.asm.jump("drop");
}

function emitStep(context: ActionContext, step: Step, last: boolean): void {
  const { asm } = context;
  switch (step.kind) {
    case "output":
      return output(context, step, last);
    case "set":
      return set(context, step);
    case "push_vlan":
      asm.load(32, R8, R6, SKB.len).mov(R1, reg(R6));
      asm.load(16, R2, R7, step.at).load(16, R3, R7, step.at + 2).call("skb_vlan_push");
      return context.moved();
    case "pop_vlan":
      asm.load(32, R8, R6, SKB.len).mov(R1, reg(R6)).call("skb_vlan_pop");
      return context.moved();
    case "note":
      asm.load(32, R2, R7, step.at).store(32, R6, SKB[step.field], reg(R2));
      if (!step.state) return;
      context.checkState();
      asm.load(32, R2, R7, step.at).toBigEndian(R2, 32);
      context.loadState(R9);
      asm.store(32, R9, NOTED[step.field], reg(R2));
      return;
    case "hash":
      context.checkState();
      return hash(context, step);
    case "recirculate":
      return recirculate(context, step.at);
    case "set_tunnel":
      return emitSetTunnel(asm, step);
    case "ct":
      context.checkState();
      return emitCt(context, step);
    case "ct_clear":
      context.checkState();
      return emitCtClear(context);
    case "push_mpls":
      return pushMpls(context, step.at);
    case "pop_mpls":
      return popMpls(context, step.at);
    case "meter":
      return meter(context, step.at);
    case "check_length": {
      const less = asm.fresh("not_longer");
      checkLength(context, step, less);
      emitList(context, step.greater, true);
      asm.label(less);
      return emitList(context, step.lessEqual, true);
    }
    default: {
      const never: never = step;
      throw new Error(`unknown step ${String(never)}`);
    }
  }
}

const NOTED = {
  priority: stateOffset(slot("skb_priority").offset / 4)!,
  mark: stateOffset(slot("pkt_mark").offset / 4)!,
} as const;

type OutputStep = Extract<Step, { kind: "output" }>;

/** The last output takes the packet itself, the others a clone. */
function output(context: ActionContext, { at, cut }: OutputStep, last: boolean): void {
  const { asm, maps } = context;
  if (at + 8 > ARGUMENT_BYTES) throw new RangeError(`arguments end before ${at + 8}`);
  const failed = last ? "drop" : asm.fresh("not_sent");
  if (cut !== undefined) {
    const short = asm.fresh("short_enough");
    packetBytes(asm, R3, R4);
    asm.load(32, R2, R7, cut).jumpIf("le", R3, reg(R2), short);
    // A tag that is out of band is not in the length.
    asm.op("sub", R2, reg(R4)).mov(R1, reg(R6)).mov(R3, 0).call("skb_change_tail");
    asm.jumpIf("ne", R0, 0, failed).label(short);
  }
  if (last) {
    asm.load(32, R2, R7, at + 4).op("rsh", R2, 1);
    countSent(asm, maps, COUNTING);
    asm.load(32, R1, R7, at).load(32, R2, R7, at + 4).op("and", R2, REDIRECT_INGRESS);
    asm.call("redirect").exit();
    return;
  }
  asm.mov(R1, reg(R6)).load(32, R2, R7, at).load(32, R3, R7, at + 4);
  context.cloned();
  asm.op("and", R3, REDIRECT_INGRESS).call("clone_redirect").jumpIf("ne", R0, 0, failed);
  asm.load(32, R2, R7, at + 4).op("rsh", R2, 1);
  countSent(asm, maps, COUNTING);
  asm.label(failed);
}

/** Through the main program again, with what is in the packet's state. */
function recirculate(context: ActionContext, at: number): void {
  const { asm, maps } = context;
  context.loadState(R9);
  asm.load(32, R2, R9, STATE_DEPTH).jumpIf("ge", R2, MAX_RECIRCULATIONS, context.drop("too_deep"));
  asm.op("add", R2, 1).store(32, R9, STATE_DEPTH, reg(R2));
  asm.load(32, R2, R7, at).store(32, R9, STATE_RECIRC_ID, reg(R2));
  asm.mov(R1, reg(R6)).loadMap(R2, maps.programs).mov(R3, MAIN_SLOT).call("tail_call");
  asm.jump("drop");
}

/**
 * Action programs that are loaded, and the slots of arguments that flows have: flows with equal plans
 * share both.
 *
 * A slot of arguments that was given back is used again last of all, since a packet may still be on
 * its way with it. Programs have half of the slots: the other half is a process's before or after.
 * Programs stay loaded without flows until their place is needed.
 */
import type { BpfMap } from "../../linux/bpf-map.ts";
import { loadTcProgram } from "../../linux/bpf-program.ts";
import { close } from "../../linux/libc.ts";
import { ARGUMENT_BYTES, ARGUMENT_SLOTS, MAIN_SLOT, PROGRAM_SLOTS } from "./abi.ts";
import type { Plan } from "./action-plan.ts";
import type { ActionMaps } from "./action-context.ts";
import { assembleActions } from "./action-program.ts";

interface LoadedProgram {
  readonly slot: number;
  /** It sends packets through the main program again. */
  readonly recirculates: boolean;
  flows: number;
}

export interface LoadedPlan {
  readonly text: string;
  readonly shape: string;
  readonly program: LoadedProgram;
  /** Slot of the arguments. */
  readonly arguments: number;
  flows: number;
}

const slotKey = (slot: number): Uint8Array => new Uint8Array(new Uint32Array([slot]).buffer);

export class ActionPrograms {
  private readonly programs = new Map<string, LoadedProgram>();
  private readonly plans = new Map<string, LoadedPlan>();
  private readonly freeArguments: number[] = [];
  private nextArguments = 0;
  private nextProgram: number;
  private readonly endPrograms: number;
  private readonly memory: Uint8Array;

  constructor(
    private readonly maps: ActionMaps,
    args: BpfMap,
    private readonly slots: BpfMap,
    half: number,
  ) {
    this.memory = new Uint8Array(args.map());
    this.nextProgram = half === 0 ? MAIN_SLOT + 1 : PROGRAM_SLOTS / 2;
    this.endPrograms = half === 0 ? PROGRAM_SLOTS / 2 : PROGRAM_SLOTS;
  }

  get loaded(): number {
    return this.programs.size;
  }

  /** The plan with one more flow; undefined if there is no room for it. */
  acquire(plan: Plan): LoadedPlan | undefined {
    const text = `${plan.shape}|${plan.args.toHex()}`;
    let found = this.plans.get(text);
    if (!found) {
      const program = this.programFor(plan);
      if (!program) return undefined;
      const slot = this.takeArguments();
      if (slot < 0) return undefined;
      this.memory.set(plan.args, slot * ARGUMENT_BYTES);
      program.flows++;
      found = { text, shape: plan.shape, program, arguments: slot, flows: 0 };
      this.plans.set(text, found);
    }
    found.flows++;
    return found;
  }

  release(plan: LoadedPlan): void {
    if (--plan.flows > 0) return;
    this.plans.delete(plan.text);
    this.freeArguments.push(plan.arguments);
    plan.program.flows--;
  }

  /** Puts a program into a slot, or another one into the place of that which is there. */
  install(slot: number, programFd: number): void {
    this.slots.update(slotKey(slot), new Uint8Array(new Int32Array([programFd]).buffer));
  }

  /** Unloads the programs in the other half of the slots. */
  clearOther(): void {
    const from = this.endPrograms === PROGRAM_SLOTS ? MAIN_SLOT + 1 : PROGRAM_SLOTS / 2;
    const to = this.endPrograms === PROGRAM_SLOTS ? PROGRAM_SLOTS / 2 : PROGRAM_SLOTS;
    for (let slot = from; slot < to; slot++) this.slots.delete(slotKey(slot));
  }

  private takeArguments(): number {
    if (this.nextArguments < ARGUMENT_SLOTS) return this.nextArguments++;
    return this.freeArguments.shift() ?? -1;
  }

  private programFor(plan: Plan): LoadedProgram | undefined {
    const { shape, recirculates } = plan;
    const known = this.programs.get(shape);
    if (known) return known;
    const slot = this.takeProgramSlot();
    if (slot < 0) return undefined;
    const fd = loadTcProgram(assembleActions(plan, this.maps).bytes, "solovs_act");
    try {
      this.install(slot, fd);
    } finally {
      close(fd);
    }
    const program = { slot, recirculates, flows: 0 };
    this.programs.set(shape, program);
    return program;
  }

  private takeProgramSlot(): number {
    if (this.nextProgram < this.endPrograms) return this.nextProgram++;
    for (const [shape, { slot, flows }] of this.programs) {
      if (flows > 0) continue;
      this.programs.delete(shape);
      return slot;
    }
    return -1;
  }
}

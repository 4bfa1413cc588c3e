import type { Executor } from "../engine/executor.ts";
import type { Program } from "../engine/opcodes.ts";
import type { CtAnswer, CtChange, CtQuestion } from "./questions.ts";

export class Tracker {
  run(_executor: Executor, _program: Program, _at: number): boolean {
    return true;
  }
  change(_change: CtChange): void {}
  answer(_question: CtQuestion, _nowMs: number): CtAnswer {
    return { type: "flush", removed: 0 };
  }
}

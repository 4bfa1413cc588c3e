/** The `ct` action as a step (ct-step.ts), with its arguments. */
import type { CtAction, DpAction } from "../actions.ts";
import { encodeProgram, fingerprint, placeInProgram } from "../engine/encode.ts";
import type { ArgumentWriter } from "./argument-writer.ts";
import type { CtStep } from "./ct-step.ts";

/**
 * Of the action at `index`; `first`: nothing is done before it. Helpers, timeouts and how NAT chooses are
 * about new connections, which are the tracker's; `force` concerns packets that it has to see.
 */
export function ctStep(
  actions: readonly DpAction[],
  index: number,
  first: boolean,
  args: ArgumentWriter,
): CtStep | undefined {
  const action = actions[index] as CtAction;
  const { zone, mark, label, nat } = action;
  if (action.force) return undefined;
  const at = args.words(zone << 16 >>> 0, ((zone & 0xff) << 8) | (zone >>> 8));
  if (mark) {
    args.big(mark.value & mark.mask);
    args.big(mark.mask);
  }
  if (label) {
    args.add(label.value);
    args.add(label.mask);
  }
  const step = {
    kind: "ct",
    at,
    nat: nat !== undefined,
    mark: mark !== undefined,
    label: label !== undefined,
  } as const;
  if (first) return step;
  const place = placeInProgram(actions, index);
  return { ...step, resume: { place, at: args.words(fingerprint(encodeProgram(actions)) >>> 0) } };
}

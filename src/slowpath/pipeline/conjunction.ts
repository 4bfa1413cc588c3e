/**
 * Conjunctive matches (ovs-fields(7), "Conjunctive Match Fields"): rules whose actions are
 * `conjunction(id, k/n)` are clauses. A packet that matches a rule of each of the n clauses matches
 * `conj_id=id`.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { OfError } from "../../openflow/errors.ts";

export interface Conjunction {
  readonly id: number;
  /** Zero-based. */
  readonly clause: number;
  readonly clauses: number;
}

/** The clauses that a rule of these actions is of; undefined: none, it is an ordinary rule. */
export function conjunctionsOf(actions: readonly Action[]): readonly Conjunction[] | undefined {
  let found: Conjunction[] | undefined;
  for (const action of actions) {
    if (action.type === "conjunction") (found ??= []).push(action);
  }
  return found;
}

/** Throws OfError if the actions mix clauses with anything but notes. */
export function checkConjunctions(actions: readonly Action[]): void {
  if (!conjunctionsOf(actions)) return;
  if (actions.some(({ type }) => type !== "conjunction" && type !== "note")) {
    throw new OfError("NXBAC_BAD_CONJUNCTION", 0, "conjunction goes with nothing but note");
  }
}

/** Numbers of the conjunctions all of whose clauses are among those of the rules. */
export function* satisfied(
  rules: readonly { readonly conjunctions: readonly Conjunction[] | undefined }[],
): IterableIterator<number> {
  const seen = new Map<number, bigint>();
  for (const { conjunctions } of rules) {
    for (const { id, clause, clauses } of conjunctions ?? []) {
      const before = seen.get(id) ?? 0n;
      const now = before | (1n << BigInt(clause));
      if (now === before) continue;
      seen.set(id, now);
      if (now === (1n << BigInt(clauses)) - 1n) yield id;
    }
  }
}

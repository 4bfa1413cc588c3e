/**
 * The datapath conformance suite: named cases over the `Datapath` interface, the same for every
 * implementation. A case that an implementation cannot run is skipped by name, with the reason in
 * the test's name; an unknown name in the skip list is an error.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ACTION_CASES } from "./action-cases.ts";
import { Bench, type Case } from "./bench.ts";
import { FLOW_CASES } from "./flow-cases.ts";
import { CT_CASES } from "./ct-cases.ts";
import { ENCAP_CASES } from "./encap-cases.ts";
import { NAT_CASES } from "./nat-cases.ts";
import { NESTED_CASES } from "./nested-cases.ts";
import { PLACE_CASES } from "./place-cases.ts";
import { PORT_CASES } from "./port-cases.ts";
import { RECIRCULATION_CASES } from "./recirculation-cases.ts";
import type { Implementation, Rig } from "./rig.ts";

const CASES: Readonly<Record<string, Case>> = {
  ...FLOW_CASES,
  ...ACTION_CASES,
  ...NESTED_CASES,
  ...RECIRCULATION_CASES,
  ...PLACE_CASES,
  ...ENCAP_CASES,
  ...CT_CASES,
  ...NAT_CASES,
  ...PORT_CASES,
};

/** Declares all cases for one implementation. */
export function datapathConformance(implementation: Implementation): void {
  describe(`datapath conformance: ${implementation.name}`, () => {
    let rig: Rig;
    let bench: Bench;
    beforeAll(async () => {
      rig = await implementation.open();
      bench = await Bench.open(rig);
    });
    beforeEach(() => bench.reset());
    afterAll(async () => {
      await rig.close();
    });

    for (const [name, run] of Object.entries(CASES)) {
      const reason = implementation.skips[name];
      if (reason === undefined) test(name, () => run(bench));
      else test.skip(`${name} [skipped: ${reason}]`, () => run(bench));
    }
    test("the skip list names real cases", () => {
      const unknown = Object.keys(implementation.skips).filter((name) => !(name in CASES));
      expect(unknown).toEqual([]);
    });
  });
}

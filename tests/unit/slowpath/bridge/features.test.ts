import { describe, expect, test } from "bun:test";
import { DpFeatures } from "../../../../src/slowpath/bridge/features.ts";

describe("datapath features", () => {
  test("can be taken away and given back, and whoever depends on them is told", () => {
    let changes = 0;
    const features = new DpFeatures(() => changes++);
    expect(features.on("clone")).toBe(true);
    expect(features.set("clone", "false")).toBe("");
    expect([features.on("clone"), changes]).toEqual([false, 1]);
    expect(features.set("clone", undefined)).toBe(
      "clone (Clone action) : [run time]:false, [boot time]:true\n",
    );
    expect(features.set("clone", "TRUE")).toBe("");
    expect(features.set("sample_nesting", "2")).toBe("");
    expect([features.on("clone"), features.number("sample_nesting"), changes]).toEqual([
      true,
      2,
      3,
    ]);
    expect(features.show()).toContain("Clone action: Yes\nSample nesting: 10\n");
  });

  test("cannot be had beyond what there is; nonsense changes nothing", () => {
    const features = new DpFeatures(() => expect.unreachable());
    for (
      const [name, value, answer] of [
        ["sample_nesting", "11", "Can not set value beyond the datapath capability"],
        ["sample_nesting", "-1", "Negative number not expected"],
        ["sample_nesting", "few", "Integer number expected"],
        ["clone", "maybe", "Boolean value expected"],
        ["cloning", "true", "Unexpected support field"],
      ] as const
    ) expect(features.set(name, value)).toBe(answer);
  });
});

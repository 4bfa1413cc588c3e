import { describe, expect, test } from "bun:test";
import { normalizeActions, parseActionsCommand } from "../../../../src/slowpath/dpctl/normalize.ts";
import { parseOptions } from "../../../../src/slowpath/dpctl/request.ts";

const { options } = parseOptions([]);
const FLOW = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x1234)";

describe("actions, normalized", () => {
  test("outputs of each form of the packet, by port; forms by their tag", () => {
    const text = normalizeActions(options, [
      FLOW,
      "push_vlan(vid=9,pcp=0),3,2,pop_vlan,5,a",
      "a=4",
    ]);
    expect(text).toBe(
      `input flow: ${FLOW}\nno vlan: no mpls: 4,5vlan(vid=9,pcp=0): no mpls: 2,3`,
    );
  });

  test("what cannot be read is refused", () => {
    expect(() => normalizeActions(options, [FLOW, "nonsense("])).toThrow("odp_actions_from_string");
    expect(() => normalizeActions(options, ["nonsense(", "1"])).toThrow("odp_flow_key_from_string");
    expect(() => normalizeActions(options, [FLOW, "1", "x"])).toThrow("x: expected NAME=NUMBER");
  });
});

test("actions are printed as they were read", () => {
  expect(parseActionsCommand(["2,ct(commit,zone=1),recirc(0x3)", "drop"])).toBe(
    "2,ct(commit,zone=1),recirc(0x3)\ndrop\n",
  );
});

describe("options of dpctl commands", () => {
  test("in front; -m and -s together; names go with -m", () => {
    expect(parseOptions(["-ms", "dp"])).toMatchObject({
      options: { verbose: true, statistics: true, names: true },
      args: ["dp"],
    });
    expect(parseOptions(["-m", "--no-names"]).options.names).toBe(false);
    expect(parseOptions(["dp", "-m"]).args).toEqual(["dp", "-m"]);
  });

  test("unknown ones are refused", () => {
    expect(() => parseOptions(["-x"])).toThrow("Unrecognized option -x");
    expect(() => parseOptions(["--xyz"])).toThrow("Unrecognized option --xyz");
  });
});

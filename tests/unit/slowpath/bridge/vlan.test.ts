import { describe, expect, test } from "bun:test";
import { sameVlan, vlanConfig } from "../../../../src/slowpath/bridge/vlan.ts";

const row = (columns: Partial<Parameters<typeof vlanConfig>[0]> = {}) => ({
  name: "p0",
  tag: undefined,
  trunks: [],
  cvlans: [],
  vlan_mode: undefined,
  other_config: new Map<string, string>(),
  ...columns,
});
const config = (columns: Parameters<typeof row>[0]) => vlanConfig(row(columns)).config;

describe("a port's VLAN settings", () => {
  test("nothing set: a trunk of all VLANs", () => {
    expect(config({})).toEqual({ mode: "trunk", tag: 0, trunks: undefined, priorityTags: "no" });
  });

  test("a tag alone makes an access port, and trunks beside it are passed over", () => {
    const { config, problems } = vlanConfig(row({ tag: 7, trunks: [1, 2] }));
    expect(config).toMatchObject({ mode: "access", tag: 7, trunks: undefined });
    expect(problems).toEqual(["port p0: ignoring trunks in favor of implicit vlan"]);
  });

  test("a trunk has no tag, whatever the row says", () => {
    expect(config({ vlan_mode: "trunk", tag: 7, trunks: [1, 2] }))
      .toMatchObject({ mode: "trunk", tag: 0, trunks: new Set([1, 2]) });
  });

  test("a native VLAN is carried in any case, and VLAN 0 is not", () => {
    const { trunks } = config({ vlan_mode: "native-untagged", tag: 7, trunks: [0, 1] });
    expect(trunks).toEqual(new Set([1, 7]));
    const all = config({ vlan_mode: "native-tagged", tag: 7 }).trunks!;
    expect([all.size, all.has(0), all.has(7)]).toEqual([4095, false, true]);
  });

  test("native VLAN 0 leaves the trunks as they are", () => {
    expect(config({ vlan_mode: "native-untagged" }).trunks).toBeUndefined();
    expect(config({ vlan_mode: "native-untagged", trunks: [3] }).trunks).toEqual(new Set([3]));
  });

  test("dot1q-tunnel has its own Ethertype and customer VLANs", () => {
    expect(config({ vlan_mode: "dot1q-tunnel", tag: 7, cvlans: [5] }))
      .toMatchObject({ tag: 7, cvlans: new Set([5]), qinqTpid: 0x88a8 });
    const other_config = new Map([["qinq-ethtype", "802.1q"]]);
    expect(config({ vlan_mode: "dot1q-tunnel", tag: 7, other_config }).qinqTpid).toBe(0x8100);
  });

  test.each([["true", "if-nonzero"], ["if-nonzero", "if-nonzero"], ["always", "always"], [
    "false",
    "no",
  ]])("priority-tags=%s", (text, expected) => {
    const other_config = new Map([["priority-tags", text]]);
    expect(config({ other_config }).priorityTags).toBe(expected as never);
  });

  test("equal settings are seen as equal", () => {
    expect(sameVlan(config({ trunks: [1, 2] }), config({ trunks: [2, 1] }))).toBe(true);
    expect(sameVlan(config({ trunks: [1, 2] }), config({ trunks: [1] }))).toBe(false);
    expect(sameVlan(config({ trunks: [1] }), config({}))).toBe(false);
    expect(sameVlan(config({ tag: 1 }), config({ tag: 2 }))).toBe(false);
  });
});

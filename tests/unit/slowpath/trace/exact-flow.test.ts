import { expect, test } from "bun:test";
import { parseExactFlow } from "../../../../src/slowpath/trace/exact-flow.ts";
import { formatMatch } from "../../../../src/openflow/text/match.ts";
import { matchOfKey } from "../../../../src/openflow/text/packet.ts";

const names = {
  nameOf: () => undefined,
  numberOf: (name: string) => (name === "p7" ? 7 : undefined),
};
const shown = (text: string): string => formatMatch(matchOfKey(parseExactFlow(text, names)));

test("a packet described by fields", () => {
  expect(shown("in_port=p7,tcp,nw_src=10.0.0.1,tp_dst=80,tcp_flags=syn,reg3=5")).toBe(
    "tcp,reg3=0x5,in_port=7,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00," +
      "nw_src=10.0.0.1,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=80," +
      "tcp_flags=syn",
  );
});

test("without a port it comes from nowhere; a VLAN makes a tag", () => {
  expect(shown("dl_vlan=5,dl_vlan_pcp=3,dl_type=0x1234")).toBe(
    "in_port=ANY,dl_vlan=5,dl_vlan_pcp=3,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00," +
      "dl_dst=00:00:00:00:00:00,dl_type=0x1234",
  );
});

test.each([
  ["nw_src=10.0.0.1", "nw_src=10.0.0.1: prerequisites not met for setting nw_src"],
  ["tcp,udp", "tcp,udp: Ethernet type set multiple times"],
  ["in_port=1,in_port=2", "in_port=1,in_port=2: field in_port set multiple times"],
  ["strange=1", "strange=1: unknown field strange"],
])("%s is refused", (text, message) => {
  expect(() => parseExactFlow(text, names)).toThrow(message);
});

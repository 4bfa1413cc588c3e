import { expect, test } from "bun:test";
import { parseDpActions } from "../../../../src/fastpath/text/actions-parse.ts";
import { parseDpFlow } from "../../../../src/fastpath/text/flow-parse.ts";
import { flowId, formatMegaflow } from "../../../../src/slowpath/cache/flow-text.ts";

const TEXT = "recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01)," +
  "eth_type(0x0800),ipv4(proto=17)";

test("an installed flow: match, counters, actions", () => {
  const match = parseDpFlow(TEXT);
  const flow = { packets: 0, bytes: 0, usedMs: 0, tcpFlags: 0, actions: [], slow: [] };
  expect(formatMegaflow(flow, match, 500)).toBe(
    `${TEXT}, packets:0, bytes:0, used:never, actions:drop`,
  );
  expect(formatMegaflow({ ...flow, slow: ["lacp", "action"] }, match, 500))
    .toEndWith("actions:userspace(pid=0,slow_path(lacp,action))");
  const actions = parseDpActions("set(udp(dst=53)),1");
  expect(formatMegaflow({ ...flow, packets: 2, bytes: 196, tcpFlags: 0x12, actions }, match, 500))
    .toBe(`${TEXT}, packets:2, bytes:196, used:0.500s, flags:S., actions:set(udp(dst=53)),1`);
});

test("the name of a flow depends on its match alone", () => {
  const name = flowId(parseDpFlow(TEXT));
  expect(name).toMatch(/^ufid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(flowId(parseDpFlow(TEXT))).toBe(name);
  expect(flowId(parseDpFlow(TEXT.replace("17", "17/0xf")))).not.toBe(name);
});

import { describe, expect, test } from "bun:test";
import { parseTraceArguments } from "../../../../src/slowpath/trace/arguments.ts";

const PACKET = "ffffffffffff0000000000010806";

describe("arguments of ofproto/trace", () => {
  test("a flow alone, with a datapath or a bridge, and a packet", () => {
    const alone = parseTraceArguments(["in_port(1)"], "trace");
    expect(alone).toMatchObject({ where: undefined, flow: "in_port(1)", packet: undefined });
    const bridge = parseTraceArguments(["br0", "in_port=1"], "trace");
    expect(bridge).toMatchObject({ where: "br0", flow: "in_port=1", packet: undefined });
    const packet = parseTraceArguments(["br0", "in_port=1", PACKET], "trace");
    expect(packet.packet?.toHex()).toBe(PACKET);
    const noBridge = parseTraceArguments(["in_port(1)", PACKET], "trace");
    expect(noBridge).toMatchObject({ where: undefined, flow: "in_port(1)" });
    expect(noBridge.packet?.length).toBe(14);
  });

  test("options stand anywhere", () => {
    const parsed = parseTraceArguments(
      ["br0", "--l7-len", "8", "tcp", "-generate", "--ct-next", "trk,est", "--ct-next", "trk,inv"],
      "trace",
    );
    expect(parsed).toMatchObject({
      where: "br0",
      flow: "tcp",
      generate: true,
      payloadBytes: 8,
      ctStates: [0x22, 0x30],
    });
    expect(parseTraceArguments(["-consistent", "in_port=1"], "packet-out").consistent).toBe(true);
  });

  test.each<[string, readonly string[], string]>([
    ["an option without its argument", ["--l7-len"], "Missing argument for option --l7-len"],
    ["an option of another command", ["-consistent", "br0", "x"], "-consistent: unknown option"],
    ["too much", ["br0", "x", PACKET, "y"], "too many arguments"],
    ["payload that no packet holds", ["--l7-len", "64001", "x"], "64001: too much L7 data"],
    ["a packet that is none", ["br0", "x", "zz"], "Trailing garbage in packet data"],
    ["a packet without a header", ["br0", "x", "0102"], "Packet data too short for Ethernet"],
    ["nothing", [], "Syntax error"],
    ["an unknown state", ["--ct-next", "odd", "x"], "odd: unknown connection tracking state flag"],
    [
      "a state that nothing has",
      ["--ct-next", "new,est,trk", "x"],
      'new|est|trk: invalid connection state: "new" and "est" are mutually exclusive\n',
    ],
  ])("%s is refused", (_, args, message) => {
    expect(() => parseTraceArguments(args, "trace")).toThrow(message);
  });
});

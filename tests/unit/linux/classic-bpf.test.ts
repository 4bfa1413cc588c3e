/** Filters that libpcap compiled, run here, want what tcpdump would show. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { runFilter } from "../../../src/linux/classic-bpf.ts";
import { compileFilter, FilterError } from "../../../src/linux/libpcap.ts";

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replace(/\s/g, ""), "hex"));

function program(expression: string): Uint8Array | undefined {
  try {
    return compileFilter(expression, 1900);
  } catch (error) {
    if (error instanceof FilterError && error.code === "not-installed") return undefined;
    throw error;
  }
}

const hasLibpcap = program("ip") !== undefined;
const ETHERNET = "020000000002 020000000001";
const TCP =
  "45000028000040004006000a 0a000001 0a000002 3039 0050 00000001 00000000 5002ffff 00000000";
const FRAMES = {
  tcp: bytes(`${ETHERNET} 0800 ${TCP}`),
  tagged: bytes(`${ETHERNET} 8100 0064 0800 ${TCP}`),
  arp: bytes(`${ETHERNET} 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002`),
};

describe.skipIf(!hasLibpcap)("libpcap's programs", () => {
  test.each([
    ["tcp port 80", ["tcp"]],
    ["arp", ["arp"]],
    ["host 10.0.0.2", ["arp", "tcp"]],
    ["vlan 100 and tcp", ["tagged"]],
    ["vlan", ["tagged"]],
    ["ether src 02:00:00:00:00:01", ["arp", "tagged", "tcp"]],
    ["tcp[tcpflags] & tcp-syn != 0", ["tcp"]],
    ["greater 50", ["tagged", "tcp"]],
    ["not ip", ["arp", "tagged"]],
  ])("%s", (expression, wanted) => {
    const code = program(expression)!;
    const found = Object.entries(FRAMES)
      .filter(([, frame]) => runFilter(code, frame, frame.length)).map(([name]) => name);
    expect(found.sort()).toEqual(wanted);
  });

  test.each(["nonsense here", "tcp port", "host 10.0.0.", "(ip"])("%p is no filter", (text) => {
    expect(() => compileFilter(text, 1900)).toThrow(FilterError);
  });
});

test("no program and no frame make it read past the end or run for ever", () => {
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 400 }),
    fc.uint8Array({ maxLength: 100 }),
    (code, frame) => {
      expect(typeof runFilter(code, frame, frame.length)).toBe("boolean");
    },
  ));
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatIpv6,
  parseIpv4,
  parseIpv6,
  parseMac,
  prefixLength,
  prefixMask,
} from "../../../src/packet/address.ts";
import type { FieldName } from "../../../src/packet/fields.ts";
import { FIELD_LIST, FIELDS } from "../../../src/packet/layout.ts";
import { formatField, parseField, parsePort, TextError } from "../../../src/packet/text.ts";

/** field, text, value, mask (all bits if left out), text printed (the same if left out). */
const CASES: readonly (readonly [FieldName, string, bigint, bigint?, string?])[] = [
  ["nw_ttl", "64", 64n],
  ["nw_ttl", "0x40", 64n, 0xffn, "64"],
  ["tcp_src", "0x10/0xfff0", 0x10n, 0xfff0n, "16/0xfff0"],
  ["tcp_src", "010", 8n, 0xffffn, "8"],
  ["metadata", "0x123456789abcdef/0xff00000000000000", 0x123456789abcdefn, 0xff00000000000000n],
  ["eth_type", "0x800", 0x800n],
  ["ct_label", "0xffffffffffffffffffff", 0xffffffffffffffffffffn],
  ["eth_src", "52:54:00:d5:5c:ab", 0x525400d55cabn],
  ["eth_dst", "01:00:00:00:00:00/01:00:00:00:00:00", 1n << 40n, 1n << 40n],
  ["eth_dst", "2:0:0:0:0:A", 0x02000000000an, 0xffffffffffffn, "02:00:00:00:00:0a"],
  ["ip_src", "10.1.2.3", 0x0a010203n],
  ["ip_src", "10.0.0.0/8", 0x0a000000n, 0xff000000n],
  ["ip_src", "10.0.0.0/255.255.0.0", 0x0a000000n, 0xffff0000n, "10.0.0.0/16"],
  ["ip_src", "10.0.0.1/255.0.0.255", 0x0a000001n, 0xff0000ffn],
  ["ip_src", "10.0.0.0/0", 0x0a000000n, 0n, "ANY"],
  ["ipv6_src", "fe80::1", 0xfe800000000000000000000000000001n],
  ["ipv6_src", "fd00::/8", 0xfdn << 120n, 0xffn << 120n],
  ["ipv6_src", "::1/::ffff", 1n, 0xffffn],
  ["in_port", "LOCAL", 0xfffen],
  ["in_port", "65534", 0xfffen, 0xffffn, "LOCAL"],
  ["in_port", "3", 3n],
  ["in_port_oxm", "controller", 0xfffffffdn, 0xffffffffn, "CONTROLLER"],
  ["ip_frag", "no", 0n, 3n],
  ["ip_frag", "first", 1n, 3n],
  ["ip_frag", "later", 3n, 3n],
  ["ip_frag", "yes", 1n, 1n],
  ["ip_frag", "not_later", 0n, 2n],
  ["tcp_flags", "+syn-ack", 2n, 0x12n],
  ["tcp_flags", "syn|ack", 0x12n, 0xfffn],
  ["tcp_flags", "0", 0n, 0xfffn],
  ["tcp_flags", "0x2/0x3", 2n, 3n, "-fin+syn"],
  ["tcp_flags", "+[800]", 0x800n, 0x800n],
  ["ct_state", "+trk+new-est", 0x21n, 0x23n, "+new-est+trk"],
  ["tun_flags", "oam", 1n, 1n],
  ["packet_type", "(1,0x800)", 0x10800n],
  ["packet_type", "(0,0)", 0n],
];

describe("field text", () => {
  for (const [name, text, value, mask, printed] of CASES) {
    test(`${name}=${text}`, () => {
      const field = FIELDS[name];
      const all = mask ?? (1n << BigInt(field.bits)) - 1n;
      const parsed = parseField(field, text);
      // The wide OXM port has more bits than the narrow one's field.
      expect(parsed.value).toBe(value);
      expect(parsed.mask).toBe(all);
      expect(formatField(field, parsed.value, parsed.mask)).toBe(printed ?? text);
    });
  }

  const BAD: readonly (readonly [FieldName, string, string])[] = [
    ["nw_ttl", "256", "256: value too large for 1-byte field nw_ttl"],
    ["nw_ttl", "x", "x: bad syntax for nw_ttl value"],
    ["tcp_src", "1/x", "1/x: bad syntax for tcp_src mask"],
    ["nw_ttl", "1/1", "1/1: invalid mask for field nw_ttl"],
    ["eth_src", "1:2:3", "1:2:3: invalid Ethernet address"],
    ["eth_src", "1:2:3:4:5:6/", "1:2:3:4:5:6/: invalid Ethernet address"],
    ["ip_src", "1.2.3", "1.2.3: invalid IP address"],
    ["ip_src", "1.2.3.256", "1.2.3.256: invalid IP address"],
    [
      "ip_src",
      "1.2.3.4/33",
      "1.2.3.4/33: IPv4 network prefix bits not between 0 and 32, inclusive",
    ],
    ["ipv6_src", "1::2::3", "1::2::3: invalid IPv6 address"],
    ["in_port", "nobody", "nobody: invalid or unknown port for in_port"],
    ["tcp_flags", "+syn+syn", "syn: Each TCP flag can be specified only once"],
    ["tcp_flags", "+foo", "+foo: unknown TCP flag(s)"],
    ["tcp_flags", "0x1000", "0x1000: unknown TCP flag(s)"],
    ["ct_state", "0x100/0x100", "0x100/0x100: unknown ct_state flag(s)"],
    ["packet_type", "0,1", "0,1: bad syntax for packet type, use (ns,ns_type)"],
  ];
  for (const [name, text, message] of BAD) {
    test(`refused: ${name}=${text}`, () => {
      expect(() => parseField(FIELDS[name], text)).toThrow(new TextError(message));
    });
  }

  test("* matches anything", () => {
    expect(parseField(FIELDS.ip_src, "*")).toEqual({ value: 0n, mask: 0n });
  });

  test("what is printed reads back, for every field", () => {
    fc.assert(
      fc.property(fc.constantFrom(...FIELD_LIST), fc.bigInt(0n, (1n << 128n) - 1n), (field, n) => {
        let value = n & ((1n << BigInt(field.bits)) - 1n);
        // Reserved state bits cannot be written down, a port above 16 bits does not exist.
        if (field.format === "ct_state") value &= 0xffn;
        if (field.format === "port") value &= 0xfeffn;
        if (field.format === "frag") value = value === 2n ? 0n : value;
        const text = formatField(field, value);
        expect(parseField(field, text).value).toBe(value);
      }),
    );
  });

  test("any text is read or refused with a TextError", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FIELD_LIST),
        fc.string({ unit: fc.constantFrom(...'0123456789abcdefx:./+-|*(),ansky" ') }),
        (field, text) => {
          try {
            parseField(field, text);
          } catch (error) {
            expect(error).toBeInstanceOf(TextError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("port names", () => {
  const names = {
    nameOf: (port: number) => new Map([[1, "p1"], [2, "two words"]]).get(port),
    numberOf: (name: string) => new Map([["p1", 1], ["two words", 2]]).get(name),
  };
  test("known names are printed and taken, quoted where needed", () => {
    expect(formatField(FIELDS.in_port, 1n, 0xffffn, names)).toBe("p1");
    expect(formatField(FIELDS.in_port, 2n, 0xffffn, names)).toBe('"two words"');
    expect(parsePort('"two words"', names)).toBe(2);
    expect(parsePort("p1", names)).toBe(1);
    expect(parsePort('"p1', names)).toBeUndefined();
    expect(parsePort("none")).toBe(0xffff);
    expect(parsePort("4294967294")).toBe(0xfffe);
    expect(parsePort("65536")).toBeUndefined();
  });
});

describe("addresses", () => {
  test.each([
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["0:0:1::", "0:0:1::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
    ["2001:DB8::A", "2001:db8::a"],
  ])("IPv6 %s", (text, printed) => {
    expect(formatIpv6(parseIpv6(text)!)).toBe(printed);
  });
  test.each(["", ":", ":::", "1", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "12345::", "1.2.3.4::"])(
    "IPv6 refused: %s",
    (text) => expect(parseIpv6(text)).toBeUndefined(),
  );
  test("IPv6 text reads back", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }), (
        list,
      ) => expect(parseIpv6(formatIpv6(Uint8Array.from(list)))).toEqual(Uint8Array.from(list))),
    );
  });
  test("others refused", () => {
    expect(parseMac("1:2:3:4:5:6:7")).toBeUndefined();
    expect(parseMac("123:2:3:4:5:6")).toBeUndefined();
    expect(parseIpv4("1.2.3.4.5")).toBeUndefined();
  });
  test("prefixes", () => {
    for (let n = 0; n <= 32; n++) expect(prefixLength(prefixMask(n, 32), 32)).toBe(n);
    expect(prefixLength(0xff00ff00n, 32)).toBeUndefined();
  });
});

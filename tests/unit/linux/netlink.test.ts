import { describe, expect, test } from "bun:test";
import {
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  NetlinkFormatError,
} from "../../../src/linux/netlink.ts";
import { decodeLink, encodeLinkHeader, LINK } from "../../../src/linux/rtnetlink.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("netlink attributes", () => {
  const TABLE = {
    small: [1, "u8"],
    half: [2, "u16"],
    network: [3, "u16be"],
    word: [4, "u32"],
    wide: [5, "u64"],
    text: [6, "string"],
    raw: [7, "bytes"],
    set: [8, "flag"],
    nest: [9, { kind: [1, "string"] }],
  } as const;

  test("every kind is written as the kernel lays it out, and read back", () => {
    const record = {
      small: 7,
      half: 0x1234,
      network: 0x1234,
      word: 0x12345678,
      wide: 0x1122334455667788n,
      text: "veth",
      raw: new Uint8Array([1, 2, 3]),
      set: true as const,
      nest: { kind: "tun" },
    };
    const bytes = encodeAttributes(TABLE, record);
    expect(hex(bytes)).toBe(
      "05000100" + "07000000" +
        "06000200" + "34120000" +
        "06000300" + "12340000" +
        "08000400" + "78563412" +
        "0c000500" + "8877665544332211" +
        "09000600" + "7665746800000000" +
        "07000700" + "01020300" +
        "04000800" +
        "0c000980" + "08000100" + "74756e00",
    );
    expect(decodeAttributes(TABLE, bytes)).toEqual(record);
  });

  test("attributes that the table does not name are skipped", () => {
    const bytes = encodeAttributes({ other: [77, "u32"], word: [4, "u32"] }, { other: 1, word: 2 });
    expect(decodeAttributes(TABLE, bytes)).toEqual({ word: 2 });
  });

  test("lengths that lie are refused, with their offset", () => {
    const cases: [string, number[]][] = [
      ["attribute length 3", [3, 0, 1, 0]],
      ["attribute length 0", [0, 0, 1, 0]],
      ["attribute length 9", [9, 0, 1, 0, 1, 2, 3, 4]],
      ["short u32", [6, 0, 4, 0, 1, 2, 0, 0]],
    ];
    for (const [text, bytes] of cases) {
      expect(() => decodeAttributes(TABLE, new Uint8Array(bytes))).toThrow(`${text} at offset 0`);
    }
  });

  test("a name cannot smuggle a NUL", () => {
    expect(() => encodeAttributes(TABLE, { text: "a\0b" })).toThrow(TypeError);
  });
});

describe("netlink messages", () => {
  test("several in one datagram, each padded to four bytes", () => {
    const first = encodeMessage(16, 1, 7, new Uint8Array([1, 2, 3]));
    const padded = new Uint8Array(20);
    padded.set(first);
    const both = new Uint8Array([...padded, ...encodeMessage(17, 2, 8)]);
    expect(decodeMessages(both)).toEqual([
      { type: 16, flags: 1, sequence: 7, payload: new Uint8Array([1, 2, 3]) },
      { type: 17, flags: 2, sequence: 8, payload: new Uint8Array(0) },
    ]);
  });

  test("truncated at any byte: an error or fewer messages, never a hang", () => {
    const whole = encodeMessage(16, 1, 7, encodeLinkHeader(3));
    for (let length = 1; length < whole.length; length++) {
      expect(() => decodeMessages(whole.subarray(0, length))).toThrow(NetlinkFormatError);
    }
  });

  test("a link's message", () => {
    const attributes = { name: "p1", mtu: 1500, linkInfo: { kind: "veth" } };
    const payload = new Uint8Array([
      ...encodeLinkHeader(5, 0x1_0043),
      ...encodeAttributes(LINK, attributes),
    ]);
    expect(decodeLink(payload)).toEqual({ ifindex: 5, flags: 0x1_0043, ...attributes });
  });
});

/** Where actions may stand, and what is said of bytes that cannot be read. */
import { describe, expect, test } from "bun:test";
import { readActions } from "../../../src/openflow/actions/codec.ts";
import { readInstructions, writeInstructions } from "../../../src/openflow/actions/instructions.ts";
import { OfError } from "../../../src/openflow/errors.ts";
import { formatActions } from "../../../src/openflow/text/actions-format.ts";
import { parseActions } from "../../../src/openflow/text/actions-parse.ts";
import { type OfVersion } from "../../../src/openflow/version.ts";
import { Reader, Writer } from "../../../src/openflow/wire.ts";

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));

function refused(run: () => unknown): OfError {
  try {
    run();
  } catch (error) {
    if (error instanceof OfError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

const remarksOf = (error: OfError): string[] =>
  error.remarks.map(({ module, text }) => `${module}: ${text()}`);

const reader = (hex: string): Reader => new Reader(bytesOf(hex), "OFPBAC_BAD_LEN");
const WRITE_METADATA = "ffff0020 00002320 0016 000000000000 fedcba9876543210 ffffffffffffffff";
const LOAD_MARK = "ffff0018 00002320 0007 001f 0001d604 000000000000f009";

describe("actions as bytes", () => {
  const cases: readonly [string, OfVersion, string, string][] = [
    ["an instruction among actions", 1, WRITE_METADATA, "OFPBIC_UNSUP_INST"],
    ["an instruction among actions", 2, WRITE_METADATA, "OFPBIC_UNSUP_INST"],
    ["ct_mark outside of ct", 1, LOAD_MARK, "OFPBAC_BAD_SET_ARGUMENT"],
    [
      "ct inside of ct",
      4,
      "ffff0030 00002320 0023 0001 00000000 0000 ff 000000 0000" +
      "ffff0018 00002320 0023 0000 00000000 0000 ff 000000 0000",
      "OFPBAC_BAD_ARGUMENT",
    ],
    [
      "ct that writes without a commit",
      4,
      `ffff0030 00002320 0023 0000 00000000 0000 ff 000000 0000 ${LOAD_MARK}`,
      "OFPBAC_BAD_ARGUMENT",
    ],
    ["nat alone", 4, "ffff0010 00002320 0024 0000 0000 0000", "OFPBAC_BAD_SET_ARGUMENT"],
    [
      "conjunction beside output",
      4,
      "ffff0010 00002320 0022 00 02 00000001 00000010 00000001 ffe5 000000000000",
      "NXBAC_BAD_CONJUNCTION",
    ],
    ["a longer action than there are bytes", 1, "0000 00f0 0000 0000", "OFPBAC_BAD_LEN"],
  ];
  test.each(cases)("%s, version %d: refused", (_name, version, hex, error) => {
    expect(refused(() => readActions(reader(hex), version)).error).toBe(error as never);
  });

  test("what Open vSwitch's tools log of it goes with the error", () => {
    const error = refused(() => readActions(reader("0000 0010 ffff ffff 00000000 00000000"), 1));
    expect(remarksOf(error)).toEqual([
      "ofp_actions: OpenFlow action OFPAT_OUTPUT length 16 not in valid range [8,8]",
      "ofp_actions: bad action at offset 0 (OFPBAC_BAD_LEN):\n" +
      "00000000  00 00 00 10 ff ff ff ff-00 00 00 00 00 00 00 00",
    ]);
  });
});

describe("instructions", () => {
  test("Nicira's action that writes metadata becomes the instruction", () => {
    const actions = readInstructions(reader(`0004 0028 00000000 ${WRITE_METADATA}`), 2);
    const writer = new Writer();
    writeInstructions(writer, 2, actions);
    expect(Buffer.from(writer.finish()).toString("hex")).toBe(
      "0002001800000000fedcba9876543210ffffffffffffffff",
    );
  });

  test("an empty action set is not written; a longer clear-actions is refused", () => {
    const writer = new Writer();
    writeInstructions(writer, 4, readInstructions(reader("0003 0008 00000000"), 4));
    expect(writer.length).toBe(0);
    const long = "0005 0010 00000000 0000000000000000";
    expect(refused(() => readInstructions(reader(long), 4)).error).toBe("OFPBIC_BAD_LEN");
  });

  test("bytes that are no multiple of eight", () => {
    const error = refused(() => readInstructions(reader("0004 0009 01 00000000"), 2));
    expect(remarksOf(error)).toEqual([
      "ofp_actions: OpenFlow message instructions length 9 is not a multiple of 8",
    ]);
  });
});

describe("a tag that was pushed", () => {
  test("is not pushed once more for setting its VLAN", () => {
    const writer = new Writer();
    writeInstructions(writer, 4, parseActions("push_vlan:0x8100,mod_vlan_vid:100"));
    const back = readInstructions(new Reader(writer.finish(), "OFPBAC_BAD_LEN"), 4);
    expect(formatActions(back)).toBe("push_vlan:0x8100,set_field:4196->vlan_vid");
  });
});

describe("properties of encap", () => {
  test("options of NSH stand as Open vSwitch writes them", () => {
    const text = "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))";
    const writer = new Writer();
    writeInstructions(writer, 4, parseActions(text));
    const bytes = writer.finish();
    expect(Buffer.from(bytes).toString("hex")).toContain("000401050200000000040210" + "10000a04");
    const back = readInstructions(new Reader(bytes, "OFPBAC_BAD_LEN"), 4);
    expect(formatActions(back)).toBe(text);
  });

  test.each([
    ["0004 01 09 02000000 0000000000000000", "NXBAC_BAD_ED_PROP"],
    ["0004 03 05 02000000", "NXBAC_UNKNOWN_ED_PROP"],
    ["0004 02 0c 10000a04 1234567800000000", "NXBAC_BAD_ED_PROP"],
    ["0004 02 03 10000a04", "OFPBAC_BAD_LEN"],
  ])("%s is refused with %s", (property, error) => {
    const length = (16 + property.replace(/\s/g, "").length / 2).toString(16).padStart(4, "0");
    const hex = `ffff ${length} 00002320 002e 0000 0001894f ${property}`;
    expect(refused(() => readActions(reader(hex), 4)).error).toBe(error as never);
  });
});

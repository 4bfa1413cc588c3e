/** What a switch must refuse, and with which error (OpenFlow 1.3.5 §7.4.4, Open vSwitch's own). */
import { describe, expect, test } from "bun:test";
import { readActions } from "../../../src/openflow/actions/codec.ts";
import { readInstructions } from "../../../src/openflow/actions/instructions.ts";
import { decode } from "../../../src/openflow/codec.ts";
import { type ErrorName, OfError } from "../../../src/openflow/errors.ts";
import { readMatch, readNxMatch } from "../../../src/openflow/match.ts";
import { parseFlow } from "../../../src/openflow/text/flow.ts";
import type { OfVersion } from "../../../src/openflow/version.ts";
import { Reader } from "../../../src/openflow/wire.ts";

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replace(/\s/g, ""), "hex"));

function errorOf(run: () => unknown): ErrorName | "no error" {
  try {
    run();
    return "no error";
  } catch (error) {
    if (error instanceof OfError) return error.error;
    throw error;
  }
}

describe("headers", () => {
  const cases: [string, string, ErrorName][] = [
    ["unknown version", "99 05 0008 00000000", "OFPBRC_BAD_VERSION"],
    ["unknown type", "04 63 0008 00000000", "OFPBRC_BAD_TYPE"],
    ["unknown multipart type", "04 12 0010 00000000 0063 0000 00000000", "OFPBRC_BAD_STAT"],
    ["unknown vendor", "04 04 0010 00000000 12345678 00000000", "OFPBRC_BAD_VENDOR"],
    ["unknown subtype", "04 04 0010 00000000 00002320 00009999", "OFPBRC_BAD_SUBTYPE"],
    ["a body where none belongs", "04 05 0009 00000000 00", "OFPBRC_BAD_LEN"],
  ];
  for (const [name, hex, error] of cases) {
    test(name, () => expect(errorOf(() => decode(bytes(hex)))).toBe(error));
  }
});

describe("actions", () => {
  const cases: [string, OfVersion, string, ErrorName][] = [
    ["unknown type", 4, "00fe 0008 00000000", "OFPBAC_BAD_TYPE"],
    ["output too short", 4, "0000 0008 00000001", "OFPBAC_BAD_LEN"],
    ["length zero", 4, "0000 0000 00000001", "OFPBAC_BAD_LEN"],
    ["longer than the list", 4, "0000 0010 00000001", "OFPBAC_BAD_LEN"],
    ["unknown vendor", 1, "ffff 0010 12345678 0001 0000 00000000", "OFPBAC_BAD_VENDOR"],
    ["unknown subtype", 1, "ffff 0010 00002320 0fff 0000 00000000", "OFPBAC_BAD_VENDOR_TYPE"],
    ["output to nowhere", 1, "0000 0008 ffff 0000", "OFPBAC_BAD_OUT_PORT"],
    ["a port beyond 16 bits", 4, "0000 0010 00010000 0000 000000000000", "OFPBAC_BAD_OUT_PORT"],
    ["VLAN 4096", 1, "0001 0008 1000 0000", "OFPBAC_BAD_ARGUMENT"],
    ["push of no tag", 4, "0011 0008 0800 0000", "OFPBAC_BAD_ARGUMENT"],
    ["unknown field", 4, "0019 0010 8000fc04 00000000 00000000", "OFPBAC_BAD_SET_TYPE"],
    ["field of a wrong length", 4, "0019 0010 80000602 0000 0000 00000000", "OFPBAC_BAD_SET_LEN"],
    ["read-only field", 4, "0019 0010 0001d204 00000001 00000000", "OFPBAC_BAD_SET_ARGUMENT"],
    ["mask in 1.3", 4, "0019 0010 80000d04 1001 1fff 00000000", "OFPBAC_BAD_SET_MASK"],
    [
      "VID without the present bit",
      4,
      "0019 0010 80000c02 0005 0000 00000000",
      "OFPBAC_BAD_SET_ARGUMENT",
    ],
    ["conjunction 1 of 1", 1, "ffff 0010 00002320 0022 00 01 00000001", "NXBAC_BAD_CONJUNCTION"],
    [
      "load past the register",
      1,
      "ffff 0018 00002320 0007 060f 00010004 0000000000000000",
      "OFPBAC_BAD_SET_LEN",
    ],
  ];
  for (const [name, version, hex, error] of cases) {
    test(name, () => {
      const reader = new Reader(bytes(hex), "OFPBAC_BAD_LEN");
      expect(errorOf(() => readActions(reader, version))).toBe(error);
    });
  }
});

describe("instructions", () => {
  const cases: [string, OfVersion, string, ErrorName][] = [
    ["unknown", 4, "0009 0008 00000000", "OFPBIC_UNKNOWN_INST"],
    ["experimenter", 4, "ffff 0008 00000001", "OFPBIC_BAD_EXPERIMENTER"],
    ["twice", 4, "0001 0008 01000000 0001 0008 02000000", "OFPBIC_DUP_INST"],
    ["goto too long", 4, "0001 0010 01000000 0000000000000000", "OFPBIC_BAD_LEN"],
    ["length zero", 4, "0001 0000 01000000", "OFPBIC_BAD_LEN"],
    ["meter in 1.5", 6, "0006 0008 00000001", "OFPBIC_UNKNOWN_INST"],
    [
      "resubmit in an action set",
      4,
      "0003 0018 00000000 ffff 0010 00002320 0001 0001 00000000",
      "OFPBAC_BAD_TYPE",
    ],
  ];
  for (const [name, version, hex, error] of cases) {
    test(name, () => {
      const reader = new Reader(bytes(hex), "OFPBIC_BAD_LEN");
      expect(errorOf(() => readInstructions(reader, version))).toBe(error);
    });
  }
});

describe("matches", () => {
  const cases: [string, string, ErrorName][] = [
    ["unknown type", "0002 0004 00000000", "OFPBMC_BAD_TYPE"],
    ["too long", "0001 0020 00000000", "OFPBMC_BAD_LEN"],
    ["unknown field", "0001 000c 8000fc04 00000000 00000000", "OFPBMC_BAD_FIELD"],
    ["field cut short", "0001 000a 80000604 0000 000000000000", "OFPBMC_BAD_LEN"],
    ["field of a wrong length", "0001 000a 80000602 0000 000000000000", "OFPBMC_BAD_FIELD"],
    ["without its prerequisite", "0001 000a 80001a02 0050 000000000000", "OFPBMC_BAD_PREREQ"],
    ["twice", "0001 0010 80000a02 0800 80000a02 0800", "OFPBMC_DUP_FIELD"],
    ["mask on what takes none", "0001 000c 80000b04 0800 ff00 00000000", "OFPBMC_BAD_MASK"],
    ["value beyond its mask", "0001 000c 80000d04 1fff 1000 00000000", "OFPBMC_BAD_WILDCARDS"],
    ["a value too big", "0001 000a 80000c02 ffff 000000000000", "OFPBMC_BAD_VALUE"],
  ];
  for (const [name, hex, error] of cases) {
    test(name, () => {
      const reader = new Reader(bytes(hex), "OFPBMC_BAD_LEN");
      expect(errorOf(() => readMatch(reader, 4))).toBe(error);
    });
  }
  test("an NXM match longer than the message", () => {
    const reader = new Reader(bytes("00000002 0001 0000"), "OFPBMC_BAD_LEN");
    expect(errorOf(() => readNxMatch(reader, 9))).toBe("OFPBMC_BAD_LEN");
  });
});

describe("text", () => {
  const cases: [string, string][] = [
    ["in_port=1", "must specify an action"],
    ["in_port=,actions=frobnicate", "unknown action frobnicate"],
    ["frobnicate=1,actions=drop", "unknown keyword frobnicate"],
    ["table=300,actions=drop", 'unknown table "300"'],
    ["idle_timeout=70000,actions=drop", 'invalid idle_timeout "70000"'],
    ["cookie=1/-1,actions=drop", "flow additions cannot use a cookie mask"],
    ["actions=drop,1", '"drop" must not be accompanied by any other action or instruction'],
    ["actions=mod_vlan_vid:5000", "5000: not a valid VLAN VID"],
    ["actions=output:frob", "frob: output to unknown port"],
    [
      "actions=load:300->NXM_NX_REG0[0..7]",
      "300->NXM_NX_REG0[0..7]: value 0x12c does not fit into 8 bits",
    ],
    ["actions=load:1->frob[]", "frob[]: unknown field `frob'"],
    [
      "actions=move:reg0[0..3]->reg1[]",
      "reg0[0..3]->reg1[]: source field is 4 bits wide but destination is 32 bits wide",
    ],
    [
      "actions=goto_table:1,2",
      "invalid instruction ordering: apply_actions must appear before goto_table, for OpenFlow 1.1+ compatibility",
    ],
    [
      "actions=set_field:80->tcp_dst",
      "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)",
    ],
    [
      "table=3,actions=goto_table:2",
      "actions are invalid with specified match (OFPBIC_BAD_TABLE_ID)",
    ],
  ];
  for (const [text, message] of cases) {
    test(text, () => expect(() => parseFlow(text, { command: "add" })).toThrow(message));
  }
});

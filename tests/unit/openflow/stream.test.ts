import { expect, test } from "bun:test";
import { encode } from "../../../src/openflow/codec.ts";
import { errorName, errorNumbers, OfError } from "../../../src/openflow/errors.ts";
import { MessageStream } from "../../../src/openflow/stream.ts";
import { negotiate, type OfVersion } from "../../../src/openflow/version.ts";

test("a stream in pieces of any size gives the same messages", () => {
  const messages = [0, 1, 100, 7].map((length) =>
    encode(4, length, { type: "echo_request", data: new Uint8Array(length).fill(length) })
  );
  const all = Buffer.concat(messages);
  for (let size = 1; size <= all.length; size++) {
    const stream = new MessageStream();
    const got: Uint8Array[] = [];
    for (let at = 0; at < all.length; at += size) {
      stream.push(all.subarray(at, at + size), (message) => got.push(message));
    }
    expect(got.map((m) => Buffer.from(m).toString("hex"))).toEqual(
      messages.map((m) => Buffer.from(m).toString("hex")),
    );
    expect(stream.heldBytes).toBe(0);
  }
});

test("a length below the header's ends the stream", () => {
  const stream = new MessageStream();
  expect(() => stream.push(Uint8Array.of(1, 0, 0, 7, 0, 0, 0, 0), () => {})).toThrow(OfError);
});

test("the highest shared version is chosen", () => {
  expect(negotiate(0b1_0010, 0b1_0010)).toBe(4);
  expect(negotiate(0b1_0010, 0b0_1110)).toBe(1);
  expect(negotiate(0b1_0000, 0b0_0010)).toBeUndefined();
});

test("error numbers by version, as the specifications and Open vSwitch have them", () => {
  const cases: [Parameters<typeof errorNumbers>[0], OfVersion, [number, number, number]][] = [
    ["OFPFMFC_TABLE_FULL", 1, [0, 3, 0]],
    ["OFPFMFC_TABLE_FULL", 4, [0, 5, 1]],
    ["OFPFMFC_OVERLAP", 1, [0, 3, 1]],
    ["OFPBRC_BAD_TABLE_ID", 1, [0x2320, 1, 512]],
    ["OFPBMC_BAD_PREREQ", 1, [0x2320, 1, 260]],
    ["OFPBMC_BAD_PREREQ", 3, [0, 4, 9]],
    ["OFPBFC_TIMEOUT", 4, [0x4f4e4600, 2314, 0]],
    ["OFPBFC_TIMEOUT", 5, [0, 17, 14]],
    ["NXBRC_NXM_INVALID", 4, [0x2320, 2, 0]],
    // A meter error cannot be said in 1.0: it becomes NXBRC_UNENCODABLE_ERROR.
    ["OFPMMFC_UNKNOWN_METER", 1, [0x2320, 1, 521]],
  ];
  for (const [error, version, [vendor, type, code]] of cases) {
    expect(errorNumbers(error, version)).toEqual({ vendor, type, code });
  }
  expect(errorName(2, { vendor: 0, type: 3, code: 5 })).toBe("OFPBIC_BAD_EXPERIMENTER");
  expect(errorName(1, { vendor: 0, type: 77, code: 5 })).toBeUndefined();
});

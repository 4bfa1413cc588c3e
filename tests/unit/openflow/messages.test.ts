/**
 * Every message: record → bytes → record, bytes pinned by a golden file whose text stock ovs-ofctl
 * gave, no byte left over from before, and nothing but `OfError` when a message ends early.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode, encodeMany } from "../../../src/openflow/codec.ts";
import { OfError } from "../../../src/openflow/errors.ts";
import { Writer } from "../../../src/openflow/wire.ts";
import { VERSION_NAMES } from "../../../src/openflow/version.ts";
import { formatFlow } from "../../../src/openflow/text/flow.ts";
import { FIXTURES } from "./fixtures.ts";

const XID = 0x77;
const golden = new Map(
  readFileSync(join(import.meta.dirname, "../../golden/openflow/messages.txt"), "utf8")
    .split("\n\n").map((block) => {
      const [name = "", hex = "", , ...rest] = block.trim().split("\n");
      return [name, { hex, rest }] as const;
    }),
);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The same message cut short, its length saying so. */
function cut(bytes: Uint8Array, length: number): Uint8Array {
  const part = bytes.slice(0, length);
  new DataView(part.buffer).setUint16(2, length);
  return part;
}

for (const { name, message, versions, back } of FIXTURES) {
  describe(name, () => {
    for (const version of versions) {
      const label = `${VERSION_NAMES[version]} ${name}`;
      test(label, () => {
        const bytes = encode(version, XID, message);
        expect(hex(bytes)).toBe(golden.get(label)?.hex ?? "(no golden)");
        const decoded = decode(bytes);
        expect(decoded.xid).toBe(XID);
        expect(decoded.message).toEqual(back ? back(version) : message);
        expect(hex(encode(version, XID, decoded.message))).toBe(hex(bytes));

        const dirty = new Writer(0x10000, 0xa5);
        expect(hex(encode(version, XID, message, false, { writer: dirty }))).toBe(hex(bytes));

        for (let length = 0; length < bytes.length; length++) {
          try {
            decode(length >= 8 ? cut(bytes, length) : bytes.slice(0, length));
          } catch (error) {
            if (!(error instanceof OfError)) throw error;
            expect(error.offset).toBeLessThanOrEqual(bytes.length);
          }
        }
      });
    }
  });
}

test("flow statistics read as stock ovs-ofctl prints them", () => {
  let lines = 0;
  for (const { name, message, versions } of FIXTURES) {
    if (message.type !== "flow_stats_reply") continue;
    for (const version of versions) {
      const label = `${VERSION_NAMES[version]} ${name}`;
      const decoded = decode(encode(version, XID, message)).message;
      if (decoded.type !== "flow_stats_reply") throw new Error(decoded.type);
      const printed = decoded.flows.map((flow) => ` ${formatFlow(flow)}`);
      expect(printed).toEqual(golden.get(label)!.rest);
      lines += printed.length;
    }
  }
  expect(lines).toBeGreaterThan(10);
});

test("a long reply is cut between items, all parts but the last say that more follow", () => {
  const fixture = FIXTURES.find(({ name }) => name === "flow reply")!;
  if (fixture.message.type !== "flow_stats_reply") throw new Error("not a flow reply");
  const flow = fixture.message.flows[0]!;
  const flows = Array.from({ length: 2000 }, (_, i) => ({ ...flow, cookie: BigInt(i) }));
  for (const version of fixture.versions) {
    const parts = encodeMany(version, XID, { type: "flow_stats_reply", flows });
    expect(parts.length).toBeGreaterThan(2);
    const cookies: bigint[] = [];
    parts.forEach((part, i) => {
      expect(part.length).toBeLessThanOrEqual(0xffff);
      const { message, more } = decode(part);
      expect(more).toBe(i < parts.length - 1);
      if (message.type === "flow_stats_reply") cookies.push(...message.flows.map((f) => f.cookie));
    });
    expect(cookies).toEqual(flows.map((f) => f.cookie));
  }
});

test("a message with its length wrong is refused", () => {
  const bytes = encode(1, XID, { type: "features_request" });
  expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(OfError);
});

test("random bytes in the place of a body never throw anything but OfError", () => {
  let state = 12345;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  let accepted = 0;
  for (let round = 0; round < 4000; round++) {
    const fixture = FIXTURES[random(FIXTURES.length)]!;
    const version = fixture.versions[random(fixture.versions.length)]!;
    const bytes = encode(version, XID, fixture.message);
    for (let i = 0; i < 1 + random(4); i++) {
      if (bytes.length > 8) bytes[8 + random(bytes.length - 8)] = random(256);
    }
    try {
      decode(bytes);
      accepted++;
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
    }
  }
  expect(accepted).toBeGreaterThan(0);
});

/**
 * The text of every message in every version is what stock `ovs-ofctl ofp-print` gave for the same
 * bytes (tests/golden/openflow/messages.txt); and printing never throws, whatever it is given.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MESSAGE_ROWS } from "../../../src/openflow/messages/all.ts";
import { formatMessage } from "../../../src/openflow/text/message.ts";
import { FIXTURES } from "./fixtures.ts";

interface Golden {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Undefined: stock does not know the message. */
  readonly text: string | undefined;
}

const goldens = readFileSync(
  join(import.meta.dirname, "../../golden/openflow/messages.txt"),
  "utf8",
).split("\n\n").map((block): Golden => {
  const [name = "", hex = "", ...rest] = block.trim().split("\n");
  const text = rest.join("\n");
  const bytes = new Uint8Array(Buffer.from(hex, "hex"));
  return { name, bytes, text: text === "(not printed by stock)" ? undefined : text };
});

/** As the golden file has it: no empty lines, no blank at the end. */
const tidy = (text: string): string => text.trimEnd().replaceAll("\n\n", "\n");

describe("text of messages", () => {
  for (const { name, bytes, text } of goldens) {
    if (text === undefined) continue;
    test(name, () => {
      expect(tidy(formatMessage(bytes, { verbosity: 2 }))).toBe(text);
    });
  }
});

test("every message has a fixture, and so a text to be compared", () => {
  const told = new Set(FIXTURES.map(({ message }) => message.type));
  const missing = MESSAGE_ROWS.map(({ type }) => type).filter((type) => !told.has(type));
  expect([...new Set(missing)]).toEqual([]);
});

test("a message that ends early anywhere, or is longer than it says, is told as such", () => {
  for (const { bytes } of goldens) {
    for (let length = 0; length <= bytes.length; length += 1 + (bytes.length >> 5)) {
      const part = bytes.slice(0, length);
      expect(formatMessage(part)).toEndWith("\n");
      if (length < 8) continue;
      new DataView(part.buffer).setUint16(2, length);
      expect(formatMessage(part, { verbosity: 3 })).toEndWith("\n");
    }
  }
});

test("names of ports and tables stand for their numbers", () => {
  const names = {
    nameOf: (port: number) => port === 1 ? "p1" : port === 2 ? "to-host" : undefined,
    numberOf: () => undefined,
    tables: {
      nameOf: (table: number) => table === 0 ? "classify" : undefined,
      numberOf: () => undefined,
    },
  };
  // OFPT_FLOW_MOD of OpenFlow 1.3: in_port=1 → output:2
  const bytes = new Uint8Array(Buffer.from(
    "040e005800000001000000000000000000000000000000000000000000008000ffffffffffffffffffffffff" +
      "000000000001000c80000004000000010000000000040018000000000000001000000002ffff000000000000",
    "hex",
  ));
  expect(formatMessage(bytes, { names })).toBe(
    'OFPT_FLOW_MOD (OF1.3) (xid=0x1): ADD table:classify in_port=p1 actions=output:"to-host"\n',
  );
});

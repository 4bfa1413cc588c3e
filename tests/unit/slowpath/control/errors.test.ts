/**
 * Each error that a switch answers with, provoked by a connection: a message as it should be with one
 * thing wrong in its bytes, or a message that cannot be obeyed. Errors of actions, instructions and
 * matches: tests/unit/openflow/errors.test.ts. Errors that are never sent stand in docs/openflow.md.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_ROWS } from "../../../../src/openflow/error-table.ts";
import { OF11, OF13, OF14, type OfVersion } from "../../../../src/openflow/version.ts";
import { AgentRig, error } from "./agent-rig.ts";

const ROOT = join(import.meta.dir, "../../../..");

/** The bytes of a message of a version; the body in hexadecimal. */
function message(version: OfVersion, type: number, body: string): Uint8Array {
  const rest = Buffer.from(body.replace(/\s/g, ""), "hex");
  const bytes = new Uint8Array(8 + rest.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint8(1, type);
  view.setUint16(2, bytes.length);
  view.setUint32(4, 5);
  bytes.set(rest, 8);
  return bytes;
}

const ANY = "ffffffff";
const flowMod = (version: OfVersion, { table = "00", command = "00", flags = "0000" }) =>
  message(
    version,
    14,
    `${"00".repeat(16)} ${table} ${command} 0000 0000 0001 ${ANY} ${ANY} ${ANY} ${flags} 0000
     0001 0004 00000000`,
  );
const groupMod = (body: string) => message(OF13, 15, body);
const meterMod = (body: string) => message(OF13, 29, body);
const MAC = "020000000099";
const portMod = (port: string, mac: string, config: string, mask: string, advertise = "00000000") =>
  message(OF13, 16, `${port} 00000000 ${mac} 0000 ${config} ${mask} ${advertise} 00000000`);
const multipart = (version: OfVersion, type: string, body: string) =>
  message(version, 18, `${type} 0000 00000000 ${body}`);
const monitor = (flags: string, command: string) =>
  multipart(OF14, "0010", `00000001 ${ANY} ${ANY} ${flags} 00 ${command} 0001 0004 00000000`);
const bundleControl = (type: string) => message(OF14, 33, `00000007 ${type} 0001`);
const bundleAdd = (inner: string) => message(OF14, 34, `00000007 0000 0001 ${inner}`);
const OPEN = bundleControl("0000");

/** What is sent; the last message is the one that is refused. */
type Case = readonly [name: keyof typeof ERROR_ROWS, ...messages: readonly Uint8Array[]];

const CASES: readonly Case[] = [
  ["OFPFMFC_BAD_COMMAND", flowMod(OF13, { command: "09" })],
  ["OFPFMFC_BAD_TABLE_ID", flowMod(OF13, { table: "ff" })],
  ["OFPFMFC_BAD_FLAGS", flowMod(OF13, { flags: "8000" })],
  ["OFPGMFC_BAD_COMMAND", groupMod("0009 00 00 00000001")],
  ["OFPGMFC_BAD_TYPE", groupMod("0000 09 00 00000001")],
  ["OFPGMFC_INVALID_GROUP", groupMod("0000 00 00 ffffff01")],
  ["OFPGMFC_UNKNOWN_GROUP", groupMod("0001 00 00 00000001")],
  ["OFPGMFC_GROUP_EXISTS", groupMod("0000 00 00 00000001"), groupMod("0000 00 00 00000001")],
  ["OFPGMFC_BAD_WATCH", groupMod(`0000 03 00 00000001 0010 0000 00010001 ${ANY} 00000000`)],
  ["OFPGMFC_INVALID_GROUP", groupMod(`0000 03 00 00000001 0010 0000 ${ANY} ${ANY} 00000000`)],
  ["OFPGMFC_BAD_BUCKET", groupMod(`0000 00 00 00000001 0008 0000 ${ANY} ${ANY} 00000000`)],
  ["OFPMMFC_BAD_COMMAND", meterMod("0009 0001 00000001")],
  ["OFPMMFC_BAD_FLAGS", meterMod("0000 8000 00000001")],
  ["OFPMMFC_BAD_BAND", meterMod("0000 0001 00000001 0009 0010 00000001 00000001 00000000")],
  ["OFPMMFC_INVALID_METER", meterMod("0000 0001 00000000")],
  ["OFPMMFC_UNKNOWN_METER", meterMod("0001 0001 00000001")],
  ["OFPMMFC_METER_EXISTS", meterMod("0000 0001 00000001"), meterMod("0000 0001 00000001")],
  ["OFPRRFC_BAD_ROLE", message(OF13, 24, "00000009 00000000 0000000000000000")],
  ["OFPSCFC_BAD_FLAGS", message(OF13, 9, "0009 0080")],
  ["OFPTMFC_BAD_TABLE", message(OF13, 17, "fe 000000 00000000")],
  ["OFPTMFC_BAD_CONFIG", message(OF11, 17, "00 000000 00000080")],
  ["OFPPMFC_BAD_PORT", portMod("00000063", MAC, "00000000", "00000000")],
  ["OFPPMFC_BAD_HW_ADDR", portMod("00000001", MAC, "00000000", "00000000")],
  ["OFPQOFC_BAD_PORT", message(OF13, 22, "00000063 00000000")],
  ["OFPQOFC_BAD_PORT", multipart(OF13, "0005", "00000063 ffffffff")],
  ["OFPQOFC_BAD_QUEUE", multipart(OF13, "0005", "00000001 00000063")],
  ["OFPBFC_BAD_ID", bundleControl("0004")],
  ["OFPBFC_BAD_TYPE", bundleControl("0009")],
  ["OFPBFC_BAD_ID", OPEN, OPEN],
  ["OFPBFC_MSG_BAD_XID", OPEN, bundleAdd("05 05 0008 00000006")],
  ["OFPBFC_MSG_UNSUP", OPEN, bundleAdd("05 05 0008 00000005")],
  ["OFPBFC_MSG_BAD_LEN", OPEN, bundleAdd("05 0e 0100 00000005")],
  ["OFPMOFC_BAD_COMMAND", monitor("0003", "09")],
  ["OFPMOFC_BAD_FLAGS", monitor("8000", "00")],
  ["OFPMOFC_UNKNOWN_MONITOR", monitor("0003", "02")],
  ["OFPMOFC_MONITOR_EXISTS", monitor("0003", "00"), monitor("0003", "00")],
];

let rig: AgentRig;
beforeEach(async () => {
  rig = await AgentRig.create();
});
afterEach(() => rig.close());

describe("errors", () => {
  for (const [i, [name, ...messages]] of CASES.entries()) {
    test(`${name} (${i})`, () => {
      const refused = messages.at(-1)!;
      const { stream } = rig.connect(refused[0] as OfVersion);
      for (const each of messages.slice(0, -1)) stream.raw(each);
      stream.take();
      stream.raw(refused);
      expect(stream.take()).toMatchObject(error(name));
    });
  }
});

test("an error that nothing sends stands in docs/openflow.md with its reason", () => {
  const sources = [...new Bun.Glob("src/**/*.ts").scanSync(ROOT)]
    .filter((file) => !file.endsWith("error-table.ts"))
    .map((file) => readFileSync(join(ROOT, file), "utf8")).join("\n");
  const doc = readFileSync(join(ROOT, "docs/openflow.md"), "utf8");
  const told = new Set(doc.match(/\b(?:OFP|NX|ONF)[A-Z]*_[A-Z_]+\b/g));
  const names = Object.keys(ERROR_ROWS).filter((name) =>
    !new RegExp(`\\b${name}\\b`).test(sources)
  );
  expect(names.filter((name) => !told.has(name))).toEqual([]);
});

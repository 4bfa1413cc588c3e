/** The table of tunnel options: lengths, holes, what is in use. */
import { expect, test } from "bun:test";
import { decode, encode } from "../../../../src/openflow/codec.ts";
import type { TlvMapping, TlvTableMod } from "../../../../src/openflow/messages/types.ts";
import { LearnedTunnelFields, tunnelOptions } from "../../../../src/openflow/tunnel-fields.ts";
import { parseFlow } from "../../../../src/openflow/text/flow.ts";
import { formatMatch } from "../../../../src/openflow/text/match.ts";
import { TlvTable } from "../../../../src/slowpath/control/tlv-table.ts";

const option = (index: number, optionLength: number): TlvMapping => ({
  index,
  optionClass: 0xffff,
  optionType: index,
  optionLength,
});
const change = (
  table: TlvTable,
  command: TlvTableMod["command"],
  ...mappings: TlvMapping[]
): void => table.apply({ type: "tlv_table_mod", command, mappings });

test("options that no flow uses make room for one that would fit no hole", () => {
  const used = new Set<number>();
  const table = new TlvTable((index) => used.has(index));
  change(table, "add", option(0, 4), option(1, 8), option(2, 124));
  change(table, "add", option(3, 4));
  change(table, "add", option(4, 112));
  change(table, "delete", option(3, 4));
  used.add(4);
  const place = table.get(4)?.offset;
  change(table, "add", option(3, 8));
  expect(table.get(4)?.offset).toBe(place);
  const runs = table.list().map(({ offset, optionLength }) => [offset, offset + optionLength]);
  runs.sort(([a], [b]) => a! - b!);
  for (let i = 1; i < runs.length; i++) {
    expect(runs[i]![0]).toBeGreaterThanOrEqual(runs[i - 1]![1]!);
  }
  expect(() => change(table, "add", option(5, 4))).toThrow("NXTTMFC_TABLE_FULL");
});

/** As a client says it and the switch understands it. */
function understood(text: string, table: TlvTable): string {
  const tunnelFields = new LearnedTunnelFields();
  const names = { nameOf: () => undefined, numberOf: () => undefined, tunnelFields };
  const message = parseFlow(text, { command: "add", names });
  const bytes = encode(4, 1, message, false, { tunnelFields });
  const decoded = decode(bytes, { tunnelFields: table });
  if (decoded.message.type !== "flow_mod") throw new Error("no flow-mod");
  const { match } = decoded.message;
  expect(tunnelOptions(match.mask).length).toBeGreaterThan(0);
  return formatMatch(match, undefined, { ...names, tunnelFields: table });
}

test("a value that is shorter than its option means the whole option; under a mask, its end", () => {
  const table = new TlvTable();
  change(table, "add", option(0, 4), option(1, 8), option(2, 0));
  expect(understood("tun_metadata0=0xab,actions=drop", table)).toBe("tun_metadata0=0xab");
  expect(understood("tun_metadata0=0,actions=drop", table)).toBe("tun_metadata0=0");
  expect(understood("tun_metadata1=0xef/0xff,actions=drop", table)).toBe(
    "tun_metadata1=0xef/0xff",
  );
  expect(understood("tun_metadata1,actions=drop", table)).toBe("tun_metadata1");
  expect(() => understood("tun_metadata0=0x1234567890,actions=drop", table)).toThrow();
});

test("a text whose options grow is read again, and then all of it has its place", () => {
  const fields = new LearnedTunnelFields();
  const short = fields.resolve(0, 1);
  expect(fields.resolve(1, 2)?.offset).toBe(short!.offset + 1);
  expect(fields.resolve(0, 4)?.slotBytes).toBe(4);
  expect(fields.moves).toBe(1);
  expect(fields.resolve(1)?.offset).toBe(fields.resolve(0)!.offset + 4);
  expect(fields.resolve(2, 251)).toBeUndefined();
});

/** Tunnel options, requests in parts, table features that are set, what OpenFlow 1.5 asks of connections. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { encode } from "../../../../src/openflow/codec.ts";
import type { MessageOf, TableFeatures } from "../../../../src/openflow/messages/types.ts";
import {
  decodeContinuation,
  encodeContinuation,
} from "../../../../src/openflow/messages/continuation.ts";
import { parseActions } from "../../../../src/openflow/text/actions-parse.ts";
import { OF10, OF13, OF14, OF15 } from "../../../../src/openflow/version.ts";
import { AgentRig, error, flowMod, groupMod } from "./agent-rig.ts";

let rig: AgentRig;
beforeEach(async () => {
  rig = await AgentRig.create();
});
afterEach(() => rig.close());

const mapping = { optionClass: 0x102, optionType: 0x80, optionLength: 4, index: 0 };

describe("the table of tunnel options", () => {
  test("is told, changes all or nothing, and keeps what flows use", () => {
    const { ask } = rig.connect(OF13);
    const add = (...mappings: (typeof mapping)[]) =>
      ask({ type: "tlv_table_mod", command: "add", mappings });
    expect(add(mapping)).toEqual([]);
    expect(add({ ...mapping, index: 1 })).toMatchObject(error("NXTTMFC_DUP_ENTRY"));
    expect(add({ ...mapping, optionType: 1 })).toMatchObject(error("NXTTMFC_ALREADY_MAPPED"));
    const big = { ...mapping, optionLength: 124 };
    expect(add(
      { ...big, optionType: 2, index: 2 },
      { ...big, optionType: 3, index: 3 },
      { ...big, optionType: 4, index: 4 },
    )).toMatchObject(error("NXTTMFC_TABLE_FULL"));
    expect(ask({ type: "tlv_table_request" })).toEqual([
      { type: "tlv_table_reply", maxSpace: 256, maxFields: 64, mappings: [mapping] },
    ]);

    const { tlvTable } = rig.bridge.agents;
    const [action] = parseActions("set_field:7->tun_metadata0", {
      nameOf: () => undefined,
      numberOf: () => undefined,
      tunnelFields: tlvTable,
    });
    rig.bridge.tables.apply(flowMod({ actions: [action!] }));
    const clear = { type: "tlv_table_mod", command: "clear", mappings: [] } as const;
    expect(ask(clear)).toMatchObject(error("NXTTMFC_INVALID_TLV_DEL"));
    rig.bridge.tables.apply(flowMod({ command: "delete" }));
    expect(ask(clear)).toEqual([]);
    expect(tlvTable.list()).toEqual([]);
  });

  test("an option that is not in it cannot be matched", () => {
    const { stream } = rig.connect(OF13);
    // A flow-mod whose match is NXM_NX_TUN_METADATA0 (1, 40) of four bytes.
    const bytes = encode(OF13, 5, flowMod({}));
    const oxm = Uint8Array.of(0, 1, 40 << 1, 4, 0, 0, 0, 1);
    const whole = new Uint8Array(48 + 4 + oxm.length + 4);
    whole.set(bytes.subarray(0, 48));
    whole.set([0, 1, 0, 4 + oxm.length], 48);
    whole.set(oxm, 52);
    new DataView(whole.buffer).setUint16(2, whole.length);
    stream.raw(whole);
    expect(stream.take()).toMatchObject(error("NXFMFC_INVALID_TLV_FIELD"));
  });
});

describe("a request in parts", () => {
  const tables = (): TableFeatures[] => {
    const [reply] = rig.connect(OF13).ask({ type: "table_features_request", tables: [] })
      .filter((m): m is MessageOf<"table_features_reply"> => m.type === "table_features_reply");
    return [...reply!.tables];
  };

  test("counts as one when its last part is there", () => {
    const all = rig.connect(OF13).ask({ type: "table_features_request", tables: [] })
      .flatMap((m) => m.type === "table_features_reply" ? m.tables : []);
    expect(all).toHaveLength(254);
    const { stream } = rig.connect(OF13);
    const send = (part: TableFeatures[], more: boolean) =>
      stream.raw(encode(OF13, 9, { type: "table_features_request", tables: part }, more));
    const named = all.map((table) => table.table === 4 ? { ...table, name: "four" } : table);
    for (let i = 0; i < named.length; i += 10) {
      expect(rig.bridge.tableName(4)).toBe("");
      send(named.slice(i, i + 10), i + 10 < named.length);
    }
    expect(rig.bridge.tableName(4)).toBe("four");
    expect(stream.take()[0]).toMatchObject({ type: "table_features_reply" });
  }, 30_000);

  test("that is never finished is given up after a second", () => {
    const part = tables().slice(0, 1);
    const { stream } = rig.connect(OF13);
    stream.raw(encode(OF13, 9, { type: "table_features_request", tables: part }, true));
    rig.clock.advance(1100);
    expect(stream.take()).toMatchObject(error("OFPBRC_MULTIPART_REQUEST_TIMEOUT"));
  });

  test("cannot be of two kinds, nor of one that has no parts", () => {
    const part = tables().slice(0, 1);
    const { stream } = rig.connect(OF13);
    stream.raw(encode(OF13, 9, { type: "table_features_request", tables: part }, true));
    stream.raw(encode(OF13, 9, { type: "flow_monitor_request", form: "onf", monitors: [] }));
    expect(stream.take()).toMatchObject(error("OFPBRC_BAD_STAT"));
    stream.raw(encode(OF13, 10, { type: "desc_request" }, true));
    stream.raw(encode(OF13, 10, { type: "desc_request" }));
    expect(stream.take()).toMatchObject(error("OFPBRC_BAD_STAT"));
  });
});

describe("table features", () => {
  test("of 1.5 may name a table, and not ask for more than there is", () => {
    const { ask } = rig.connect(OF15);
    const [first] = ask({ type: "table_features_request", tables: [] })
      .flatMap((m) => m.type === "table_features_reply" ? m.tables : []);
    const modify = (columns: Partial<TableFeatures>) =>
      ask({
        type: "table_features_request",
        tables: [{ ...first!, command: "modify", ...columns }],
      });
    expect(modify({ name: "entry" })[0]).toMatchObject({ type: "table_features_reply" });
    expect(rig.bridge.tableName(0)).toBe("entry");
    expect(modify({ maxEntries: 5 })).toMatchObject(error("OFPTFFC_EPERM"));
    expect(modify({ command: "disable" })).toMatchObject(error("OFPTFFC_EPERM"));
    const nextTables = [...first!.nonmiss.nextTables, 254];
    expect(modify({ nonmiss: { ...first!.nonmiss, nextTables } }))
      .toMatchObject(error("OFPTFFC_EPERM"));
    expect(ask({ type: "table_features_request", tables: [first!, first!] }))
      .toMatchObject(error("NXTFFC_DUP_TABLE"));
  });
});

describe("OpenFlow 1.5 of connections", () => {
  test("numbers of controllers are unique, and bundles are as they are", () => {
    const one = rig.connect(OF15);
    const two = rig.connect(OF15);
    const role = (shortId: number) => ({ type: "role_request", role: "equal", shortId } as const);
    expect(one.ask(role(3))).toMatchObject([{ type: "role_reply", shortId: 3 }]);
    expect(two.ask(role(3))).toMatchObject(error("OFPRRFC_ID_IN_USE"));
    expect(two.ask({ type: "bundle_features_request", features: 0 }))
      .toEqual([{ type: "bundle_features_reply", capabilities: 3 }]);
    expect(two.ask({ type: "controller_status_request" }))
      .toEqual([{ type: "controller_status_reply", controllers: [] }]);
  });

  test("flow counts are without instructions", () => {
    rig.bridge.tables.apply(flowMod({ table: 2, priority: 9, actions: parseActions("output:2") }));
    const [reply] = rig.connect(OF15).ask({
      type: "flow_counts_request",
      table: 0xff,
      match: flowMod({}).match,
      outPort: 0xffff,
      outGroup: 0xffffffff,
      cookie: 0n,
      cookieMask: 0n,
    });
    expect(reply).toMatchObject({
      type: "flow_counts_reply",
      flows: [{ table: 2, priority: 9, reason: "request", packets: 0n, bytes: 0n }],
    });
  });
});

describe("what a service connection hears", () => {
  test("is what it asked for with NXT_SET_ASYNC_CONFIG2", () => {
    const service = rig.connect(OF10, "service");
    const other = rig.connect(OF14);
    other.ask(groupMod({ group: 1 }));
    expect(service.stream.take()).toEqual([]);
    service.ask({
      type: "set_async",
      form: "nicira2",
      masks: { requestforward: { primary: 3, secondary: 0 } },
    });
    other.ask(groupMod({ group: 2 }));
    expect(service.stream.take()).toMatchObject([{ type: "requestforward", form: "nicira" }]);
  });
});

test("IPFIX counters are refused while there is no exporter", () => {
  const { ask } = rig.connect(OF13);
  expect(ask({ type: "ipfix_bridge_request" })).toMatchObject(error("NXST_NOT_CONFIGURED"));
  expect(ask({ type: "ipfix_flow_request" })).toMatchObject(error("NXST_NOT_CONFIGURED"));
});

test("a continuation is the same after its journey", () => {
  const continuation = {
    bridge: Uint8Array.from({ length: 16 }, (_, i) => i),
    stack: [{ value: 1n, bytes: 4 }, { value: 0xabcdn, bytes: 16 }],
    mirrors: 5,
    conntracked: true,
    runs: [
      { table: 3, cookie: 7n, actions: parseActions("output:2,resubmit(,4)") },
      { table: 4, cookie: 7n, actions: [] },
    ],
    actionSet: parseActions("output:9"),
  };
  for (const version of [OF10, OF13, OF15] as const) {
    const bytes = encodeContinuation(continuation, version);
    expect(decodeContinuation(bytes, version)).toEqual(continuation);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => {
        try {
          decodeContinuation(bytes.slice(0, length), version);
        } catch (error) {
          if (!(error instanceof Error) || error.name !== "OfError") throw error;
        }
      }).not.toThrow();
    }
  }
});

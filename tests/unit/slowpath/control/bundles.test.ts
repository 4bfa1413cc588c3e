import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { encode } from "../../../../src/openflow/codec.ts";
import {
  BUNDLE_FLAGS,
  type BundleControl,
  type OfMessage,
} from "../../../../src/openflow/messages/types.ts";
import { OF13, OF14, type OfVersion, PORTS } from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { AgentRig, bucket, error, flowMod, groupMod, output } from "./agent-rig.ts";

const { ATOMIC, ORDERED } = BUNDLE_FLAGS;
const BOTH = ATOMIC | ORDERED;

let rig: AgentRig;
beforeEach(async () => {
  rig = await AgentRig.create();
});
afterEach(() => rig.close());

function connect(version: OfVersion = OF14) {
  const connection = rig.connect(version);
  const form = version === OF13 ? { form: "onf" as const } : {};
  return {
    ...connection,
    control: (control: BundleControl["control"], flags = BOTH, bundle = 7) =>
      connection.ask({ type: "bundle_control", ...form, bundle, control, flags }),
    add: (message: OfMessage, flags = BOTH, xid = 100) =>
      connection.ask(
        {
          type: "bundle_add",
          ...form,
          bundle: 7,
          flags,
          inner: encode(version, xid, message),
        },
        xid,
      ),
  };
}

const flow = (priority: number) => flowMod({ priority, actions: [output(2)] });
const bundleReply = (control: string) => [{ type: "bundle_control", bundle: 7, control }] as const;

describe("a bundle", () => {
  for (const version of [OF13, OF14] as const) {
    test(`does nothing until it is committed, then all of it (version ${version})`, () => {
      const c = connect(version);
      expect(c.control("open_request")).toMatchObject(bundleReply("open_reply"));
      expect(c.add(flow(1))).toEqual([]);
      expect(c.add(flow(2))).toEqual([]);
      expect(rig.bridge.tables.size).toBe(0);
      expect(c.control("close_request")).toMatchObject(bundleReply("close_reply"));
      expect(c.control("commit_request")).toMatchObject(bundleReply("commit_reply"));
      expect(rig.bridge.tables.size).toBe(2);
    });
  }

  test("that fails leaves nothing behind, and says which message it was", () => {
    const c = connect();
    c.ask(flow(9));
    c.control("open_request");
    c.add(groupMod({ group: 5, buckets: [bucket(0, { actions: [output(2)] })] }));
    c.add(flowMod({ command: "delete" }));
    c.add(flowMod({ actions: [{ type: "group", group: 5 }] }));
    c.add(flowMod({ actions: [{ type: "group", group: 6 }] }), BOTH, 4711);
    const changes: unknown[] = [];
    rig.bridge.tables.listen((list) => changes.push(...list));
    c.stream.receive(OF14, {
      type: "bundle_control",
      bundle: 7,
      control: "commit_request",
      flags: BOTH,
    }, 4712);
    const sent = c.stream.sent.splice(0);
    expect(sent.map(({ xid, message }) => [xid, message.type === "error" && message.error]))
      .toEqual([[4711, "OFPBAC_BAD_OUT_GROUP"], [4712, "OFPBFC_MSG_FAILED"]]);
    expect(rig.bridge.tables.size).toBe(1);
    expect(rig.bridge.tables.groups.size).toBe(0);
    expect(changes).toEqual([]);
    expect(c.control("commit_request")).toMatchObject(error("OFPBFC_BAD_ID"));
  });

  test("is told to listeners as one", () => {
    const c = connect();
    const batches: number[] = [];
    rig.bridge.tables.listen((changes) => batches.push(changes.length));
    c.control("open_request");
    for (let i = 1; i <= 5; i++) c.add(flow(i));
    c.control("commit_request");
    expect(batches).toEqual([5]);
  });

  test("sends its packets when it is good, over the tables as they are at their place", () => {
    const c = connect();
    const packetOut = {
      type: "packet_out",
      inPort: PORTS.CONTROLLER,
      metadata: anyMatch(),
      actions: [output(PORTS.TABLE)],
      packet: new Uint8Array(60),
    } as const;
    c.control("open_request");
    c.add(packetOut);
    c.add(flow(1));
    c.add(packetOut);
    c.add(flowMod({ command: "delete" }));
    expect(rig.datapath.transmitted(1)).toEqual([]);
    c.control("commit_request");
    expect(rig.datapath.transmitted(1)).toHaveLength(1);
    c.control("open_request");
    c.add(flow(1));
    c.add(packetOut);
    c.add(flowMod({ actions: [{ type: "group", group: 6 }] }));
    c.control("commit_request");
    expect(rig.datapath.transmitted(1)).toEqual([]);
  });

  test("with a port-mod cannot be atomic", () => {
    const c = connect();
    const portMod = {
      type: "port_mod",
      port: 1,
      hwAddr: rig.devices.get("p1")!.mac,
      config: 1 << 2,
      mask: 1 << 2,
      advertise: 0,
    } as const;
    c.control("open_request");
    c.add(portMod);
    expect(c.control("commit_request")).toMatchObject([
      ...error("OFPBFC_MSG_FAILED"),
      ...error("OFPBFC_MSG_FAILED"),
    ]);
    c.control("open_request", ORDERED);
    c.add(portMod, ORDERED);
    expect(c.control("commit_request", ORDERED)).toMatchObject(bundleReply("commit_reply"));
    expect(rig.bridge.ports.get(1)!.config.noRecv).toBe(true);
  });

  test("opens with its first message, too", () => {
    const c = connect();
    expect(c.add(flow(1))).toEqual([]);
    expect(c.control("commit_request")).toMatchObject(bundleReply("commit_reply"));
    expect(rig.bridge.tables.size).toBe(1);
  });

  test("is forgotten after ten seconds without a word", () => {
    const c = connect();
    c.control("open_request");
    rig.clock.advance(9000);
    c.add(flow(1));
    rig.clock.advance(9000);
    expect(c.stream.take()).toEqual([]);
    rig.clock.advance(1000);
    expect(c.stream.take()).toMatchObject(error("OFPBFC_TIMEOUT"));
    expect(c.control("commit_request")).toMatchObject(error("OFPBFC_BAD_ID"));
  });

  test("is refused to a secondary controller", () => {
    const c = connect();
    c.agent.role = "secondary";
    expect(c.control("open_request")).toMatchObject(error("OFPBRC_IS_SECONDARY"));
    expect(c.add(flow(1))).toMatchObject(error("OFPBRC_IS_SECONDARY"));
  });
});

describe("what does not fit is refused", () => {
  test("bundles that are there, closed or have other flags", () => {
    const c = connect();
    c.control("open_request");
    expect(c.control("open_request")).toMatchObject(error("OFPBFC_BAD_ID"));
    c.control("open_request");
    c.control("close_request");
    expect(c.add(flow(1))).toMatchObject(error("OFPBFC_BUNDLE_CLOSED"));
    c.control("open_request");
    expect(c.add(flow(1), ATOMIC)).toMatchObject(error("OFPBFC_BAD_FLAGS"));
    c.control("open_request");
    expect(c.control("close_request", ATOMIC)).toMatchObject(error("OFPBFC_BAD_FLAGS"));
    c.control("open_request");
    expect(c.control("commit_request", ATOMIC)).toMatchObject(error("OFPBFC_BAD_FLAGS"));
    c.control("open_request");
    c.control("close_request");
    expect(c.control("close_request")).toMatchObject(error("OFPBFC_BUNDLE_CLOSED"));
    expect(c.control("discard_request")).toMatchObject(error("OFPBFC_BAD_ID"));
    expect(c.control("commit_reply")).toMatchObject(error("OFPBFC_BAD_TYPE"));
  });

  test("messages that no bundle takes, of another version, or that make no sense", () => {
    const c = connect();
    c.control("open_request");
    expect(c.add({ type: "barrier_request" })).toMatchObject(error("OFPBFC_MSG_UNSUP"));
    const other = encode(OF13, 100, flow(1));
    expect(c.ask({ type: "bundle_add", bundle: 7, flags: BOTH, inner: other }))
      .toMatchObject(error("OFPBFC_BAD_VERSION"));
    const unknown = Uint8Array.of(OF14, 99, 0, 8, 0, 0, 0, 100);
    expect(c.ask({ type: "bundle_add", bundle: 7, flags: BOTH, inner: unknown }))
      .toMatchObject(error("OFPBFC_MSG_UNSUP"));
    expect(c.control("commit_request")).toMatchObject(bundleReply("commit_reply"));
  });
});

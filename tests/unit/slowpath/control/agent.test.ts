import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  FLOW_FLAGS,
  type OfMessage,
  PORT_CONFIG,
} from "../../../../src/openflow/messages/types.ts";
import { OF10, OF13, type OfVersion, PORTS } from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import type { AgentKind } from "../../../../src/slowpath/control/agent.ts";
import { AgentRig, flowMod, output } from "./agent-rig.ts";

const frame = (length = 200, source = 1): Uint8Array => {
  const bytes = new Uint8Array(length).fill(0xab);
  bytes.set([2, 0, 0, 0, 0, 99, 2, 0, 0, 0, source >> 8, source & 255, 0x88, 0xb5]);
  return bytes;
};

describe("an OpenFlow agent", () => {
  let rig: AgentRig;
  let clock: AgentRig["clock"];
  let datapath: AgentRig["datapath"];
  let devices: AgentRig["devices"];
  let bridge: AgentRig["bridge"];

  beforeEach(async () => {
    rig = await AgentRig.create();
    ({ clock, datapath, devices, bridge } = rig);
  });
  afterEach(() => rig.close());

  const connect = (version: OfVersion, kind?: AgentKind) => rig.connect(version, kind);

  /** A packet arrives by p1; everything that follows from it happens. */
  async function arrive(data: Uint8Array): Promise<void> {
    await bridge.settle();
    datapath.inject(0, { data });
    await bridge.settle();
    await new Promise((resolve) => setImmediate(resolve));
  }

  const left = (port: 1 | 2): number[] =>
    datapath.transmitted(port - 1).map(({ data }) => data.length);

  const error = (name: string) => [{ type: "error", error: name }] as const;

  describe("buffers", () => {
    test("features say that there are 256", () => {
      expect(connect(OF10).ask({ type: "features_request" })).toMatchObject([{ buffers: 256 }]);
    });

    test("a packet that matches nothing is kept, its head sent, and a flow-mod sends it on", async () => {
      const c = connect(OF10);
      await arrive(frame(200));
      const [packetIn] = c.packetIns();
      expect(packetIn).toMatchObject({ reason: "no_match", totalLength: 200 });
      expect(packetIn!.packet.length).toBe(128);
      expect(packetIn!.bufferId).toBeNumber();
      const bufferId = packetIn!.bufferId!;
      expect(c.ask(flowMod({ bufferId, actions: [output(2)] }))).toEqual([]);
      expect(left(2)).toEqual([200]);
      await arrive(frame(201));
      expect(left(2)).toEqual([201]);
      expect(c.agent.buffers.counters).toMatchObject({ stored: 1, released: 1 });
    });

    test("a packet-out releases a buffer too", async () => {
      const c = connect(OF10);
      await arrive(frame(200));
      const { bufferId } = c.packetIns()[0]!;
      const packetOut = {
        type: "packet_out",
        bufferId: bufferId!,
        inPort: 1,
        metadata: anyMatch(),
        actions: [output(2)],
        packet: new Uint8Array(0),
      } as const;
      expect(c.ask(packetOut)).toEqual([]);
      expect(left(2)).toEqual([200]);
      expect(c.ask(packetOut)).toMatchObject(error("OFPBRC_BUFFER_EMPTY"));
      expect(c.ask({ ...packetOut, bufferId: 77 })).toMatchObject(error("OFPBRC_BUFFER_UNKNOWN"));
    });

    test("a flow-mod with a wrong buffer id gets its error, and its flow is there", () => {
      const c = connect(OF10);
      expect(c.ask(flowMod({ bufferId: 0x123, actions: [output(2)] })))
        .toMatchObject(error("OFPBRC_BUFFER_UNKNOWN"));
      expect(bridge.tables.size).toBe(1);
    });

    test("the 257th packet within 5 s is sent whole, later ones take the oldest's place", async () => {
      const c = connect(OF10);
      for (let i = 0; i < 256; i++) await arrive(frame(200, i));
      const first = c.packetIns();
      expect(first.every(({ bufferId }) => bufferId !== undefined)).toBe(true);
      await arrive(frame(200, 256));
      expect(c.packetIns()).toMatchObject([{ totalLength: 200 }]);
      expect(c.agent.buffers.counters.full).toBe(1);
      clock.advance(5100);
      await arrive(frame(200, 257));
      const [late] = c.packetIns();
      expect(late!.bufferId).toBeNumber();
      expect(c.ask(flowMod({ bufferId: first[0]!.bufferId!, actions: [output(2)] })))
        .toMatchObject(error("OFPBRC_BUFFER_UNKNOWN"));
    });

    test("a packet that an action sends is never kept, and goes whole", async () => {
      const c = connect(OF10);
      c.ask(flowMod({ actions: [output(PORTS.CONTROLLER, 64)] }));
      await arrive(frame(200));
      const [packetIn] = c.packetIns();
      expect(packetIn).toMatchObject({ reason: "action", totalLength: 200 });
      expect(packetIn!.bufferId).toBeUndefined();
      expect(packetIn!.packet.length).toBe(200);
    });

    test("OpenFlow 1.3 drops what matches nothing unless a table-miss flow says otherwise", async () => {
      const c = connect(OF13);
      await arrive(frame(200));
      expect(c.packetIns()).toEqual([]);
    });

    test("a table-miss flow with a length buffers, with OFPCML_NO_BUFFER it does not", async () => {
      const c = connect(OF13);
      c.ask(flowMod({ priority: 0, actions: [output(PORTS.CONTROLLER, 100)] }));
      await arrive(frame(200, 1));
      const [kept] = c.packetIns();
      expect(kept).toMatchObject({ reason: "no_match", totalLength: 200 });
      expect(kept!.packet.length).toBe(100);
      // From 1.3 on the packet goes through the tables again, where the new flow takes it.
      c.ask(flowMod({ bufferId: kept!.bufferId!, priority: 5, actions: [output(2)] }));
      expect(left(2)).toEqual([200]);
      c.ask(flowMod({ command: "delete" }));
      c.ask(flowMod({ priority: 0, actions: [output(PORTS.CONTROLLER, 0xffff)] }));
      await arrive(frame(200, 2));
      const [whole] = c.packetIns();
      expect(whole!.bufferId).toBeUndefined();
      expect(whole!.packet.length).toBe(200);
    });

    test("each connection has its own", async () => {
      const a = connect(OF10);
      const b = connect(OF10);
      await arrive(frame(200));
      const [forA] = a.packetIns();
      expect(b.packetIns()).toHaveLength(1);
      a.ask(flowMod({ bufferId: forA!.bufferId!, actions: [output(2)] }));
      expect(a.agent.buffers.inUse).toBe(0);
      expect(b.agent.buffers.inUse).toBe(1);
    });
  });

  describe("asynchronous messages", () => {
    test("a service connection gets none until it sets a miss_send_len", async () => {
      const c = connect(OF10, "service");
      await arrive(frame());
      expect(c.stream.take()).toEqual([]);
      c.ask({ type: "set_config", fragments: "normal", missSendLength: 64 });
      await arrive(frame(200, 3));
      expect(c.packetIns()[0]!.packet.length).toBe(64);
    });

    test("a secondary controller hears of ports only, and may not change anything", () => {
      const c = connect(OF13);
      c.ask({ type: "role_request", role: "secondary", generationId: 1n });
      expect(c.ask(flowMod({}))).toMatchObject(error("OFPBRC_IS_SECONDARY"));
      bridge.agents.packetIn({
        reason: "action",
        packet: { data: frame() },
        key: anyMatch().key,
        tableId: 0,
        cookie: 0n,
        maxLen: 0xffff,
        controllerId: 0,
        userdata: undefined,
        bufferable: false,
        meterId: undefined,
      });
      expect(c.stream.take()).toEqual([]);
      bridge.deviceChanged(bridge.ports.get(1)!, devices.put("p1", { linkUp: false }));
      expect(c.stream.take()).toMatchObject([{ type: "port_status", reason: "modify" }]);
    });

    test("a flow that asked for it is reported when it goes", async () => {
      const c = connect(OF13);
      c.ask(flowMod({ idleTimeout: 2, flags: FLOW_FLAGS.SEND_FLOW_REM }));
      c.ask(flowMod({ priority: 7, idleTimeout: 2 }));
      for (let second = 0; second < 4; second++) {
        clock.advance(1000);
        await Bun.sleep(0);
      }
      expect(c.stream.take()).toMatchObject([
        { type: "flow_removed", reason: "idle_timeout", priority: 1 },
      ]);
      expect(bridge.tables.size).toBe(0);
    });

    test("are dropped, and counted, when a controller does not read", async () => {
      const c = connect(OF10);
      c.stream.stuck = true;
      for (let i = 0; i < 120; i++) await arrive(frame(100, i));
      expect(c.packetIns()).toHaveLength(100);
      expect(c.agent.connection.counters.packetInsDropped).toBe(20);
    });
  });

  describe("roles", () => {
    test("there is one primary, and a stale generation id is refused", () => {
      const a = connect(OF13);
      const b = connect(OF13);
      expect(a.ask({ type: "role_request", role: "primary", generationId: 5n }))
        .toMatchObject([{ type: "role_reply", role: "primary", generationId: 5n }]);
      b.ask({ type: "role_request", role: "primary", generationId: 6n });
      expect(a.agent.role).toBe("secondary");
      expect(a.stream.take()).toMatchObject([
        { type: "role_status", form: "onf", role: "secondary", generationId: 6n },
      ]);
      expect(a.ask({ type: "role_request", role: "primary", generationId: 5n }))
        .toMatchObject(error("OFPRRFC_STALE"));
      expect(a.ask({ type: "role_request", role: "nochange" }))
        .toMatchObject([{ role: "secondary", generationId: 6n }]);
    });
  });

  describe("ports", () => {
    const portMod = (columns: object) =>
      ({
        type: "port_mod",
        port: 1,
        hwAddr: devices.get("p1")!.mac,
        config: 0,
        mask: 0,
        advertise: 0,
        ...columns,
      }) as const;

    test("port-mod is refused for a wrong port or address", () => {
      const c = connect(OF13);
      expect(c.ask(portMod({ port: 9 }))).toMatchObject(error("OFPPMFC_BAD_PORT"));
      expect(c.ask(portMod({ hwAddr: new Uint8Array(6) })))
        .toMatchObject(error("OFPPMFC_BAD_HW_ADDR"));
    });

    test("port-mod tells the other connections that can see it, not the one that asked", () => {
      const a = connect(OF10);
      const b = connect(OF13);
      const bit = PORT_CONFIG.NO_FLOOD;
      // OpenFlow 1.3 knows no NO_FLOOD: a connection of 1.0 sets it, and sees it.
      const old = connect(OF10);
      expect(old.ask(portMod({ config: bit, mask: bit }))).toEqual([]);
      expect(bridge.ports.get(1)!.config.noFlood).toBe(true);
      expect(a.stream.take()).toMatchObject([{ type: "port_status", reason: "modify" }]);
      expect(b.stream.take()).toEqual([]);
    });

    test("a link that comes and goes: first what it is, then whether it is live", () => {
      const states = (stream: ReturnType<typeof connect>["stream"]) =>
        stream.take().map((message) =>
          message.type === "port_status" ? message.description.state : message.type
        );
      const a = connect(OF13);
      const old = connect(OF10);
      const port = bridge.ports.get(1)!;
      bridge.deviceChanged(port, devices.put("p1", { linkUp: false }));
      expect([states(a.stream), states(old.stream)]).toEqual([[1], [1]]);
      bridge.deviceChanged(port, devices.put("p1", { linkUp: true }));
      // OpenFlow 1.0 has no bit for it.
      expect([states(a.stream), states(old.stream)]).toEqual([[0, 4], [0]]);
    });

    test("port-mod down switches the device off", async () => {
      const c = connect(OF13);
      const bit = PORT_CONFIG.PORT_DOWN;
      c.ask(portMod({ config: bit, mask: bit }));
      await Promise.resolve();
      await Promise.resolve();
      expect(devices.get("p1")!.adminUp).toBe(false);
      expect(bridge.ports.get(1)!.describe().config & bit).toBe(bit);
    });

    test("port statistics come in order, an unknown port has none", () => {
      const c = connect(OF13);
      const [reply] = c.ask({ type: "port_stats_request", port: PORTS.ANY });
      expect(reply?.type === "port_stats_reply" && reply.ports.map(({ port }) => port))
        .toEqual([1, 2]);
      expect(c.ask({ type: "port_stats_request", port: 77 })).toMatchObject([{ ports: [] }]);
    });
  });

  describe("requests that cannot be met", () => {
    test.each(
      [
        [
          "a packet-out from a port that cannot be",
          {
            type: "packet_out",
            inPort: PORTS.FLOOD,
            metadata: anyMatch(),
            actions: [],
            packet: frame(),
          },
          "OFPBRC_BAD_PORT",
        ],
        ["a reply", { type: "barrier_reply" }, "OFPBRC_BAD_TYPE"],
      ] satisfies [string, OfMessage, string][],
    )("%s", (_, message, name) => {
      expect(connect(OF13).ask(message)).toMatchObject(error(name));
    });

    test("a packet-out too short for Ethernet", () => {
      const c = connect(OF13);
      expect(c.ask({
        type: "packet_out",
        inPort: 1,
        metadata: anyMatch(),
        actions: [output(2)],
        packet: new Uint8Array(13),
      })).toMatchObject(error("OFPBRC_BAD_LEN"));
      expect(left(2)).toEqual([]);
    });
  });

  test("a barrier is answered when the datapath has caught up, and holds later requests", async () => {
    const c = connect(OF13);
    c.stream.receive(OF13, flowMod({ actions: [output(2)] }));
    c.stream.receive(OF13, { type: "barrier_request" }, 7);
    c.stream.receive(OF13, { type: "features_request" }, 8);
    expect(c.stream.sent).toEqual([]);
    for (let i = 0; i < 100 && c.stream.sent.length < 2; i++) await Bun.sleep(1);
    expect(c.stream.sent.map(({ xid }) => xid)).toEqual([7, 8]);
  });
});

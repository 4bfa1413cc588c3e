/** Controllers that flood, never read, or come by the thousand: nobody else notices. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { decode, encode } from "../../../../src/openflow/codec.ts";
import { MessageStream } from "../../../../src/openflow/stream.ts";
import type { OfMessage, PacketOut } from "../../../../src/openflow/messages/types.ts";
import { parseMatch } from "../../../../src/openflow/text/match-parse.ts";
import { GROUP_ANY, OF13, PORTS } from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { portMatch } from "../../../../src/openflow/messages/packets.ts";
import { MAX_PASSIVE } from "../../../../src/slowpath/control/service.ts";
import { eventually } from "../../../support/eventually.ts";
import { SwitchFixture } from "../bridge/fixture.ts";
import { AgentRig, error, flowMod, output } from "./agent-rig.ts";

describe("a controller", () => {
  let rig: AgentRig;
  beforeEach(async () => {
    rig = await AgentRig.create();
  });
  afterEach(() => rig.close());

  test("that sends flow-mods past the table's limit gets an error for each", () => {
    const LIMIT = 100;
    const FLOOD = 10_000;
    rig.bridge.tables.setLimit(0, LIMIT);
    const { stream } = rig.connect(OF13);
    const { ask } = rig.connect(OF13);
    for (let i = 0; i < FLOOD; i++) {
      stream.receive(OF13, flowMod({ match: parseMatch(`reg0=${i}`), actions: [output(1)] }), i);
      if (i % 2500 === 2499) expect(ask({ type: "features_request" })).toHaveLength(1);
    }
    const answers = stream.take();
    expect(answers).toHaveLength(FLOOD - LIMIT);
    expect(answers.every((m) => m.type === "error" && m.error === "OFPFMFC_TABLE_FULL")).toBe(true);
    expect(rig.bridge.tables.count(0)).toBe(LIMIT);
  }, 60_000);

  test(
    "that asks for many flows and reads late gets them all, as they were, and little waits",
    async () => {
      const FLOWS = 5000;
      const { stream } = rig.connect(OF13);
      for (let i = 0; i < FLOWS; i++) {
        stream.receive(OF13, flowMod({ match: parseMatch(`reg0=${i}`), actions: [output(1)] }), i);
      }
      stream.take();
      const seen = new Set<number>();
      const take = (): string[] =>
        stream.take().map((message) => {
          for (const { match } of message.type === "flow_stats_reply" ? message.flows : []) {
            seen.add(match.key.get(FIELDS.reg0));
          }
          return message.type;
        });
      stream.stuck = true;
      stream.receive(OF13, {
        type: "flow_stats_request",
        table: 0xff,
        match: anyMatch(),
        outPort: PORTS.ANY,
        outGroup: GROUP_ANY,
        cookie: 0n,
        cookieMask: 0n,
      });
      expect(stream.queuedBytes).toBeLessThan(400 * 1024);
      // Flows that go meanwhile are told as they were; what is asked next waits for its turn.
      rig.connect(OF13).ask(flowMod({ command: "delete", table: 0xff, priority: 0 }));
      expect(rig.bridge.tables.size).toBe(0);
      stream.receive(OF13, { type: "features_request" });
      expect(take()).not.toContain("features_reply");
      expect(seen.size).toBeLessThan(FLOWS);
      stream.stuck = false;
      let told: string[] = [];
      for (let turn = 0; turn < 20 && !told.includes("features_reply"); turn++) {
        stream.drain();
        await Bun.sleep(0);
        told = take();
      }
      expect(told).toContain("features_reply");
      expect(seen.size).toBe(FLOWS);
    },
    60_000,
  );

  const packetOut = (port: number): PacketOut => ({
    type: "packet_out",
    inPort: PORTS.CONTROLLER,
    metadata: portMatch(PORTS.CONTROLLER),
    actions: [output(port)],
    packet: new Uint8Array(60),
  });

  test("that floods packet-outs to itself and never reads is held to its queue", () => {
    const { stream, agent } = rig.connect(OF13);
    const other = rig.connect(OF13);
    // The other has its own packet-ins to read; it reads them.
    stream.stuck = true;
    for (let i = 0; i < 1000; i++) {
      stream.receive(OF13, packetOut(PORTS.CONTROLLER));
      if (i % 50 === 0) other.stream.take();
    }
    expect(stream.queuedWrites).toBeLessThanOrEqual(agent.packetInQueue);
    expect(agent.connection.counters.packetInsDropped).toBeGreaterThan(800);
    expect(other.ask({ type: "features_request" }).at(-1)).toMatchObject({
      type: "features_reply",
    });
  }, 60_000);

  test("whose flows resubmit for ever costs a packet, not the switch", async () => {
    const { ask } = rig.connect(OF13);
    const resubmit = (table: number) =>
      ({ type: "resubmit", port: PORTS.IN_PORT, table, ct: false }) as const;
    ask(flowMod({ actions: [resubmit(0), resubmit(0)] }));
    expect(await rig.arrive(new Uint8Array(60))).toEqual([]);
    expect(ask({ type: "features_request" })).toHaveLength(1);
    // One that goes deep in steps that end is run to its end.
    ask(flowMod({ command: "delete", table: 0xff, priority: 0 }));
    for (let table = 0; table < 40; table++) {
      ask(flowMod({ table, actions: table === 39 ? [output(2)] : [resubmit(table + 1)] }));
    }
    expect(await rig.arrive(new Uint8Array(60))).toEqual([60]);
  });

  test("that sends every message cut short or too long gets one error for each", () => {
    const { stream } = rig.connect(OF13);
    const whole = encode(OF13, 7, flowMod({ actions: [output(1)] }));
    for (let length = 8; length < whole.length; length++) {
      const cut = whole.slice(0, length);
      new DataView(cut.buffer).setUint16(2, length);
      stream.raw(cut);
      const [answer, ...more] = stream.take();
      expect(more).toEqual([]);
      // Actions may end early at an action's end.
      if (answer) expect(answer.type).toBe("error");
    }
    const long = new Uint8Array([...encode(OF13, 7, { type: "barrier_request" }), 0, 0, 0, 0]);
    new DataView(long.buffer).setUint16(2, long.length);
    stream.raw(long);
    expect(stream.take()).toMatchObject(error("OFPBRC_BAD_LEN"));
  });
});

describe("a thousand connections", () => {
  let s: SwitchFixture;
  beforeEach(async () => {
    s = await SwitchFixture.start();
    await s.addBridge("br0");
  });
  afterEach(() => s.stop());

  test("leave the socket usable, for as many as it takes at once", async () => {
    const path = join(s.dir, "br0.mgmt");
    const hello = encode(OF13, 1, { type: "hello", versions: 1 << OF13 });
    const sockets: Socket[] = [];
    let greeted = 0;
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const socket = connect({ path });
      let heard = false;
      socket.on("data", () => {
        if (!heard) greeted++;
        heard = true;
      });
      socket.on("close", () => {
        if (!heard) refused++;
      });
      socket.on("error", () => {});
      socket.write(hello);
      sockets.push(socket);
    }
    await eventually("an answer for each", () => greeted + refused === 1000, {
      timeoutMs: 60_000,
    });
    expect(greeted).toBeLessThanOrEqual(MAX_PASSIVE);
    expect(greeted).toBeGreaterThan(0);
    for (const socket of sockets) socket.destroy();

    const answers: OfMessage[] = [];
    await eventually("a connection after that", async () => {
      const socket = connect({ path });
      const frames = new MessageStream();
      socket.on("error", () => {});
      socket.on("data", (bytes: Uint8Array) => {
        frames.push(bytes, (frame) => answers.push(decode(frame).message));
      });
      socket.write(hello);
      socket.write(encode(OF13, 2, { type: "features_request" }));
      await Bun.sleep(50);
      socket.destroy();
      return answers.some(({ type }) => type === "features_reply");
    }, { timeoutMs: 30_000 });
  }, 120_000);
});

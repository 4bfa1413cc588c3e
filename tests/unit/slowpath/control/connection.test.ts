import { describe, expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import type { OfMessage } from "../../../../src/openflow/messages/types.ts";
import { OF10, OF13, type OfVersion } from "../../../../src/openflow/version.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import {
  Connection,
  HELLO_TIMEOUT_MS,
  MAX_QUEUE_BYTES,
  READ_PAUSE_BYTES,
} from "../../../../src/slowpath/control/connection.ts";
import { FakeStream } from "./fake-stream.ts";

const BOTH = (1 << OF10) | (1 << OF13);

function connect(options: { versions?: number; probeMs?: number } = {}) {
  const clock = new ManualClock();
  const stream = new FakeStream();
  const log: string[] = [];
  const opened: OfVersion[] = [];
  const messages: OfMessage[] = [];
  const closed: string[] = [];
  let hold: Promise<void> | undefined;
  const connection = new Connection(
    stream,
    {
      clock,
      log: new LogSink((line) => log.push(line)).logger("rconn"),
      versions: options.versions ?? BOTH,
      probeMs: options.probeMs ?? 5000,
    },
    {
      opened: (version) => opened.push(version),
      message: ({ message }) => {
        messages.push(message);
        return hold;
      },
      closed: (reason) => closed.push(reason),
    },
  );
  stream.events = connection;
  return {
    clock,
    stream,
    connection,
    log,
    opened,
    messages,
    closed,
    holdNext(promise: Promise<void> | undefined) {
      hold = promise;
    },
  };
}

function open(options: { versions?: number; probeMs?: number } = {}) {
  const c = connect(options);
  c.stream.receive(OF13, { type: "hello", versions: BOTH });
  c.stream.take();
  return c;
}

describe("hello", () => {
  test("says all versions, and takes the highest common one", () => {
    const c = connect();
    expect(c.stream.take()).toEqual([{ type: "hello", versions: BOTH }]);
    c.stream.receive(OF10, { type: "hello", versions: 1 << OF10 });
    expect(c.opened).toEqual([OF10]);
    expect(c.connection.version).toBe(OF10);
  });

  test("without a common version is refused with a text, and the connection closed", () => {
    const c = connect({ versions: 1 << OF13 });
    c.stream.take();
    c.stream.receive(OF10, { type: "hello", versions: 1 << OF10 });
    const [error] = c.stream.take();
    expect(error).toMatchObject({ type: "error", error: "OFPHFC_INCOMPATIBLE" });
    if (error?.type === "error") {
      expect(new TextDecoder().decode(error.data)).toContain("no common versions");
    }
    expect(c.closed).toHaveLength(1);
    expect(c.opened).toEqual([]);
    expect(c.log.join()).toContain("version negotiation failed");
  });

  test("must come first", () => {
    const c = connect();
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.closed).toEqual(["first message was not an OpenFlow hello"]);
  });

  test("must come within 10 seconds", () => {
    const c = connect();
    c.clock.advance(HELLO_TIMEOUT_MS - 1);
    expect(c.closed).toEqual([]);
    c.clock.advance(1);
    expect(c.closed).toHaveLength(1);
  });
});

describe("messages", () => {
  test("may come in pieces and together", () => {
    const c = open();
    c.stream.receive(OF13, { type: "features_request" });
    const bytes = Uint8Array.of(4, 5, 0, 8, 0, 0, 0, 1, 4, 20, 0, 8, 0, 0, 0, 2);
    for (const byte of bytes) c.stream.raw(Uint8Array.of(byte));
    c.stream.raw(bytes);
    expect(c.messages.map(({ type }) => type)).toEqual([
      "features_request",
      "features_request",
      "barrier_request",
      "features_request",
      "barrier_request",
    ]);
  });

  test("echo requests are answered with their data", () => {
    const c = open();
    c.stream.receive(OF13, { type: "echo_request", data: Uint8Array.of(1, 2, 3) });
    expect(c.stream.take()).toEqual([{ type: "echo_reply", data: Uint8Array.of(1, 2, 3) }]);
    expect(c.messages).toEqual([]);
  });

  test("that cannot be decoded get their error, and the connection goes on", () => {
    const c = open();
    c.stream.raw(Uint8Array.of(4, 99, 0, 8, 0, 0, 0, 7));
    const sent = c.stream.sent[0]!;
    expect(sent.xid).toBe(7);
    expect(sent.message).toMatchObject({ type: "error", error: "OFPBRC_BAD_TYPE" });
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.messages).toHaveLength(1);
    expect(c.connection.counters.badMessages).toBe(1);
  });

  test("of another version get an error in theirs, and the connection goes on", () => {
    const c = open();
    c.stream.receive(OF10, { type: "features_request" });
    expect(c.stream.sent[0]!.version).toBe(OF10);
    expect(c.stream.take()).toMatchObject([{ type: "error", error: "OFPBRC_BAD_VERSION" }]);
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.messages).toHaveLength(1);
  });

  test("too short to be one end the connection", () => {
    const c = open();
    c.stream.raw(Uint8Array.of(4, 5, 0, 4, 0, 0, 0, 1));
    expect(c.closed).toHaveLength(1);
  });

  test("wait while one takes time, and reading stops", async () => {
    const c = open();
    const { promise, resolve } = Promise.withResolvers<void>();
    c.holdNext(promise);
    c.stream.receive(OF13, { type: "barrier_request" });
    c.holdNext(undefined);
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.messages).toHaveLength(1);
    expect(c.stream.paused).toBe(true);
    resolve();
    await Bun.sleep(0);
    expect(c.messages).toHaveLength(2);
    expect(c.stream.paused).toBe(false);
  });

  test("a handler's fault ends its connection only", () => {
    const c = open();
    c.connection["events"].message = () => {
      throw new Error("a bug");
    };
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.closed).toEqual(["internal error"]);
    expect(c.log.join()).toContain("a bug");
  });
});

describe("a peer that does not read", () => {
  test("is not read from while much waits for it", () => {
    const c = open();
    c.stream.stuck = true;
    c.connection.send({ type: "echo_request", data: new Uint8Array(60_000) });
    for (let i = 0; i < READ_PAUSE_BYTES / 60_000; i++) {
      c.connection.send({ type: "echo_request", data: new Uint8Array(60_000) });
    }
    c.stream.receive(OF13, { type: "features_request" });
    expect(c.messages).toEqual([]);
    expect(c.stream.paused).toBe(true);
    c.stream.drain();
    expect(c.messages).toHaveLength(1);
    expect(c.stream.paused).toBe(false);
  });

  test("is dropped when too much waits for it", () => {
    const c = open();
    c.stream.stuck = true;
    const message: OfMessage = { type: "echo_request", data: new Uint8Array(60_000) };
    for (let i = 0; i < MAX_QUEUE_BYTES / 60_000 + 1; i++) c.connection.send(message);
    expect(c.closed).toEqual(["peer does not read"]);
    expect(c.log.join()).toContain("dropping the connection");
  });
});

describe("silence", () => {
  test("is probed, and a peer that answers stays", () => {
    const c = open();
    c.clock.advance(5000);
    expect(c.stream.take()).toMatchObject([{ type: "echo_request" }]);
    expect(c.connection.state).toBe("idle");
    c.clock.advance(4000);
    c.stream.receive(OF13, { type: "echo_reply", data: new Uint8Array(0) });
    expect(c.connection.state).toBe("active");
    c.clock.advance(4900);
    expect(c.closed).toEqual([]);
  });

  test("for two intervals ends the connection", () => {
    const c = open();
    c.clock.advance(9999);
    expect(c.closed).toEqual([]);
    c.clock.advance(1);
    expect(c.closed).toEqual(["no response to inactivity probe"]);
    expect(c.log.join()).toContain("no response to inactivity probe after 5 seconds");
  });

  test("does not matter without a probe interval", () => {
    const c = open({ probeMs: 0 });
    c.clock.advance(3_600_000);
    expect(c.stream.take()).toEqual([]);
    expect(c.closed).toEqual([]);
  });

  test("is excused while the peer takes what it was sent", () => {
    const c = open();
    c.stream.stuck = true;
    c.connection.send({ type: "echo_request", data: new Uint8Array(50_000) });
    c.connection.send({ type: "echo_request", data: new Uint8Array(50_000) });
    c.clock.advance(5000);
    for (let i = 0; i < 10; i++) {
      c.stream.queuedBytes -= 5000;
      c.clock.advance(5000);
    }
    expect(c.closed).toEqual([]);
    c.clock.advance(10_000);
    expect(c.closed).toEqual(["no response to inactivity probe"]);
  });
});

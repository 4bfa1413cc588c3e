import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { decode, encode } from "../../../../src/openflow/codec.ts";
import type { OfMessage } from "../../../../src/openflow/messages/types.ts";
import { MessageStream } from "../../../../src/openflow/stream.ts";
import { OF10, OF13, type OfVersion } from "../../../../src/openflow/version.ts";
import { SwitchFixture } from "../bridge/fixture.ts";

/** A peer over a real socket: a client of BRIDGE.mgmt or of a passive controller. */
function client(target: string | { port: number }, version: OfVersion = OF10) {
  const socket = typeof target === "string"
    ? connectSocket({ path: target })
    : connectSocket({ host: "127.0.0.1", port: target.port });
  const got: OfMessage[] = [];
  const frames = new MessageStream();
  let ended = false;
  socket.on(
    "data",
    (bytes: Uint8Array) => frames.push(bytes, (frame) => got.push(decode(frame).message)),
  );
  socket.on("close", () => ended = true);
  socket.on("error", () => {});
  const send = (message: OfMessage): void => void socket.write(encode(version, 9, message));
  send({ type: "hello", versions: 1 << version });
  return { got, send, socket, isEnded: () => ended };
}

/** A controller that waits for the switch on a port of its own. */
function controller(version: OfVersion) {
  const got: OfMessage[] = [];
  const sockets = new Set<{ write(bytes: Uint8Array): number; end(): void }>();
  const listener = Bun.listen<{ frames: MessageStream }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { frames: new MessageStream() };
        sockets.add(socket);
        socket.write(encode(version, 1, { type: "hello", versions: 1 << version }));
      },
      data(socket, bytes) {
        socket.data.frames.push(bytes, (frame) => got.push(decode(frame).message));
      },
      close(socket) {
        sockets.delete(socket);
      },
    },
  });
  return {
    got,
    target: `tcp:127.0.0.1:${listener.port}`,
    send: (message: OfMessage) => {
      for (const socket of sockets) socket.write(encode(version, 9, message));
    },
    hangUp: () => {
      for (const socket of sockets) socket.end();
    },
    connections: () => sockets.size,
    stop: () => listener.stop(true),
  };
}

describe("OpenFlow services of a bridge", () => {
  let s: SwitchFixture;
  beforeEach(async () => {
    s = await SwitchFixture.start();
    await s.addBridge("br0");
  });
  afterEach(() => s.stop());

  const setControllers = (...targets: string[]): Promise<void> =>
    s.change((txn) => {
      const rows = targets.map((target) => txn.insert("Controller", { target }));
      txn.update("Bridge", s.bridge("br0")._uuid, { controller: rows });
    });
  const row = () => s.replica.rows("Controller").values().next().value!;

  test("the management socket answers in any version that the bridge speaks", async () => {
    for (const version of [OF10, OF13] as const) {
      const c = client(join(s.dir, "br0.mgmt"), version);
      c.send({ type: "features_request" });
      await s.until(() => c.got.length === 2);
      expect(c.got[1]).toMatchObject({ type: "features_reply", buffers: 256 });
      c.socket.destroy();
    }
  });

  test("the protocols column is what is offered", async () => {
    await s.change((txn) => {
      txn.update("Bridge", s.bridge("br0")._uuid, { protocols: ["OpenFlow13"] });
    });
    const c = client(join(s.dir, "br0.mgmt"), OF10);
    await s.until(() => c.isEnded());
    expect(c.got).toMatchObject([
      { type: "hello", versions: 1 << OF13 },
      { type: "error", error: "OFPHFC_INCOMPATIBLE" },
    ]);
  });

  test("a controller is connected to, its state written back, and called again when it hangs up", async () => {
    const c = controller(OF13);
    await setControllers(c.target);
    await s.until(() => row().is_connected);
    expect(row()).toMatchObject({ role: "other" });
    expect(row().status.get("state")).toBe("ACTIVE");
    c.send({ type: "role_request", role: "primary", generationId: 1n });
    await s.until(() => c.got.some(({ type }) => type === "role_reply"));
    c.hangUp();
    await s.until(() => !row().is_connected);
    expect(row().role).toBeUndefined();
    await s.until(() => row().is_connected);
    expect(c.connections()).toBe(1);
    await setControllers();
    await s.until(() => c.connections() === 0);
    c.stop();
  });

  test("a passive controller takes connections, and its row shows none", async () => {
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const port = probe.port;
    probe.stop(true);
    await setControllers(`ptcp:${port}:127.0.0.1`);
    const c = client({ port }, OF13);
    c.send({ type: "barrier_request" });
    await s.until(() => c.got.some(({ type }) => type === "barrier_reply"));
    expect(row().is_connected).toBe(false);
    await setControllers();
    await s.until(() => c.isEnded());
  });

  test.each([
    ["ssl:127.0.0.1:6653", "not set up for TLS"],
    ["pssl:0:127.0.0.1", "not set up for TLS"],
    ["carrier-pigeon:1", "unknown kind of connection"],
  ])("%s shows why it is not served", async (target, problem) => {
    await setControllers(target);
    await s.until(() => row().status.size > 0);
    expect(row().status.get("last_error")).toContain(problem);
    expect(s.log.join("\n")).toContain(problem);
  });

  test("sockets of controllers are in the run directory, those to be made named as the bridge", async () => {
    const outside = [
      "unix:/tmp/elsewhere.sock",
      `unix:${s.dir}/../elsewhere.sock`,
      `punix:${s.dir}/other`,
      `punix:${s.dir}/br0.x/../../overwritten`,
      `punix:${s.dir}/br0.x/y`,
    ];
    for (const target of outside) {
      await setControllers(target);
      expect(row().status.get("last_error")).toMatch(/: Not (?:adding|connecting to) /);
    }
    await setControllers(`punix:${s.dir}/br0.extra`);
    const c = client(join(s.dir, "br0.extra"), OF13);
    c.send({ type: "barrier_request" });
    await s.until(() => c.got.some(({ type }) => type === "barrier_reply"));
  });

  test("a snooper sees what the controller and the switch say", async () => {
    const c = controller(OF13);
    await setControllers(c.target);
    await s.until(() => row().is_connected);
    const snooper = client(join(s.dir, "br0.snoop"), OF13);
    await s.until(() => snooper.got.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    c.send({ type: "barrier_request" });
    await s.until(() => snooper.got.length === 3);
    expect(snooper.got.map(({ type }) => type)).toEqual([
      "hello",
      "barrier_request",
      "barrier_reply",
    ]);
    snooper.socket.destroy();
    c.stop();
  });
});

/**
 * Bad input from every side, while a ping runs through the switch: the one who sent it gets an error
 * or is cut off, nobody else notices, and the ping loses nothing. And the other rough treatment:
 * kill -9, a second instance, an orderly stop.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { eventually } from "../support/eventually.ts";
import { run } from "../support/exec.ts";
import { ethernet } from "../support/frames.ts";
import { addHost, type Host, ping, pingMeanwhile, reaches } from "../support/hosts.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { flowMod, message, OFPT, outputAction } from "../support/openflow-peer.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { Seeded } from "../support/seeded.ts";
import {
  ROOT,
  type RunningSwitch,
  solovsCommand,
  startSwitch,
  SWITCH_TOOLS,
  underTestIsStock,
} from "../support/switch.ts";
import { UnixPeer } from "../support/unix-peer.ts";

const stock = underTestIsStock();
const TOOLS = [...SWITCH_TOOLS, "ping"];

let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host, far: Namespace;

async function setUp(): Promise<void> {
  sandbox = await Sandbox.create();
  sw = await startSwitch(sandbox, await sandbox.netns("sw"));
  await sw.addBridge("br0");
  h1 = await addHost(sandbox, sw.ns, 1);
  h2 = await addHost(sandbox, sw.ns, 2);
  far = await sandbox.netns("far");
  await sandbox.veth({ ns: far, name: "far3" }, { ns: sw.ns, name: "p3" });
  await sw.clients.vsctl("add-port br0 p1 -- add-port br0 p2 -- add-port br0 p3");
  expect(await reaches(h1.ns, h2.ip)).toBe(true);
}

async function tearDown(): Promise<void> {
  await sw?.stop();
  await sandbox?.dispose();
}

/** Runs `abuse` while a ping of 50 packets/s goes through; the ping must lose nothing. */
async function undisturbed(abuse: () => Promise<void>): Promise<void> {
  const pinging = pingMeanwhile(h1.ns, h2.ip, { intervalSec: 0.02 });
  await Bun.sleep(200);
  try {
    await abuse();
  } finally {
    await Bun.sleep(200);
    const result = await pinging.finish();
    expect(result.sent).toBeGreaterThan(5);
    // Every one up to the last that was answered; the few after it were under way at the end.
    expect(result.lastAnswered - result.received).toBe(0);
    expect(result.sent - result.lastAnswered).toBeLessThan(50);
    expect(result.duplicates).toBe(0);
  }
  expect(await sw.clients.vsctl("list-br")).toBe("br0");
  expect(await sw.clients.ofctl("dump-flows br0")).toContain("actions=NORMAL");
}

describePrivileged("bad input", TOOLS, () => {
  beforeAll(setUp, 30_000);
  afterAll(tearDown, 30_000);

  /** Sends bytes to the database; returns what came back, after an answer or the end. */
  const askDatabase = async (text: string | Uint8Array): Promise<UnixPeer> => {
    const peer = await UnixPeer.connect(`${sw.runDir}/db.sock`);
    peer.send(text);
    await eventually(
      "an answer or the end of the connection",
      () => peer.closed || peer.bytes.length > 0,
    );
    peer.close();
    return peer;
  };

  test("JSON that is none: the connection ends, no other does", async () => {
    const bystander = await UnixPeer.connect(`${sw.runDir}/db.sock`);
    await undisturbed(async () => {
      for (
        const bad of [
          '{"method": ]',
          "GET / HTTP/1.1\r\n\r\n",
          '{"id":1,"method":"echo","params":[}',
          "\u0000\u0001\u0002",
          '"just a string"',
          '{"id":1,"method":"transact","params":{}}',
          "[1,2,3]",
          "[".repeat(100_000),
          '{"a":'.repeat(50_000),
          Uint8Array.of(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d),
        ]
      ) {
        const peer = await askDatabase(bad);
        expect(peer.closed || peer.text.includes('"error"')).toBe(true);
      }
    });
    bystander.send('{"id":7,"method":"echo","params":["still here"]}');
    await eventually("the bystander's echo", () => bystander.text.includes("still here"));
    bystander.close();
  }, 60_000);

  test("requests that make no sense get an error with their id", async () => {
    await undisturbed(async () => {
      for (
        const [method, params] of [
          ["nosuchmethod", "[]"],
          ["transact", "[]"],
          ["transact", '["NoSuchDatabase"]'],
          ["transact", "[42]"],
          ["monitor", '["Open_vSwitch",null,{"NoSuchTable":{}}]'],
          ["monitor", '["Open_vSwitch",null,{"Bridge":{"columns":["nosuch"]}}]'],
          ["monitor_cond", '["Open_vSwitch",1,7]'],
          ["get_schema", '["nosuch"]'],
          ["lock", "[1,2]"],
        ]
      ) {
        const peer = await askDatabase(`{"id":"x1","method":"${method}","params":${params}}`);
        const reply = JSON.parse(peer.text);
        expect({ method, params, id: reply.id }).toEqual({
          method: method!,
          params: params!,
          id: "x1",
        });
        expect(reply.error).not.toBeNull();
      }
    });
  }, 30_000);

  test("operations that make no sense fail by themselves, and commit nothing", async () => {
    await undisturbed(async () => {
      for (
        const op of [
          '{"op":"nosuch"}',
          '{"op":"insert","table":"NoSuch","row":{}}',
          '{"op":"insert","table":"Bridge","row":{"name":7}}',
          '{"op":"insert","table":"Bridge","row":{"nosuch":"x"}}',
          '{"op":"update","table":"Bridge","where":[["name","~~","x"]],"row":{}}',
          '{"op":"mutate","table":"Bridge","where":[],"mutations":[["name","+=",1]]}',
          '{"op":"select","table":"Bridge","where":"all"}',
          '{"op":"update","table":"Interface","where":[],"row":{"ofport_request":1e400}}',
          '{"op":"abort"}',
          "null",
          "[]",
        ]
      ) {
        const bad = `["Open_vSwitch",{"op":"update","table":"Bridge","where":[],` +
          `"row":{"external_ids":["map",[["leaked","yes"]]]}},${op}]`;
        const peer = await askDatabase(`{"id":1,"method":"transact","params":${bad}}`);
        expect({ op, text: peer.text }).toMatchObject({ op });
        if (!peer.closed || peer.text !== "") {
          expect(peer.text).toMatch(/"error":\s*"|syntax error/);
        }
        expect(await sw.clients.vsctl("get bridge br0 external_ids")).toBe("{}");
      }
    });
  }, 60_000);

  test("200 idle connections to the database do not keep the next one out", async () => {
    const peers: UnixPeer[] = [];
    for (let i = 0; i < 200; i++) {
      // Refused while the queue of the listening socket is full.
      peers.push(
        await eventually("a connection", () => UnixPeer.connect(`${sw.runDir}/db.sock`)),
      );
    }
    await undisturbed(async () => {
      expect(await sw.clients.vsctl("list-br")).toBe("br0");
    });
    for (const peer of peers) peer.close();
  }, 30_000);

  const askBridge = async (...messages: readonly Uint8Array[]): Promise<UnixPeer> => {
    const peer = await UnixPeer.connect(`${sw.runDir}/br0.mgmt`);
    for (const each of messages) peer.send(each);
    return peer;
  };
  const hello = message(1, OFPT.hello, new Uint8Array());

  test("OpenFlow: what no version allows ends the connection", async () => {
    await undisturbed(async () => {
      for (
        const bad of [
          Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1), // length 0
          Uint8Array.of(1, 0, 0, 7, 0, 0, 0, 1), // shorter than its header
          Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 1), // version 0: nothing in common
        ]
      ) {
        const peer = await askBridge(bad);
        await eventually(`the end after ${bad}`, () => peer.closed);
        peer.close();
      }
    });
  }, 30_000);

  test("OpenFlow: a bad request gets its error, and the connection goes on", async () => {
    await undisturbed(async () => {
      const peer = await askBridge(hello);
      await eventually("hello", () => peer.bytes.length >= 8);
      const typesSeen = () => {
        const types: number[] = [];
        const { bytes } = peer;
        for (let at = 0; at + 8 <= bytes.length;) {
          types.push(bytes[at + 1]!);
          at += Math.max(8, (bytes[at + 2]! << 8) | bytes[at + 3]!);
        }
        return types;
      };
      const zeroLengthAction = flowMod(1, { actions: [Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 0)] });
      const oddLengthAction = flowMod(1, { actions: [Uint8Array.of(0, 0, 0, 9, 0, 1, 0, 0)] });
      const tooLongAction = flowMod(1, { actions: [Uint8Array.of(0, 0, 1, 0, 0, 1, 0, 0)] });
      const badPort = flowMod(1, { actions: [outputAction(1, 0xff55)] });
      const bad = [
        message(1, 99, new Uint8Array(4)), // unknown type
        message(1, OFPT.flowMod, new Uint8Array(10)), // truncated
        message(1, OFPT.packetOut, new Uint8Array(3)),
        message(1, 16, Uint8Array.of(0x7f, 0x7f, 0, 0)), // unknown statistics
        zeroLengthAction,
        oddLengthAction,
        tooLongAction,
        badPort,
      ];
      for (const [index, each] of bad.entries()) {
        peer.send(each);
        await eventually(
          `error ${index + 1} of ${bad.length}`,
          () => typesSeen().filter((type) => type === OFPT.error).length === index + 1,
          { timeoutMs: 2000 },
        );
      }
      peer.send(message(1, OFPT.echoRequest, Uint8Array.of(1, 2, 3)));
      await eventually("echo after all that", () => typesSeen().includes(OFPT.echoReply));
      peer.close();
    });
  }, 30_000);

  test("OpenFlow: random messages of every type", async () => {
    const random = new Seeded();
    await undisturbed(async () => {
      for (const version of [1, 4]) {
        for (let round = 0; round < 12; round++) {
          const peer = await askBridge(message(version, OFPT.hello, new Uint8Array()));
          for (let i = 0; i < 30; i++) {
            // Not those that succeed at changing something: FLOW_MOD and PORT_MOD stay out.
            const type = random.pick([
              2,
              3,
              4,
              5,
              6,
              7,
              8,
              10,
              11,
              12,
              13,
              16,
              17,
              18,
              19,
              20,
              25,
              30,
            ]);
            peer.send(message(version, type, random.bytes(random.next(120)), i));
          }
          await Bun.sleep(5);
          peer.close();
        }
      }
    });
  }, 30_000);

  test("packets: random frames, and frames cut off at every length", async () => {
    const random = new Seeded();
    const port = new RawPort(far, "far3");
    const source = "02:33:00:00:00:03";
    await undisturbed(async () => {
      const types = [0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8847, 0x88cc, 0x0001, 0xffff];
      for (let i = 0; i < 3000; i++) {
        const type = random.pick(types);
        const body = random.bytes(random.next(200));
        // Plausible first bytes, so that the parsers get beyond them.
        if (type === 0x0800 && body.length > 0) body[0] = random.pick([0x45, 0x4f, 0x46, 0x41]);
        if (type === 0x86dd && body.length > 0) body[0] = 0x60;
        const to = random.pick(["02:99:00:00:00:01", "01:80:c2:00:00:00", "02:99:00:00:00:02"]);
        const frame = ethernet(to, source, type, body);
        port.send(frame.subarray(0, 14 + body.length));
        if (i % 100 === 0) await Bun.sleep(5);
      }
    });
    port.close();
  }, 60_000);

  test("the log has no stack traces and no unexpected errors", () => {
    expect(sw.log()).not.toMatch(/^\s+at .+:\d+:\d+/m);
    expect(sw.log()).not.toMatch(/unexpected error/i);
  });
});

describePrivileged("bad arguments", [], () => {
  const cases: readonly (readonly string[])[] = [
    ["nosuchcommand"],
    ["run", "--nosuchoption"],
    ["run", "--http", "nonsense"],
    ["run", "--http", "127.0.0.1:99999"],
    ["run", "--run-dir"],
    ["run", "--run-dir", "/proc/nosuch/dir", "--db", "/tmp/solovs-never-made.db"],
  ];
  for (const args of cases) {
    test.skipIf(stock)(`solovs ${args.join(" ")}`, async () => {
      const result = await run([...solovsCommand(), ...args], { cwd: ROOT, timeoutMs: 5000 });
      expect(result.code).toBeGreaterThan(0);
      expect(result.code).toBeLessThan(126);
      expect(result.stderr.trim()).not.toBe("");
      expect(result.stdout + result.stderr).not.toMatch(/^\s+at .+:\d+:\d+/m);
    }, 10_000);
  }
});

describePrivileged("rough treatment", TOOLS, () => {
  beforeAll(setUp, 30_000);
  afterAll(tearDown, 30_000);

  test("kill -9 loses nothing that was committed", async () => {
    const random = new Seeded();
    for (let round = 0; round < 3; round++) {
      let committed = -1;
      let stop = false;
      const writing = (async () => {
        for (let n = 0; !stop; n++) {
          const value = `external-ids:n=${round * 100_000 + n}`;
          const result = await sw.clients.tryVsctl("--no-wait", "set", "bridge", "br0", value);
          if (result.code !== 0) return;
          committed = round * 100_000 + n;
        }
      })();
      await eventually("a first commit", () => committed >= 0);
      await Bun.sleep(50 + random.next(200));
      await sw.killNow();
      stop = true;
      await writing;
      await sw.restart();
      const found = Number(
        (await sw.clients.vsctl("get bridge br0 external-ids:n")).replaceAll('"', ""),
      );
      // The one whose answer was under way may be there too.
      expect([committed, committed + 1]).toContain(found);
      expect(await sw.clients.vsctl("list-ports br0")).toBe("p1\np2\np3");
    }
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    expect((await ping(h1.ns, h2.ip, { count: 10, intervalSec: 0.02 })).duplicates).toBe(0);
  }, 90_000);

  test.skipIf(stock)("a second instance refuses, naming the first one's pid", async () => {
    const own = ["--db", `${sandbox.tempDir("other")}/other.sqlite`, "--http", "127.0.0.1:8090"];
    const sameDirectory = await sw.ns.run(
      [...solovsCommand(), "run", "--run-dir", sw.runDir, ...own],
      { cwd: ROOT, timeoutMs: 10_000 },
    );
    expect(sameDirectory.code).toBeGreaterThan(0);
    expect(sameDirectory.stderr).toContain(String(sw.pid));
    const db = resolve(sw.runDir, "conf.sqlite");
    const sameDatabase = await sw.ns.run(
      [
        ...[...solovsCommand(), "run", "--run-dir", sandbox.tempDir("other")],
        ...["--db", db, "--http", "127.0.0.1:8090"],
      ],
      { cwd: ROOT, timeoutMs: 10_000 },
    );
    expect(sameDatabase.code).toBeGreaterThan(0);
    expect(sameDatabase.stderr).toContain(String(sw.pid));
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
  }, 30_000);

  test("an orderly stop leaves nothing, and the next start takes up where it was", async () => {
    await sw.clients.vsctl("add-port br0 in0 -- set interface in0 type=internal");
    await sw.stop();
    expect(await sw.ns.link("p1")).toBeDefined();
    await sw.restart();
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    await eventually(
      "the internal port is back",
      async () => (await sw.ns.link("in0")) !== undefined,
    );
  }, 40_000);
});

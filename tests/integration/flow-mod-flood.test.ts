/**
 * A controller that sends flow-mods without end past the table's limit: each gets its error, the table
 * keeps what it has, and others are served meanwhile.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Sandbox } from "../support/netns.ts";
import { flowMod, message, OFPT, outputAction } from "../support/openflow-peer.ts";
import { describePrivileged } from "../support/privileged.ts";
import { type RunningSwitch, startSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const LIMIT = 100;
/** A million costs half a minute of a processor: that many if FLOW_MOD_FLOOD says so. */
const FLOOD = Number(process.env.FLOW_MOD_FLOOD ?? 100_000);
/** Messages of one write. */
const BATCH = 1000;
const OFPFMFC_TABLE_FULL = { type: 3, code: 0 } as const;
/** OpenFlow 1.0: where the priority stands in a flow-mod, and the Ethernet type in its match. */
const PRIORITY_AT = 62;

/** Counts what comes back without keeping it. */
class Tally {
  errors = 0;
  readonly others = new Map<string, number>();
  private rest: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): void {
    let bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 8) {
      const length = bytes.readUInt16BE(at + 2);
      if (bytes.length - at < length) break;
      const type = bytes[at + 1]!;
      const isFull = type === OFPT.error &&
        bytes.readUInt16BE(at + 8) === OFPFMFC_TABLE_FULL.type &&
        bytes.readUInt16BE(at + 10) === OFPFMFC_TABLE_FULL.code;
      if (isFull) this.errors++;
      else this.others.set(`${type}`, (this.others.get(`${type}`) ?? 0) + 1);
      at += length;
    }
    bytes = bytes.subarray(at);
    this.rest = Buffer.from(bytes);
  }
}

/** A batch of flow-mods whose priorities and cookies differ. */
function batchFrom(first: number): Buffer {
  const bytes = Buffer.concat(
    Array.from({ length: BATCH }, (_, i) => {
      const one = Buffer.from(flowMod(1, { actions: [outputAction(1, 1)] }));
      one.writeUInt16BE((first + i) % 0xffff, PRIORITY_AT);
      return one;
    }),
  );
  return bytes;
}

async function write(socket: Socket, bytes: Buffer): Promise<void> {
  if (!socket.write(bytes)) await once(socket, "drain");
}

describePrivileged("flow-mods without end past the table's limit", SWITCH_TOOLS, () => {
  let sandbox: Sandbox, sw: RunningSwitch;
  beforeAll(async () => {
    sandbox = await Sandbox.create();
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    await sw.clients.ofctl("del-flows br0");
    await sw.clients.vsctl(
      `-- --id=@t create Flow_Table flow_limit=${LIMIT} -- set bridge br0 flow_tables:0=@t`,
    );
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test("each gets its error, and others are served", async () => {
    const socket = connect(`${sw.runDir}/br0.mgmt`);
    await once(socket, "connect");
    const tally = new Tally();
    socket.on("data", (chunk: Buffer) => tally.take(chunk));
    await write(socket, Buffer.from(message(1, OFPT.hello, new Uint8Array())));
    const batch = batchFrom(0);
    for (let sent = 0; sent < FLOOD; sent += BATCH) {
      await write(socket, batch);
      if (sent % (FLOOD / 4) === 0) expect(await sw.clients.vsctl("list-br")).toBe("br0");
    }
    // The answer to a barrier comes after all errors.
    await write(socket, Buffer.from(message(1, 18, new Uint8Array())));
    while (!tally.others.has("19")) await once(socket, "data");
    // Those that are in the table are put there again, each time that their turn comes.
    const rounds = FLOOD / BATCH;
    expect(tally.errors).toBe(FLOOD - LIMIT * rounds);
    expect(Object.fromEntries(tally.others)).toEqual({ "0": 1, "19": 1 });
    const flows = (await sw.clients.ofctl("dump-flows br0")).split("\n")
      .filter((line) => line.includes("actions="));
    expect(flows).toHaveLength(LIMIT);
    socket.destroy();
  }, 240_000);
});

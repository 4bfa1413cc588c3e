/** A port's receiving socket is replaced by one with a larger ring while frames come in. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { close, ifNameToIndex } from "../../src/linux/libc.ts";
import {
  openPacketSocket,
  PacketSocket,
  replacePacketSocket,
  RING_FRAME_BYTES,
  TP_STATUS_USER,
} from "../../src/linux/packet-socket.ts";
import { eventually } from "../support/eventually.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { ROOT } from "../support/switch.ts";

/** No ring can overflow: each has room for all frames. */
const FRAMES = 2048;
const ETH_TYPE = 0x88b6;

describePrivileged("a larger ring in the place of a small one", [], () => {
  let sandbox: Sandbox;
  let ns: Namespace;

  beforeEach(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("ring");
    await sandbox.veth({ ns, name: "tx0" }, { ns, name: "rx0" });
  });
  afterEach(() => sandbox.dispose());

  /** Numbers of the frames in a ring that nobody has given a frame back to. */
  function numbers({ ring, frames }: PacketSocket): number[] {
    const view = new DataView(ring.buffer, ring.byteOffset, ring.byteLength);
    const found: number[] = [];
    for (let i = 0; i < frames; i++) {
      const at = i * RING_FRAME_BYTES;
      if ((view.getUint32(at, true) & TP_STATUS_USER) === 0) break;
      const mac = at + view.getUint16(at + 12, true);
      if (view.getUint16(mac + 12) === ETH_TYPE) found.push(view.getUint32(mac + 14));
    }
    return found;
  }

  test("each frame is in one of the two rings, the older ones in the old one", async () => {
    const script = `${ROOT}/tests/support/numbered-sender.ts`;
    const send = (first: number, end: number) =>
      ns.spawn([process.execPath, script, "tx0", String(first), String(end)]);
    for (let round = 0; round < 2; round++) {
      const old = ns.inside(() => openPacketSocket(ifNameToIndex("rx0"), FRAMES));
      const before = new PacketSocket(old);
      const [later, end] = [FRAMES - 256, FRAMES - 64];
      const meanwhile = send(0, later);
      await eventually("the first frames", () => numbers(before).length > 100);
      const next = ns.inside(() => replacePacketSocket(old, FRAMES));
      const after = new PacketSocket(next);
      const first = numbers(before);
      expect(await meanwhile.ended(20_000)).toBe(0);
      expect(await send(later, end).ended(20_000)).toBe(0);
      await eventually("the last frame", () => numbers(after).includes(end - 1));
      // Nothing more came by the old one.
      expect(numbers(before)).toEqual(first);
      const all = [...first, ...numbers(after)];
      expect(all).toEqual(Array.from({ length: end }, (_, i) => i));
      for (const socket of [before, after]) socket.unmap();
      for (const fd of [old.fd, next.fd, old.sendFd]) close(fd);
    }
  }, 60_000);
});

/**
 * Batches of sends on a real device: small frames through the ring, large ones past it, in order;
 * a device that goes down in between.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Arena } from "../../src/fastpath/userspace/arena.ts";
import { DeviceSender } from "../../src/fastpath/userspace/device-sender.ts";
import { PortCounters } from "../../src/fastpath/userspace/port.ts";
import { SharedState } from "../../src/fastpath/userspace/shared.ts";
import { close, ifNameToIndex } from "../../src/linux/libc.ts";
import {
  openPacketSocket,
  type PacketDescriptors,
  PacketSocket,
} from "../../src/linux/packet-socket.ts";
import { openSendRing, type SendRingDescriptor } from "../../src/linux/send-ring.ts";
import { VNET_BYTES } from "../../src/packet/frame.ts";
import { FlowKey } from "../../src/packet/key.ts";
import { eventually } from "../support/eventually.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";

const SMALL = 60;
const LARGE = 1200;
const ETH_TYPE = [0x12, 0x34];

describePrivileged("sending on a device", [], () => {
  let sandbox: Sandbox;
  let ns: Namespace;
  let peer: RawPort;
  let opened: PacketDescriptors;
  let ring: SendRingDescriptor;
  let sender: DeviceSender;
  const shared = new SharedState();
  const arena = new Arena();
  const key = new FlowKey();
  let lastNumber = 0;

  beforeEach(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("send");
    await ns.ip("link add tx0 type veth peer name rx0");
    await ns.ip("link set tx0 up");
    await ns.ip("link set rx0 up");
    peer = new RawPort(ns, "rx0");
    opened = ns.inside(() => openPacketSocket(ifNameToIndex("tx0"), 16));
    ring = ns.inside(() => openSendRing(opened.ifindex));
    shared.clearPortStats(0);
    sender = new DeviceSender(opened.sendFd, new PortCounters(shared, 0));
    sender.adoptRing(ring);
  });

  afterEach(async () => {
    sender.end();
    new PacketSocket(opened).unmap();
    for (const fd of [opened.fd, opened.sendFd, ring.fd]) close(fd);
    peer.close();
    await sandbox.dispose();
  });

  /** Numbered frames of these lengths, flushed together. */
  function send(lengths: readonly number[]): void {
    for (const length of lengths) {
      const at = arena.take(VNET_BYTES + length);
      arena.bytes.fill(0, at, at + VNET_BYTES + length);
      arena.bytes.set(ETH_TYPE, at + VNET_BYTES + 12);
      new DataView(arena.bytes.buffer).setUint32(at + VNET_BYTES + 14, ++lastNumber);
      sender.add(arena, at, VNET_BYTES + length, key);
    }
    sender.flush();
    arena.reset();
  }

  /** Number and length of what came. */
  async function received(count: number): Promise<[number, number][]> {
    const seen: [number, number][] = [];
    await eventually(`${count} frames`, () => {
      for (let frame = peer.receive(); frame; frame = peer.receive()) {
        if (frame[12] !== ETH_TYPE[0] || frame[13] !== ETH_TYPE[1]) continue;
        seen.push([new DataView(frame.buffer).getUint32(14), frame.length]);
      }
      return seen.length >= count;
    });
    return seen;
  }

  test("frames leave in order, whichever way each takes", async () => {
    const first = lastNumber + 1;
    const sent: number[] = [];
    const seen: [number, number][] = [];
    // The first batch tells that batches are worth the ring; all together go round it twice.
    for (let batch = 0; batch < 8; batch++) {
      const lengths = Array.from(
        { length: 40 },
        (_, i) => batch % 2 === 1 && i % 10 === 3 ? LARGE : SMALL + (i % 4),
      );
      send(lengths);
      sent.push(...lengths);
      seen.push(...await received(lengths.length));
    }
    expect(seen).toEqual(sent.map((length, i) => [first + i, length]));
    const { txPackets, txBytes, txDropped } = shared.readPortStats(0);
    expect({ txPackets, txBytes, txDropped }).toEqual({
      txPackets: sent.length,
      txBytes: sent.reduce((sum, length) => sum + length, 0),
      txDropped: 0,
    });
  });

  test("what a device that is down does not take is counted, and is not sent later", async () => {
    const small = new Array<number>(10).fill(SMALL);
    send(small);
    send(small);
    await ns.ip("link set tx0 down");
    send(small);
    expect(shared.readPortStats(0).txDropped).toBe(10);
    await ns.ip("link set tx0 up");
    peer.drain();
    const first = lastNumber + 1;
    send(small);
    send(small);
    expect(await received(20)).toEqual(
      Array.from({ length: 20 }, (_, i) => [first + i, SMALL]),
    );
    expect(shared.readPortStats(0)).toMatchObject({ txPackets: 40, txDropped: 10 });
  });
});

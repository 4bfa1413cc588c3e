/**
 * Patch ports: a packet that leaves through one enters the peer bridge, whose pipeline runs inside the
 * present translation; packets never go through the datapath between bridges.
 *
 * The peer sees the packet as if it had come by a wire: without metadata, registers, tunnel or
 * connection state. What it does to the packet and what goes wrong there stays there.
 */
import { PORTS } from "../../openflow/version.ts";
import { DP_KEY_BYTES, FIELDS, SLOTS } from "../../packet/layout.ts";
import { runActionSet } from "./actions.ts";
import { clearConntrack, setInPort } from "./bits.ts";
import { runClone } from "./clone.ts";
import { finishFreezing } from "./freeze.ts";
import { finishLessons } from "./learn.ts";
import { runTable } from "./lookup.ts";
import { lookOn } from "./look-on.ts";
import type { PortModel } from "./model.ts";
import { mayReceive } from "./receive.ts";
import { isSpecial } from "./special.ts";
import type { Xlate } from "./xlate.ts";

const TUNNEL = [...SLOTS.values()].filter(({ name }) => name.startsWith("tun_"));

export function crossPatch(x: Xlate, out: PortModel, isLast: boolean): void {
  const { bridge, port } = out.patchPeer!;
  x.unlike();
  lookOn(x, out, "out");
  x.effect({ type: "patch", out: out.patchStats, in: port.patchStats });
  const { key, mask } = x;
  const saved = {
    bridge: x.bridge,
    stack: x.stack,
    actionSet: x.actionSet,
    mirrors: x.mirrors,
    wasMpls: x.wasMpls,
    conntracked: x.conntracked,
    words: key.words.slice(),
    tunnelMask: TUNNEL.map(({ offset, bytes }) => mask.bytes.slice(offset, offset + bytes)),
  };
  x.stack = [];
  x.actionSet = [];
  setInPort(key, port.ofport);
  key.bytes.fill(0, DP_KEY_BYTES);
  key.set(FIELDS.actset_output, PORTS.UNSET);
  for (const { offset, bytes } of TUNNEL) {
    key.bytes.fill(0, offset, offset + bytes);
    mask.bytes.fill(0, offset, offset + bytes);
  }
  x.conntracked = false;
  clearConntrack(key);
  x.tracer?.enter("bridge", `bridge("${bridge.name}")`);
  if (bridge !== x.bridge) x.mirrors = 0;
  x.bridge = bridge;
  lookOn(x, port, "in");
  if (!isSpecial(x, port) && mayReceive(x, port)) {
    finishLessons(x, bridge.tables);
    const lookup = { table: 0, port: port.ofport, asPipeline: true, mayPacketIn: true };
    runTable(x, { ...lookup, swaps: false }, isLast, runClone);
    if (!x.freezing) runActionSet(x);
    if (x.freezing) finishFreezing(x);
  }
  x.tracer?.leave();
  if (bridge !== saved.bridge) x.mirrors = saved.mirrors;
  x.bridge = saved.bridge;
  key.words.set(saved.words);
  for (const [i, { offset }] of TUNNEL.entries()) mask.bytes.set(saved.tunnelMask[i]!, offset);
  x.stack = saved.stack;
  x.actionSet = saved.actionSet;
  x.wasMpls = saved.wasMpls;
  x.conntracked = saved.conntracked;
  x.exit = false;
  // What goes wrong in the peer is not this bridge's concern; the counts that bound the work stay.
  if (x.error !== "too many actions") x.error = undefined;
}

/**
 * Translation: the OpenFlow pipeline runs over one packet's flow key and yields what a datapath
 * needs to treat this packet, and all others like it, without asking again:
 *
 * - `actions`: the datapath actions;
 * - `mask`: each bit of the key on which they depended. Key and mask together are the megaflow;
 * - `effects`: what each packet counts and teaches (effects.ts);
 * - `macs`: the MAC table lookups that decided (a change to one makes the megaflow stale).
 *
 * The invariant on which the flow cache rests: any two keys that agree on `mask` translate to the
 * same actions, the same effects and the same mask, as long as tables, MACs and ports stay the same.
 * So a bit is put into the mask when it is looked at, never later.
 *
 * The way through: table 0 is searched (`Xlate.runTable`); the rule's list runs (actions.ts);
 * resubmit and goto search further tables; at the end the action set runs. A patch port starts the
 * same in the peer bridge, inside the first's translation (`Xlate.crossPatch`): packets never go
 * through the datapath between bridges. NORMAL is in normal.ts and vlan.ts, header rewriting is
 * collected and committed by commit.ts.
 *
 * Always in the mask: in_port, recirc_id, packet_type, the Ethernet type, and whether an IP packet
 * is a fragment: datapaths need them to make sense of the rest.
 *
 * Limits (Open vSwitch's): 64 levels deep, 4096 table searches, then the packet is dropped and the
 * megaflow drops its like. There is nothing that a translation does by itself, but for `learn` when
 * it is for a packet (learn.ts): the caller runs the effects and sends the packet.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_BYTES, KEY_BYTES } from "../../packet/layout.ts";
import { runActions } from "./actions.ts";
import { AT, inPort, isIp, lookBytes } from "./bits.ts";
import type { Effect } from "./effects.ts";
import type { BridgeModel } from "./model.ts";
import type { PuntNumbers } from "./punt.ts";
import type { Tracer } from "./tracer.ts";
import { type MacDependency, Scratch, Xlate, type XlateError } from "./xlate.ts";

export interface TranslationInput {
  readonly bridge: BridgeModel;
  /** The packet's key, `in_port` in OpenFlow numbers. Not changed. */
  readonly key: FlowKey;
  readonly punts: PuntNumbers;
  /** A packet-out's actions, instead of a search from table 0. */
  readonly packetOut?: readonly Action[];
  readonly tracer?: Tracer;
  /** True for a packet, whose `learn` actions act; false to find out only. */
  readonly learns?: boolean;
  /** Whoever translates often passes one; never to a translation inside another. */
  readonly scratch?: Scratch;
}

export interface Translation {
  /** Empty: drop. */
  readonly actions: readonly DpAction[];
  /** Datapath section only. */
  readonly mask: FlowKey;
  readonly effects: readonly Effect[];
  readonly macs: readonly MacDependency[];
  /** Punt numbers that `actions` hold a reference to. */
  readonly punts: readonly number[];
  /** The packet is dropped because of this; `effects` tell how far it came. */
  readonly error: XlateError | undefined;
  /** A rule was learned on the way: another packet like this may be treated otherwise. */
  readonly taught: boolean;
  /** The packet's key at the end of the pipeline, for a tracer. */
  readonly traced?: FlowKey | undefined;
}

export function translate(input: TranslationInput): Translation {
  const { bridge, key, punts, packetOut, tracer } = input;
  const scratch = input.scratch ?? new Scratch();
  const mask = new FlowKey();
  lookBytes(mask, AT.inPort, 4);
  lookBytes(mask, AT.recircId, 4);
  lookBytes(mask, AT.packetType, 4);
  lookBytes(mask, AT.ethType, 2);
  if (isIp(key)) mask.bytes[AT.nwFrag] = 0xff;

  const x = new Xlate(
    bridge,
    key,
    scratch,
    mask,
    punts,
    packetOut !== undefined,
    tracer,
    input.learns === true,
  );
  const port = inPort(key);
  const from = bridge.ports.get(port);
  tracer?.enter("bridge", `bridge("${bridge.name}")`);
  if (packetOut) {
    runActions(x, packetOut);
    x.finish(undefined);
  } else if (!from || x.mayReceive(from)) {
    if (bridge.fragMode === "drop" && (key.bytes[AT.nwFrag]! & 1) !== 0) {
      tracer?.enterTable(bridge, 0, "fragment");
      tracer?.report("action", "drop");
      tracer?.leave();
    } else {
      // The first search is no step deeper.
      x.table = -1;
      const first = x.runTable(0, port, true, true);
      x.table = 0;
      x.finish(first);
    }
  }
  tracer?.leave();
  mask.bytes.fill(0, DP_KEY_BYTES, KEY_BYTES);
  return {
    actions: x.error ? [] : x.actions,
    mask,
    effects: x.effects,
    macs: x.macs,
    punts: x.punts,
    error: x.error,
    taught: x.taught,
    traced: tracer && x.key.clone(),
  };
}

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
 * The way through: table 0 is searched (lookup.ts); the rule's list runs (actions.ts); resubmit and
 * goto search further tables; at the end the action set runs. A patch port starts the same in the
 * peer bridge, inside the first's translation (patch.ts): packets never go through the datapath
 * between bridges. NORMAL is in normal.ts and vlan.ts; what actions do to headers is collected in the
 * key and committed by commit.ts, encap.ts, mpls.ts and tags.ts. When something is needed that only
 * the datapath can find out, translation stops and goes on when the packet comes back (freeze.ts):
 * then the key has a recirculation id, and what was frozen runs instead of table 0.
 *
 * Always in the mask: in_port, recirc_id, packet_type, the Ethernet type, and whether an IP packet
 * is a fragment: datapaths need them to make sense of the rest.
 *
 * Limits (Open vSwitch's): 64 levels deep, 4096 table searches, 64 kB of stack, then the packet is
 * dropped and the megaflow drops its like; 64 kB of actions, then it ends there. There is nothing
 * that a translation does by itself, but for `learn` when it is for a packet (learn.ts): the caller
 * runs the effects and sends the packet.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS } from "../../packet/layout.ts";
import { runActions, runActionSet } from "./actions.ts";
import { AT, inPort, isIp, lookBytes, u32 } from "./bits.ts";
import { clearTunnel, lookTunnel } from "../tunnels/metadata.ts";
import { answerDhcp } from "./dhcp.ts";
import { dropOf } from "./drop.ts";
import type { Effect } from "./effects.ts";
import { finishFreezing, thaw } from "./freeze.ts";
import type { FrozenState, Recirculations, ThawAction } from "./frozen.ts";
import { finishLessons } from "./learn.ts";
import { runFound, search } from "./lookup.ts";
import { isMirrorOutput, mirrorIngress } from "./mirror.ts";
import type { BridgeModel, PortModel } from "./model.ts";
import type { PuntNumbers } from "./punt.ts";
import type { Replays } from "./replay.ts";
import { mayReceive } from "./receive.ts";
import { lookOn } from "./look-on.ts";
import { finishSampling, sampleIngress } from "./sampling.ts";
import { isSpecial } from "./special.ts";
import type { TableOutcome, Tracer } from "./tracer.ts";
import { finishMask } from "./wildcards.ts";
import {
  type Complaint,
  type MacDependency,
  Scratch,
  type SlowReason,
  Xlate,
  type XlateError,
} from "./xlate.ts";

export interface TranslationInput {
  /** Where the packet came in; where it goes on after a recirculation, its state says. */
  readonly bridge: BridgeModel;
  /** The packet's key, `in_port` in OpenFlow numbers. Not changed. */
  readonly key: FlowKey;
  readonly punts: PuntNumbers;
  readonly recirculations: Recirculations;
  /** A packet-out's actions, instead of a search from table 0. */
  readonly packetOut?: readonly Action[];
  /** A controller sends back the packet that froze there. */
  readonly resumes?: FrozenState;
  readonly tracer?: Tracer;
  /** True for a packet, whose `learn` actions act; false to find out only. */
  readonly learns?: boolean;
  /** Bytes of the packet, if there is one. */
  readonly packetLength?: number;
  /** The packet, if what is in it counts: protocols of the switch's own get it. */
  readonly packet?: Uint8Array;
  /** Where what was decided is kept for packets alike. */
  readonly replays?: Replays | undefined;
  /** Whoever translates often passes one; never to a translation inside another. */
  readonly scratch?: Scratch;
}

export interface Translation {
  /** Empty, or one `drop` with its reason where the datapath has that: drop. */
  readonly actions: readonly DpAction[];
  /** Datapath section only. With a `scratch` it is the scratch's, until the next translation. */
  readonly mask: FlowKey;
  readonly effects: readonly Effect[];
  readonly macs: readonly MacDependency[];
  /** Punt numbers that `actions` hold a reference to. */
  readonly punts: readonly number[];
  /** Recirculation ids, likewise. */
  readonly recircs: readonly number[];
  /** Why Open vSwitch's datapath would need help with it; none: it would not. */
  readonly slow: readonly SlowReason[];
  /** The packet is dropped because of this; `effects` tell how far it came. */
  readonly error: XlateError | undefined;
  /** A rule was learned on the way: another packet like this may be treated otherwise. */
  readonly taught: boolean;
  /** What the log should say of the packet. */
  readonly complaints: readonly Complaint[];
  /** What was said of this packet holds for it alone: another one is to be asked about anew. */
  readonly uncacheable: boolean;
  /** The packet's key at the end of the pipeline, for a tracer. */
  readonly traced?: FlowKey | undefined;
  /** The mask in the pipeline's terms, tunnel options by their fields, for a tracer. */
  readonly tracedMask?: FlowKey | undefined;
}

/** What is decided without a translation: no reference, no dependency, nothing to say. */
export function decided(
  actions: readonly DpAction[],
  mask: FlowKey,
  effects: readonly Effect[],
): Translation {
  return {
    actions,
    mask,
    effects,
    macs: [],
    punts: [],
    recircs: [],
    slow: [],
    error: undefined,
    taught: false,
    complaints: [],
    uncacheable: false,
  };
}

const CT_TRACKED = 0x20;
/** Packet types of IP without Ethernet; nothing else may say what they are. */
const BARE_IPV4 = 0x10800;
const BARE_IPV6 = 0x186dd;
/** Open vSwitch asks its datapath for no more outputs at once (net.core.netdev_max_backlog). */
const MANY_OUTPUTS = 1000;
/** Nothing to do, where nothing at all would mean a search. */
const NOTHING: readonly ThawAction[] = [{ type: "note", data: new Uint8Array() }];

export function translate(input: TranslationInput): Translation {
  const { bridge, key, packetOut, tracer } = input;
  const scratch = input.scratch ?? new Scratch();
  const mask = startMask(key, scratch.mask);
  const isPlain = packetOut === undefined && !input.resumes && !tracer;
  const x = new Xlate({
    bridge,
    key,
    scratch,
    mask,
    punts: input.punts,
    recirculations: input.recirculations,
    inPacketOut: packetOut !== undefined,
    tracer,
    learns: input.learns === true,
    packetLength: input.packetLength ?? 0,
    packet: input.packet,
    notes: isPlain ? input.replays?.notes(bridge, key) : undefined,
  });
  tracer?.enter("bridge", `bridge("${bridge.name}")`);
  run(x, input);
  finishLessons(x);
  tracer?.leave();
  if (!x.error) finishSampling(x);
  const many = x.actions.length > MANY_OUTPUTS &&
    x.actions.filter(({ type }) => type === "output").length > MANY_OUTPUTS;
  if (x.oversized || many) x.slow.add("action");
  const looked = tracer && mask.clone();
  const { notes } = x;
  if (notes) {
    scratch.read.words.set(mask.words);
    x.gather();
    for (let i = 0; i < DP_KEY_WORDS; i++) mask.words[i]! |= notes.copied.words[i]!;
  }
  bridge.finishTunnel?.(key, mask);
  // A trace of what failed shows all that was looked at until then.
  if (!x.error || !tracer) finishMask(x.key, mask, key);
  const actions = x.error ? [] : withoutLastClone(x.actions);
  const translation: Translation = {
    actions: actions.length === 0 ? dropOf(x) : actions,
    mask,
    effects: x.effects,
    macs: x.macs,
    punts: x.punts,
    recircs: x.recircs,
    slow: x.error ? [] : [...x.slow],
    error: x.error,
    taught: x.taught,
    complaints: x.complaints,
    uncacheable: x.uncacheable,
    traced: tracer && x.key.clone(),
    tracedMask: looked,
  };
  if (notes) input.replays!.keep(notes, bridge, key, x.initial, scratch.read, x.key, translation);
  return translation;
}

function startMask(key: FlowKey, mask: FlowKey): FlowKey {
  mask.words.fill(0);
  lookBytes(mask, AT.inPort, 4);
  lookBytes(mask, AT.recircId, 4);
  lookBytes(mask, AT.packetType, 4);
  lookBytes(mask, AT.ethType, 2);
  const type = u32(key, AT.packetType);
  if (isIp(key) || type === BARE_IPV4 || type === BARE_IPV6) mask.bytes[AT.nwFrag] = 3;
  return mask;
}

function run(x: Xlate, { key, packetOut, resumes }: TranslationInput): void {
  const id = key.get(FIELDS.recirc_id);
  let actions: readonly ThawAction[] | undefined = packetOut;
  if (resumes) {
    // Not the table where it froze: that is done with.
    const rest = thaw(x, { ...resumes, table: 0 });
    actions = rest.length > 0 ? rest : NOTHING;
  } else if (id !== 0) {
    const frozen = x.recirculations.find(id);
    if (!frozen) {
      const text = `Recirculation context not found for ID ${id.toString(16)}`;
      return x.fail("no recirculation context", text);
    }
    if (packetOut) {
      x.tracer?.enter("thaw", "thaw");
      x.fail("recirculation conflict", "Recirculation conflict (actions)!");
      return x.tracer?.leave();
    }
    const rest = thaw(x, frozen);
    // The port that it came in by was found by it once more.
    lookTunnel(x.key, x.mask);
    if (rest.length > 0) actions = rest;
  } else {
    if (u32(key, AT.ctState) & CT_TRACKED) x.conntracked = true;
    const from = x.port(inPort(key));
    if (from?.tunnel) x.unlike();
    if (from?.tunnel) x.effect({ type: "patch", out: undefined, in: from.patchStats });
    if (x.bridge.receiveTunnel?.(x.key, x.mask) === false) {
      x.congested = true;
      return;
    }
    // A tunnel that the packet came through is not one that it leaves by.
    clearTunnel(x.base);
    if (from?.tunnel) enterTunnel(x, from);
  }
  pipeline(x, actions);
}

/** The packet came by a tunnel: what has no Ethernet header may get one. */
function enterTunnel(x: Xlate, port: PortModel): void {
  if (port.tunnel!.isLayer3 && x.key.get(FIELDS.packet_type) !== 0) {
    x.key.set(FIELDS.packet_type, 0);
    x.key.bytes.fill(0, AT.ethDst, AT.ethDst + 6);
    x.key.bytes.fill(0, AT.ethSrc, AT.ethSrc + 6);
    x.pendingEncap = true;
  }
  lookOn(x, port, "in");
}

function pipeline(x: Xlate, actions: readonly ThawAction[] | undefined): void {
  const port = inPort(x.key);
  const from = x.port(port);
  const found = actions
    ? undefined
    : search(x, { table: x.table, port, asPipeline: true, mayPacketIn: true, swaps: false });
  if (found) x.tracer?.enterTable(x.bridge, x.table, found);
  process(x, from, found, actions ?? []);
  if (found) x.tracer?.leave();
}

function process(
  x: Xlate,
  from: PortModel | undefined,
  found: TableOutcome | undefined,
  actions: readonly ThawAction[],
): void {
  if (from && !x.thawed && isSpecial(x, from)) return;
  if (from && !x.thawed && isMirrorOutput(x, from.bundle)) {
    x.complain(
      `dropping packet received on port ${from.bundle.name}, ` +
        "which is reserved exclusively for mirroring",
    );
    return;
  }
  sampleIngress(x);
  if (!from || mayReceive(x, from)) {
    mirrorIngress(x);
    if (found) runFound(x, found, true, runActions);
    else runActions(x, actions, true);
    if (x.error) return;
    if (!x.freezing) runActionSet(x);
    if (x.freezing) finishFreezing(x);
    else if (x.bridge.inBand) answerDhcp(x);
  }
}

/** A copy is not needed for what nothing comes after. */
function withoutLastClone(actions: readonly DpAction[]): readonly DpAction[] {
  const last = actions.at(-1);
  return last?.type === "clone" ? [...actions.slice(0, -1), ...last.actions] : actions;
}

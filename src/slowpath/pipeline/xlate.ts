/**
 * The state of one translation, and what every part of it uses. See translate.ts for the whole.
 *
 * `key` is the packet as the pipeline sees it, `base` as the datapath has it after the actions so
 * far, `mask` the bits of the original packet that anything depended on. A bit that an action has
 * overwritten and something later looks at goes into the mask too: more than needed, never less.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Action, ActionOf, NatAction } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { FlowKey } from "../../packet/key.ts";
import { FIELDS, KEY_WORDS, slot, SLOTS } from "../../packet/layout.ts";
import type { MacTable } from "../bridge/learning.ts";
import { commit } from "./commit.ts";
import { sendToController } from "./controller.ts";
import type { Effect } from "./effects.ts";
import type { Recirculations, StackEntry, ThawAction, Unroll } from "./frozen.ts";
import type { Learned } from "./learn.ts";
import type { BridgeModel, BundleModel, Feature, PortModel } from "./model.ts";
import type { PuntNumbers } from "./punt.ts";
import type { Notes } from "./replay.ts";
import type { Rule } from "./rule.ts";
import { SamplingState } from "./sampling.ts";
import type { Tracer } from "./tracer.ts";

/** How deep resubmits, patches and groups nest, and how many tables one packet may search. */
export const MAX_DEPTH = 64;
export const MAX_RESUBMITS = 4096;
/** Datapath actions of one translation: a flood to that many ports, or a loop that multiplies. */
const MAX_ACTIONS = 32768;
/** Bytes of datapath actions, as Netlink has them, and of the stack. */
const MAX_ACTION_BYTES = 65535;
const MAX_STACK_BYTES = 65536;

/** Why a packet is dropped; with a capital as Open vSwitch says it. */
export type XlateError =
  | "bridge not found"
  | "recursion too deep"
  | "too many resubmits"
  | "too many actions"
  | "stack too deep"
  | "no recirculation context"
  | "recirculation conflict"
  | "too many MPLS labels"
  | "invalid tunnel metadata"
  | "unsupported packet type";

/** Why Open vSwitch's datapath could not do it alone; by the names that dumps of flows show. */
export type SlowReason =
  | "cfm"
  | "bfd"
  | "lacp"
  | "stp"
  | "lldp"
  | "controller"
  | "action"
  | "match";

/** A (VLAN, MAC) whose lookup decided where the packet goes. */
export interface MacDependency {
  readonly macs: MacTable<BundleModel>;
  readonly vlan: number;
  readonly mac: number;
}

/** What a packet came upon that somebody should know of. */
export interface Complaint {
  readonly bridge: string;
  readonly text: string;
  /** The packet as the datapath had it by then. */
  readonly flow: FlowKey;
}

/** What a datapath is asked to compute before it looks the packet up again. */
export interface HashRequest {
  readonly algorithm: "l4" | "sym_l4";
  readonly basis: number;
  /** More than Open vSwitch's hash looks at. */
  readonly wide: boolean;
}

const TUNNEL = [...SLOTS.values()].filter(({ name }) => name.startsWith("tun_"));
const ADDRESSES = [slot("eth_dst"), slot("eth_src")];
const TUNNEL_START = TUNNEL[0]!.offset;
const TUNNEL_END = slot("tun_metadata").offset + slot("tun_metadata").bytes;

/** Keys that a translation works on, reused by the next: they cost more to make than to fill. */
export class Scratch {
  readonly key: FlowKey = new FlowKey();
  readonly base: FlowKey = new FlowKey();
  readonly initial: Uint32Array = new Uint32Array(KEY_WORDS);
  /** The translation's mask, valid until the next one. */
  readonly mask: FlowKey = new FlowKey();
  /** While notes are taken: what lookups looked at, and what was read besides. */
  readonly looked: FlowKey = new FlowKey();
  readonly read: FlowKey = new FlowKey();
}

export interface XlateInput {
  readonly bridge: BridgeModel;
  readonly key: FlowKey;
  readonly scratch: Scratch;
  readonly mask: FlowKey;
  readonly punts: PuntNumbers;
  readonly recirculations: Recirculations;
  readonly inPacketOut: boolean;
  readonly tracer: Tracer | undefined;
  readonly learns: boolean;
  readonly packetLength: number;
  readonly packet: Uint8Array | undefined;
  readonly notes?: Notes | undefined;
}

export class Xlate {
  /** Where actions go; a nested list takes its place for a while. */
  actions: DpAction[] = [];
  readonly effects: Effect[] = [];
  readonly macs: MacDependency[] = [];
  /** Numbers and ids held in `actions`, for whoever releases them. */
  readonly punts: number[] = [];
  readonly recircs: number[] = [];
  readonly slow = new Set<SlowReason>();
  readonly sampling = new SamplingState();
  readonly complaints: Complaint[] = [];
  error: XlateError | undefined;

  bridge: BridgeModel;
  readonly key: FlowKey;
  readonly base: FlowKey;
  readonly mask: FlowKey;
  /** Where lookups note what they looked at: apart from the mask while `notes` are taken. */
  looked: FlowKey;
  /** What is needed to decide like this again; undefined: nobody wants to, or it cannot be. */
  notes: Notes | undefined;
  /** The packet's key as it enters the tables; after a thaw there is none that says it all. */
  readonly initial: Uint32Array;
  thawed = false;
  /** It came through a tunnel whose congestion it cannot carry on: it is dropped. */
  congested = false;
  /** skb_priority as it came in. */
  readonly originalPriority: number;
  readonly puntNumbers: PuntNumbers;
  readonly recirculations: Recirculations;
  readonly inPacketOut: boolean;
  readonly tracer: Tracer | undefined;
  /** `learn` acts, because the translation is for a packet. */
  readonly learns: boolean;

  /** Bytes of the packet; 0: there is none. */
  readonly packetLength: number;
  /** The packet itself, for those who read more than headers. */
  readonly packet: Uint8Array | undefined;
  /** A packet like this one must come up again, whatever is said of it now. */
  uncacheable = false;

  /** Where the packet is now. */
  table = 0;
  rule: Rule | undefined;
  cookie = 0xffffffffffffffffn;
  stack: StackEntry[] = [];
  actionSet: Action[] = [];
  inActionSet = false;
  /** Nothing more of this pipeline is run: `exit`, or freezing. */
  exit = false;
  /** Rules that `learn` is about to put in (learn.ts). */
  lessons: Learned[] = [];
  /** `learn` has put in a rule: the packet's like may take another way. */
  taught = false;
  depth = 0;
  resubmits = 0;

  /** Translation stops here, to go on when the packet comes back (freeze.ts). */
  freezing = false;
  frozenActions: ThawAction[] = [];
  /** The last note of where a frozen action stood. */
  unrolled: Unroll | undefined;
  hash: HashRequest | undefined;
  /** The datapath has computed the hash that the packet has. */
  hashed = false;
  pause: ActionOf<"controller"> | undefined;
  /** Labels were popped from the packet; what is under them is not known. */
  wasMpls = false;
  /** The packet's conntrack fields are this bridge's. */
  conntracked = false;
  /** The `nat` inside the `ct` that is being translated. */
  nat: NatAction | undefined;
  /** Mirrors that have had the packet, a bit each, and how much of it the present one gets. */
  mirrors = 0;
  mirrorLength = 0;
  /** A header to push or pop at the next commit. */
  pendingEncap = false;
  pendingDecap = false;
  /** Options of the NSH header to push. */
  encapOptions: Uint8Array | undefined;

  private emitted = 0;
  private emittedBytes = 0;

  constructor(input: XlateInput) {
    const { bridge, key, scratch } = input;
    this.bridge = bridge;
    this.key = scratch.key;
    this.base = scratch.base;
    this.initial = scratch.initial;
    this.mask = input.mask;
    this.notes = input.notes;
    this.looked = input.notes ? scratch.looked : input.mask;
    if (input.notes) scratch.looked.words.fill(0);
    this.puntNumbers = input.punts;
    this.recirculations = input.recirculations;
    this.inPacketOut = input.inPacketOut;
    this.tracer = input.tracer;
    this.learns = input.learns;
    this.packetLength = input.packetLength;
    this.packet = input.packet;
    this.key.words.set(key.words);
    this.originalPriority = key.get(FIELDS.skb_priority);
    this.key.set(FIELDS.actset_output, PORTS.UNSET);
    this.base.words.set(key.words);
    // A tunnel that the packet came through is not one that it leaves by.
    this.base.bytes.fill(0, TUNNEL_START, TUNNEL_END);
    this.initial.set(this.key.words);
  }

  /** There is a packet, whose drop is worth an error. */
  get inPacket(): boolean {
    return this.learns;
  }

  /** The decision depends on more than notes can say. */
  unlike(): void {
    if (!this.notes) return;
    this.notes.decide(this.mask);
    this.notes = undefined;
    this.gather();
    this.looked = this.mask;
  }

  /** Somebody reads the mask: what lookups looked at belongs there. */
  gather(): void {
    if (this.looked === this.mask) return;
    const { words } = this.mask;
    for (let i = 0; i < KEY_WORDS; i++) words[i]! |= this.looked.words[i]!;
  }

  /** Does the datapath have the feature? They all do, unless it was taken away. */
  supports(feature: Feature): boolean {
    return this.bridge.features?.on(feature) ?? true;
  }

  capacity(capacity: "sample_nesting"): number {
    return this.bridge.features?.number(capacity) ?? Infinity;
  }

  effect(effect: Effect): void {
    this.effects.push(effect);
  }

  /** The packet is dropped. */
  fail(error: XlateError, text?: string): void {
    this.error ??= error;
    if (text !== undefined) this.complain(text);
  }

  /** Something is wrong with the configuration: a trace shows it, or the log, if there is a packet. */
  complain(text: string): void {
    // It is said of each packet, and a translation that is for none keeps it to itself.
    this.unlike();
    if (this.tracer) this.tracer.report("error", text);
    else if (this.learns) {
      const flow = this.base.clone();
      // A frame that has got labels in front is shown by its addresses, so that one can find it.
      const isFrame = ADDRESSES.some(({ offset, bytes }) =>
        flow.bytes.subarray(offset, offset + bytes).some((byte) => byte !== 0)
      );
      if (isFrame) flow.set(FIELDS.packet_type, 0);
      this.complaints.push({ bridge: this.bridge.name, text, flow });
    }
  }

  /** Brings the datapath's packet up to date before something is done with it. */
  commit(): void {
    commit(this);
  }

  emit(action: DpAction): void {
    if (this.emitted >= MAX_ACTIONS) return this.fail("too many actions", "too many actions");
    this.emitted++;
    this.emittedBytes += netlinkBytes(action);
    this.actions.push(action);
  }

  /** What `body` emits, as a list of its own. */
  nest(body: () => void): DpAction[] {
    const outer = this.actions;
    const inner: DpAction[] = [];
    this.actions = inner;
    body();
    this.actions = outer;
    return inner;
  }

  /** More than Open vSwitch's datapaths take at once. */
  get oversized(): boolean {
    return this.emittedBytes > MAX_ACTION_BYTES - 4;
  }

  lookupMac(vlan: number, mac: number): BundleModel | undefined {
    const { macs } = this.bridge;
    this.macs.push({ macs, vlan, mac });
    return macs.lookup(vlan, mac)?.bundle;
  }

  port(ofport: number): PortModel | undefined {
    return this.bridge.ports.get(ofport);
  }

  /** False when the packet has been through too much to go on: it is dropped, or stops here. */
  hasResources(): boolean {
    if (this.depth >= MAX_DEPTH) {
      this.fail("recursion too deep", `over max translation depth ${MAX_DEPTH}`);
    } else if (this.resubmits >= MAX_RESUBMITS) {
      this.fail("too many resubmits", `over ${MAX_RESUBMITS} resubmit actions`);
    } else if (this.emittedBytes > MAX_ACTION_BYTES) {
      this.complain("resubmits yielded over 64 kB of actions");
      this.exit = true;
    } else if (this.stackBytes() >= MAX_STACK_BYTES) {
      this.fail("stack too deep", "resubmits yielded over 64 kB of stack");
    } else return true;
    return false;
  }

  private stackBytes(): number {
    // A value and its length; counting is cheap while nobody pushes.
    return this.stack.reduce((sum, { bytes }) => sum + bytes + 1, 0);
  }

  /** A TTL is used up: the packet goes to the controllers of that id. */
  expired(controllerId: number): void {
    sendToController(this, {
      reason: "invalid_ttl",
      maxLength: 0xffff,
      controllerId,
      userdata: undefined,
      meterId: undefined,
    });
  }
}

/** What the action takes in Open vSwitch's form, roughly: its limits are in bytes. */
function netlinkBytes(action: DpAction): number {
  switch (action.type) {
    case "output":
      return 8;
    case "set":
      return 8 + 2 * action.value.length;
    case "userspace":
      return 64;
    default:
      return 16;
  }
}

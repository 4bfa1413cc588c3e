/**
 * The state of one translation, and the way from table to table. See translate.ts for the whole.
 *
 * `key` is the packet as the pipeline sees it, `base` as the datapath has it after the actions so
 * far, `mask` the bits of the original packet that anything depended on. A bit that an action has
 * overwritten and something later looks at goes into the mask too: more than needed, never less.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_BYTES, FIELDS, KEY_WORDS, SLOTS } from "../../packet/layout.ts";
import type { MacTable } from "../bridge/learning.ts";
import { orderActionSet } from "./action-set.ts";
import { runActions } from "./actions.ts";
import { AT, inPort, setInPort, u16 } from "./bits.ts";
import { commit } from "./commit.ts";
import type { Effect } from "./effects.ts";
import type { BridgeModel, BundleModel, PortModel } from "./model.ts";
import { sendToController } from "./output.ts";
import type { PuntNumbers } from "./punt.ts";
import type { Rule } from "./rule.ts";
import { USER_TABLES } from "./tables.ts";
import type { Tracer } from "./tracer.ts";

/** How deep resubmits, patches and clones nest, and how many tables one packet may search. */
export const MAX_DEPTH = 64;
export const MAX_RESUBMITS = 4096;
/** Datapath actions of one translation: a flood to that many ports, or a loop that multiplies. */
const MAX_ACTIONS = 32768;
const MAX_STACK = 1024;

export type XlateError =
  | "recursion too deep"
  | "too many resubmits"
  | "too many actions"
  | "stack too deep"
  | "unsupported action";

/** A (VLAN, MAC) whose lookup decided where the packet goes. */
export interface MacDependency {
  readonly macs: MacTable<BundleModel>;
  readonly vlan: number;
  readonly mac: number;
}

const TUNNEL = [...SLOTS.values()].filter(({ name }) => name.startsWith("tun_"));
const CT = [...SLOTS.values()].filter(({ name }) => name.startsWith("ct_"));

/** Keys that a translation works on, reused by the next: they cost more to make than to fill. */
export class Scratch {
  readonly key: FlowKey = new FlowKey();
  readonly base: FlowKey = new FlowKey();
  readonly initial: Uint32Array = new Uint32Array(KEY_WORDS);
}

export class Xlate {
  readonly actions: DpAction[] = [];
  readonly effects: Effect[] = [];
  readonly macs: MacDependency[] = [];
  /** Numbers held in `actions`, for whoever releases them. */
  readonly punts: number[] = [];
  readonly base: FlowKey;
  /** The packet's key at the start. */
  private readonly initial: Uint32Array;
  /** skb_priority as it came in. */
  readonly originalPriority: number;
  error: XlateError | undefined;

  /** Where the packet is now. */
  table = 0;
  rule: Rule | undefined;
  cookie = 0xffffffffffffffffn;
  stack: bigint[] = [];
  actionSet: Action[] = [];
  inActionSet = false;
  inGroup = false;
  /** `exit` was run: nothing more of this bridge's pipeline. */
  exit = false;
  /** `learn` has put in a rule: the packet's like may take another way. */
  taught = false;
  private depth = 0;
  private resubmits = 0;

  readonly key: FlowKey;

  constructor(
    public bridge: BridgeModel,
    key: FlowKey,
    scratch: Scratch,
    readonly mask: FlowKey,
    readonly puntNumbers: PuntNumbers,
    readonly inPacketOut: boolean,
    readonly tracer: Tracer | undefined,
    /** `learn` acts. */
    readonly learns: boolean,
  ) {
    this.key = scratch.key;
    this.base = scratch.base;
    this.initial = scratch.initial;
    this.key.words.set(key.words);
    this.base.words.set(key.words);
    this.originalPriority = key.get(FIELDS.skb_priority);
    this.key.set(FIELDS.actset_output, PORTS.UNSET);
    this.initial.set(this.key.words);
  }

  effect(effect: Effect): void {
    this.effects.push(effect);
  }

  fail(error: XlateError): void {
    this.error ??= error;
    this.tracer?.report("error", error);
  }

  /** Brings the datapath's packet up to date before something is done with it. */
  commit(): void {
    commit(this.key, this.base, this.mask, this.actions);
  }

  emit(action: DpAction): void {
    if (this.actions.length >= MAX_ACTIONS) this.fail("too many actions");
    else this.actions.push(action);
  }

  push(value: bigint): void {
    if (this.stack.length >= MAX_STACK) this.fail("stack too deep");
    else this.stack.push(value);
  }

  lookupMac(vlan: number, mac: number): BundleModel | undefined {
    const { macs } = this.bridge;
    this.macs.push({ macs, vlan, mac });
    return macs.lookup(vlan, mac)?.bundle;
  }

  port(ofport: number): PortModel | undefined {
    return this.bridge.ports.get(ofport);
  }

  /** False, and an error, when the packet has been through too much to go on. */
  step(): boolean {
    if (this.error) return false;
    if (this.depth >= MAX_DEPTH) {
      this.tracer?.report("error", `over max translation depth ${MAX_DEPTH}`);
      this.error = "recursion too deep";
    } else if (this.resubmits >= MAX_RESUBMITS) {
      this.tracer?.report("error", `over ${MAX_RESUBMITS} resubmit actions`);
      this.error = "too many resubmits";
    }
    if (this.error) return false;
    this.resubmits++;
    return true;
  }

  /**
   * Looks the packet up in a table and runs what it finds. `port` stands in for the input port
   * during the lookup only. `asPipeline`: a miss follows the table's setting (goto_table, the first
   * lookup, OFPP_TABLE); a resubmit's miss does nothing.
   */
  runTable(
    table: number,
    port: number,
    asPipeline: boolean,
    mayPacketIn: boolean,
  ): Rule | undefined {
    if (!this.step()) return undefined;
    const { table: oldTable, rule: oldRule, cookie: oldCookie } = this;
    const deepens = table <= oldTable ? 1 : 0;
    this.table = table;
    const rule = this.find(port, asPipeline);
    const asks = !rule && mayPacketIn && this.missAsks(port);
    const outcome = rule ?? (asks ? "packet-in" : "no match");
    this.tracer?.enterTable(this.bridge, oldTable < 0 ? this.table : table, outcome);
    this.depth += deepens;
    if (rule) {
      this.effect({ type: "rule", rule });
      this.rule = rule;
      this.cookie = rule.cookie;
      runActions(this, rule.actions);
    } else if (asks) this.miss();
    else this.tracer?.report("action", "drop");
    this.tracer?.leave();
    this.depth -= deepens;
    this.rule = oldRule;
    this.cookie = oldCookie;
    this.table = oldTable;
    return rule;
  }

  /** The rule of `this.table` or, where a miss goes on to the next table, of a later one. */
  private find(port: number, asPipeline: boolean): Rule | undefined {
    const { bridge, key } = this;
    const { tables } = bridge;
    const wirePort = inPort(key);
    const tpSrc = u16(key, AT.tpSrc);
    const tpDst = u16(key, AT.tpDst);
    if (bridge.fragMode === "normal" && (key.bytes[AT.nwFrag]! & 1) !== 0) {
      // Fragments are matched as if they had no transport header, the first one too.
      key.bytes.fill(0, AT.tpSrc, AT.tpDst + 2);
    }
    setInPort(key, port);
    const pristine = sameWords(key.words, this.initial);
    let rule: Rule | undefined;
    for (;;) {
      rule = tables.lookup(this.table, key, this.mask);
      const outranks = rule && !tables.isConjunctive(this.table) ? rule.priority : -1;
      this.effect({ type: "lookup", tables, table: this.table, rule, pristine, outranks });
      if (rule || !asPipeline || tables.missSetting(this.table) !== "continue") break;
      if (this.table + 1 >= USER_TABLES) break;
      this.table++;
    }
    setInPort(key, wirePort);
    key.bytes[AT.tpSrc] = tpSrc >> 8;
    key.bytes[AT.tpSrc + 1] = tpSrc & 0xff;
    key.bytes[AT.tpDst] = tpDst >> 8;
    key.bytes[AT.tpDst + 1] = tpDst & 0xff;
    return rule;
  }

  /** No rule matched: does the table's setting ask controllers (OpenFlow 1.1 §A.3.3, 1.3.5 §5.4)? */
  private missAsks(port: number): boolean {
    const setting = this.bridge.tables.missSetting(this.table);
    switch (setting) {
      case "drop":
        return false;
      case "default":
        // Dropped from OpenFlow 1.3 on; earlier versions ask the controller.
        return this.bridge.wantsMisses();
      case "continue":
      case "controller":
        return this.port(port)?.config.noPacketIn === false;
      default: {
        const never: never = setting;
        throw new Error(`miss setting ${never}`);
      }
    }
  }

  private miss(): void {
    const setting = this.bridge.tables.missSetting(this.table);
    this.tracer?.report("action", "CONTROLLER:65535");
    this.rule = undefined;
    this.cookie = 0n;
    sendToController(this, {
      reason: setting === "default" ? "implicit_miss" : "no_match",
      maxLength: 0xffff,
      controllerId: 0,
      userdata: undefined,
      meterId: undefined,
    });
  }

  /** May the port's packets enter the pipeline at all? */
  mayReceive({ config }: PortModel): boolean {
    if (!config.noRecv && !config.noRecvStp) return true;
    this.mask.bytes.fill(0xff, AT.ethDst, AT.ethDst + 6);
    let isStp = true;
    for (let i = 0; i < 6; i++) if (this.key.bytes[AT.ethDst + i] !== STP[i]) isStp = false;
    return !(isStp ? config.noRecvStp : config.noRecv);
  }

  /** Runs the action set, if there is one: the end of a pipeline that began with `first`. */
  finish(first: Rule | undefined): void {
    if (this.exit || this.error || this.actionSet.length === 0) return;
    this.rule = first;
    this.cookie = first?.cookie ?? this.cookie;
    const actions = orderActionSet(this.actionSet);
    this.actionSet = [];
    if (actions.length === 0) return;
    this.inActionSet = true;
    this.tracer?.enter("table", "--. Executing action set:");
    runActions(this, actions);
    this.tracer?.leave();
    this.inActionSet = false;
  }

  /** Runs `body`; the changes that it makes to the packet and to pipeline state do not last. */
  isolated(body: () => void): void {
    const { stack, actionSet, exit, inActionSet, inGroup } = this;
    const words = this.key.words.slice();
    this.stack = [...stack];
    this.actionSet = [...actionSet];
    this.exit = false;
    this.inActionSet = false;
    this.inGroup = false;
    body();
    this.key.words.set(words);
    this.stack = stack;
    this.actionSet = actionSet;
    this.exit = exit;
    this.inActionSet = inActionSet;
    this.inGroup = inGroup;
  }

  /** The packet crosses a patch: the peer bridge's pipeline runs over it from the start. */
  crossPatch(out: PortModel): void {
    const peer = out.patchPeer!;
    this.effect({ type: "patch", out: out.patchStats, in: peer.port.patchStats });
    const { bridge, table, rule, cookie } = this;
    this.isolated(() => {
      this.stack = [];
      this.actionSet = [];
      this.bridge = peer.bridge;
      this.tracer?.enter("bridge", `bridge("${peer.bridge.name}")`);
      const { key } = this;
      setInPort(key, peer.port.ofport);
      key.bytes.fill(0, DP_KEY_BYTES);
      key.set(FIELDS.actset_output, PORTS.UNSET);
      for (const { offset, bytes } of [...TUNNEL, ...CT]) {
        key.bytes.fill(0, offset, offset + bytes);
      }
      // Table 0 after table 0 counts as a step deeper: bridges patched in a circle end.
      this.table = 0;
      if (this.mayReceive(peer.port)) {
        this.finish(this.runTable(0, peer.port.ofport, true, true));
      }
      this.tracer?.leave();
    });
    // What goes wrong in the peer is not this bridge's concern; the counts that bound the work stay.
    if (this.error !== "too many actions") this.error = undefined;
    this.bridge = bridge;
    this.table = table;
    this.rule = rule;
    this.cookie = cookie;
  }

  /** One step deeper for `body`, for what nests without a table. */
  nested(body: () => void): void {
    if (this.depth >= MAX_DEPTH) return this.fail("recursion too deep");
    this.depth++;
    body();
    this.depth--;
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < KEY_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}

const STP = [0x01, 0x80, 0xc2, 0, 0, 0];

/**
 * Makes plans (action-plan.ts) of action lists.
 *
 * - A step is taken only where the match makes sure that the packet has the header. Everything else
 *   (packets to the controller, rare tags and headers, SCTP with its CRC) is the userspace datapath's,
 *   which does the whole list.
 * - A program cannot come back from the main program, and a packet that was cut stays cut. So, of what is
 *   sent without a change in between, what is sent whole goes first, then what is cut, the longest first,
 *   then the packet that recirculates: whoever receives them sees no difference.
 * - A nested list works on a copy in the process. Here it works on the packet itself: last in a list it
 *   may, elsewhere it may only send.
 * - A sample that only the process can treat is diced for before anything else is done. The packet goes
 *   there as a whole, with what the dice said (../punts.ts).
 */
import type { Match } from "../../packet/key.ts";
import { FIELDS, slot } from "../../packet/layout.ts";
import { type DpAction, type DpTunnel, someAction } from "../actions.ts";
import { MAX_DECISIONS } from "../punts.ts";
import type { HashedNetwork, KernelActions, PlanWorld, Step, TunnelTarget } from "./action-plan.ts";
import { ArgumentWriter } from "./argument-writer.ts";
import { ctStep } from "./ct-plan.ts";
import { type FieldPlace, looksAt, pinned, placeOf } from "./field-place.ts";
import { optionBytes, type SetTunnelStep, tunnelArguments } from "./tunnel-step.ts";

const TAG_PRESENT = 0x1000;
/** Lists in lists; deeper is nobody's intention. */
const MAX_NESTING = 8;
const NO_LIMIT = 0x7fffffff;

type Refusal = Extract<KernelActions, { kind: "userspace" }>;
type ActionOf<T extends DpAction["type"]> = Extract<DpAction, { type: T }>;

const isMpls = (ethType: number | undefined): boolean => ethType === 0x8847 || ethType === 0x8848;

/** What is known of the packet at a place in the list. */
interface Known {
  /** Tags that it has at least. */
  tags: number;
  /** It has none. */
  untagged: boolean;
  /** It is MPLS. */
  mpls: boolean;
  /** Its network layer is the match's. */
  network: boolean;
  /** Tags have come or gone. */
  retagged: boolean;
  /** So many have come that others than the process looks at may be in front of the network layer. */
  deeper: boolean;
  /** Where tunnel ports send it. */
  tunnel?: DpTunnel;
}

/** Sends that nothing changed in between. */
interface Send {
  readonly port: number;
  readonly limit: number;
  readonly at: number;
  readonly tunnel?: SetTunnelStep | undefined;
}

export class ActionPlanner {
  private readonly args = new ArgumentWriter();
  private refusal: Refusal | undefined;
  private recirculates = false;
  private stateful = false;
  private plain = false;
  private protocol = false;
  private shortestCut = NO_LIMIT;
  private readonly samples: number[] = [];

  constructor(private readonly match: Match, private readonly world: PlanWorld) {}

  plan(actions: readonly DpAction[]): KernelActions {
    this.stateful = someAction(actions, ({ type }) => type === "recirc" || type === "ct");
    const steps = this.list(actions, this.known(), true, 0);
    if (!steps) return this.refusal!;
    const { args, plain, protocol, samples, stateful } = this;
    const cut = this.shortestCut === NO_LIMIT ? {} : { cut: args.words(this.shortestCut) };
    if (args.isTooLong) return { kind: "userspace", reason: "too many actions" };
    if (steps.length === 0 && samples.length === 0) return { kind: "drop" };
    const guards = { plain, protocol, samples, ...cut };
    return {
      kind: "plan",
      steps,
      guards,
      stateful,
      recirculates: this.recirculates,
      args: args.finish(),
      shape: JSON.stringify([guards, ...steps]),
    };
  }

  /** What the match makes sure of. */
  private known(): Known {
    const { key, mask } = this.match;
    const ethType = pinned(this.match, "eth_type");
    const outer = mask.get(FIELDS.vlan_tci);
    const isTagged = (outer & key.get(FIELDS.vlan_tci) & TAG_PRESENT) !== 0;
    const inner = slot("vlan2_tci").offset;
    const twice = (mask.bytes[inner]! & key.bytes[inner]! & (TAG_PRESENT >> 8)) !== 0;
    return {
      tags: !isTagged ? 0 : twice ? 2 : 1,
      untagged: !isTagged && (outer & TAG_PRESENT) !== 0,
      mpls: isMpls(ethType) && looksAt(this.match, "mpls_lse0"),
      network: true,
      retagged: false,
      deeper: false,
    };
  }

  private refuse(reason: string, missingPort?: number): undefined {
    this.refusal ??= {
      kind: "userspace",
      reason,
      ...missingPort === undefined ? {} : { missingPort },
    };
    return undefined;
  }

  /** The steps of a list, or undefined. `last`: nothing comes behind the list. */
  private list(
    actions: readonly DpAction[],
    known: Known,
    last: boolean,
    depth: number,
  ): Step[] | undefined {
    if (depth > MAX_NESTING) return this.refuse("actions are nested too deep");
    const steps: Step[] = [];
    const sends: Send[] = [];
    let limit = NO_LIMIT;
    let again: Step | undefined;
    for (const [i, action] of actions.entries()) {
      const isLast = last && i === actions.length - 1;
      if (action.type === "output") {
        const send = this.send(action.port, limit, known);
        if (!send) return undefined;
        sends.push(send);
        limit = NO_LIMIT;
        continue;
      }
      if (action.type === "trunc") {
        limit = action.maxLength;
        continue;
      }
      if (action.type === "recirc") {
        if (!last || again) return this.refuse("recirculates and goes on");
        if (known.tunnel) return this.refuse("recirculates with another tunnel");
        again = { kind: "recirculate", at: this.args.big(action.id) };
        continue;
      }
      if (action.type === "clone") {
        const sendsOnly = !someAction(action.actions, ({ type }) => !SENDS.has(type));
        if (!isLast || again || sendsOnly) {
          if (!this.sendAll(action.actions, known, sends)) return undefined;
          continue;
        }
        if (!this.flush(sends, steps, false)) return undefined;
        const inner = this.list(action.actions, known, true, depth + 1);
        if (!inner) return undefined;
        steps.push(...inner);
        continue;
      }
      if (action.type === "ct") {
        if (again || depth > 0) return this.refuse("tracks a copy");
        if (this.samples.length > 0) return this.refuse("samples and tracks");
        const first = steps.length === 0 && sends.length === 0;
        // The process would go on behind what set it.
        if (!first && known.tunnel) return this.refuse("tracks with another tunnel");
        if (!this.flush(sends, steps, false)) return undefined;
        const step = ctStep(actions, i, first, this.args);
        if (!step) return this.refuse("tracks by force");
        steps.push(step);
        continue;
      }
      // What follows may not change the packet that is to recirculate.
      const step = this.step(action, known, isLast && !again, depth);
      if (!step) return undefined;
      if (step === NOTHING) continue;
      const changes = step.kind !== "hash" || again !== undefined;
      if (changes && again) return this.refuse("recirculates and goes on");
      if (changes && !this.flush(sends, steps, false)) return undefined;
      steps.push(step);
    }
    if (!this.flush(sends, steps, last && !again)) return undefined;
    if (again) {
      steps.push(again);
      this.recirculates = true;
    }
    // What is behind the last output shows nowhere.
    while (last && steps.length > 0 && !shows(steps.at(-1)!)) steps.pop();
    return steps;
  }

  /** A list that works on a copy, and does nothing but send. */
  private sendAll(actions: readonly DpAction[], known: Known, sends: Send[]): true | undefined {
    let limit = NO_LIMIT;
    for (const action of actions) {
      if (action.type === "trunc") {
        limit = action.maxLength;
        continue;
      }
      if (action.type === "clone") {
        if (!this.sendAll(action.actions, known, sends)) return undefined;
        continue;
      }
      if (action.type !== "output") return this.refuse("changes a copy and goes on");
      const send = this.send(action.port, limit, known);
      if (!send) return undefined;
      sends.push(send);
      limit = NO_LIMIT;
    }
    return true;
  }

  private send(port: number, limit: number, known: Known): Send | undefined {
    const target = this.world.targetOf(port);
    if (!target) return this.refuse(`there is no port ${port}`, port);
    const where = port * 2 + (target.ingress ? 1 : 0);
    const tunnel = target.tunnel && this.tunnel(target.tunnel, known);
    if (target.tunnel && !tunnel) return undefined;
    return { port, limit, at: this.args.words(target.ifindex, where), tunnel };
  }

  private tunnel(target: TunnelTarget, { tunnel }: Known): SetTunnelStep | undefined {
    if (!tunnel) return this.refuse("sends through a tunnel that is not set");
    const args = tunnelArguments(tunnel, target);
    if (typeof args === "string") return this.refuse(args);
    return { kind: "set_tunnel", at: this.args.add(args), optionBytes: optionBytes(args) };
  }

  /** Those that are sent whole, then the others; these only where nothing comes behind. */
  private flush(sends: Send[], steps: Step[], last: boolean): true | undefined {
    const cuts = sends.filter(({ limit }) => limit !== NO_LIMIT);
    for (const { limit, at, tunnel } of sends) {
      if (limit !== NO_LIMIT) continue;
      if (tunnel) steps.push(tunnel);
      steps.push({ kind: "output", at });
    }
    if (cuts.length > 0 && !last) return this.refuse("cuts a packet that is needed afterwards");
    const differs = cuts.some((cut) =>
      sends.some(({ port, limit }) => port === cut.port && limit !== cut.limit)
    );
    if (differs) return this.refuse("sends a packet whole and cut to one port");
    cuts.sort((a, b) => b.limit - a.limit);
    for (const { limit, at, tunnel } of cuts) {
      this.shortestCut = Math.min(this.shortestCut, limit);
      if (tunnel) steps.push(tunnel);
      steps.push({ kind: "output", at, cut: this.args.words(limit) });
    }
    sends.length = 0;
    return true;
  }

  /** One that is neither `output`, `trunc` nor `recirc`. */
  private step(
    action: DpAction,
    known: Known,
    last: boolean,
    depth: number,
  ): Step | typeof NOTHING | undefined {
    switch (action.type) {
      case "set":
        return this.set(action, known);
      case "push_vlan": {
        const { tpid, tci } = action;
        if (tpid !== 0x8100 && tpid !== 0x88a8) return this.refuse("pushes a rare tag");
        const low = tci & ~TAG_PRESENT;
        const at = this.args.add(Uint8Array.of(tpid >>> 8, tpid & 255, low & 255, low >>> 8));
        known.tags++;
        known.deeper ||= !known.untagged;
        known.untagged = false;
        known.retagged = true;
        return { kind: "push_vlan", at };
      }
      case "pop_vlan":
        if (known.tags === 0) return this.refuse("takes off a tag that may not be there");
        known.tags--;
        known.retagged = true;
        return { kind: "pop_vlan" };
      case "ct_clear":
        return this.stateful ? { kind: "ct_clear" } : NOTHING;
      case "set_tunnel":
        known.tunnel = action.tunnel;
        return NOTHING;
      case "hash":
        return this.hash(action, known);
      case "meter":
        if (!this.world.hasMeter(action.id)) return this.refuse("a meter that programs lack");
        return { kind: "meter", at: this.args.words(action.id) };
      case "check_pkt_len":
        return last
          ? this.checkLength(action, known, depth)
          : this.refuse("asks for a length and goes on");
      case "sample":
        return this.sample(action, depth);
      case "push_mpls":
      case "add_mpls":
        return this.pushMpls(action, known);
      case "pop_mpls":
        return this.popMpls(action, known);
      default:
        return this.refuse(action.type);
    }
  }

  private checkLength(
    action: ActionOf<"check_pkt_len">,
    known: Known,
    depth: number,
  ): Step | undefined {
    if (!known.network) return this.refuse("asks for the length of a changed packet");
    const at = this.args.words(action.length);
    const greater = this.list(action.greater, { ...known }, true, depth + 1);
    const lessEqual = greater && this.list(action.lessEqual, { ...known }, true, depth + 1);
    if (!lessEqual) return undefined;
    const ethType = pinned(this.match, "eth_type");
    if (ethType === undefined) {
      return this.refuse("asks for the length of a packet of unknown type");
    }
    const network = ethType === 0x0800 ? "ipv4" : ethType === 0x86dd ? "ipv6" : "frame";
    return { kind: "check_length", at, network, greater, lessEqual };
  }

  private sample(action: ActionOf<"sample">, depth: number): typeof NOTHING | undefined {
    const { probability, actions } = action;
    if (probability >>> 0 === 0xffff_ffff) return this.refuse("samples every packet");
    // The process dices for those that are in there, or not, in an order of its own.
    const nested = someAction(actions, ({ type }) => type === "sample");
    if (depth > 0 || nested) return this.refuse("samples in a list");
    if (this.samples.length === MAX_DECISIONS) return this.refuse("too many samples");
    this.samples.push(this.args.words(probability));
    return NOTHING;
  }

  private pushMpls(
    action: ActionOf<"push_mpls"> | ActionOf<"add_mpls">,
    known: Known,
  ): Step | undefined {
    if (known.retagged) return this.refuse("puts a label behind tags that have changed");
    if (action.type === "add_mpls" && action.l2) return this.refuse("puts a label over Ethernet");
    if (!isMpls(action.ethType)) return this.refuse("puts a label under another type");
    const at = this.args.big(action.lse);
    this.args.add(Uint8Array.of(action.ethType >>> 8, action.ethType));
    this.plain = true;
    known.mpls = true;
    known.network = false;
    return { kind: "push_mpls", at };
  }

  private popMpls({ ethType }: ActionOf<"pop_mpls">, known: Known): Step | undefined {
    if (!known.mpls) return this.refuse("takes off a label that may not be there");
    if (!known.untagged) return this.refuse("takes off a label behind a tag");
    const at = this.args.add(Uint8Array.of(ethType >>> 8, ethType));
    this.plain = true;
    known.mpls = false;
    known.network = false;
    return { kind: "pop_mpls", at };
  }

  private set(action: ActionOf<"set">, known: Known): Step | undefined {
    const { slot: name, value, mask } = action;
    if (name === "skb_priority" || name === "pkt_mark") {
      if (mask.some((byte) => byte !== 0xff)) return this.refuse(`sets bits of ${name}`);
      const number = new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
      const field = name === "pkt_mark" ? "mark" : "priority";
      return { kind: "note", at: this.args.words(number), field, state: this.stateful };
    }
    const isFrame = name === "eth_src" || name === "eth_dst";
    const place = isFrame || known.network
      ? placeOf(name, this.match)
      : known.mpls && name === "mpls_lse0"
      ? LABEL
      : undefined;
    if (!place) return this.refuse(`sets ${name}`);
    const { bytes, shift = 0, foreign = 0 } = place;
    const wideMask = widen(mask, bytes, shift);
    wideMask.forEach((byte, i) => wideMask[i] = byte & (0xff >> Math.max(0, foreign - 8 * i)));
    const wideValue = widen(value, bytes, shift).map((byte, i) => byte & wideMask[i]!);
    const at = this.args.add(wideValue);
    this.args.add(wideMask.map((byte) => ~byte));
    const { base, offset, checksum } = place;
    return { kind: "set", at, base, offset, bytes, checksum };
  }

  private hash(action: ActionOf<"hash">, known: Known): Step | typeof NOTHING | undefined {
    // Nobody will look at it.
    if (!this.stateful) return NOTHING;
    if (!known.network) return this.refuse("hashes what lies behind an unknown header");
    const ethType = pinned(this.match, "eth_type");
    if (ethType === undefined) return this.refuse("hashes a packet of unknown type");
    // Whether the third tag is one for the process depends on how many there are.
    const isTag = ethType === 0x8100 || ethType === 0x88a8;
    if (known.deeper || (isTag && known.retagged)) return this.refuse("hashes behind many tags");
    const network = HASHED.get(ethType) ?? "frame";
    let fragments = false;
    if (network === "ipv4" || network === "ipv6") {
      const { key, mask } = this.match;
      // A first fragment's ports are in some hashes and not in others.
      if ((mask.bytes[NW_FRAG]! & 3) !== 3) return this.refuse("hashes fragments");
      fragments = (key.bytes[NW_FRAG]! & 3) !== 0;
      this.protocol ||= network === "ipv6";
    }
    const algorithm = action.algorithm === "l4" ? "l4" : action.wide ? "wide" : "sym_l4";
    const at = this.args.words(action.basis >>> 0, ethType);
    return { kind: "hash", at, algorithm, network, fragments };
  }
}

/** Actions that leave the packet as it is. */
const SENDS: ReadonlySet<DpAction["type"]> = new Set(["output", "trunc", "clone"] as const);
/** Of a label that was pushed. */
const LABEL: FieldPlace = { base: "l3", offset: 0, bytes: 4, checksum: "none" };
const NW_FRAG = slot("nw_frag").offset;
const HASHED: ReadonlyMap<number, HashedNetwork> = new Map([
  [0x0800, "ipv4"],
  [0x86dd, "ipv6"],
  [0x0806, "arp"],
  [0x8847, "mpls"],
  [0x8848, "mpls"],
]);

/** A step that needs no instructions. */
const NOTHING = Symbol("nothing");

/** Something of it shows: a packet is sent, or something is counted. */
function shows(step: Step): boolean {
  return step.kind === "output" || step.kind === "recirculate" || step.kind === "meter" ||
    step.kind === "check_length" || step.kind === "ct";
}

/** The slot's bytes, shifted, at the end of `width` bytes. */
function widen(from: Uint8Array, width: number, shift: number): Uint8Array {
  const wide = new Uint8Array(width);
  if (shift === 0) wide.set(from, width - from.length);
  else {
    const value = from.reduce((sum, byte) => sum * 256 + byte, 0) << shift;
    wide[width - 2] = value >>> 8;
    wide[width - 1] = value;
  }
  return wide;
}

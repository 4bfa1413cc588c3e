/**
 * Whether a flow's actions make sense with its match: prerequisites of the fields that they set and
 * read, order of tables, shape of the packet along the way (OpenFlow 1.3.5 §5.12, ovs-actions(7)
 * "Consistency"). The switch refuses flows that fail; ovs-ofctl says so before it sends them.
 */
import { FIELDS } from "../../packet/layout.ts";
import { FlowKey, type Match } from "../../packet/key.ts";
import { OfError } from "../errors.ts";
import { ETH_TYPE, prerequisiteMet, VLAN_PRESENT } from "../match-set.ts";
import { PORTS } from "../version.ts";
import { subfieldMask } from "./subfield.ts";
import type { Action, ActionOf, Subfield } from "./types.ts";

export interface CheckOptions {
  /** Table the flow is in, 0xff when the switch chooses. */
  readonly table: number;
  /** Number of tables; no limit unless told. */
  readonly tables?: number;
  /**
   * OpenFlow 1.0: an old action that may meet a packet without the header that it sets does nothing
   * to it; later versions refuse such a flow (OpenFlow 1.0 §5.2.4 says nothing else).
   */
  readonly lenient?: boolean;
  /** Ports from here on cannot be sent to; 0xff00 unless told. */
  readonly maxPorts?: number;
}

function fail(error: ConstructorParameters<typeof OfError>[0], detail: string): never {
  throw new OfError(error, 0, detail);
}

/** What is known of the packet; actions change it as they go. */
interface State {
  readonly key: FlowKey;
  readonly mask: FlowKey;
  readonly options: CheckOptions;
  tags: number;
}

/** Throws `OfError` for the first action that cannot work on packets that match. */
export function checkActions(
  actions: readonly Action[],
  match: Match,
  options: CheckOptions,
): void {
  let { key } = match;
  if (!actions.every(leavesAlone)) {
    key = new FlowKey();
    key.words.set(match.key.words);
  }
  checkList(actions, { key, mask: match.mask, options, tags: hasTag(key) ? 1 : 0 });
}

/** Most actions of most flows: checking them goes on with the same packet. */
function leavesAlone({ type }: Action): boolean {
  return type === "output" || type === "controller" || type === "group" || type === "goto_table" ||
    type === "resubmit";
}

/** A mismatch that OpenFlow 1.0 lets pass. */
function soft(state: State, good: boolean, detail: string): void {
  if (!good && !state.options.lenient) fail("OFPBAC_MATCH_INCONSISTENT", detail);
}

/** What is read or written must be in the packet. */
function needs(
  { field }: Pick<Subfield, "field">,
  key: FlowKey,
  role: "source" | "destination" = "destination",
): void {
  if (prerequisiteMet(field.prerequisite, key)) return;
  const detail = `${field.name} needs ${field.prerequisite}`;
  throw new OfError("OFPBAC_MATCH_INCONSISTENT", 0, detail, {
    module: "meta_flow",
    text: () => `${role} field ${field.name} lacks correct prerequisites`,
  });
}

function checkPort(port: number, options: CheckOptions): void {
  const reserved = port >= PORTS.IN_PORT && port <= PORTS.LOCAL;
  if (!reserved && port >= (options.maxPorts ?? PORTS.MAX)) {
    fail("OFPBAC_BAD_OUT_PORT", `no packet can be sent to port ${port}`);
  }
}

const setTag = (key: FlowKey): void =>
  key.set(FIELDS.vlan_tci, key.get(FIELDS.vlan_tci) | VLAN_PRESENT);
/** Tags that a packet can carry here. */
const MAX_TAGS = 2;
const CT_INVALID = 0x10;
/** A packet type that stands for none. */
const UNKNOWN_TYPE = 0xffffffff;
const hasTag = (key: FlowKey): boolean => (key.get(FIELDS.vlan_tci) & VLAN_PRESENT) !== 0;

function isIp(key: FlowKey): boolean {
  const type = key.get(FIELDS.eth_type);
  return type === ETH_TYPE.IPV4 || type === ETH_TYPE.IPV6;
}

function isTransport(key: FlowKey): boolean {
  const protocol = key.get(FIELDS.nw_proto);
  const known = protocol === 6 || protocol === 17 || protocol === 132;
  return isIp(key) && (key.get(FIELDS.ip_frag) & 2) === 0 && known;
}

function isMpls(key: FlowKey): boolean {
  const type = key.get(FIELDS.eth_type);
  return type === ETH_TYPE.MPLS || type === ETH_TYPE.MPLS_MULTICAST;
}

function checkList(actions: readonly Action[], state: State): void {
  for (const action of actions) checkOne(action, state);
}

function checkOne(action: Action, state: State): void {
  const { key, options } = state;
  switch (action.type) {
    case "output":
      return checkPort(action.port, options);
    case "output_reg":
      return needs(action.source, key, "source");
    case "output_trunc":
      return checkPort(action.port, options);
    case "enqueue":
      if (action.port !== PORTS.IN_PORT && action.port !== PORTS.LOCAL) {
        if (action.port >= (options.maxPorts ?? PORTS.MAX)) {
          fail("OFPBAC_BAD_OUT_PORT", `no queue can be on port ${action.port}`);
        }
      }
      return;
    case "set_field":
      needs(action, key);
      if (action.field.name === "vlan_vid" && !hasTag(key)) {
        fail("OFPBAC_MATCH_INCONSISTENT", "there may be no VLAN tag to set");
      }
      if (action.field.name === "vlan_tci") {
        key.set(FIELDS.vlan_tci, Number(action.value & action.mask) & VLAN_PRESENT);
      }
      return;
    case "move":
      needs(action.source, key, "source");
      return needs(action.destination, key);
    case "stack_push":
      return needs(action.subfield, key, "source");
    case "stack_pop":
      return needs(action.subfield, key);
    case "multipath":
    case "check_pkt_larger":
      return needs(action.destination, key);
    case "bundle":
      if (action.destination) needs(action.destination, key);
      return;
    case "set_vlan_vid":
    case "set_vlan_pcp":
      soft(state, hasTag(key) || action.pushIfNone, "there may be no VLAN tag to set");
      state.tags = Math.max(state.tags, 1);
      return setTag(key);
    case "push_vlan":
      if (state.tags >= MAX_TAGS) fail("OFPBAC_BAD_TAG", `over ${MAX_TAGS} VLAN tags`);
      state.tags++;
      return setTag(key);
    case "pop_vlan":
      soft(state, hasTag(key), "there may be no VLAN tag to pop");
      state.tags = Math.max(state.tags - 1, 0);
      if (state.tags === 0) key.set(FIELDS.vlan_tci, 0);
      return;
    case "set_ipv4_src":
    case "set_ipv4_dst":
      return soft(state, key.get(FIELDS.eth_type) === ETH_TYPE.IPV4, "needs IPv4");
    case "set_ip_dscp":
    case "set_ip_ecn":
    case "set_ip_ttl":
    case "dec_ttl":
      return soft(state, isIp(key), `${action.type} needs IP`);
    case "set_tp_src":
    case "set_tp_dst":
      return soft(state, isTransport(key), `${action.type} needs TCP, UDP or SCTP`);
    case "set_mpls_label":
    case "set_mpls_tc":
    case "set_mpls_ttl":
    case "dec_mpls_ttl":
      return soft(state, isMpls(key), `${action.type} needs MPLS`);
    case "push_mpls":
      key.set(FIELDS.nw_proto, 0);
      return key.set(FIELDS.eth_type, action.ethType);
    case "pop_mpls":
      soft(state, isMpls(key), "pop_mpls needs MPLS");
      return key.set(FIELDS.eth_type, action.ethType);
    case "copy_ttl_in":
    case "copy_ttl_out":
      return soft(state, isMpls(key) || isIp(key), `${action.type} needs MPLS or IP`);
    case "push_pbb":
      key.set(FIELDS.nw_proto, 0);
      return key.set(FIELDS.eth_type, action.ethType);
    case "pop_pbb":
      soft(state, key.get(FIELDS.eth_type) === ETH_TYPE.PBB, "pop_pbb needs PBB");
      return key.set(FIELDS.eth_type, 0);
    case "learn":
      return checkLearn(action, key);
    case "clone": {
      const copy = new FlowKey();
      copy.words.set(key.words);
      return checkList(action.actions, { ...state, key: copy });
    }
    case "write_actions":
      // In what order a set's actions will run on what packet, nobody knows yet.
      return checkList(action.actions, { ...state, options: { ...options, lenient: true } });
    case "ct":
      return checkCt(action, key);
    case "resubmit":
      if (action.ct && !prerequisiteMet("ct", key, state.mask)) {
        fail("OFPBAC_MATCH_INCONSISTENT", "resubmit with ct needs a tracked packet");
      }
      return;
    case "fin_timeout":
      return soft(state, key.get(FIELDS.nw_proto) === 6, "fin_timeout needs TCP");
    case "goto_table": {
      const { table } = options;
      if (
        (table !== 0xff && action.table <= table) || action.table >= (options.tables ?? Infinity)
      ) {
        fail("OFPBIC_BAD_TABLE_ID", `table ${action.table} does not come after ${table}`);
      }
      return;
    }
    case "encap":
      key.set(FIELDS.packet_type, action.packetType);
      if (action.packetType >>> 16 === 1) key.set(FIELDS.eth_type, action.packetType & 0xffff);
      return;
    case "decap":
      if (key.get(FIELDS.packet_type) === 0) {
        return key.set(FIELDS.packet_type, 0x10000 | key.get(FIELDS.eth_type));
      }
      // What comes to light is known when the packet is there: nothing can be said of its fields.
      key.set(FIELDS.packet_type, UNKNOWN_TYPE);
      return key.set(FIELDS.eth_type, 0xffff);
    case "nat":
    case "ct_clear":
    case "controller":
    case "group":
    case "set_eth_src":
    case "set_eth_dst":
    case "set_tunnel":
    case "set_queue":
    case "pop_queue":
    case "debug_recirc":
    case "debug_slow":
    case "conjunction":
    case "note":
    case "exit":
    case "sample":
    case "delete_field":
    case "dec_nsh_ttl":
    case "meter":
    case "clear_actions":
    case "write_metadata":
      return;
    default: {
      const never: never = action;
      return never;
    }
  }
}

function checkCt(action: ActionOf<"ct">, key: FlowKey): void {
  const protocol = key.get(FIELDS.nw_proto);
  const helped = (action.alg !== 21 || protocol === 6) && (action.alg !== 69 || protocol === 17);
  const invalid = (key.get(FIELDS.ct_state) & CT_INVALID) !== 0;
  if (!isIp(key) || !helped || (invalid && action.commit)) {
    fail("OFPBAC_MATCH_INCONSISTENT", "ct cannot track such packets");
  }
  if ("subfield" in action.zone) needs(action.zone.subfield, key, "source");
}

/** The learned flow's match grows spec by spec; fields need their prerequisites in it. */
function checkLearn(action: ActionOf<"learn">, key: FlowKey): void {
  const learned = new FlowKey();
  for (const { source, destination } of action.specs) {
    if (source.type === "field") needs(source.subfield, key, "source");
    if (destination.type === "output") continue;
    const { subfield } = destination;
    needs(subfield, learned);
    if (destination.type === "match" && source.type === "value") {
      const bits = (source.value << BigInt(subfield.start)) & subfieldMask(subfield);
      const rest = learned.getBig(subfield.field) & ~subfieldMask(subfield);
      learned.setBig(subfield.field, rest | bits);
    }
  }
}

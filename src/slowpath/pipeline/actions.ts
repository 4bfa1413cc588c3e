/**
 * Runs a list of OpenFlow actions and instructions over the packet (OpenFlow 1.3.5 §5.9–5.12,
 * ovs-actions(7)).
 *
 * `isLast` says that nothing comes after the list, in the whole translation. A list ends early on an
 * error, on `exit`, when a TTL is used up, and when translation freezes (freeze.ts): then what was
 * still to be run is kept.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { FIELDS } from "../../packet/layout.ts";
import { clearActions, orderActionSet, writeActions } from "./action-set.ts";
import { AT, inPort, isIp, lookSlot, u16, VLAN_PCP, VLAN_VID, writeMasked } from "./bits.ts";
import { checkPacketLarger, guessPacketLarger, runClone } from "./clone.ts";
import { clearTracked, track } from "./conntrack.ts";
import { sendToController } from "./controller.ts";
import { decap, decNshTtl, encap } from "./encap.ts";
import { freezeActions, triggerFreeze } from "./freeze.ts";
import { formatThaw, type ThawAction } from "./frozen.ts";
import { runGroup } from "./group-action.ts";
import { learn } from "./learn.ts";
import { isOwn, runTable } from "./lookup.ts";
import { decMplsTtl, LSE, popMpls, pushMpls, setLabelBits } from "./mpls.ts";
import { output, outputToPort, outputTruncated } from "./output.ts";
import { popPbb, pushPbb } from "./pbb.ts";
import { sampleFlow } from "./sampling.ts";
import {
  decTtl,
  deleteField,
  lookAtSubfield,
  move,
  pop,
  push,
  setBytes,
  setField,
  setNumber,
  setPort,
  setVlanBits,
} from "./set-field.ts";
import { bundle, multipath } from "./spread.ts";
import { popTag, pushTag } from "./tags.ts";
import type { Xlate } from "./xlate.ts";

/** Actions that do the same to all packets for which the notes of a translation hold (replay.ts). */
const LIKE_ACTIONS: ReadonlySet<Action["type"]> = new Set<Action["type"]>([
  "output",
  "output_reg",
  "output_trunc",
  "enqueue",
  "set_field",
  "move",
  "set_vlan_vid",
  "set_vlan_pcp",
  "push_vlan",
  "pop_vlan",
  "set_eth_src",
  "set_eth_dst",
  "set_ipv4_src",
  "set_ipv4_dst",
  "set_ip_dscp",
  "set_ip_ecn",
  "set_ip_ttl",
  "set_tp_src",
  "set_tp_dst",
  "dec_ttl",
  "set_queue",
  "pop_queue",
  "resubmit",
  "goto_table",
  "note",
  "exit",
  "meter",
  "clear_actions",
  "write_actions",
  "write_metadata",
]);

/** Runs a list in some way: as it is, or over a copy of the packet (clone.ts). */
export type ListRunner = (x: Xlate, actions: readonly ThawAction[], isLast: boolean) => void;

export function runActions(
  x: Xlate,
  actions: readonly ThawAction[],
  isLast: boolean,
  inBucket = false,
): void {
  if (actions.length === 0) x.tracer?.report("action", "drop");
  for (const [i, action] of actions.entries()) {
    if (x.error) return;
    if (x.wasMpls && !x.exit && looksUnderLabels(action)) triggerFreeze(x);
    if (x.exit) {
      if (x.freezing) freezeActions(x, actions, i);
      return;
    }
    const last = isLast && i === actions.length - 1 && x.actionSet.length === 0;
    if (action.type === "unroll") {
      x.table = action.table;
      x.cookie = action.cookie;
      x.tracer?.report("action", formatThaw([action]));
      x.tracer?.report(
        "thaw",
        `restored state: table=${action.table}, cookie=${hexCookie(action.cookie)}`,
      );
      continue;
    }
    x.tracer?.action(x.bridge, action);
    if (x.notes && !LIKE_ACTIONS.has(action.type)) x.unlike();
    if (action.type === "check_pkt_larger" && x.supports("check_pkt_len")) {
      return checkPacketLarger(x, action, actions.slice(i + 1));
    }
    const done = run(x, action, last, inBucket);
    if (done === "stop") return;
    // What another table's rule froze, it has kept itself; the rest of this list comes behind.
    if (done === "searched" || x.error || !x.freezing || x.frozenActions.length > 0) continue;
    return freezeActions(x, actions, done === "froze" ? i + 1 : i);
  }
}

const hexCookie = (cookie: bigint): string => cookie === 0n ? "0" : `0x${cookie.toString(16)}`;

/**
 * `stop` ends the present list, not the pipeline; `froze`: translation goes on behind this action;
 * `searched`: it was the work of another table.
 */
type Done = "stop" | "froze" | "searched" | void;

function run(x: Xlate, action: Action, isLast: boolean, inBucket: boolean): Done {
  const { key, mask } = x;
  switch (action.type) {
    case "output":
      return output(x, action.port, action.maxLength, { isLast, inBucket, mayPacketIn: true });
    case "output_reg": {
      const port = lookAtSubfield(x, action.source);
      if (port > 0xffffn) {
        return x.tracer?.report("warn", `output port ${port} is out of range`);
      }
      x.tracer?.report("detail", `output port is ${port}`);
      return output(x, Number(port), action.maxLength, { isLast, inBucket, mayPacketIn: false });
    }
    case "output_trunc":
      return outputTruncated(x, action.port, action.maxLength, { isLast, inBucket });
    case "enqueue":
      return enqueue(x, action.port, action.queue, isLast);
    case "controller":
      if (!action.pause) return sendToController(x, { ...action, meterId: action.meterId });
      x.pause = action;
      triggerFreeze(x);
      return "froze";

    case "set_field":
      // A load of all of vlan_vid leaves the bit alone that says that there is a tag.
      return setField(
        x,
        action.field,
        action.value,
        action.form === "load" && action.field === FIELDS.vlan_vid
          ? action.mask & BigInt(VLAN_VID)
          : action.mask,
      );
    case "move":
      return move(x, action);
    case "stack_push":
      return push(x, action);
    case "stack_pop":
      return pop(x, action);

    case "set_vlan_vid":
      return setVlanBits(x, VLAN_VID, action.vid, action.pushIfNone);
    case "set_vlan_pcp":
      return setVlanBits(x, VLAN_PCP, action.pcp << 13, action.pushIfNone);
    case "push_vlan":
      return pushTag(x, action.ethType);
    case "pop_vlan":
      return popTag(x);

    case "set_eth_src":
      return setBytes(x, FIELDS.eth_src, action.address);
    case "set_eth_dst":
      return setBytes(x, FIELDS.eth_dst, action.address);
    case "set_ipv4_src":
      return ifIpv4(x, () => setNumber(x, FIELDS.ip_src, action.address));
    case "set_ipv4_dst":
      return ifIpv4(x, () => setNumber(x, FIELDS.ip_dst, action.address));
    case "set_ip_dscp":
      return ifIp(x, () => setNumber(x, FIELDS.ip_dscp, action.tos >> 2));
    case "set_ip_ecn":
      return ifIp(x, () => setNumber(x, FIELDS.nw_ecn, action.ecn));
    case "set_ip_ttl":
      return ifIp(x, () => setNumber(x, FIELDS.nw_ttl, action.ttl));
    case "set_tp_src":
      return setPort(x, AT.tpSrc, action.port);
    case "set_tp_dst":
      return setPort(x, AT.tpDst, action.port);
    case "dec_ttl":
      return decTtl(x, action.controllerIds) ? undefined : "stop";

    case "push_mpls":
      return pushMpls(x, action.ethType);
    case "pop_mpls":
      return popMpls(x, action.ethType);
    case "set_mpls_label":
      return setLabelBits(x, LSE.LABEL, action.label << 12);
    case "set_mpls_tc":
      return setLabelBits(x, LSE.TC, action.tc << 9);
    case "set_mpls_ttl":
      return setLabelBits(x, LSE.TTL, action.ttl);
    case "dec_mpls_ttl":
      return decMplsTtl(x) ? undefined : "stop";
    case "copy_ttl_in":
    case "copy_ttl_out":
      x.commit();
      x.emit({ type: action.type });
      // The TTLs that the key has are not the packet's any more.
      x.wasMpls = true;
      return;
    case "push_pbb":
      return pushPbb(x, action.ethType);
    case "pop_pbb":
      return popPbb(x) ? "froze" : undefined;
    case "encap":
      return encap(x, action);
    case "decap":
      if (!decap(x, action) || x.error) return;
      triggerFreeze(x);
      return "froze";
    case "dec_nsh_ttl":
      return decNshTtl(x) ? undefined : "stop";

    case "set_tunnel":
      return key.setBig(FIELDS.tun_id, action.id);
    case "delete_field":
      return deleteField(x, action.field);
    case "set_queue": {
      const priority = priorityOf(x, action.queue);
      if (priority === undefined) return;
      lookSlot(mask, "skb_priority");
      return key.set(FIELDS.skb_priority, priority);
    }
    case "pop_queue":
      lookSlot(mask, "skb_priority");
      if (key.get(FIELDS.skb_priority) !== x.originalPriority) {
        key.set(FIELDS.skb_priority, x.originalPriority);
        x.tracer?.report("detail", `queue = ${alternateHex(x.originalPriority)}`);
      }
      return;

    case "resubmit":
      runTable(
        x,
        {
          table: action.table === 0xff ? x.table : action.table,
          port: action.port === PORTS.IN_PORT ? inPort(key) : action.port,
          asPipeline: isOwn(x),
          mayPacketIn: isOwn(x),
          swaps: action.ct,
        },
        isLast,
      );
      return "searched";
    case "goto_table":
      runTable(
        x,
        {
          table: action.table,
          port: inPort(key),
          asPipeline: true,
          mayPacketIn: true,
          swaps: false,
        },
        isLast,
      );
      return "searched";
    case "group":
      return runGroup(x, action.group, isLast) ? undefined : "stop";
    case "clone":
      return runClone(x, action.actions, isLast);
    case "learn":
      return learn(x, action);
    case "multipath":
      return multipath(x, action);
    case "bundle":
      return bundle(x, action);
    case "conjunction":
      // Lookups see it (classifier.ts); only a packet-out can make a packet run into it.
      return x.complain("executing no-op conjunction action");
    case "fin_timeout":
      mask.bytes[AT.nwProto] = 0xff;
      if (x.rule) {
        const { idle, hard } = action;
        x.effect({ type: "fin", tables: x.bridge.tables, rule: x.rule, idle, hard });
      }
      return;
    case "exit":
      x.exit = true;
      return;
    case "note":
      return;
    case "debug_recirc":
      triggerFreeze(x);
      return "froze";
    case "debug_slow":
      x.slow.add("action");
      return;

    case "ct":
      return track(x, action);
    case "nat":
      x.nat = action;
      return;
    case "ct_clear":
      return clearTracked(x);
    case "meter": {
      const id = x.bridge.tables.meters.inDatapath(action.meter);
      if (id !== undefined) x.emit({ type: "meter", id });
      return;
    }
    case "sample":
      return sampleFlow(x, action);
    case "check_pkt_larger":
      return guessPacketLarger(x, action);

    case "clear_actions":
      return clearActions(x);
    case "write_actions":
      return writeActions(x, action.actions);
    case "write_metadata":
      return writeMasked(key, FIELDS.metadata, action.metadata, action.mask);
    default: {
      const never: never = action;
      throw new Error(`action ${never}`);
    }
  }
}

/** The action set, if there is one, put in order: the end of a pipeline. */
export function runActionSet(x: Xlate): void {
  const actions = orderActionSet(x.actionSet);
  x.actionSet = [];
  if (actions.length === 0) return;
  x.inActionSet = true;
  x.tracer?.enter("table", "--. Executing action set:");
  runActions(x, actions, true);
  x.tracer?.leave();
  x.inActionSet = false;
}

/** Does the action need what was hidden by labels that were popped? */
function looksUnderLabels(action: ThawAction): boolean {
  switch (action.type) {
    case "output":
    case "output_trunc":
    case "output_reg":
    case "enqueue":
    case "set_vlan_vid":
    case "set_vlan_pcp":
    case "set_eth_src":
    case "set_eth_dst":
    case "set_tunnel":
    case "set_queue":
    case "group":
      return false;
    case "set_field":
      return action.field.id >= FIELDS.mpls_label.id && action.field.id <= FIELDS.nsh_ttl.id;
    default:
      return true;
  }
}

function ifIp({ key }: Xlate, body: () => void): void {
  if (isIp(key)) body();
}

function ifIpv4({ key }: Xlate, body: () => void): void {
  if (u16(key, AT.ethType) === 0x0800) body();
}

const alternateHex = (value: number): string => value === 0 ? "0" : `0x${value.toString(16)}`;

/** Said of a queue that there cannot be, and the packet goes by none. */
function priorityOf(x: Xlate, queue: number): number | undefined {
  const { bridge } = x;
  const priority = bridge.queuePriority ? bridge.queuePriority(queue) : queue;
  if (priority === undefined) x.tracer?.report("warn", `there can be no queue ${queue}`);
  return priority;
}

function enqueue(x: Xlate, port: number, queue: number, isLast: boolean): void {
  const { key } = x;
  const priority = priorityOf(x, queue);
  if (priority === undefined) return output(x, port, 0, { isLast });
  lookSlot(x.mask, "skb_priority");
  const target = port === PORTS.IN_PORT ? inPort(key) : port;
  if (port !== PORTS.IN_PORT && port === inPort(key)) return;
  const before = key.get(FIELDS.skb_priority);
  key.set(FIELDS.skb_priority, priority);
  x.sampling.during(() => outputToPort(x, target, { isLast }));
  key.set(FIELDS.skb_priority, before);
}

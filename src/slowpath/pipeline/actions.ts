/** Runs a list of OpenFlow actions and instructions over the packet (OpenFlow 1.3.5 §5.9–5.12). */
import type { Action } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import type { Prerequisite } from "../../packet/fields.ts";
import { type Field, FIELDS } from "../../packet/layout.ts";
import {
  AT,
  has,
  inPort,
  isIp,
  look16,
  lookSlot,
  lookSubfield,
  readSubfield,
  setU16,
  u16,
  VLAN_CFI,
  VLAN_PCP,
  VLAN_VID,
  writeMasked,
  writeSubfield,
} from "./bits.ts";
import { lookTags, setTags, tags } from "./commit.ts";
import { runGroup } from "./group-action.ts";
import { learn } from "./learn.ts";
import { output, outputTruncated, sendToController } from "./output.ts";
import { bundle, multipath } from "./spread.ts";
import type { Xlate } from "./xlate.ts";

/** Runs the list until it ends, an error, `exit`, or an action that ends it (an expired TTL). */
export function runActions(x: Xlate, actions: readonly Action[]): void {
  if (actions.length === 0) x.tracer?.report("action", "drop");
  for (const action of actions) {
    if (x.error || x.exit) return;
    x.tracer?.action(x.bridge, action);
    if (run(x, action) === "stop") return;
  }
}

/** `stop` ends the present list, not the pipeline. */
function run(x: Xlate, action: Action): "stop" | void {
  const { key, mask } = x;
  switch (action.type) {
    case "output":
      return output(x, action.port, action.maxLength);
    case "output_reg": {
      const port = readSubfield(key, action.source);
      lookSubfield(mask, action.source);
      if (port > 0xffffn) {
        return x.tracer?.report("warn", `output port ${port} is out of range`);
      }
      x.tracer?.report("detail", `output port is ${port}`);
      return output(x, Number(port), action.maxLength);
    }
    case "output_trunc":
      return outputTruncated(x, action.port, action.maxLength);
    case "enqueue": {
      const before = key.get(FIELDS.skb_priority);
      lookSlot(mask, "skb_priority");
      key.set(FIELDS.skb_priority, action.queue);
      output(x, action.port, 0);
      key.set(FIELDS.skb_priority, before);
      return;
    }
    case "controller":
      return sendToController(x, { ...action, meterId: action.meterId });

    case "set_field":
      return set(x, action.field, action.value, action.mask);
    case "move": {
      const { source, destination } = action;
      if (!has(key, mask, source.field.prerequisite)) return;
      if (!has(key, mask, destination.field.prerequisite)) return;
      lookSubfield(mask, source);
      lookSubfield(mask, destination);
      return writeSubfield(key, destination, readSubfield(key, source));
    }
    case "stack_push":
      lookSubfield(mask, action.subfield);
      return x.push(readSubfield(key, action.subfield));
    case "stack_pop": {
      const value = x.stack.pop();
      if (value === undefined) return x.tracer?.report("error", "stack underflow");
      lookSubfield(mask, action.subfield);
      return writeSubfield(key, action.subfield, value);
    }

    case "set_vlan_vid":
      return setVlan(x, VLAN_VID, action.vid, action.pushIfNone);
    case "set_vlan_pcp":
      return setVlan(x, VLAN_PCP, action.pcp << 13, action.pushIfNone);
    case "push_vlan": {
      lookTags(mask);
      const list = tags(key);
      // OpenFlow 1.3.5 §5.12.1 copies the outer tag's fields; Open vSwitch starts from zero.
      return setTags(key, [{ tci: VLAN_CFI, tpid: action.ethType }, ...list]);
    }
    case "pop_vlan":
      lookTags(mask);
      return setTags(key, tags(key).slice(1));

    case "set_eth_src":
      return setBytes(x, FIELDS.eth_src, action.address);
    case "set_eth_dst":
      return setBytes(x, FIELDS.eth_dst, action.address);
    case "set_ipv4_src":
      return setNumber(x, FIELDS.ip_src, action.address);
    case "set_ipv4_dst":
      return setNumber(x, FIELDS.ip_dst, action.address);
    case "set_ip_dscp":
      return setNumber(x, FIELDS.ip_dscp, action.tos >> 2);
    case "set_ip_ecn":
      return setNumber(x, FIELDS.nw_ecn, action.ecn);
    case "set_ip_ttl":
      return setNumber(x, FIELDS.nw_ttl, action.ttl);
    case "set_tp_src":
      if (hasPorts(x)) setNumber(x, FIELDS.tcp_src, action.port, "ip");
      return;
    case "set_tp_dst":
      if (hasPorts(x)) setNumber(x, FIELDS.tcp_dst, action.port, "ip");
      return;
    case "dec_ttl":
      return decTtl(x, action.controllerIds);
    case "set_tunnel":
      return key.setBig(FIELDS.tun_id, action.id);
    case "set_queue":
      lookSlot(mask, "skb_priority");
      return key.set(FIELDS.skb_priority, action.queue);
    case "pop_queue":
      lookSlot(mask, "skb_priority");
      return key.set(FIELDS.skb_priority, x.originalPriority);

    case "resubmit": {
      const port = action.port === PORTS.IN_PORT ? inPort(key) : action.port;
      x.runTable(action.table === 0xff ? x.table : action.table, port, false, false);
      return;
    }
    case "learn":
      return learn(x, action);
    case "multipath":
      return multipath(x, action);
    case "bundle":
      return bundle(x, action);
    case "delete_field": {
      const ones = (1n << BigInt(action.field.bits)) - 1n;
      writeMasked(mask, action.field, ones, ones);
      return writeMasked(key, action.field, 0n, ones);
    }
    case "conjunction":
      // Lookups see it (classifier.ts); a packet never does.
      return;
    case "group":
      return runGroup(x, action.group);
    case "clone":
      return x.nested(() => x.isolated(() => runActions(x, action.actions)));
    case "fin_timeout":
      if (x.rule && has(key, mask, "tcp")) {
        const { idle, hard } = action;
        x.effect({ type: "fin", tables: x.bridge.tables, rule: x.rule, idle, hard });
      }
      return;
    case "exit":
      x.exit = true;
      return;
    case "note":
      return;

    case "clear_actions":
      x.actionSet = [];
      return key.set(FIELDS.actset_output, PORTS.UNSET);
    case "write_actions": {
      x.actionSet.push(...action.actions);
      const out = x.actionSet.findLast(({ type }) => type === "output");
      if (out?.type === "output") key.set(FIELDS.actset_output, out.port);
      return;
    }
    case "write_metadata":
      return writeMasked(key, FIELDS.metadata, action.metadata, action.mask);
    case "goto_table":
      x.runTable(action.table, inPort(key), true, true);
      return;

    case "copy_ttl_in":
    case "copy_ttl_out":
    case "push_pbb":
    case "pop_pbb":
    case "set_mpls_label":
    case "set_mpls_tc":
    case "set_mpls_ttl":
    case "dec_mpls_ttl":
    case "push_mpls":
    case "pop_mpls":
    case "sample":
    case "ct":
    case "nat":
    case "ct_clear":
    case "check_pkt_larger":
    case "encap":
    case "decap":
    case "dec_nsh_ttl":
    case "meter":
      // Tables and packet-out refuse these (supported.ts).
      return x.fail("unsupported action");
    default: {
      const never: never = action;
      throw new Error(`action ${never}`);
    }
  }
}

/** Sets a field if the packet has it; the written bits count as looked at (commit.ts). */
function set(
  x: Xlate,
  field: Field,
  value: bigint,
  bits: bigint,
  needs: Prerequisite | undefined = field.prerequisite,
): void {
  if (!has(x.key, x.mask, needs)) {
    return x.tracer?.report(
      "warn",
      `unmet prerequisites for ${field.name}, set_field ignored`,
    );
  }
  writeMasked(x.mask, field, bits, bits);
  writeMasked(x.key, field, value, bits);
  if (field.offset === AT.vlanTci) keepTpid(x);
}

function setNumber(x: Xlate, field: Field, value: number, needs?: Prerequisite): void {
  set(x, field, BigInt(value), (1n << BigInt(field.bits)) - 1n, needs);
}

function setBytes(x: Xlate, field: Field, value: Uint8Array): void {
  if (!has(x.key, x.mask, field.prerequisite)) return;
  x.mask.bytes.fill(0xff, field.offset, field.offset + value.length);
  x.key.bytes.set(value, field.offset);
}

function setVlan(x: Xlate, bits: number, value: number, pushIfNone: boolean): void {
  const { key, mask } = x;
  look16(mask, AT.vlanTci, bits | VLAN_CFI);
  const tci = u16(key, AT.vlanTci);
  if (!(tci & VLAN_CFI) && !pushIfNone) return;
  setU16(key, AT.vlanTci, (tci & ~bits) | (value & bits) | VLAN_CFI);
  keepTpid(x);
}

/** A tag that was made by writing its bits needs an Ethernet type. */
function keepTpid({ key }: Xlate): void {
  if (u16(key, AT.vlanTci) & VLAN_CFI) {
    if (u16(key, AT.vlanTpid) === 0) setU16(key, AT.vlanTpid, 0x8100);
  }
}

function hasPorts({ key, mask }: Xlate): boolean {
  return isIp(key) && (has(key, mask, "tcp") || has(key, mask, "udp") || has(key, mask, "sctp"));
}

function decTtl(x: Xlate, controllerIds: readonly number[]): "stop" | void {
  const { key, mask } = x;
  if (!isIp(key)) return;
  mask.bytes[AT.nwTtl] = 0xff;
  const ttl = key.bytes[AT.nwTtl]!;
  if (ttl > 1) {
    key.bytes[AT.nwTtl] = ttl - 1;
    return;
  }
  const rest = { maxLength: 0xffff, userdata: undefined, meterId: undefined };
  const version = u16(key, AT.ethType) === 0x0800 ? 4 : 6;
  x.tracer?.report("warn", `IPv${version} decrement TTL exception`);
  for (const controllerId of controllerIds) {
    sendToController(x, { reason: "invalid_ttl", controllerId, ...rest });
  }
  return "stop";
}

/**
 * Instructions (OpenFlow 1.1 and later) ↔ the flat list of a flow's actions.
 *
 * Decoding gives the order in which the pipeline runs them: meter, apply-actions, clear-actions,
 * write-actions, write-metadata, goto-table (OpenFlow 1.3.5 §5.9), whatever their order on the wire.
 * OpenFlow 1.0 has a bare list of actions instead. Errors: OFPBIC_*, OFPBAC_*.
 */
import type { FlowKey } from "../../packet/key.ts";
import { OfError } from "../errors.ts";
import { OF10, OF13, OF15, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readActions, readUnplaced, requirePlaced, writeActions } from "./codec.ts";
import type { Action, ActionOf } from "./types.ts";

/** OFPIT_*. */
export const INSTRUCTION = {
  GOTO_TABLE: 1,
  WRITE_METADATA: 2,
  WRITE_ACTIONS: 3,
  APPLY_ACTIONS: 4,
  CLEAR_ACTIONS: 5,
  METER: 6,
} as const;
const EXPERIMENTER = 0xffff;

/** Length of each type, and whether it may be longer. */
const SIZES: ReadonlyMap<number, { bytes: number; variable: boolean }> = new Map([
  [INSTRUCTION.GOTO_TABLE, { bytes: 8, variable: false }],
  [INSTRUCTION.WRITE_METADATA, { bytes: 24, variable: false }],
  [INSTRUCTION.WRITE_ACTIONS, { bytes: 8, variable: true }],
  [INSTRUCTION.APPLY_ACTIONS, { bytes: 8, variable: true }],
  [INSTRUCTION.CLEAR_ACTIONS, { bytes: 8, variable: false }],
  [INSTRUCTION.METER, { bytes: 8, variable: false }],
]);

/** Which actions may be in an action set (OpenFlow 1.3.5 §5.10): no resubmit, no learn … */
const IN_ACTION_SET: ReadonlySet<Action["type"]> = new Set<Action["type"]>([
  "output",
  "output_trunc",
  "group",
  "set_queue",
  "set_field",
  "move",
  "push_vlan",
  "pop_vlan",
  "push_mpls",
  "pop_mpls",
  "dec_ttl",
  "dec_mpls_ttl",
  "set_ip_ttl",
  "set_mpls_ttl",
  "set_mpls_label",
  "set_mpls_tc",
  "set_vlan_vid",
  "set_vlan_pcp",
  "set_eth_src",
  "set_eth_dst",
  "set_ipv4_src",
  "set_ipv4_dst",
  "set_ip_dscp",
  "set_ip_ecn",
  "set_tp_src",
  "set_tp_dst",
  "set_tunnel",
  "ct",
  "ct_clear",
  "nat",
  "encap",
  "decap",
  "dec_nsh_ttl",
  "meter",
]);

export function isInstruction(action: Action, version: OfVersion): boolean {
  switch (action.type) {
    case "clear_actions":
    case "write_actions":
    case "write_metadata":
    case "goto_table":
      return true;
    case "meter":
      return version < OF15;
    default:
      return false;
  }
}

function readActionSet(reader: Reader, version: OfVersion): Action[] {
  const at = reader.offset;
  const actions = readUnplaced(reader, version);
  for (const action of actions) {
    if (!IN_ACTION_SET.has(action.type)) {
      throw new OfError("OFPBAC_BAD_TYPE", at, `${action.type} cannot be in an action set`, {
        module: "ofp_actions",
        text: () => "disallowed action in action set",
      });
    }
  }
  return actions;
}

/** Reads `length` bytes of instructions, or of actions in OpenFlow 1.0. */
export function readInstructions(
  reader: Reader,
  version: OfVersion,
  length = reader.left,
): Action[] {
  if (version === OF10) return readActions(reader, version, length, true);
  const start = reader.offset;
  if (length % 8 !== 0 || length > reader.left) {
    const text = `OpenFlow message instructions length ${length} ` +
      (length % 8 !== 0
        ? "is not a multiple of 8"
        : `exceeds remaining message length (${reader.left})`);
    throw new OfError("OFPBIC_BAD_LEN", start, text, { module: "ofp_actions", text: () => text });
  }
  const list = reader.sub(length, "OFPBIC_BAD_LEN");
  const bodies = new Map<number, Reader>();
  while (list.left > 0) {
    const at = list.offset;
    // The whole is a multiple of eight bytes, and each one read so far was.
    const type = list.peek16();
    const size = list.peek16(2);
    if (size < 8 || size % 8 !== 0 || size > list.left) {
      const detail = `instruction of ${size} bytes, ${list.left} are left`;
      throw new OfError("OFPBIC_BAD_LEN", at, detail, {
        module: "ofp_actions",
        text: () => `bad instruction format at offset ${at - start}`,
      });
    }
    if (type === EXPERIMENTER) {
      throw new OfError("OFPBIC_BAD_EXPERIMENTER", at, "no experimenter instruction is known");
    }
    const known = SIZES.get(type);
    if (!known || (type === INSTRUCTION.METER && (version < OF13 || version >= OF15))) {
      throw new OfError("OFPBIC_UNKNOWN_INST", at, `instruction ${type} is unknown`);
    }
    if (size < known.bytes || (size !== known.bytes && !known.variable)) {
      list.fail(`instruction ${type} cannot be ${size} bytes long`);
    }
    if (bodies.has(type)) throw new OfError("OFPBIC_DUP_INST", at, `instruction ${type} twice`);
    const body = list.sub(size);
    body.skip(4);
    bodies.set(type, body);
  }
  const actions = inOrder(bodies, version);
  requirePlaced(actions, { version, instructions: true }, start);
  return actions;
}

function inOrder(bodies: ReadonlyMap<number, Reader>, version: OfVersion): Action[] {
  const actions: Action[] = [];
  const meter = bodies.get(INSTRUCTION.METER);
  if (meter) actions.push({ type: "meter", meter: meter.u32() });
  const apply = bodies.get(INSTRUCTION.APPLY_ACTIONS);
  if (apply) {
    apply.skip(4);
    actions.push(...readUnplaced(apply, version));
  }
  if (bodies.has(INSTRUCTION.CLEAR_ACTIONS)) actions.push({ type: "clear_actions" });
  const write = bodies.get(INSTRUCTION.WRITE_ACTIONS);
  if (write) {
    write.skip(4);
    actions.push({ type: "write_actions", actions: readActionSet(write, version) });
  }
  const metadata = bodies.get(INSTRUCTION.WRITE_METADATA);
  if (metadata) {
    metadata.skip(4);
    actions.push({ type: "write_metadata", metadata: metadata.u64(), mask: metadata.u64() });
  }
  const goto = bodies.get(INSTRUCTION.GOTO_TABLE);
  if (goto) actions.push({ type: "goto_table", table: goto.u8() });
  return actions;
}

/** Writes a flow's actions as instructions, or as a bare list in OpenFlow 1.0. */
export function writeInstructions(
  writer: Writer,
  version: OfVersion,
  actions: readonly Action[],
  key?: FlowKey,
): void {
  if (version === OF10) return writeActions(writer, version, actions, key);
  let at = 0;
  while (at < actions.length) {
    const action = actions[at]!;
    if (isInstruction(action, version)) {
      writeInstruction(writer, version, action, key);
      at++;
      continue;
    }
    let end = at;
    while (end < actions.length && !isInstruction(actions[end]!, version)) end++;
    const open = writer.open(2);
    writer.u16(INSTRUCTION.APPLY_ACTIONS).u16(0).zeros(4);
    writeActions(writer, version, actions.slice(at, end), key);
    writer.end(open);
    at = end;
  }
}

type InstructionAction = ActionOf<
  "clear_actions" | "write_actions" | "write_metadata" | "goto_table" | "meter"
>;

function writeInstruction(
  writer: Writer,
  version: OfVersion,
  action: Action,
  key?: FlowKey,
): void {
  const instruction = action as InstructionAction;
  switch (instruction.type) {
    case "goto_table":
      writer.u16(INSTRUCTION.GOTO_TABLE).u16(8).u8(instruction.table).zeros(3);
      return;
    case "write_metadata":
      writer.u16(INSTRUCTION.WRITE_METADATA).u16(24).zeros(4);
      writer.u64(instruction.metadata).u64(instruction.mask);
      return;
    case "clear_actions":
      writer.u16(INSTRUCTION.CLEAR_ACTIONS).u16(8).zeros(4);
      return;
    case "meter":
      if (version >= OF13) writer.u16(INSTRUCTION.METER).u16(8).u32(instruction.meter);
      return;
    case "write_actions": {
      // One that holds nothing means nothing.
      if (instruction.actions.length === 0) return;
      const open = writer.open(2);
      writer.u16(INSTRUCTION.WRITE_ACTIONS).u16(0).zeros(4);
      writeActions(writer, version, instruction.actions, key);
      writer.end(open);
      return;
    }
    default: {
      const never: never = instruction;
      throw new Error(`not an instruction: ${JSON.stringify(never)}`);
    }
  }
}

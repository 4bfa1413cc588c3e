/**
 * Lists of actions ↔ bytes, for every version, from the rows of the files beside.
 *
 * An action that a version cannot say in its own words is said in others, as Open vSwitch does:
 * `mod_vlan_vid` becomes set_field from OpenFlow 1.2 on, `set_field` becomes `load` or one of the
 * old actions before 1.2, and so on (`restate`). What cannot be said at all is left out only where
 * Open vSwitch leaves it out too (`push_vlan` in 1.0, where the set actions push).
 *
 * Limits: actions nest at most `MAX_NESTING` deep (clone, ct, write_actions); a longer list than
 * the message cannot exist. Errors: OFPBAC_*.
 */
import { FIELDS } from "../../packet/layout.ts";
import type { FlowKey } from "../../packet/key.ts";
import { OfError } from "../errors.ts";
import { fullMask } from "../field-bits.ts";
import { VLAN_PRESENT } from "../match-set.ts";
import {
  NX_VENDOR,
  OF10,
  OF11,
  OF12,
  OF15,
  type OfVersion,
  ONF_VENDOR,
  PORTS,
  VERSION_NAMES,
} from "../version.ts";
import { parseVersions } from "../version-range.ts";
import type { Reader, Writer } from "../wire.ts";
import { CONNTRACK_ROWS } from "./conntrack.ts";
import { ENCAP_ROWS } from "./encap.ts";
import { LEARN_ROWS } from "./learn.ts";
import { CHOICE_ROWS } from "./choice.ts";
import { CONTROLLER_ROWS } from "./controller.ts";
import { OUTPUT_ROWS } from "./output.ts";
import type { ActionContext, ActionRow } from "./rows.ts";
import { SET_ROWS } from "./set.ts";
import { hasShortHeader, loadSegments, subfieldMask } from "./subfield.ts";
import type { Action, ActionOf, ActionType } from "./types.ts";
import { findMisplaced, type Place } from "./verify.ts";
import { hexDump } from "../text/hex-dump.ts";
import { wireName } from "./wire-names.ts";

const VENDOR_TYPE = 0xffff;
const MAX_ACTION_BYTES = 0xfff8;
export const MAX_NESTING = 8;

interface Instance {
  readonly row: ActionRow;
  /** 0 for the standard's. */
  readonly vendor: number;
  readonly number: number;
}

const VENDORS: Readonly<Record<string, number>> = { OF: 0, NX: NX_VENDOR, ONF: ONF_VENDOR };

const ALL_ROWS: readonly ActionRow[] = [
  ...OUTPUT_ROWS,
  ...CONTROLLER_ROWS,
  ...CHOICE_ROWS,
  ...SET_ROWS,
  ...CONNTRACK_ROWS,
  ...LEARN_ROWS,
  ...ENCAP_ROWS,
];

function buildTables(): {
  byWire: ReadonlyMap<number, Instance>;
  byType: ReadonlyMap<string, readonly Instance[]>;
} {
  const byWire = new Map<number, Instance>();
  const byType = new Map<string, Instance[]>();
  for (const row of ALL_ROWS) {
    const parts = /^(OF|NX|ONF)([\d.+-]+)\((\d+)\)$/.exec(row.ids);
    if (!parts) throw new Error(`action table: ${row.type} has a bad row "${row.ids}"`);
    if (row.bytes % 8 !== 0) throw new Error(`action table: ${row.type} is not padded`);
    const instance = { row, vendor: VENDORS[parts[1]!]!, number: Number(parts[3]) };
    for (const version of parseVersions(parts[2]!)) {
      const key = wireKey(version, instance.vendor, instance.number);
      if (byWire.has(key)) throw new Error(`action table: ${row.ids} is declared twice`);
      byWire.set(key, instance);
      const list = byType.get(`${version}/${row.type}`) ?? [];
      list.push(instance);
      byType.set(`${version}/${row.type}`, list);
    }
  }
  return { byWire, byType };
}

function wireKey(version: OfVersion, vendor: number, number: number): number {
  const which = vendor === 0 ? 0 : vendor === NX_VENDOR ? 1 : 2;
  return ((which * 8 + version) << 16) | number;
}

const TABLES = buildTables();

function makeContext(version: OfVersion, depth: number, key?: FlowKey): ActionContext {
  return {
    version,
    readActions: (reader, outer) => {
      const at = reader.offset;
      const actions = readList(reader, version, depth + 1);
      requirePlaced(actions, { version, outer, instructions: false }, at);
      return actions;
    },
    writeActions: (writer, actions) => writeList(writer, version, actions, key),
  };
}

function readList(reader: Reader, version: OfVersion, depth: number): Action[] {
  if (depth > MAX_NESTING) {
    throw new OfError("OFPBAC_TOO_MANY", reader.offset, `actions nest over ${MAX_NESTING} deep`);
  }
  const start = reader.offset;
  const end = start + reader.left;
  const context = makeContext(version, depth);
  const actions: Action[] = [];
  let at = start;
  try {
    while (reader.left > 0) {
      at = reader.offset;
      actions.push(readAction(reader, context));
    }
  } catch (error) {
    if (error instanceof OfError) remarkBadAction(error, at - start, reader.bytes, start, end);
    throw error;
  }
  return actions;
}

function remarkBadAction(
  error: OfError,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  error.remarks.push({
    module: "ofp_actions",
    text: () =>
      `bad action at offset ${offset} (${error.error}):\n` +
      hexDump(bytes.slice(start, end), false).trimEnd(),
  });
}

/** Throws `OfError` unless the actions may stand there, and in that order. */
export function requirePlaced(actions: readonly Action[], place: Place, at: number): void {
  const misplaced = findMisplaced(actions, place);
  if (!misplaced) return;
  const { error, text } = misplaced;
  throw new OfError(error, at, text, { module: "ofp_actions", text: () => text, unlimited: true });
}

function readAction(reader: Reader, context: ActionContext): Action {
  const at = reader.offset;
  const bad = (detail: string): never => {
    const text = (): string => `OpenFlow action ${detail}`;
    throw new OfError("OFPBAC_BAD_LEN", at, detail, { module: "ofp_actions", text });
  };
  if (reader.left < 8) reader.fail(`${reader.left} bytes are no action`);
  const type = reader.peek16();
  const length = reader.peek16(2);
  let vendor = 0;
  let number = type;
  if (type === VENDOR_TYPE) {
    vendor = reader.peek32(4);
    if (vendor !== NX_VENDOR && vendor !== ONF_VENDOR) {
      throw new OfError("OFPBAC_BAD_VENDOR", at, `vendor 0x${vendor.toString(16)} is unknown`, {
        module: "ofp_actions",
        text: () => `OpenFlow action has unknown vendor ${cHex(vendor)}`,
      });
    }
    if (reader.left < 16) reader.fail(`${reader.left} bytes are no vendor action`);
    number = reader.peek16(8);
  }
  const found = TABLES.byWire.get(wireKey(context.version, vendor, number));
  if (!found) {
    throw new OfError(
      vendor === 0 ? "OFPBAC_BAD_TYPE" : "OFPBAC_BAD_VENDOR_TYPE",
      at,
      `action ${number} of vendor 0x${vendor.toString(16)} is unknown`,
      {
        module: "ofp_actions",
        text: () =>
          `unknown ${VERSION_NAMES[context.version]} action for vendor ${cHex(vendor)} ` +
          `and type ${number}`,
      },
    );
  }
  const { row } = found;
  const left = reader.left;
  if (length > left || length < row.bytes || (length !== row.bytes && !row.variable)) {
    const name = wireName(row, vendor, number);
    if (length > left) bad(`${name} length ${length} exceeds action buffer length ${left}`);
    const range = `[${row.bytes},${row.variable ? MAX_ACTION_BYTES : row.bytes}]`;
    bad(`${name} length ${length} not in valid range ${range}`);
  }
  if (length % 8 !== 0) {
    bad(`${wireName(row, vendor, number)} length ${length} is not a multiple of 8`);
  }
  const body = reader.sub(length, "OFPBAC_BAD_LEN");
  body.skip(vendor === 0 ? 4 : 10);
  return row.read(body, context);
}

/** As C's `%#x`. */
const cHex = (value: number): string => value === 0 ? "0" : `0x${value.toString(16)}`;

/**
 * Reads `length` bytes of actions, among them instructions if they may be there. A length that
 * cannot be throws `OFPBRC_BAD_LEN`.
 */
export function readActions(
  reader: Reader,
  version: OfVersion,
  length = reader.left,
  instructions = false,
): Action[] {
  const at = reader.offset;
  const actions = readUnplaced(reader, version, length);
  requirePlaced(actions, { version, instructions }, at);
  return actions;
}

/** The same, of which somebody else says where they may stand. */
export function readUnplaced(
  reader: Reader,
  version: OfVersion,
  length = reader.left,
): Action[] {
  const { left } = reader;
  if (length % 8 !== 0 || length > left) {
    const text = `OpenFlow message actions length ${length} ` +
      (length % 8 !== 0 ? "is not a multiple of 8" : `exceeds remaining message length (${left})`);
    throw new OfError("OFPBRC_BAD_LEN", reader.offset, text, {
      module: "ofp_actions",
      text: () => text,
    });
  }
  return readList(reader.sub(length, "OFPBAC_BAD_LEN"), version, 0);
}

/**
 * Writes a list of actions. `key`, the flow's match, lets what depends on the packet (a tag that is
 * there already, the transport protocol) be said exactly.
 */
export function writeActions(
  writer: Writer,
  version: OfVersion,
  actions: readonly Action[],
  key?: FlowKey,
): void {
  writeList(writer, version, actions, key);
}

function writeList(
  writer: Writer,
  version: OfVersion,
  actions: readonly Action[],
  key?: FlowKey,
): void {
  const context = makeContext(version, 0, key);
  let tagged = key !== undefined && (key.get(FIELDS.vlan_tci) & VLAN_PRESENT) !== 0;
  for (const action of actions) {
    const restated = restate(action, version, tagged, key);
    if (!restated) writeOne(writer, action, context);
    else for (const other of restated) writeOne(writer, other, context);
    tagged = isTagged(action, tagged);
  }
}

/** Whether packets surely have a tag after `action`. */
function isTagged(action: Action, before: boolean): boolean {
  switch (action.type) {
    case "push_vlan":
    case "set_vlan_vid":
    case "set_vlan_pcp":
      return true;
    case "pop_vlan":
      return false;
    default:
      return before;
  }
}

function writeOne(writer: Writer, action: Action, context: ActionContext): void {
  const forms = TABLES.byType.get(`${context.version}/${action.type}`) ?? [];
  const form = forms.find(({ row }) => !row.when || row.when(action as never, context.version));
  if (!form) {
    throw new OfError("OFPBAC_BAD_TYPE", 0, `${action.type} has no form in this version`);
  }
  const open = writer.open(2);
  if (form.vendor === 0) writer.u16(form.number).u16(0);
  else writer.u16(VENDOR_TYPE).u16(0).u32(form.vendor).u16(form.number);
  form.row.write(writer, action as never, context);
  writer.pad8(open.start);
  writer.end(open);
}

/** A record that sets all of a field. */
export function setWhole(
  field: ActionOf<"set_field">["field"],
  value: bigint | number,
  form: "set_field" | "load" = "set_field",
): ActionOf<"set_field"> {
  return { type: "set_field", field, value: BigInt(value), mask: fullMask(field), form };
}

const bytesToBig = (bytes: Uint8Array): bigint =>
  bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** The transport port field that a flow with `key` has, or undefined when it may have none. */
function transportField(key: FlowKey | undefined, side: "src" | "dst") {
  switch (key?.get(FIELDS.nw_proto)) {
    case 6:
      return FIELDS[`tcp_${side}`];
    case 17:
      return FIELDS[`udp_${side}`];
    case 132:
      return FIELDS[`sctp_${side}`];
    default:
      return undefined;
  }
}

/** What `version` says instead of `action`; undefined: the action itself. */
function restate(
  action: Action,
  version: OfVersion,
  tagged: boolean,
  key?: FlowKey,
): Action[] | undefined {
  const modern = version >= OF12;
  switch (action.type) {
    case "set_vlan_vid":
    case "set_vlan_pcp": {
      const out: Action[] = [];
      if (version > OF10 && action.pushIfNone && !tagged) {
        out.push({ type: "push_vlan", ethType: 0x8100 });
      }
      if (!modern) out.push(action);
      else if (action.type === "set_vlan_vid") {
        out.push(setWhole(FIELDS.vlan_vid, action.vid | 0x1000));
      } else out.push(setWhole(FIELDS.vlan_pcp, action.pcp));
      return out;
    }
    case "push_vlan":
      return version === OF10 ? [] : undefined;
    case "set_eth_src":
      return modern ? [setWhole(FIELDS.eth_src, bytesToBig(action.address))] : undefined;
    case "set_eth_dst":
      return modern ? [setWhole(FIELDS.eth_dst, bytesToBig(action.address))] : undefined;
    case "set_ipv4_src":
      return modern ? [setWhole(FIELDS.ip_src, action.address)] : undefined;
    case "set_ipv4_dst":
      return modern ? [setWhole(FIELDS.ip_dst, action.address)] : undefined;
    case "set_ip_dscp":
      return modern ? [setWhole(FIELDS.ip_dscp, action.tos >> 2)] : undefined;
    case "set_ip_ecn":
      if (version === OF11) return undefined;
      return [setWhole(FIELDS.nw_ecn, action.ecn, modern ? "set_field" : "load")];
    case "set_ip_ttl":
      return version === OF10 ? [setWhole(FIELDS.nw_ttl, action.ttl, "load")] : undefined;
    case "set_tp_src": {
      const field = modern ? transportField(key, "src") : undefined;
      return field ? [setWhole(field, action.port)] : undefined;
    }
    case "set_tp_dst": {
      const field = modern ? transportField(key, "dst") : undefined;
      return field ? [setWhole(field, action.port)] : undefined;
    }
    case "set_tunnel":
      return modern ? [setWhole(FIELDS.tun_id, action.id)] : undefined;
    case "set_mpls_label":
      return modern ? [setWhole(FIELDS.mpls_label, action.label)] : undefined;
    case "set_mpls_tc":
      return modern ? [setWhole(FIELDS.mpls_tc, action.tc)] : undefined;
    case "enqueue":
      if (version === OF10) return undefined;
      return [
        { type: "set_queue", queue: action.queue },
        { type: "output", port: action.port, maxLength: 0xffff },
        { type: "pop_queue" },
      ];
    case "goto_table":
      if (version !== OF10) return undefined;
      return [{ type: "resubmit", port: PORTS.IN_PORT, table: action.table, ct: false }];
    case "clear_actions":
    case "write_actions":
      return version === OF10 ? [] : undefined;
    case "meter":
      return version === OF10 ? [] : undefined;
    case "set_field":
      return restateSetField(action, version);
    default:
      return undefined;
  }
}

function restateSetField(action: ActionOf<"set_field">, version: OfVersion): Action[] | undefined {
  const { field, value, mask } = action;
  if (version >= OF15) return undefined;
  const whole = mask === fullMask(field);
  if (action.form === "set_field" && whole && version >= OF12) return undefined;
  if (action.form === "set_field" && whole) {
    const old = legacyForm(action, version);
    if (old) return old;
  }
  if (!hasShortHeader(field)) return undefined;
  return loadSegments(field, value, mask).map(({ subfield, value: part }) => ({
    type: "set_field",
    field,
    value: part << BigInt(subfield.start),
    mask: subfieldMask(subfield),
    form: "load",
  }));
}

/** OpenFlow 1.0 and 1.1: the old action that sets all of a field, if there is one. */
function legacyForm(action: ActionOf<"set_field">, version: OfVersion): Action[] | undefined {
  const value = Number(action.value);
  const pushIfNone = version === OF10;
  const address = (): Uint8Array =>
    Uint8Array.from({ length: 6 }, (_, i) => Number((action.value >> BigInt(8 * (5 - i))) & 0xffn));
  switch (action.field.name) {
    case "vlan_tci": {
      if ((value & 0x1000) === 0) return [{ type: "pop_vlan" }];
      const set: Action[] = [
        { type: "set_vlan_vid", vid: value & 0xfff, pushIfNone },
        { type: "set_vlan_pcp", pcp: value >> 13, pushIfNone },
      ];
      return version === OF10 ? set : [{ type: "push_vlan", ethType: 0x8100 }, ...set];
    }
    case "vlan_vid":
      return [{ type: "set_vlan_vid", vid: value & 0xfff, pushIfNone }];
    case "vlan_pcp":
      return [{ type: "set_vlan_pcp", pcp: value, pushIfNone }];
    case "eth_src":
      return [{ type: "set_eth_src", address: address() }];
    case "eth_dst":
      return [{ type: "set_eth_dst", address: address() }];
    case "ip_src":
      return [{ type: "set_ipv4_src", address: value }];
    case "ip_dst":
      return [{ type: "set_ipv4_dst", address: value }];
    case "nw_tos":
      return [{ type: "set_ip_dscp", tos: value & 0xfc }];
    case "ip_dscp":
      return [{ type: "set_ip_dscp", tos: value << 2 }];
    case "nw_ecn":
      return version === OF11
        ? [{ type: "set_ip_ecn", ecn: value }]
        : [{ ...action, form: "load" }];
    case "tcp_src":
    case "udp_src":
      return [{ type: "set_tp_src", port: value }];
    case "tcp_dst":
    case "udp_dst":
      return [{ type: "set_tp_dst", port: value }];
    default:
      return undefined;
  }
}

/** Types that have a wire form of their own in some version (instructions excepted). */
export function hasWireForm(type: ActionType, version: OfVersion): boolean {
  return TABLES.byType.has(`${version}/${type}`);
}

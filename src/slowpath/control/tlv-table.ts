/**
 * The table of tunnel options of one bridge (NXT_TLV_TABLE_MOD; ovs-fields(7), "tun_metadata"):
 * which option each `tun_metadataN` stands for, and where in the flow key it lies.
 *
 *     option (class, type, length) ──> tun_metadataN ──> a run of the key's `tun_metadata` slot
 *
 * - A change makes all or nothing of its request. The place of a field never changes while flows use
 *   it; a mapping that flows match or set cannot be removed.
 * - How options stand on the wire, ../tunnels/options.ts knows.
 *
 * Limits: TLV_FIELDS options, TLV_SPACE_BYTES together. An option lies in one piece. Where Open
 * vSwitch cuts one up to fill holes, those that no flow uses make room here; if the others leave no
 * hole that is large enough, the table is full.
 */
import { OfError } from "../../openflow/errors.ts";
import { TLV_SPACE_BYTES } from "../../openflow/messages/extensions.ts";
import type { TlvMapping, TlvTableMod } from "../../openflow/messages/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import {
  hasTunnelOption,
  placedTunnelField,
  type TunnelFields,
} from "../../openflow/tunnel-fields.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import { anyMatch } from "../../packet/key.ts";
import type { Field } from "../../packet/layout.ts";
import type { FlowTables } from "../pipeline/tables.ts";

export interface TlvEntry extends TlvMapping {
  /** Byte offset in the `tun_metadata` slot. */
  readonly offset: number;
  readonly field: Field;
}

export class TlvTable implements TunnelFields {
  private entries: ReadonlyMap<number, TlvEntry> = new Map();

  /** `inUse` tells whether a flow matches or sets a field; `changed` is called after a change. */
  constructor(
    private readonly inUse: (index: number) => boolean = () => false,
    private readonly changed: () => void = () => {},
  ) {}

  /** By field number, ascending. */
  list(): TlvEntry[] {
    return [...this.entries.values()].sort((a, b) => a.index - b.index);
  }

  get(index: number): TlvEntry | undefined {
    return this.entries.get(index);
  }

  /** Which `tun_metadataN` an option of a packet is. */
  find(optionClass: number, optionType: number): TlvEntry | undefined {
    for (const entry of this.entries.values()) {
      if (entry.optionClass === optionClass && entry.optionType === optionType) return entry;
    }
    return undefined;
  }

  resolve(index: number): Field | undefined {
    return this.entries.get(index)?.field;
  }

  /** All of the request or, with an OfError, nothing. */
  apply({ command, mappings }: TlvTableMod): void {
    const next = new Map(this.entries);
    switch (command) {
      case "add":
        for (const mapping of mappings) this.add(next, mapping);
        break;
      case "delete":
        for (const { index } of mappings) this.remove(next, index);
        break;
      case "clear":
        for (const index of this.entries.keys()) this.remove(next, index);
        break;
      default: {
        const never: never = command;
        throw new Error(`TLV table command ${never}`);
      }
    }
    this.entries = next;
    this.changed();
  }

  private add(entries: Map<number, TlvEntry>, mapping: TlvMapping): void {
    const { index, optionClass, optionType, optionLength } = mapping;
    if (entries.has(index)) {
      throw new OfError("NXTTMFC_ALREADY_MAPPED", 0, `tun_metadata${index} is mapped already`);
    }
    for (const entry of entries.values()) {
      if (entry.optionClass === optionClass && entry.optionType === optionType) {
        throw new OfError("NXTTMFC_DUP_ENTRY", 0, "the option is mapped already");
      }
    }
    if (place(entries, mapping) || this.rearrange(entries, mapping)) return;
    throw new OfError("NXTTMFC_TABLE_FULL", 0, `there is no room for ${optionLength} bytes`);
  }

  /** Puts all that no flow uses into new places, the longest first, so that one more fits. */
  private rearrange(entries: Map<number, TlvEntry>, mapping: TlvMapping): boolean {
    const moving: TlvMapping[] = [mapping];
    const tried = new Map<number, TlvEntry>();
    for (const [index, entry] of entries) {
      if (this.inUse(index)) tried.set(index, entry);
      else moving.push(entry);
    }
    moving.sort((a, b) => b.optionLength - a.optionLength);
    if (!moving.every((each) => place(tried, each))) return false;
    for (const [index, entry] of tried) entries.set(index, entry);
    return true;
  }

  private remove(entries: Map<number, TlvEntry>, index: number): void {
    if (entries.has(index) && this.inUse(index)) {
      throw new OfError("NXTTMFC_INVALID_TLV_DEL", 0, `flows use tun_metadata${index}`);
    }
    entries.delete(index);
  }
}

/** False if there is no room. */
function place(entries: Map<number, TlvEntry>, mapping: TlvMapping): boolean {
  const { index, optionClass, optionType, optionLength } = mapping;
  const offset = firstFit(entries.values(), optionLength);
  if (offset === undefined) return false;
  const field = placedTunnelField(index, offset, optionLength);
  entries.set(index, { index, optionClass, optionType, optionLength, offset, field });
  return true;
}

function firstFit(entries: Iterable<TlvEntry>, bytes: number): number | undefined {
  let offset = 0;
  for (const entry of [...entries].sort((a, b) => a.offset - b.offset)) {
    if (entry.offset - offset >= bytes) return offset;
    offset = Math.max(offset, entry.offset + entry.optionLength);
  }
  return offset + bytes <= TLV_SPACE_BYTES ? offset : undefined;
}

/** Whether a flow matches the field or has an action upon it. Looks through all flows. */
export function usesTunnelField(tables: FlowTables, index: number): boolean {
  // Subfields are told by their NXM names.
  const name = new RegExp(`tun_metadata${index}(?!\\d)`, "i");
  for (const rule of tables.select(EVERY_FLOW)) {
    if (hasTunnelOption(rule.match().mask, index)) return true;
    if (name.test(formatActions(rule.actions))) return true;
  }
  return false;
}

const EVERY_FLOW = {
  table: TABLE_ALL,
  match: anyMatch(),
  outPort: PORTS.ANY,
  outGroup: GROUP_ANY,
  cookie: 0n,
  cookieMask: 0n,
} as const;

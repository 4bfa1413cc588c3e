/**
 * A bridge's TLV table: which Geneve option each `tun_metadataN` field stands for, and where in the
 * key's 256 bytes of tunnel metadata its value lies (ovs-fields(7), "TUNNEL FIELDS").
 *
 * Each option lies in one piece: where Open vSwitch would cut an option up to fill holes, this table
 * is full.
 */
import { OfError } from "../../openflow/errors.ts";
import { TLV_SPACE_BYTES } from "../../openflow/messages/extensions.ts";
import type { TlvMapping } from "../../openflow/messages/types-extension.ts";
import type { OptionEntry, OptionMap } from "./options.ts";

export const TLV_FIELDS = 64;
/** RFC 8926 §3.5: 5 bits of words. */
const MAX_OPTION_BYTES = 124;

export class TlvTable implements OptionMap {
  private entries = new Map<number, OptionEntry>();

  /** In the order of their fields. */
  list(): OptionEntry[] {
    return [...this.entries.values()].sort((a, b) => a.index - b.index);
  }

  mappings(): TlvMapping[] {
    return this.list().map(({ optionClass, optionType, optionLength, index }) => (
      { optionClass, optionType, optionLength, index }
    ));
  }

  find(optionClass: number, optionType: number): OptionEntry | undefined {
    for (const entry of this.entries.values()) {
      if (entry.optionClass === optionClass && entry.optionType === optionType) return entry;
    }
    return undefined;
  }

  /** Where the value of `tun_metadataN` lies, or undefined while it stands for nothing. */
  place(index: number): { readonly offset: number; readonly length: number } | undefined {
    const entry = this.entries.get(index);
    return entry && { offset: entry.offset, length: entry.optionLength };
  }

  /** NXT_TLV_TABLE_MOD, all of it or, with an OfError, nothing. */
  apply(command: "add" | "delete" | "clear", mappings: readonly TlvMapping[]): void {
    switch (command) {
      case "add": {
        const entries = new Map(this.entries);
        for (const mapping of mappings) add(entries, mapping);
        this.entries = entries;
        return;
      }
      case "delete":
        for (const { index } of mappings) this.entries.delete(index);
        return;
      case "clear":
        this.entries.clear();
        return;
      default: {
        const never: never = command;
        throw new Error(`TLV table command ${never}`);
      }
    }
  }
}

function add(entries: Map<number, OptionEntry>, mapping: TlvMapping): void {
  const { index, optionLength } = mapping;
  if (index >= TLV_FIELDS) throw bad("NXTTMFC_BAD_FIELD_IDX", `field tun_metadata${index}`);
  if (optionLength === 0 || optionLength % 4 !== 0 || optionLength > MAX_OPTION_BYTES) {
    throw bad("NXTTMFC_BAD_OPT_LEN", `option length ${optionLength}`);
  }
  if (entries.has(index)) throw bad("NXTTMFC_ALREADY_MAPPED", `tun_metadata${index} is in use`);
  for (const entry of entries.values()) {
    if (
      entry.optionClass === mapping.optionClass && entry.optionType === mapping.optionType
    ) throw bad("NXTTMFC_DUP_ENTRY", `tun_metadata${entry.index} stands for the option`);
  }
  entries.set(index, { ...mapping, offset: free(entries, optionLength) });
}

/** The first free piece of the space. */
function free(entries: ReadonlyMap<number, OptionEntry>, length: number): number {
  let offset = 0;
  for (const entry of [...entries.values()].sort((a, b) => a.offset - b.offset)) {
    if (entry.offset - offset >= length) return offset;
    offset = entry.offset + entry.optionLength;
  }
  if (offset + length > TLV_SPACE_BYTES) throw bad("NXTTMFC_TABLE_FULL", "no space is left");
  return offset;
}

function bad(name: ConstructorParameters<typeof OfError>[0], detail: string): OfError {
  return new OfError(name, 0, detail);
}

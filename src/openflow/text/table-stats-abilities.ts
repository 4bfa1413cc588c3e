/**
 * What tables can match and do, as table statistics of OpenFlow 1.0 to 1.2 say it beside their counters
 * (OpenFlow 1.0 §5.3.5, 1.1 and 1.2 §A.3.5.3). Only texts ask for it: switches say it in table
 * features, which came with 1.3.
 */
import { actionOfNumber } from "../actions/numbers.ts";
import type { ActionType } from "../actions/types.ts";
import type { InstructionName } from "../messages/types.ts";
import type { FieldName } from "../../packet/fields.ts";
import { type Field, fieldByOxm, FIELDS } from "../../packet/layout.ts";
import { OF10, OF11, type OfVersion } from "../version.ts";

export interface StatsAbilities {
  readonly miss: string;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  readonly instructions: readonly InstructionName[];
  readonly writeActions: readonly ActionType[];
  readonly applyActions: readonly ActionType[];
  readonly writeSetFields: readonly Field[];
  readonly applySetFields: readonly Field[];
  readonly match: readonly Field[];
  readonly wildcards: readonly Field[];
}

/** By bit of OpenFlow 1.0's wildcards; the addresses have six bits each. */
const FIELDS_10: readonly (readonly [number, FieldName])[] = [
  [1 << 0, "in_port"],
  [1 << 1, "vlan_vid"],
  [1 << 2, "eth_src"],
  [1 << 3, "eth_dst"],
  [1 << 4, "eth_type"],
  [1 << 5, "nw_proto"],
  [1 << 6, "tcp_src"],
  [1 << 7, "tcp_dst"],
  [0x3f << 8, "ip_src"],
  [0x3f << 14, "ip_dst"],
  [1 << 20, "vlan_pcp"],
  [1 << 21, "nw_tos"],
];
/** By bit, OFPFMF_* of OpenFlow 1.1; "type" stands for nothing of its own. */
const FIELDS_11: readonly (FieldName | undefined)[] = [
  "in_port",
  "vlan_vid",
  "vlan_pcp",
  "eth_type",
  "nw_tos",
  "nw_proto",
  "tcp_src",
  "tcp_dst",
  "mpls_label",
  "mpls_tc",
  undefined,
  "eth_src",
  "eth_dst",
  "ip_src",
  "ip_dst",
  "metadata",
];
const INSTRUCTIONS: readonly (InstructionName | undefined)[] = [
  undefined,
  "goto_table",
  "write_metadata",
  "write_actions",
  "apply_actions",
  "clear_actions",
];
const MISS = ["controller", "continue", "drop"] as const;
const OXM_OF = 0x8000;
/** Fields that Open vSwitch does not know, and so does not tell. */
const UNKNOWN: ReadonlySet<FieldName> = new Set(["pbb_isid", "pbb_uca", "ipv6_exthdr"]);

/** Where the list begins, and how long each entry is. */
const SHAPES: Readonly<Record<1 | 2 | 3, { start: number; bytes: number }>> = {
  1: { start: 12, bytes: 64 },
  2: { start: 16, bytes: 88 },
  3: { start: 16, bytes: 128 },
};
const [AFTER_NAME_10, AFTER_NAME] = [36, 40];

const bitsOf = (bitmap: bigint): number[] =>
  Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (bitmap >> BigInt(bit)) & 1n);

const oxmFields = (bitmap: bigint): Field[] =>
  bitsOf(bitmap).flatMap((number) => {
    const field = fieldByOxm(OXM_OF, number);
    return field && !UNKNOWN.has(field.name) ? [field] : [];
  });

const fields11 = (bitmap: number): Field[] =>
  bitsOf(BigInt(bitmap)).flatMap((bit) => {
    const name = FIELDS_11[bit];
    return name ? [FIELDS[name]] : [];
  });

const instructionsOf = (bitmap: number): InstructionName[] =>
  bitsOf(BigInt(bitmap)).flatMap((bit) => INSTRUCTIONS[bit] ?? []);

const actionsOf = (bitmap: number, version: OfVersion): ActionType[] =>
  bitsOf(BigInt(bitmap)).flatMap((bit) => actionOfNumber(version, bit) ?? []);

const NOTHING: StatsAbilities = {
  miss: "",
  metadataMatch: 0n,
  metadataWrite: 0n,
  instructions: [],
  writeActions: [],
  applyActions: [],
  writeSetFields: [],
  applySetFields: [],
  match: [],
  wildcards: [],
};

/** Of each entry of a whole message that is known to be sound; later versions say nothing here. */
export function statsAbilities(bytes: Uint8Array, version: OfVersion): StatsAbilities[] {
  if (version > 3) return [];
  const shape = SHAPES[version as 1 | 2 | 3];
  const all: StatsAbilities[] = [];
  for (let at = shape.start; at + shape.bytes <= bytes.length; at += shape.bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, shape.bytes);
    all.push(
      version === OF10
        ? abilities10(view)
        : version === OF11
        ? abilities11(view)
        : abilities12(view),
    );
  }
  return all;
}

function abilities10(view: DataView): StatsAbilities {
  const bitmap = view.getUint32(AFTER_NAME_10);
  const fields = FIELDS_10.filter(([bits]) => (bitmap & bits) !== 0).map(([, name]) =>
    FIELDS[name]
  );
  return { ...NOTHING, match: fields, wildcards: fields };
}

function abilities11(view: DataView): StatsAbilities {
  const at = (i: number): number => view.getUint32(AFTER_NAME + 4 * i);
  return {
    ...NOTHING,
    wildcards: fields11(at(0)),
    match: fields11(at(1)),
    instructions: instructionsOf(at(2)),
    writeActions: actionsOf(at(3), 2),
    applyActions: actionsOf(at(4), 2),
    miss: MISS[at(5)] ?? "",
  };
}

function abilities12(view: DataView): StatsAbilities {
  const wide = (offset: number): bigint => view.getBigUint64(AFTER_NAME + offset);
  const at = (offset: number): number => view.getUint32(AFTER_NAME + offset);
  return {
    match: oxmFields(wide(0)),
    wildcards: oxmFields(wide(8)),
    writeActions: actionsOf(at(16), 3),
    applyActions: actionsOf(at(20), 3),
    writeSetFields: oxmFields(wide(24)),
    applySetFields: oxmFields(wide(32)),
    metadataMatch: wide(40),
    metadataWrite: wide(48),
    instructions: instructionsOf(at(56)),
    miss: MISS[at(60)] ?? "",
  };
}

/** Text of what is said about tables: statistics, features, descriptions, status. */
import type { Field } from "../../packet/layout.ts";
import type { MessageOf, TableAbility, TableDesc, TableStats } from "../messages/types.ts";
import type { OfVersion } from "../version.ts";
import { actionNames, INSTRUCTION_ORDER } from "./action-names.ts";
import { formatFieldNames, inTellingOrder } from "./field-names.ts";
import { bitNames } from "./hex-dump.ts";
import { formatTable, type TextNames } from "./names.ts";
import { alternateHex } from "./scan.ts";
import { statsAbilities } from "./table-stats-abilities.ts";

const EVICTION_FLAGS = [[1, "OTHER"], [2, "IMPORTANCE"], [4, "LIFETIME"]] as const;

function formatEvictionFlags(flags: number | undefined): string {
  return flags === undefined ? "(default)" : bitNames(flags, EVICTION_FLAGS, "|");
}

function formatDesc({ table, eviction, evictionFlags, vacancy }: TableDesc, names?: TextNames) {
  const thresholds = vacancy === undefined
    ? "off"
    : `on vacancy_down=${vacancy.down}% vacancy_up=${vacancy.up}% vacancy=${vacancy.now}%`;
  return `\n  table ${formatTable(table, names)}:\n` +
    `   eviction=${eviction ? "on" : "off"} ` +
    `eviction_flags=${formatEvictionFlags(evictionFlags)}\n` +
    `   vacancy=${thresholds}\n`;
}

export const formatTableDesc = (
  { tables }: MessageOf<"table_desc_reply">,
  names?: TextNames,
): string => tables.map((desc) => formatDesc(desc, names)).join("");

export const formatTableStatus = (
  { reason, desc }: MessageOf<"table_status">,
  names?: TextNames,
): string => ` reason=${reason.toUpperCase()}\ntable_desc:-${formatDesc(desc, names)}`;

export function formatTableMod(
  message: MessageOf<"table_mod">,
  version: OfVersion,
  names?: TextNames,
): string {
  const { table, miss, eviction, evictionFlags, vacancyEvents } = message;
  let text = table === 0xff ? " table_id: ALL_TABLES" : ` table_id=${formatTable(table, names)}`;
  if (miss !== "default") text += `, flow_miss_config=${miss}`;
  if (version < 5) return text;
  if (eviction !== undefined) text += `, eviction=${eviction ? "on" : "off"}`;
  if (evictionFlags !== undefined) {
    text += `eviction_flags=${formatEvictionFlags(evictionFlags)}`;
  }
  if (vacancyEvents !== undefined) {
    text += `, vacancy=${vacancyEvents ? "on" : "off"}`;
    if (vacancyEvents) text += ` vacancy:${message.vacancyDown ?? 0},${message.vacancyUp ?? 0}`;
  }
  return text;
}

/** What the texts of features and of statistics have in common, ready to be compared. */
interface Shown {
  readonly table: number;
  readonly name: string;
  /** Undefined: none is told. */
  readonly stats: TableStats | undefined;
  readonly metadataMatch: bigint;
  readonly metadataWrite: bigint;
  readonly miss: string;
  readonly eviction: boolean | undefined;
  readonly vacancy: boolean | undefined;
  readonly maxEntries: number;
  readonly abilities: Abilities;
  readonly match: readonly Field[];
  readonly maskable: ReadonlySet<Field>;
  readonly wildcards: ReadonlySet<Field>;
}

interface Abilities {
  readonly nonmiss: Ability;
  readonly miss: Ability;
}

interface Ability {
  readonly next: readonly number[];
  /** Texts: what is not possible is empty. */
  readonly instructions: string;
  readonly write: Writes;
  readonly apply: Writes;
}

interface Writes {
  readonly actions: string;
  readonly fields: string;
}

const fieldsText = (fields: readonly Field[]): string => formatFieldNames(inTellingOrder(fields));

const abilityOf = (ability: TableAbility): Ability => ({
  next: [...ability.nextTables].sort((a, b) => a - b),
  instructions: INSTRUCTION_ORDER.filter((name) => ability.instructions.includes(name)).join(" "),
  write: {
    actions: actionNames(ability.writeActions),
    fields: fieldsText(ability.writeSetFields),
  },
  apply: {
    actions: actionNames(ability.applyActions),
    fields: fieldsText(ability.applySetFields),
  },
});

const sameWrites = (a: Writes, b: Writes): boolean =>
  a.actions === b.actions && a.fields === b.fields;

/** Next tables are compared from the later of the two on: earlier ones cannot follow it. */
function sameAbility(a: Ability, aTable: number, b: Ability, bTable: number): boolean {
  const from = Math.max(aTable, bTable) + 1;
  const later = (list: readonly number[]): string => list.filter((table) => table >= from).join();
  return later(a.next) === later(b.next) && a.instructions === b.instructions &&
    sameWrites(a.write, b.write) && sameWrites(a.apply, b.apply);
}

const isEmpty = ({ next, instructions, write, apply }: Ability): boolean =>
  next.length === 0 &&
  instructions + write.actions + write.fields + apply.actions + apply.fields === "";

const matchText = (fields: readonly Field[]): string => fields.map(({ name }) => name).join();

function sameFeatures(a: Shown, b: Shown): boolean {
  return a.metadataMatch === b.metadataMatch && a.metadataWrite === b.metadataWrite &&
    a.miss === b.miss && a.eviction === b.eviction && a.vacancy === b.vacancy &&
    a.maxEntries === b.maxEntries && matchText(a.match) === matchText(b.match) &&
    sameAbilities(a, b);
}

const sameAbilities = (a: Shown, b: Shown): boolean =>
  sameAbility(a.abilities.nonmiss, a.table, b.abilities.nonmiss, b.table) &&
  sameAbility(a.abilities.miss, a.table, b.abilities.miss, b.table);

function formatNext(next: readonly number[]): string {
  const runs: string[] = [];
  for (let i = 0; i < next.length;) {
    let j = i;
    while (next[j + 1] === next[j]! + 1) j++;
    runs.push(j === i ? `${next[i]}` : `${next[i]}-${next[j]}`);
    i = j + 1;
  }
  return runs.join(",");
}

function formatWrites({ actions, fields }: Writes): string {
  const first = actions === "" ? "" : `        actions: ${actions}\n`;
  return fields === "" ? first : `${first}        supported on Set-Field: ${fields}\n`;
}

function formatAbility(ability: Ability, previous: Ability | undefined): string {
  const { next, instructions, write, apply } = ability;
  let text = next.length > 0 ? `      next tables: ${formatNext(next)}\n` : "";
  if (instructions !== "") {
    text += instructions === previous?.instructions
      ? "      (same instructions)\n"
      : `      instructions: ${instructions}\n`;
  }
  const like = previous && sameWrites(write, previous.write) && sameWrites(apply, previous.apply);
  if (like && write.fields !== "") return `${text}      (same actions)\n`;
  if (!sameWrites(write, apply)) {
    return `${text}      Write-Actions features:\n${formatWrites(write)}` +
      `      Apply-Actions features:\n${formatWrites(apply)}`;
  }
  if (write.actions + write.fields === "") return text;
  return `${text}      Write-Actions and Apply-Actions features:\n${formatWrites(write)}`;
}

function formatMatching({ match, maskable, wildcards }: Shown): string {
  const line = (title: string, wanted: (field: Field) => boolean): string => {
    const fields = match.filter(wanted);
    return fields.length === 0 ? "" : `      ${title}: ${formatFieldNames(fields)}\n`;
  };
  return line("arbitrary mask", (field) => maskable.has(field) && wildcards.has(field)) +
    line("exact match or wildcard", (field) => !maskable.has(field) && wildcards.has(field)) +
    line("must exact match", (field) => !maskable.has(field) && !wildcards.has(field));
}

function formatAbilities(shown: Shown, previous: Shown | undefined): string {
  const { table, abilities: { nonmiss, miss } } = shown;
  if (previous && sameAbilities(shown, previous)) {
    return isEmpty(nonmiss) ? "" : "    (same instructions)\n";
  }
  const before = previous?.abilities;
  if (!sameAbility(nonmiss, table, miss, table)) {
    return `    instructions (other than table miss):\n` +
      formatAbility(nonmiss, before?.nonmiss) +
      `    instructions (table miss):\n${formatAbility(miss, before?.miss)}`;
  }
  if (isEmpty(nonmiss)) return "";
  return `    instructions (table miss and others):\n${formatAbility(nonmiss, before?.nonmiss)}`;
}

const isBlank = (shown: Shown): boolean =>
  isEmpty(shown.abilities.nonmiss) && isEmpty(shown.abilities.miss) &&
  shown.metadataMatch === 0n && shown.metadataWrite === 0n && shown.miss === "" &&
  shown.eviction === undefined && shown.vacancy === undefined && shown.maxEntries === 0 &&
  shown.match.length === 0;

function formatOne(shown: Shown, previous: Shown | undefined): string {
  const { stats } = shown;
  let text = "\n";
  if (stats) {
    text += `    active=${stats.active}, lookup=${stats.lookups}, matched=${stats.matched}\n`;
  }
  if (previous && sameFeatures(shown, previous)) {
    return isBlank(shown) ? text : `${text}    (same features)\n`;
  }
  if (shown.metadataMatch !== 0n || shown.metadataWrite !== 0n) {
    text += `    metadata: match=${alternateHex(shown.metadataMatch)} ` +
      `write=${alternateHex(shown.metadataWrite)}\n`;
  }
  if (shown.miss !== "") text += `    config=${shown.miss}\n`;
  const supported = (yes: boolean): string => yes ? "supported" : "not supported";
  if (shown.eviction !== undefined) text += `    eviction: ${supported(shown.eviction)}\n`;
  if (shown.vacancy !== undefined) text += `    vacancy events: ${supported(shown.vacancy)}\n`;
  if (shown.maxEntries !== 0) text += `    max_entries=${shown.maxEntries}\n`;
  text += formatAbilities(shown, previous);
  if (shown.match.length > 0) {
    text += previous && matchText(shown.match) === matchText(previous.match)
      ? "    (same matching)\n"
      : `    matching:\n${formatMatching(shown)}`;
  }
  return text;
}

const sameStats = ({ stats: a }: Shown, { stats: b }: Shown): boolean =>
  a === undefined ||
  (b !== undefined && a.active === b.active && a.lookups === b.lookups && a.matched === b.matched);

/** A table that is like the one before it is told as such; several in a row in one line. */
function formatAll(list: readonly Shown[]): string {
  let text = "";
  let ditto: { first: number; last: number } | undefined;
  const flush = (): void => {
    if (ditto) {
      const { first, last } = ditto;
      text += `\n  ${first === last ? `table ${first}` : `tables ${first}...${last}`}: ditto\n`;
    }
    ditto = undefined;
  };
  list.forEach((shown, i) => {
    const previous = list[i - 1];
    const like = previous !== undefined && sameStats(shown, previous) &&
      sameFeatures(shown, previous);
    if (like && shown.name === "") {
      ditto = { first: ditto?.first ?? shown.table, last: shown.table };
      return;
    }
    flush();
    text += `\n  table ${shown.table}${shown.name === "" ? "" : ` ("${shown.name}")`}:`;
    text += like ? " ditto" : formatOne(shown, previous);
  });
  flush();
  return text;
}

const NOTHING: Ability = {
  next: [],
  instructions: "",
  write: { actions: "", fields: "" },
  apply: { actions: "", fields: "" },
};

/** `bytes` is the whole message, which says more than its record keeps. */
export function formatTableStats(
  { tables }: MessageOf<"table_stats_reply">,
  bytes: Uint8Array,
  version: OfVersion,
): string {
  const abilities = statsAbilities(bytes, version);
  return formatAll(tables.map((stats, i): Shown => {
    const can = abilities[i];
    const one = can ? abilityOf({ ...can, nextTables: [] }) : NOTHING;
    return {
      table: stats.table,
      name: stats.name,
      stats,
      metadataMatch: can?.metadataMatch ?? 0n,
      metadataWrite: can?.metadataWrite ?? 0n,
      miss: can?.miss ?? "",
      eviction: undefined,
      vacancy: undefined,
      maxEntries: stats.maxEntries,
      abilities: { nonmiss: one, miss: one },
      match: inTellingOrder(can?.match ?? []),
      maskable: new Set(),
      wildcards: new Set(can?.wildcards ?? []),
    };
  }));
}

export function formatTableFeatures(
  { tables }: MessageOf<"table_features_reply" | "table_features_request">,
): string {
  const command = tables[0] && tables[0].command !== "replace"
    ? `\n  command: ${tables[0].command}`
    : "";
  return command + formatAll(tables.map((features): Shown => ({
    table: features.table,
    name: features.name,
    stats: undefined,
    metadataMatch: features.metadataMatch,
    metadataWrite: features.metadataWrite,
    miss: "",
    eviction: features.eviction,
    vacancy: features.vacancyEvents,
    maxEntries: features.maxEntries,
    abilities: { nonmiss: abilityOf(features.nonmiss), miss: abilityOf(features.miss) },
    match: inTellingOrder(features.match.map(({ field }) => field)),
    maskable: new Set(features.match.flatMap((f) => f.maskable ? [f.field] : [])),
    // What can be matched with any mask can be left out.
    wildcards: new Set([
      ...features.wildcards,
      ...features.match.flatMap((f) => f.maskable ? [f.field] : []),
    ]),
  })));
}

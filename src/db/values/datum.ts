/**
 * Datums: the values of columns. Every one is a sorted set of distinct keys; a map has a value for
 * each key besides; a scalar is a set of one. Datums never change once made, so rows share them.
 */
import type { Json } from "../json.ts";
import { type BaseType, type ColumnType, isComposite, isMap } from "../schema/type.ts";
import type { AtomicTypeName } from "../schema/declare.ts";
import { type Atom, atomToJson, atomToText, compareAtoms, defaultAtom } from "./atom.ts";

export interface Datum {
  readonly keys: readonly Atom[];
  /** `values[i]` belongs to `keys[i]`; present in maps only. */
  readonly values?: readonly Atom[];
}

export const emptySet: Datum = Object.freeze({ keys: Object.freeze([]) as readonly Atom[] });
export const emptyMap: Datum = Object.freeze({
  keys: Object.freeze([]) as readonly Atom[],
  values: Object.freeze([]) as readonly Atom[],
});

export const scalar = (atom: Atom): Datum => ({ keys: [atom] });

const defaultScalar = (type: AtomicTypeName): Datum =>
  Object.freeze({ keys: Object.freeze([defaultAtom(type)]) as readonly Atom[] });
const defaultScalars: { readonly [type in AtomicTypeName]: Datum } = {
  integer: defaultScalar("integer"),
  real: defaultScalar("real"),
  boolean: defaultScalar("boolean"),
  string: defaultScalar("string"),
  uuid: defaultScalar("uuid"),
};

/** RFC 7047 §5.2.1: the value of a column that `insert` does not name. */
export function defaultDatum(type: ColumnType): Datum {
  if (type.min === 0) return isMap(type) ? emptyMap : emptySet;
  const scalar = defaultScalars[type.key.type];
  return type.value === undefined
    ? scalar
    : { keys: scalar.keys, values: [defaultAtom(type.value.type)] };
}

export function isDefault({ keys, values }: Datum, type: ColumnType): boolean {
  if (keys.length !== type.min) return false;
  return type.min === 0 || (keys[0] === defaultAtom(type.key.type) &&
    (type.value === undefined || values?.[0] === defaultAtom(type.value.type)));
}

export function compareDatums(a: Datum, b: Datum): number {
  if (a === b) return 0;
  if (a.keys.length !== b.keys.length) return a.keys.length - b.keys.length;
  return compareAll(a.keys, b.keys) || compareAll(a.values ?? [], b.values ?? []);
}

function compareAll(a: readonly Atom[], b: readonly Atom[]): number {
  for (let i = 0; i < a.length; i++) {
    const order = compareAtoms(a[i] as Atom, b[i] as Atom);
    if (order !== 0) return order;
  }
  return 0;
}

export function equalDatums(a: Datum, b: Datum): boolean {
  if (a === b) return true;
  if (a.keys.length !== b.keys.length) return false;
  for (let i = 0; i < a.keys.length; i++) if (a.keys[i] !== b.keys[i]) return false;
  if (a.values !== undefined && b.values !== undefined) {
    for (let i = 0; i < a.values.length; i++) if (a.values[i] !== b.values[i]) return false;
  }
  return true;
}

/** Where `key` is, or else `-1 - i` with `i` where it would have to be inserted. */
export function findKey(keys: readonly Atom[], key: Atom): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = compareAtoms(key, keys[middle] as Atom);
    if (order === 0) return middle;
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return -1 - low;
}

/** True if `whole` has each member of `part`; in maps, with the same value. */
export function includesAll(whole: Datum, part: Datum): boolean {
  return part.keys.every((_, i) => hasMember(whole, part, i));
}

/** True if `whole` has no member of `part`. */
export function excludesAll(whole: Datum, part: Datum): boolean {
  return part.keys.every((_, i) => !hasMember(whole, part, i));
}

function hasMember(whole: Datum, part: Datum, i: number): boolean {
  const at = findKey(whole.keys, part.keys[i] as Atom);
  return at >= 0 && (part.values === undefined || whole.values?.[at] === part.values[i]);
}

/** Walks two datums in step, telling each key's index in `a`, in `b`, or in both (-1: not there). */
function walk(a: Datum, b: Datum, visit: (ai: number, bi: number) => void): void {
  let ai = 0;
  let bi = 0;
  while (ai < a.keys.length && bi < b.keys.length) {
    const order = compareAtoms(a.keys[ai] as Atom, b.keys[bi] as Atom);
    if (order === 0) visit(ai++, bi++);
    else if (order < 0) visit(ai++, -1);
    else visit(-1, bi++);
  }
  while (ai < a.keys.length) visit(ai++, -1);
  while (bi < b.keys.length) visit(-1, bi++);
}

/** Collects members; gives a datum of the same kind as its sources. */
class Builder {
  private readonly keys: Atom[] = [];
  private readonly values: Atom[] = [];
  add(from: Datum, i: number): void {
    this.keys.push(from.keys[i] as Atom);
    if (from.values !== undefined) this.values.push(from.values[i] as Atom);
  }
  datum(map: boolean): Datum {
    return map ? { keys: this.keys, values: this.values } : { keys: this.keys };
  }
}

/** `a` and those members of `b` whose keys `a` has not. */
export function union(a: Datum, b: Datum): Datum {
  const result = new Builder();
  walk(a, b, (ai, bi) => ai >= 0 ? result.add(a, ai) : result.add(b, bi));
  return result.datum(a.values !== undefined);
}

/** `a` without the members of `b`. For maps, a `b` without values removes by key alone. */
export function subtract(a: Datum, b: Datum): Datum {
  const result = new Builder();
  walk(a, b, (ai, bi) => {
    const removed = bi >= 0 && (b.values === undefined || a.values?.[ai] === b.values[bi]);
    if (ai >= 0 && !removed) result.add(a, ai);
  });
  return result.datum(a.values !== undefined);
}

/**
 * The difference that `update2` carries (ovsdb-server(7), §4.1.14): what turns `a` into `b`, and,
 * applied to `a` with the same function, gives `b`. For anything that holds at most one element it
 * is simply `b`.
 */
export function difference(a: Datum, b: Datum, type: ColumnType): Datum {
  if (!isComposite(type)) return b;
  const result = new Builder();
  walk(a, b, (ai, bi) => {
    if (bi < 0) result.add(a, ai);
    else if (ai < 0 || (a.values !== undefined && a.values[ai] !== b.values?.[bi])) {
      result.add(b, bi);
    }
  });
  return result.datum(isMap(type));
}

/** `difference` the other way: the new value, given the old one and the difference. */
export function applyDifference(a: Datum, change: Datum, type: ColumnType): Datum {
  if (!isComposite(type)) return change;
  const result = new Builder();
  walk(a, change, (ai, ci) => {
    if (ci < 0) result.add(a, ai);
    else if (ai < 0 || (a.values !== undefined && a.values[ai] !== change.values?.[ci])) {
      result.add(change, ci);
    }
  });
  return result.datum(isMap(type));
}

/** Tells the members (by index) that only `before` has, then those that only `after` has. */
export function forEachChange(
  before: Datum,
  after: Datum,
  removed: (i: number) => void,
  added: (i: number) => void,
): void {
  if (before === after) return;
  walk(before, after, (bi, ai) => {
    if (bi >= 0 && ai >= 0 && before.values?.[bi] === after.values?.[ai]) return;
    if (bi >= 0) removed(bi);
    if (ai >= 0) added(ai);
  });
}

export function datumToJson(datum: Datum, type: ColumnType): Json {
  const { keys, values } = datum;
  const keyJson = (i: number): Json => atomToJson(keys[i] as Atom, type.key.type);
  if (type.value !== undefined) {
    const valueType = type.value.type;
    return [
      "map",
      keys.map((_, i): Json => [keyJson(i), atomToJson(values?.[i] as Atom, valueType)]),
    ];
  }
  return keys.length === 1 ? keyJson(0) : ["set", keys.map((_, i) => keyJson(i))];
}

/** For messages to people, as `ovs-vsctl` prints values. */
export function datumToText(datum: Datum, type: ColumnType): string {
  const members = datum.keys.map((key, i) =>
    atomToText(key, type.key.type) +
    (type.value === undefined ? "" : `=${atomToText(datum.values?.[i] as Atom, type.value.type)}`)
  ).join(", ");
  if (type.max === 1 && datum.keys.length > 0) return members;
  return isMap(type) ? `{${members}}` : `[${members}]`;
}

/** Text that is equal for equal datums of one type and different for others: a hash key. */
export function datumKey(datum: Datum): string {
  const text = (atoms: readonly Atom[]): string =>
    atoms.map((atom) => typeof atom === "string" ? JSON.stringify(atom) : String(atom)).join(",");
  return datum.values === undefined
    ? text(datum.keys)
    : `${text(datum.keys)}=${text(datum.values)}`;
}

export interface Reference {
  readonly base: BaseType;
  readonly side: "keys" | "values";
}

/** The parts of a type that can refer to rows, with the atoms of a datum on that side. */
export function references(type: ColumnType, strength: "strong" | "weak"): readonly Reference[] {
  const sides: Reference[] = [];
  const refers = (base: BaseType) => base.refTable !== undefined && base.refType === strength;
  if (refers(type.key)) sides.push({ base: type.key, side: "keys" });
  if (type.value !== undefined && refers(type.value)) {
    sides.push({ base: type.value, side: "values" });
  }
  return sides;
}

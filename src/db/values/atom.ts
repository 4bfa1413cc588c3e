/**
 * Atoms: the single values that OVSDB columns are made of (RFC 7047 §3.1, §5.1).
 *
 * An integer is a `number` while safe and else a `bigint` (see `../json.ts`), a real a `number`, a
 * UUID its 36 lower-case characters. Which of these an atom is follows from the column's type.
 */
import { OvsdbError } from "../error.ts";
import type { Json } from "../json.ts";
import type { AtomicTypeName } from "../schema/declare.ts";

export type Atom = number | bigint | boolean | string;

export const INT64_MIN = -(2n ** 63n);
export const INT64_MAX = 2n ** 63n - 1n;

export const ZERO_UUID = "00000000-0000-0000-0000-000000000000";

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The UUID in its one stored form, or undefined if the text is not one. */
export function parseUuid(text: string): string | undefined {
  if (text.length !== 36) return undefined;
  const lower = text.toLowerCase();
  return uuidForm.test(lower) ? lower : undefined;
}

/** RFC 7047 §3.1 `<id>`. */
export const isId = (text: string): boolean => /^[A-Za-z_][A-Za-z0-9_]*$/.test(text);

/** Makes equal integers identical: a bigint that fits a safe number becomes one. */
export function integerAtom(value: bigint): Atom {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function defaultAtom(type: AtomicTypeName): Atom {
  switch (type) {
    case "integer":
    case "real":
      return 0;
    case "boolean":
      return false;
    case "string":
      return "";
    case "uuid":
      return ZERO_UUID;
    default: {
      const never: never = type;
      return never;
    }
  }
}

/**
 * Order of two atoms of one type: numbers by value, `false` before `true`, texts and UUIDs by bytes
 * of their UTF-8 form, which is the order of their code points.
 */
export function compareAtoms(a: Atom, b: Atom): number {
  if (a === b) return 0;
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  return a < b ? -1 : 1;
}

/** UTF-16 order differs from code point order only where a surrogate meets a unit ≥ 0xe000. */
function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    if (x >= 0xd800 && y >= 0xd800) {
      const xSurrogate = x < 0xe000;
      if (xSurrogate !== y < 0xe000) return xSurrogate ? 1 : -1;
    }
    return x - y;
  }
  return a.length - b.length;
}

export function atomToJson(atom: Atom, type: AtomicTypeName): Json {
  return type === "uuid" ? ["uuid", atom as string] : atom;
}

/** For messages to people, as `ovs-vsctl` prints values. */
export function atomToText(atom: Atom, type: AtomicTypeName): string {
  switch (type) {
    case "integer":
    case "boolean":
      return String(atom);
    case "real":
      return realToText(Number(atom));
    case "uuid":
      return atom as string;
    case "string": {
      const text = atom as string;
      const bare = /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text) && text !== "true" &&
        text !== "false" && parseUuid(text) === undefined;
      return bare ? text : JSON.stringify(text);
    }
    default: {
      const never: never = type;
      return never;
    }
  }
}

/** C's `%.15g`. */
export function realToText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= -4 && exponent < 15) return String(Number(value.toPrecision(15)));
  const [mantissa = "", power = ""] = value.toExponential(14).split("e");
  const digits = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

export type ArithmeticMutator = "+=" | "-=" | "*=" | "/=" | "%=";

/**
 * RFC 7047 §5.1 arithmetic: 64-bit integers that must not overflow, division towards zero, reals
 * that must stay finite. Throws `domain error` for division by zero, `range error` on overflow.
 */
export function mutateAtom(
  atom: Atom,
  mutator: ArithmeticMutator,
  operand: Atom,
  type: "integer" | "real",
): Atom {
  if ((mutator === "/=" || mutator === "%=") && Number(operand) === 0) {
    throw new OvsdbError("domain error", "Division by zero.");
  }
  if (type === "real") {
    const result = calculate(Number(atom), mutator, Number(operand));
    if (!Number.isFinite(result)) throw outOfRange(mutator);
    return result;
  }
  const result = calculateInteger(BigInt(atom), mutator, BigInt(operand));
  if (result < INT64_MIN || result > INT64_MAX) throw outOfRange(mutator);
  return integerAtom(result);
}

const outOfRange = (mutator: ArithmeticMutator): OvsdbError =>
  new OvsdbError("range error", `Result of "${mutator}" operation is out of range.`);

function calculate(x: number, mutator: ArithmeticMutator, y: number): number {
  switch (mutator) {
    case "+=":
      return x + y;
    case "-=":
      return x - y;
    case "*=":
      return x * y;
    case "/=":
      return x / y;
    case "%=":
      return x % y;
    default: {
      const never: never = mutator;
      return never;
    }
  }
}

function calculateInteger(x: bigint, mutator: ArithmeticMutator, y: bigint): bigint {
  switch (mutator) {
    case "+=":
      return x + y;
    case "-=":
      return x - y;
    case "*=":
      return x * y;
    case "/=":
      return x / y;
    case "%=":
      // INT64_MIN % -1 is 0, but the quotient on the way overflows: the protocol says range error.
      return y === -1n && x === INT64_MIN ? INT64_MAX + 1n : x % y;
    default: {
      const never: never = mutator;
      return never;
    }
  }
}

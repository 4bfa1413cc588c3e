import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Json } from "../../../src/db/json.ts";
import { canonical, stringify } from "../../../src/db/json.ts";
import { JsonStream, parseJsonText } from "../../../src/db/rpc/json-stream.ts";
import { parseType, typeToEnglish, typeToJson } from "../../../src/db/schema/type.ts";
import { compareAtoms, mutateAtom, realToText } from "../../../src/db/values/atom.ts";
import {
  applyDifference,
  datumToJson,
  datumToText,
  difference,
  equalDatums,
  subtract,
  union,
} from "../../../src/db/values/datum.ts";
import { parseDatum } from "../../../src/db/values/parse.ts";

const integers = parseType({ key: "integer", min: 0, max: "unlimited" });
const texts = parseType({ key: "string", value: "string", min: 0, max: "unlimited" });

describe("atoms", () => {
  test("texts are in order of their code points, as UTF-8 bytes are", () => {
    const sample = ["", "A", "a", "aa", "é", "\ud7ff", "", "\uffff", "😀", "a😀", "a\uffff"];
    const byBytes = sample.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(sample.toSorted(compareAtoms)).toEqual(byBytes);
    fc.assert(fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      const bytes = Buffer.compare(Buffer.from(a), Buffer.from(b));
      expect(Math.sign(compareAtoms(a, b))).toBe(bytes);
    }));
  });

  test("integers of 64 bits compare across the line between number and bigint", () => {
    const sorted = [-(2n ** 63n), -(2n ** 53n), -5, 0, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n - 1n];
    expect(sorted.toReversed().sort(compareAtoms)).toEqual(sorted);
  });

  test.each(
    [
      [7, "+=", 3, 10],
      [7, "-=", 10, -3],
      [-7, "/=", 2, -3],
      [-7, "%=", 2, -1],
      [2 ** 53 - 1, "+=", 1, 2n ** 53n],
      [2n ** 53n, "-=", 1, 2 ** 53 - 1],
      [3037000500, "*=", 3037000499, 9223372033963249500n],
    ] as const,
  )("%p %s %p is %p", (x, mutator, y, result) => {
    expect(mutateAtom(x, mutator, y, "integer")).toBe(result);
  });

  test.each(
    [
      [1, "/=", 0, "domain error"],
      [1, "%=", 0, "domain error"],
      [2n ** 63n - 1n, "+=", 1, "range error"],
      [-(2n ** 63n), "-=", 1, "range error"],
      [-(2n ** 63n), "/=", -1, "range error"],
      [-(2n ** 63n), "%=", -1, "range error"],
      [2n ** 62n, "*=", 2, "range error"],
    ] as const,
  )("%p %s %p is a %s", (x, mutator, y, tag) => {
    expect(() => mutateAtom(x, mutator, y, "integer")).toThrow(tag);
  });

  test.each([
    [0.1, "0.1"],
    [1 / 3, "0.333333333333333"],
    [1e15, "1e+15"],
    [123456789012345, "123456789012345"],
    [1.5e-7, "1.5e-07"],
    [-2.5e300, "-2.5e+300"],
  ])("%p prints as C's %%.15g does: %s", (value, text) => {
    expect(realToText(value)).toBe(text);
  });
});

describe("datums", () => {
  const set = (json: Json) => parseDatum(json, integers);
  const map = (json: Json) => parseDatum(json, texts);

  test("are sorted; one element alone may stand without a set around it", () => {
    expect(set(["set", [3, 1, 2]]).keys).toEqual([1, 2, 3]);
    expect(datumToJson(set(5), integers)).toBe(5);
    expect(datumToJson(set(["set", []]), integers)).toEqual(["set", []]);
    expect(datumToText(map(["map", [["b", "1 2"], ["a", "x"]]]), texts)).toBe('{a=x, b="1 2"}');
  });

  test.each<[Json, string]>([
    [["set", [1, 1]], "set contains duplicate"],
    ["x", "expected integer"],
    [1.5, "expected integer"],
    [["map", []], "expected integer"],
    [["set", 5], 'expected ["set", <array>]'],
  ])("a set of integers cannot be %j", (json, message) => {
    expect(() => set(json)).toThrow(message);
  });

  test("a map keeps its own value in a union, and loses pairs or keys in a subtraction", () => {
    const whole = map(["map", [["a", "1"], ["b", "2"], ["c", "3"]]]);
    const json = (datum: typeof whole) => datumToJson(datum, texts);
    expect(json(union(whole, map(["map", [["a", "9"], ["d", "4"]]])))).toEqual([
      "map",
      [["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"]],
    ]);
    expect(json(subtract(whole, map(["map", [["a", "9"], ["b", "2"]]])))).toEqual([
      "map",
      [["a", "1"], ["c", "3"]],
    ]);
    expect(json(subtract(whole, { keys: ["a", "z"] }))).toEqual(["map", [["b", "2"], ["c", "3"]]]);
  });

  test("the difference of two values turns one into the other", () => {
    const sets = fc.uniqueArray(fc.integer({ min: 0, max: 20 })).map((keys) => set(["set", keys]));
    fc.assert(fc.property(sets, sets, (a, b) => {
      expect(applyDifference(a, difference(a, b, integers), integers)).toEqual(b);
    }));
    const word = fc.constantFrom("a", "b", "c", "d");
    const maps = fc.dictionary(word, word).map((object) => map(["map", Object.entries(object)]));
    fc.assert(fc.property(maps, maps, (a, b) => {
      expect(equalDatums(applyDifference(a, difference(a, b, texts), texts), b)).toBe(true);
    }));
  });
});

describe("types", () => {
  test.each<[Json, string]>([
    ["integer", "integer"],
    [{ key: "string", min: 0, max: 3 }, "set of up to 3 strings"],
    [{ key: "string", max: "unlimited" }, "set of 1 or more strings"],
    [{ key: "integer", value: "uuid", min: 0, max: "unlimited" }, "map of (integer, uuid) pairs"],
  ])("%j is %s", (json, english) => {
    expect(typeToEnglish(parseType(json))).toBe(english);
    expect(typeToJson(parseType(json))).toEqual(json);
  });

  test.each<[Json, string]>([
    ["text", '"text" is not an atomic-type'],
    [{ key: "integer", min: 2 }, "fails constraint checks"],
    [{ key: { type: "integer", minInteger: 2, maxInteger: 1 } }, "minInteger exceeds maxInteger"],
    [{ key: { type: "uuid", refTable: "A", refType: "loose" } }, "refType must be"],
    [{ key: "integer", extra: 1 }, "Member 'extra' is present"],
    [{ min: 1 }, "Required 'key' member is missing"],
  ])("%j is no type", (json, message) => {
    expect(() => parseType(json)).toThrow(message);
  });

  test("constraints: enumeration, range, length in characters", () => {
    const fails = (type: Json, value: Json) => expect(() => parseDatum(value, parseType(type)));
    const kind = { key: { type: "string", enum: ["set", ["b", "a"]] } };
    fails(kind, "c").toThrow("c is not one of the allowed values ([a, b])");
    const range = { key: { type: "integer", minInteger: 1, maxInteger: 5 } };
    fails(range, 6).toThrow("6 is not in the valid range 1 to 5 (inclusive)");
    const short = { key: { type: "string", maxLength: 2 } };
    fails(short, "abc").toThrow('"abc" length 3 is greater than maximum allowed length 2');
    expect(parseDatum("😀😀", parseType(short)).keys).toEqual(["😀😀"]);
  });
});

describe("JSON text", () => {
  test("keeps 64-bit integers, both ways", () => {
    const text = '{"a":9223372036854775807,"b":-9007199254740993,"c":1.5,"d":1e3,"e":5}';
    const value = parseJsonText(text);
    expect(value).toEqual({
      a: 9223372036854775807n,
      b: -9007199254740993n,
      c: 1.5,
      d: 1000,
      e: 5,
    });
    expect(stringify(value)).toBe(text.replace("1e3", "1000"));
    expect(canonical({ b: 1, a: [2n ** 60n, null] })).toBe(
      '{"a":[1152921504606846976,null],"b":1}',
    );
  });

  test("any cut of the stream gives the same values", () => {
    const values: Json[] = [{ a: ['"}]{', "\\", "ü😀"] }, [], {}, [
      [1, [2, [3]]],
      -1.5,
      true,
      null,
    ]];
    const bytes = new TextEncoder().encode(values.map((value) => stringify(value)).join(" \n"));
    fc.assert(fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const stream = new JsonStream();
      const ends = [...cuts.sort((a, b) => a - b), bytes.length];
      let from = 0;
      const seen = ends.flatMap((end) => {
        const piece = bytes.slice(from, end);
        from = Math.max(from, end);
        return [...stream.feed(piece)];
      });
      expect(seen).toEqual(values);
    }));
  });
});

import { beforeEach, describe, expect, test } from "bun:test";
import type { Database } from "../../../src/db/database.ts";
import type { Json } from "../../../src/db/json.ts";
import {
  column,
  errorOf,
  insert,
  mapOf,
  must,
  named,
  openZoo,
  setOf,
  transact,
  uuidOf,
} from "./fixture.ts";

let db: Database;
beforeEach(() => {
  db = openZoo();
});

const size = (table: string): number => db.tables.get(table)?.rows.size ?? -1;

/** A zoo with one house, and these animals in it. */
async function build(...animals: { [column: string]: Json }[]): Promise<void> {
  await must(
    db,
    insert("Zoo", { name: "z", houses: named("h") }),
    insert("House", { name: "h", animals: setOf(...animals.map((_, i) => named(`a${i}`))) }, "h"),
    ...animals.map((animal, i) => insert("Animal", { legs: 4, ...animal }, `a${i}`)),
  );
}

describe("conditions", () => {
  beforeEach(() =>
    build(
      { name: "ant", legs: 6, weight: 0.5, numbers: setOf(1, 2, 3), notes: mapOf(["a", "1"]) },
      { name: "bee", legs: 6, weight: 0.25, kind: "bird", numbers: setOf(2) },
      { name: "cod", legs: 0, weight: 7, kind: "fish", notes: mapOf(["a", "1"], ["b", "2"]) },
    )
  );

  test.each<[Json[], string]>([
    [[], "ant bee cod"],
    [[["legs", "<", 6]], "cod"],
    [[["legs", "<=", 6]], "ant bee cod"],
    [[["legs", "==", 6]], "ant bee"],
    [[["legs", "!=", 6]], "cod"],
    [[["legs", ">", 0]], "ant bee"],
    [[["weight", ">=", 0.5]], "ant cod"],
    [[["legs", ">", 0], ["weight", "<", 0.5]], "bee"],
    [[["kind", "==", "fish"]], "cod"],
    [[["kind", "==", setOf()]], "ant"],
    [[["kind", "!=", "fish"]], "ant bee"],
    [[["kind", "includes", "fish"]], "cod"],
    [[["kind", "excludes", "fish"]], "ant bee"],
    [[["numbers", "==", setOf(3, 2, 1)]], "ant"],
    [[["numbers", "includes", setOf(2)]], "ant bee"],
    [[["numbers", "includes", setOf()]], "ant bee cod"],
    [[["numbers", "excludes", setOf(1, 9)]], "bee cod"],
    [[["notes", "includes", mapOf(["a", "1"])]], "ant cod"],
    [[["notes", "includes", mapOf(["a", "2"])]], ""],
    [[["notes", "excludes", mapOf(["b", "2"])]], "ant bee"],
    [[true], "ant bee cod"],
    [[["legs", "==", 6], false], ""],
  ])("%j selects %s", async (where, names) => {
    expect((await column(db, "Animal", "name", where)).join(" ")).toBe(names);
  });

  test.each<[Json, string]>([
    [["name", "<", "x"], "Type mismatch"],
    [["numbers", ">", 1], "Type mismatch"],
    [["legs", "~", 1], "unknown function"],
    [["nope", "==", 1], "unknown column"],
    [["legs", "==", "x"], "expected integer"],
    [["legs", "==", 101], "not in the valid range"],
    [["legs", "=="], "Parse error in condition"],
  ])("%j is refused: %s", async (clause, message) => {
    expect(await errorOf(db, { op: "select", table: "Animal", where: [clause] })).toContain(
      message,
    );
  });
});

describe("mutations", () => {
  beforeEach(() =>
    build({ name: "ant", weight: 2, numbers: setOf(1, 2), notes: mapOf(["a", "1"]) })
  );
  const mutate = (...mutations: Json[]): Json => ({
    op: "mutate",
    table: "Animal",
    where: [],
    mutations,
  });

  test.each<[string, string, Json, Json]>([
    ["legs", "+=", 2, 6],
    ["legs", "%=", 3, 1],
    ["weight", "/=", 4, 0.5],
    ["numbers", "*=", 3, setOf(3, 6)],
    ["numbers", "-=", 1, setOf(0, 1)],
    ["numbers", "insert", setOf(2, 5), setOf(1, 2, 5)],
    ["numbers", "delete", setOf(2, 9), 1],
    ["notes", "insert", mapOf(["a", "9"], ["b", "2"]), mapOf(["a", "1"], ["b", "2"])],
    ["notes", "delete", mapOf(["a", "9"]), mapOf(["a", "1"])],
    ["notes", "delete", setOf("a"), mapOf()],
    ["kind", "insert", "bird", "bird"],
  ])("%s %s %j gives %j", async (name, mutator, arg, result) => {
    await must(db, mutate([name, mutator, arg]));
    expect(await column(db, "Animal", name)).toEqual([result]);
  });

  test.each<[Json, string]>([
    [["legs", "-=", 5], "constraint violation: -1 is not in the valid range"],
    [["legs", "/=", 0], "domain error"],
    [["weight", "%=", 2], "Type mismatch"],
    [["weight", "*=", 1e308], "range error"],
    [["numbers", "/=", 5], "contains duplicates"],
    [["name", "+=", 1], "Type mismatch"],
    [["notes", "+=", 1], "Type mismatch"],
    [["legs", "insert", 1], "Type mismatch"],
    [["nope", "+=", 1], "unknown column"],
    [["legs", "^=", 1], "unknown mutator"],
    [["kind", "insert", setOf("bird", "fish")], "set must have 0 to 1 members"],
  ])("%j is refused: %s", async (mutation, message) => {
    const before = await column(db, "Animal", "legs");
    expect(await errorOf(db, mutate(["weight", "+=", 1e308], mutation))).toContain(message);
    expect(await column(db, "Animal", "legs")).toEqual(before);
    expect(await column(db, "Animal", "weight")).toEqual([2]);
  });

  test("an immutable column cannot be mutated or updated", async () => {
    const update = { op: "update", table: "Zoo", where: [], row: { name: "y" } };
    expect(await errorOf(db, update)).toContain("Cannot update immutable column name");
  });
});

describe("references", () => {
  test("an unreferenced row outside root tables is collected, with all it referred to", async () => {
    await build({ name: "ant" }, { name: "bee" });
    expect([size("House"), size("Animal")]).toEqual([1, 2]);
    await must(db, { op: "update", table: "House", where: [], row: { animals: setOf() } });
    expect([size("House"), size("Animal")]).toEqual([1, 0]);
    await build2();
    await must(db, { op: "delete", table: "Zoo", where: [] });
    expect([size("Zoo"), size("House"), size("Animal")]).toEqual([0, 0, 0]);
  });

  const build2 = () =>
    must(
      db,
      insert("House", { name: "i", animals: named("c") }, "i"),
      insert("Animal", { name: "cod" }, "c"),
      { op: "mutate", table: "Zoo", where: [], mutations: [["houses", "insert", named("i")]] },
    );

  test("a row that only refers to itself is garbage", async () => {
    await must(db, insert("House", { name: "h", sibling: named("h") }, "h"));
    expect(size("House")).toBe(0);
  });

  test("two rows that refer to each other keep each other, as references are counted", async () => {
    await must(
      db,
      insert("House", { name: "h", sibling: named("i") }, "h"),
      insert("House", { name: "i", sibling: named("h") }, "i"),
    );
    expect(size("House")).toBe(2);
  });

  test("what a map's values refer to lives too", async () => {
    await must(
      db,
      insert("Zoo", { name: "z", byNumber: mapOf([1, named("h")], [2, named("h")]) }),
      insert("House", { name: "h" }, "h"),
    );
    const mutate = (key: number) => ({
      op: "mutate",
      table: "Zoo",
      where: [],
      mutations: [["byNumber", "delete", setOf(key)]],
    });
    await must(db, mutate(1));
    expect(size("House")).toBe(1);
    await must(db, mutate(2));
    expect(size("House")).toBe(0);
  });

  test("a reference to nothing, and the deletion of a referenced row, are refused", async () => {
    expect(await errorOf(db, insert("Zoo", { name: "z", houses: named("nobody") }))).toMatch(
      /^referential integrity violation: Table Zoo column houses row \S+ references nonexistent row/,
    );
    await build({ name: "ant" });
    expect(await errorOf(db, { op: "delete", table: "House", where: [] })).toMatch(
      /^referential integrity violation: cannot delete House row \S+ because of 1 remaining/,
    );
    expect(size("House")).toBe(1);
  });

  test("weak references vanish with their row, from sets, maps, and rows made later", async () => {
    await build({ name: "ant" }, { name: "bee", friends: named("a0") });
    const [ant, bee] = await Promise.all(
      ["ant", "bee"].map(async (name) =>
        (await column(db, "Animal", "_uuid", [["name", "==", name]]))[0] as Json
      ),
    );
    await must(
      db,
      insert("Keeper", {
        name: "k",
        feeds: setOf(ant as Json, bee as Json),
        favourites: mapOf(["x", ant as Json], ["y", bee as Json]),
      }),
    );
    await must(db, {
      op: "mutate",
      table: "House",
      where: [],
      mutations: [["animals", "delete", ant as Json]],
    });
    expect(await column(db, "Keeper", "feeds")).toEqual([bee as Json]);
    expect(await column(db, "Keeper", "favourites")).toEqual([mapOf(["y", bee as Json])]);
    expect(await column(db, "Animal", "friends")).toEqual([setOf()]);
    // The last one cannot go: the column must not be empty.
    expect(
      await errorOf(db, { op: "update", table: "House", where: [], row: { animals: setOf() } }),
    )
      .toContain("Deletion of 1 weak reference(s) to deleted (or never-existing) rows from column");
    expect(size("Animal")).toBe(1);
    expect(await errorOf(db, insert("Keeper", { name: "l" }))).toContain("all-zeros UUID");
  });
});

describe("table constraints", () => {
  test("maxRows", async () => {
    await must(db, insert("Zoo", { name: "a" }), insert("Zoo", { name: "b" }));
    expect(await errorOf(db, insert("Zoo", { name: "c" }))).toContain(
      'transaction causes "Zoo" table to contain 3 rows, greater than the schema-defined limit of 2',
    );
    await must(
      db,
      { op: "delete", table: "Zoo", where: [["name", "==", "a"]] },
      insert("Zoo", { name: "c" }),
    );
    expect(await column(db, "Zoo", "name")).toEqual(["b", "c"]);
  });

  test("indexes: two new rows, a new and an old one, and rows that exchange their values", async () => {
    expect(await errorOf(db, insert("Zoo", { name: "a" }), insert("Zoo", { name: "a" }))).toContain(
      'identical values (a) for index on column "name".',
    );
    await build({ name: "ant" }, { name: "bee" });
    const rename = (from: string, to: string): Json => ({
      op: "update",
      table: "Animal",
      where: [["name", "==", from]],
      row: { name: to },
    });
    expect(await errorOf(db, rename("ant", "bee"))).toContain("identical values (bee)");
    await must(db, rename("ant", "x"), rename("bee", "ant"), rename("x", "bee"));
    expect(await column(db, "Animal", "name")).toEqual(["ant", "bee"]);
    await must(db, rename("ant", "cod"));
    await must(db, rename("bee", "ant"));
    expect(await errorOf(db, rename("cod", "ant"))).toContain("identical values (ant)");
  });

  test("a default that the column does not allow must be given", async () => {
    const narrow = insert("Animal", { name: "x", legs: 101 });
    expect(await errorOf(db, narrow)).toContain("101 is not in the valid range");
  });
});

describe("operations", () => {
  test("see what earlier ones of the same transaction did", async () => {
    const results = await must(
      db,
      insert("Keeper", { name: "k", feeds: named("a") }),
      insert("Zoo", { name: "z", houses: named("h") }),
      insert("House", { name: "h", animals: named("a") }, "h"),
      insert("Animal", { name: "ant" }, "a"),
      { op: "update", table: "Animal", where: [["_uuid", "==", named("a")]], row: { legs: 3 } },
      { op: "select", table: "Animal", where: [], columns: ["legs", "_uuid"] },
      { op: "mutate", table: "Animal", where: [["legs", "==", 3]], mutations: [["legs", "+=", 1]] },
      { op: "delete", table: "Keeper", where: [["name", "==", "k"]] },
      { op: "select", table: "Keeper", where: [] },
    );
    expect(results.slice(4)).toEqual([
      { count: 1 },
      { rows: [{ legs: 3, _uuid: ["uuid", uuidOf(results[3])] }] },
      { count: 1 },
      { count: 1 },
      { rows: [] },
    ]);
    expect(await column(db, "Animal", "legs")).toEqual([4]);
  });

  test("after an error the rest is null, and nothing has happened", async () => {
    const zoo = insert("Zoo", { name: "z" });
    const results = await transact(db, zoo, { op: "abort" }, zoo, zoo);
    expect(results.slice(1)).toEqual([
      { error: "aborted", details: "aborted by request" },
      null,
      null,
    ]);
    expect(size("Zoo")).toBe(0);
  });

  test("select drops duplicates and sorts", async () => {
    await build({ name: "a", legs: 2 }, { name: "b", legs: 1 }, { name: "c", legs: 2 });
    expect(await column(db, "Animal", "legs")).toEqual([1, 2]);
  });

  test("a changed row gets a new _version, an unchanged one keeps it", async () => {
    await build({ name: "a" }, { name: "b" });
    const versions = () => column(db, "Animal", "_version", [["name", "==", "a"]]);
    const before = await versions();
    await must(db, { op: "update", table: "Animal", where: [], row: { legs: 4 } });
    expect(await versions()).toEqual(before);
    await must(db, { op: "update", table: "Animal", where: [], row: { legs: 5 } });
    expect(await versions()).not.toEqual(before);
  });

  test("uuid and uuid-name of an insertion must be new", async () => {
    const uuid = "00000000-1111-4222-8333-444444444444";
    await must(db, { ...insert("Zoo", { name: "a" }), uuid: uuid.toUpperCase() });
    expect(await errorOf(db, { ...insert("Zoo", { name: "b" }), uuid })).toContain(
      "duplicate uuid",
    );
    expect(await errorOf(db, insert("Zoo", { name: "b" }, "x"), insert("Zoo", { name: "c" }, "x")))
      .toContain("duplicate uuid-name");
    const again = [{ op: "delete", table: "Zoo", where: [] }, insert("Zoo", { name: "b" })];
    expect(await errorOf(db, again[0] as Json, { ...again[1], uuid } as Json))
      .toContain("duplicate uuid");
  });
});

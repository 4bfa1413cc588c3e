/** The parts of the built-in clients by themselves; as wholes they are compared with the stock ones. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ColumnType } from "../../../src/db/schema/type.ts";
import { parseColumnKey } from "../../../src/cli/clients/vsctl/conditions.ts";
import { datumToJson, datumToText } from "../../../src/db/values/datum.ts";
import { openVSwitchSchema } from "../../../src/db/schema/openvswitch.ts";
import { parseSchema } from "../../../src/db/schema/schema.ts";
import { ClientLog } from "../../../src/cli/clients/client-log.ts";
import { formatDate } from "../../../src/cli/clients/dates.ts";
import { Fatal } from "../../../src/cli/clients/fatal.ts";
import { getopt, type OptionDeclaration } from "../../../src/cli/clients/getopt.ts";
import { hashName, nameOrder } from "../../../src/cli/clients/hash-order.ts";
import { parseJsonArgument } from "../../../src/cli/clients/json-argument.ts";
import { jsonText } from "../../../src/cli/clients/json-text.ts";
import { defaultTableStyle, TablePrinter } from "../../../src/cli/clients/table.ts";
import { parseToken, parseValue, Symbols } from "../../../src/cli/clients/value-text.ts";
import { escapeArguments, parseCommands } from "../../../src/cli/clients/vsctl/arguments.ts";
import { commandGroups, commandsByName } from "../../../src/cli/clients/vsctl/commands.ts";
import { markArguments } from "../../../src/cli/clients/vsctl/information.ts";
import { findColumn, findTable } from "../../../src/cli/clients/vsctl/names.ts";

describe("getopt", () => {
  const options: readonly OptionDeclaration[] = [
    { name: "alpha", letter: "a", value: "none", key: "alpha" },
    { name: "alphabet", value: "required", key: "alphabet" },
    { name: "beta", letter: "b", value: "required", key: "beta" },
    { name: "verbose", letter: "v", value: "optional", key: "verbose" },
  ];
  const parse = (line: string, stopAtWord = true) => {
    const found: string[] = [];
    const rest = getopt(
      line.split(" ").filter((word) => word !== ""),
      options,
      stopAtWord,
      (one) => {
        found.push(one.value === undefined ? one.option.key : `${one.option.key}=${one.value}`);
      },
    );
    return { found: found.join(" "), rest: rest.join(" ") };
  };

  for (
    const [line, found, rest] of [
      ["", "", ""],
      ["--alpha x", "alpha", "x"],
      ["--alphab=1 x", "alphabet=1", "x"],
      ["--b=1", "beta=1", ""],
      ["--b 1 y", "beta=1", "y"],
      ["-ab1 x", "alpha beta=1", "x"],
      ["-a -b 1", "alpha beta=1", ""],
      ["-v x", "verbose", "x"],
      ["-vx", "verbose=x", ""],
      ["--verbose=x -- -a", "verbose=x", "-a"],
      ["x -a", "", "x -a"],
      ["- -a", "", "- -a"],
    ] as const
  ) test(`"${line}"`, () => expect(parse(line)).toEqual({ found, rest }));

  test("options among the words", () => {
    expect(parse("x -a y --b=1 -- -a", false)).toEqual({ found: "alpha beta=1", rest: "x y -a" });
  });

  for (
    const [line, message] of [
      ["--gamma", "unrecognized option '--gamma'"],
      ["--gamma=1", "unrecognized option '--gamma=1'"],
      ["--al", "option '--al' is ambiguous; possibilities: '--alpha' '--alphabet'"],
      ["--alpha=1", "option '--alpha' doesn't allow an argument"],
      ["--beta", "option '--beta' requires an argument"],
      ["-b", "option requires an argument -- 'b'"],
      ["-x", "invalid option -- 'x'"],
    ] as const
  ) test(`refuses "${line}"`, () => expect(() => parse(line)).toThrow(new Fatal(message)));
});

describe("values on the command line", () => {
  const string = { type: "string" } as const;
  const integer = { type: "integer" } as const;
  const types: readonly ColumnType[] = [
    { key: string, min: 0, max: 9 },
    { key: integer, min: 0, max: 9 },
    { key: string, value: string, min: 0, max: 9 },
    { key: string, min: 1, max: 1 },
  ];

  test("what is printed can be read", () => {
    const text = fc.string({ unit: "grapheme", minLength: 0, maxLength: 8 })
      .filter((word) => !word.includes("\0"));
    fc.assert(fc.property(fc.array(text, { maxLength: 5 }), (words) => {
      const keys = [...new Set(words)];
      for (const type of types) {
        if (type.key.type === "integer" || keys.length < type.min || keys.length > type.max) {
          continue;
        }
        const json = type.value === undefined
          ? keys.length === 1 ? keys[0]! : ["set", keys]
          : ["map", keys.map((key) => [key, key])];
        const datum = parseValue(
          datumToText(
            {
              keys: [...keys].sort(),
              ...(type.value === undefined ? {} : { values: [...keys].sort() }),
            },
            type,
          ),
          type,
          new Symbols(),
        );
        const back = datumToJson(datum, type);
        expect(JSON.stringify(back).length).toBe(JSON.stringify(json).length);
      }
    }));
  });

  test("any text is read or refused", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'ab1"\\[]{}=,:-@ u') }), (text) => {
      for (const type of types) {
        try {
          parseValue(text, type, new Symbols());
        } catch (error) {
          expect(error).toBeInstanceOf(Fatal);
        }
      }
    }));
  });

  test("tokens", () => {
    expect(parseToken('a\\ b"c d"=e', 0)).toEqual({ token: 'a b"c d"', end: 9 });
    expect(parseToken("x:y", 2)).toEqual({ token: "y", end: 3 });
  });

  test("columns, keys, and what is left over", () => {
    const table = findTable(parseSchema(openVSwitchSchema), "Bridge");
    expect(parseColumnKey(table, 'external-ids:"a b"').key).toBe('"a b"');
    expect(() => parseColumnKey(table, "name=x")).toThrow('trailing garbage "=x"');
  });
});

describe("names", () => {
  const schema = parseSchema(openVSwitchSchema);
  test("a beginning is enough, in any case, with either dash", () => {
    expect(findTable(schema, "open-v").name).toBe("Open_vSwitch");
    expect(findTable(schema, "CT-Z").name).toBe("CT_Zone");
    expect(findColumn(findTable(schema, "Bridge"), "Other").name).toBe("other_config");
    expect(findColumn(findTable(schema, "Interface"), "mtu").name).toBe("mtu");
  });
  test("which of several is asked", () => {
    expect(() => findTable(schema, "F")).toThrow(
      '"F" matches multiple table names: Flow_Sample_Collector_Set, Flow_Table',
    );
    expect(() => findTable(schema, "")).toThrow('unknown table ""');
  });
});

describe("vsctl's command line", () => {
  test("declarations are sound", () => {
    const listed = commandGroups.flatMap(({ commands }) => commands.map(({ name }) => name));
    expect([...commandsByName().keys()].sort()).toEqual(listed.sort());
    for (const { min, max, options } of commandsByName().values()) {
      expect(min).toBeLessThanOrEqual(max);
      for (const option of options) expect(option).toMatch(/^--[a-z-]+=?$/);
    }
  });
  test("commands are parted by --", () => {
    const commands = parseCommands(
      ["--", "list-br", "--", "--id=@x", "create", "QoS", "type=a"],
      new Map(),
      commandsByName(),
    );
    expect(commands.map(({ declaration, args }) => [declaration.name, ...args])).toEqual([
      ["list-br"],
      ["create", "QoS", "type=a"],
    ]);
    expect(commands[1]?.options).toEqual(new Map([["--id", "@x"]]));
  });
  test("a line that can be pasted", () => {
    expect(escapeArguments(["a", "b c", 'd"e', "f\\g", ""])).toBe('a "b c" "d\\"e" "f\\\\g" ');
  });
  test("arguments for completion scripts", () => {
    expect(markArguments("BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...")).toBe(
      "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE",
    );
    expect(markArguments("[BRIDGE] IFACE...")).toBe("?BRIDGE +IFACE");
  });
});

describe("tables", () => {
  const table = {
    caption: "T",
    headings: ["name", "n"],
    rows: [[{ text: "a,b" }, {
      json: ["set", [1, 2]],
      type: { key: { type: "integer" as const }, min: 0, max: 9 },
    }], [{ text: "<é>" }, undefined]],
  };
  const print = (change: Partial<ReturnType<typeof defaultTableStyle>>) =>
    new TablePrinter({ ...defaultTableStyle(), ...change }).print(table);

  test("table: widths are of bytes", () => {
    expect(print({ format: "table" })).toBe("T\nname n\n---- ------\na,b  [1, 2]\n<é>\n");
    expect(print({ format: "table", headings: false, maxColumnWidth: 2 })).toBe(
      "T\na, [1\n<\uFFFD\n",
    );
  });
  test("list", () => {
    expect(print({ cells: "bare" })).toBe(
      "T\nname                : a,b\nn                   : 1 2\n\n" +
        "name                : <é>\nn                   : \n",
    );
  });
  test("csv", () => expect(print({ format: "csv" })).toBe('T\nname,n\n"a,b","[1, 2]"\n<é>,\n'));
  test("html", () => expect(print({ format: "html" })).toContain("<td>&lt;é&gt;</td>"));
  test("json", () => {
    expect(print({ format: "json" })).toBe(
      '{"caption":"T","data":[["a,b",["set",[1,2]]],["<é>",null]],"headings":["name","n"]}\n',
    );
  });
});

describe("JSON", () => {
  test("as text: sorted, exact", () => {
    expect(jsonText({ b: [1, 0.1 + 0.2, 2n ** 60n], a: null })).toBe(
      '{"a":null,"b":[1,0.3,1152921504606846976]}',
    );
    expect(jsonText({ a: [1, {}], b: [] }, true)).toBe(
      '{\n  "a": [\n    1,\n    {\n      }],\n  "b": []}',
    );
  });
  test("the first error is found wherever there is one", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'[]{}:,"\\a1e.-n \n') }), (text) => {
      let valid = true;
      try {
        const value = JSON.parse(text);
        valid = typeof value === "object" && value !== null;
      } catch {
        valid = false;
      }
      if (valid) parseJsonArgument(text);
      else expect(() => parseJsonArgument(text)).toThrow(/^line \d+, column \d+, byte \d+: ./);
    }));
  });
});

describe("order of hash tables", () => {
  test("MurmurHash3 of names that are whole words", () => {
    // From its reference implementation, seed 0.
    expect(hashName("test")).toBe(0xba6bd213);
    expect(hashName("")).toBe(0);
  });
  test("nothing is lost, and it depends on little", () => {
    const names = Array.from({ length: 200 }, (_, i) => `name${i}`);
    const order = nameOrder(names);
    expect([...order].sort()).toEqual([...names].sort());
    expect(nameOrder(names)).toEqual(order);
  });
});

describe("the clients' log", () => {
  const logged = (...specs: string[]) => {
    const lines: string[] = [];
    const log = new ClientLog("prog", (line) => lines.push(line), "warn");
    for (const spec of specs) log.setVerbosity(spec);
    log.log("vsctl", "warn", "careful");
    log.log("ovsdb_idl", "info", "by the way");
    return lines.map((line) => line.replace(/^[-\d]+T[:\d]+Z/, "TIME")).join("");
  };
  test("levels and patterns", () => {
    expect(logged()).toBe("TIME|00001|vsctl|WARN|careful\n");
    expect(logged("console:off")).toBe("");
    expect(logged("ovsdb_idl:console:dbg", "vsctl:off")).toBe(
      "TIME|00001|ovsdb_idl|INFO|by the way\n",
    );
    expect(logged("PATTERN:console:%A %-6p|%3N|%m%%")).toBe("prog WARN  |  1|careful%\n");
  });
  test("dates", () => {
    expect(formatDate("%Y-%m-%d %H:%M:%S.###", new Date(0), true)).toBe("1970-01-01 00:00:00.000");
  });
});

import { describe, expect, test } from "bun:test";
import { InvalidArgumentError } from "commander";
import { statusText } from "../../../src/cli/config/confirm.ts";
import { parseCount, parseDuration, parseRevision } from "../../../src/cli/config/declare.ts";
import {
  changesText,
  durationText,
  logText,
  showText,
  timeText,
} from "../../../src/cli/config/text.ts";

describe("arguments", () => {
  test.each([["60s", 60], ["60", 60], ["5m", 300], ["5min", 300], ["2h", 7200], ["7d", 604_800]])(
    "%s is %d seconds",
    (text, seconds) => expect(parseDuration(text)).toBe(seconds),
  );
  test.each(["", "0s", "8d", "1w", "-5s", "1.5h", "s", "60 s", "9999999"])(
    "%p is no duration",
    (text) => expect(() => parseDuration(text)).toThrow(InvalidArgumentError),
  );
  test("revisions and counts", () => {
    expect(parseRevision("12")).toBe(12);
    expect(parseCount("10000")).toBe(10_000);
    for (const text of ["", "-1", "1e3", "HEAD"]) {
      expect(() => parseRevision(text)).toThrow("number");
    }
    for (const text of ["0", "10001", "x"]) expect(() => parseCount(text)).toThrow("1 to 10000");
  });
});

test("durations for people", () => {
  expect([1, 119, 120, 3600, 7200, 86_400].map(durationText))
    .toEqual(["1 s", "119 s", "2 min", "60 min", "2 h", "24 h"]);
});

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
const names = { [uuid(1)]: "Port p1", [uuid(2)]: "Port p2" };

describe("changes", () => {
  const modified = (old: object, now: object) =>
    changesText({
      changes: { Bridge: { [uuid(9)]: { name: "br0", old: old as never, new: now as never } } },
      names,
    });

  test("rows inserted and deleted show what they had, references by name", () => {
    expect(changesText({
      changes: {
        Bridge: {
          [uuid(9)]: { name: "br0", new: { name: "br0", ports: ["set", [["uuid", uuid(1)]]] } },
        },
        Port: { [uuid(1)]: { old: { tag: 5 } }, [uuid(3)]: { old: {} } },
      },
      names,
    })).toBe(
      "+ Bridge br0\n    name: br0\n    ports: [Port p1]\n" +
        `- Port p1\n    tag: 5\n- Port ${uuid(3)}\n`,
    );
  });
  test("of sets and maps, the members that came and went", () => {
    expect(modified(
      { ports: ["set", [["uuid", uuid(1)], ["uuid", uuid(2)]]], fail_mode: ["set", []] },
      { ports: ["uuid", uuid(2)], fail_mode: "secure" },
    )).toBe("~ Bridge br0\n    ports: -Port p1\n    fail_mode: [] -> secure\n");
    expect(modified(
      { other_config: ["map", [["a", "1"], ["b", "x y"]]] },
      { other_config: ["map", [["b", "z"], ["c", "true"]]] },
    )).toBe('~ Bridge br0\n    other_config: -a="1", b: "x y" -> z, +c=true\n');
  });
  test("members of large ones alike", () => {
    expect(changesText({
      changes: {
        Bridge: {
          [uuid(9)]: {
            name: "br0",
            old: {},
            new: {},
            members: {
              ports: { removed: ["set", []], added: ["uuid", uuid(1)] },
              other_config: { removed: ["map", [["a", "x"]]], added: ["map", [["a", "y"]]] },
            },
          },
        },
      },
      names,
    })).toBe("~ Bridge br0\n    ports: +Port p1\n    other_config: a: x -> y\n");
  });
  test("control characters of strangers do not reach the terminal", () => {
    const text = modified({ type: "" }, { type: "\u001b[2Jx\u009b\n" });
    // deno-lint-ignore no-control-regex -- they are what is looked for
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(text).toContain("\\\\x1b[2Jx");
  });
});

const summary = {
  revision: 12,
  time_ms: new Date(2026, 10, 22, 11, 5, 9).getTime(),
  kind: "change",
  author: { who: "unix", pid: 77, uid: 0, user: "root", command: "ovs-vsctl add-br br0" },
  comment: null,
  inserted: 3,
  modified: 1,
  deleted: 0,
};

test("the log is one line a revision", () => {
  const other = { ...summary, revision: 9, author: { who: "tcp:10.0.0.1:5" }, comment: "a\nb" };
  expect(logText([summary, other])).toBe(
    "12  2026-11-22 11:05:09  root[77]        +3 ~1 -0  ovs-vsctl add-br br0\n" +
      " 9  2026-11-22 11:05:09  tcp:10.0.0.1:5  +3 ~1 -0  a / b\n",
  );
  expect(logText([])).toBe("");
});

test("a revision says who and when", () => {
  const text = showText({ ...summary, comment: "why", changes: {}, names: {} });
  expect(text).toBe(
    "revision 12\nwhen     2026-11-22 11:05:09\n" +
      "who      root (uid 0), pid 77: ovs-vsctl add-br br0\ncomment  why\n\nno rows changed\n",
  );
});

test("the state of a window", () => {
  const deadline = Date.now() + 30_000;
  expect(statusText({
    pending: true,
    base: 3,
    newest: 5,
    remaining_ms: 29_100,
    deadline_ms: deadline,
    author: { who: "x" },
  })).toContain(`goes back to revision 3 at ${timeText(deadline)} (in 30 s); now at revision 5`);
  const ended = (state: "confirmed" | "cancelled" | "expired" | "failed") =>
    statusText({ pending: false, last: { state, base: 3, endedMs: 0, revision: 6 } });
  expect(ended("confirmed")).toContain("were confirmed");
  expect(ended("cancelled")).toContain("back to revision 3, by revision 6");
  expect(ended("expired")).toContain("not confirmed in time");
  expect(ended("failed")).toContain("FAILED");
  expect(statusText({ pending: false, last: null })).toBe("nothing waits for confirmation\n");
});

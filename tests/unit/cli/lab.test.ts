import { describe, expect, test } from "bun:test";
import { splitLines } from "../../../src/cli/lab/lines.ts";
import { gigabits, sampleCommands } from "../../../src/cli/lab/text.ts";

describe("the lab's text", () => {
  test("rates", () => {
    expect(gigabits(1_250_000_000, 1000)).toBe("10.0");
    expect(gigabits(12_500_000, 1000)).toBe("0.100");
    expect(gigabits(1, 0)).toBe("0");
  });

  test("sample commands can be pasted", () => {
    const text = sampleCommands({
      bridge: "lab0",
      runDir: "/tmp/solovs-lab-x",
      httpUrl: undefined,
      hosts: [{ name: "h1", pid: 7, ip: "10.0.0.1" }, { name: "h2", pid: 8, ip: "10.0.0.2" }],
    });
    expect(text).toContain("export OVS_RUNDIR=/tmp/solovs-lab-x\n");
    expect(text).toContain("nsenter --net=/proc/7/ns/net ping 10.0.0.2");
    expect(text).not.toContain("curl");
  });
});

test("lines are put together from any pieces", async () => {
  const pieces = ["a\nb", "", "c\n", "\u00e9"].map((text) => new TextEncoder().encode(text));
  const whole = new Uint8Array(await new Blob(pieces).arrayBuffer());
  for (const size of [1, 2, 3, 100]) {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < whole.length; i += size) controller.enqueue(whole.slice(i, i + size));
        controller.close();
      },
    });
    expect(await Array.fromAsync(splitLines(stream))).toEqual(["a", "bc"]);
  }
});
